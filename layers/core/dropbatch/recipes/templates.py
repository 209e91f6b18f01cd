"""Templates: Jinja2 in a sandbox, over the values of one row.

A template sees each column by its name, the whole row as `row`, and the dropped file as `file`. It is compiled once.
Most are no more than text with columns in it; `fast_templates` joins those without Jinja. What is rendered follows from
template, file and row alone, because requests are built more than once.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NoReturn

from jinja2 import TemplateSyntaxError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import TemplateExpression
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.runtime import StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

from dropbatch import fast_paths
from dropbatch.json_encoding import sound, to_json
from dropbatch.recipes import growth
from dropbatch.recipes.fast_templates import FastTemplate
from dropbatch.recipes.file_values import FILE, OWN_NAMES, FileValues
from dropbatch.recipes.naming import MAX_SHOWN, listed, nearest, quoted
from dropbatch.recipes.sizes import TooLargeError, check_size, weigh
from dropbatch.recipes.template_errors import (
    BadTemplateError,
    UndefinedNameError,
    template_failure,
)

ROW = "row"
"""The name of the whole row in a template."""

SINGLE, DOUBLE = "'", '"'
"""What a text of a recipe may stand within; a block, or a file, has no quotes."""


class _Missing(StrictUndefined):
    def _fail_with_undefined_error(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        name = self._undefined_name
        holder = self._undefined_obj
        within = None if holder is missing else list(holder) if isinstance(holder, Mapping) else []
        raise UndefinedNameError(name if isinstance(name, str) else None, within)

    __iter__ = __str__ = __len__ = _fail_with_undefined_error
    __eq__ = __ne__ = __bool__ = __hash__ = _fail_with_undefined_error
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _fail_with_undefined_error
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _fail_with_undefined_error
    __mod__ = __rmod__ = __pos__ = __neg__ = __call__ = __getitem__ = _fail_with_undefined_error
    __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = __complex__ = _fail_with_undefined_error
    __pow__ = __rpow__ = __contains__ = _fail_with_undefined_error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._fail_with_undefined_error()


class _Json:
    """A value on its way to becoming JSON: itself where it is the whole of a string, its text elsewhere."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return self.encoded().decode()

    def encoded(self) -> bytes:
        weigh(self.value)
        return to_json(self.value)

    def __html__(self) -> str:
        return str(self)


class Row(dict[str, Any]):
    """The whole row, told apart from the mappings within it so that a missing column can be told as such."""


class _CodeGenerator(CodeGenerator):
    """Lets the environment look at whatever may grow: what `~` joins, and lists and objects that are written out."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        # Computing a constant while a template is compiled would escape the limits of rendering.
        if not isinstance(node, nodes.TemplateData | nodes.Const):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def buffer(self, frame: Frame) -> None:
        super().buffer(frame)
        self.writeline(f"{frame.buffer} = environment.buffer()")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802  # Jinja's name
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802  # Jinja's name
        self._weighed(node, frame, super().visit_List)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802  # Jinja's name
        if node.ctx == "load":
            self._weighed(node, frame, super().visit_Tuple)
        else:
            super().visit_Tuple(node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802  # Jinja's name
        self._weighed(node, frame, super().visit_Dict)

    def _weighed(self, node: Any, frame: Frame, visit: Callable[[Any, Frame], None]) -> None:
        if not any(node.find_all(nodes.Name)):  # no larger than the template
            visit(node, frame)
            return
        self.write("environment.weighed(")
        visit(node, frame)
        self.write(")")


_CONSTANTS: Mapping[str, Any] = {
    "true": True, "True": True, "false": False, "False": False, "none": None, "None": None,
}  # fmt: skip  # three pairs
"""Jinja's constants. A row may have columns of these names, so they are looked up like any other."""


class _Parser(Parser):
    """Reads Jinja's constants as names, which are columns where the row has them."""

    def parse_primary(self, with_namespace: bool = False) -> nodes.Expr:
        token = self.stream.current
        if token.type == "name" and token.value in _CONSTANTS:
            next(self.stream)
            return nodes.Name(token.value, "load", lineno=token.lineno)
        return super().parse_primary(with_namespace)


_FUNCTIONS = ("range", "dict", "cycler", "joiner", "namespace")
"""Jinja's functions: they are known where they are called, and are names of columns elsewhere."""


class _ColumnNames(NodeTransformer):
    """Makes columns of names that Jinja keeps for itself, or that Python does not tell apart from others."""

    def __init__(self, tree: nodes.Template) -> None:
        self._own = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
        self._own.update(node.name for node in tree.find_all(nodes.Macro))

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802  # Jinja's name
        called = node.node
        if isinstance(called, nodes.Name) and called.name in _FUNCTIONS and called.name not in self._own:
            node.node = nodes.EnvironmentAttribute(f"function_{called.name}", lineno=called.lineno)
        return self.generic_visit(node)

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802  # Jinja's name
        name = node.name
        is_odd = name == "self" or unicodedata.normalize("NFKC", name) != name
        if node.ctx != "load" or name in self._own or not is_odd:
            return node
        row = nodes.Name(ROW, "load", lineno=node.lineno)
        return nodes.Getitem(row, nodes.Const(name, lineno=node.lineno), "load", lineno=node.lineno)


_PROVIDES = ("default", "d", "defined", "undefined")
"""The filters and tests that provide for the lack of what they are given."""


class FileText(str):
    """A value of the dropped file as a constant of a template, which writes it as `written`."""

    written: str


class _FileNames(NodeTransformer):
    """Replaces `file.name` and `file["name"]` by what they stand for.

    `used` are all names asked of the file, `missing` those that it lacks and that nothing provides for.
    """

    def __init__(self, tree: nodes.Template, file: FileValues | None) -> None:
        self._file = file
        self._is_own = any(node.name == FILE and node.ctx != "load" for node in tree.find_all(nodes.Name))
        self._provided: set[int] = set()
        self.used: dict[str, None] = {}
        self.missing: dict[str, None] = {}

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802  # Jinja's name
        return self._provide(node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802  # Jinja's name
        return self._provide(node)

    def _provide(self, node: nodes.Filter | nodes.Test) -> nodes.Node:
        if node.name in _PROVIDES and node.node is not None:
            self._provided.add(id(node.node))
        return self.generic_visit(node)

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802  # Jinja's name
        return self._replaced(node, node.attr)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802  # Jinja's name
        name = node.arg.value if isinstance(node.arg, nodes.Const) else None
        return self._replaced(node, name) if isinstance(name, str) else self.generic_visit(node)

    def _replaced(self, node: nodes.Getattr | nodes.Getitem, name: str) -> nodes.Node:
        if self._is_own or not isinstance(node.node, nodes.Name) or node.node.name != FILE:
            return self.generic_visit(node)
        self.used[name] = None
        if self._file is None:
            return node
        value = self._file.values.get(name)
        if value is None:
            if self._file.is_known and id(node) not in self._provided:
                self.missing[name] = None
            nothing = nodes.List([], lineno=node.lineno)  # its first item is as undefined as can be
            return nodes.Getitem(nothing, nodes.Const(0, lineno=node.lineno), "load", lineno=node.lineno)
        text = FileText(value)
        text.written = file_expression(name)
        return nodes.Const(text, lineno=node.lineno)


def file_expression(name: str) -> str:
    """Return how a template writes a value of the dropped file, without the braces."""
    return f"{FILE}.{name}" if name.isidentifier() and name.isascii() else f"{FILE}[{literal(name)}]"


class _Buffer(list[str]):
    """What a macro, or a block that is set, has printed so far."""

    def __init__(self) -> None:
        super().__init__()
        self._size = 0

    def append(self, text: str) -> None:
        self._size += len(text)
        check_size(self._size)
        super().append(text)

    def extend(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.append(text)


class _Environment(ImmutableSandboxedEnvironment):
    """Keys of a mapping come before its methods: `{{ a.items }}` is the row's own `items` if it has one.

    Nothing that a template makes gets larger than what could be sent, nor is it computed before there is a row.
    """

    code_generator_class = _CodeGenerator
    buffer = _Buffer
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = _Parser(self, source, name, filename).parse()
        _ColumnNames(tree).visit(tree)
        tree.set_environment(self)
        return tree

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join what a template, or a block of it, prints; called by what Jinja generates."""
        found, size = [], 0
        for part in parts:
            size += len(part)
            check_size(size)
            found.append(part)
        return "".join(found)

    @staticmethod
    def joined(values: tuple[Any, ...]) -> str:
        """Join what stands around `~`."""
        weigh(values)
        return "".join(map(str, values))

    @staticmethod
    def weighed(value: Any) -> Any:
        """Return a list or an object that a template has made, unless it is too large."""
        weigh(value)
        return value

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            if attribute in obj:
                return obj[attribute]
            if not hasattr(dict, attribute):
                return self._lacks(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            try:
                return obj[argument]
            except (KeyError, TypeError):
                return self._lacks(obj, argument)
        return super().getitem(obj, argument)

    def _lacks(self, obj: Mapping[str, Any], name: Any) -> Undefined:
        return _Missing(name=name) if isinstance(obj, Row) else _Missing(obj=obj, name=name)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        growth.check_operator(operator, left, right)
        found = super().call_binop(context, operator, left, right)
        return self.weighed(found) if isinstance(found, list | tuple) else found

    def call(_self, _context: Any, _called: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # as Jinja's own
        args = growth.checked_arguments(_called, args, kwargs)
        found = super().call(_context, _called, *args, **kwargs)
        return _self.weighed(found) if isinstance(found, dict | list | tuple) else found

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        return None if wrapped is None else growth.checked_format(self, value)


def _text(value: Any) -> Any:
    """What `{{ … }}` prints for a value of a row."""
    match value:
        case str() | Undefined():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _Json():
            return str(value)
        case float() if value != value:
            return ""  # NaN, which is how some formats say null
    if callable(value):
        raise TypeError("a method is printed, not called")
    if isinstance(value, list | tuple | Mapping):
        weigh(value)
    encoded = to_json(value)
    # A date and the like is a JSON string: as text it goes without the quotes.
    return encoded[1:-1].decode() if encoded.startswith(b'"') else encoded.decode()


def _truth(value: Any) -> Any:
    """The same for `when`, where false, and a list or object without anything in it, are as good as nothing."""
    return "" if value is False or value in ([], {}) else _text(value)


def _json(value: Any) -> _Json:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return value if isinstance(value, _Json) else _Json(value)


_TEXT_FILTERS = frozenset(
    {"capitalize", "center", "indent", "lower", "replace", "string", "striptags", "title", "trim", "truncate", "upper"}
    | {"wordcount", "wordwrap"}
)


def _of_text(name: str, found: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that takes null for an empty text, as it is printed, if it makes a text of whatever it gets."""
    if name not in _TEXT_FILTERS:
        return found
    place = int(hasattr(found, "jinja_pass_arg"))  # it is given the environment, or the like, first

    @wraps(found)
    def filtered(*args: Any, **named: Any) -> Any:
        if args[place] is None:
            args = (*args[:place], "", *args[place + 1 :])
        return found(*args, **named)

    return filtered


def _environment(finalize: Callable[[Any], Any]) -> _Environment:
    environment = _Environment(undefined=_Missing, keep_trailing_newline=True, finalize=finalize, optimized=False)
    environment.filters.update(
        {name: _of_text(name, growth.checked_filter(name, found)) for name, found in environment.filters.items()}
    )
    environment.filters["json"] = environment.filters["tojson"] = _json
    # Requests are built more than once, and must come out the same.
    del environment.filters["random"]
    for name in _FUNCTIONS:
        setattr(environment, f"function_{name}", environment.globals[name])
    environment.globals = dict(_CONSTANTS)
    return environment


_FOR_TEXT = _environment(_text)
_FOR_WHEN = _environment(_truth)

_STATEMENTS = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template.

    `names` are the columns it cannot do without, `columns` all that it uses, `spelled` all names that it spells out.
    `uses_row` says that it depends on the row at all. `pieces` are its texts and the names of its columns, in order,
    each with whether it is a column; None if it is more than those. `fast` renders these. `expression` is there where
    it is `{{ … | json }}` and nothing else. `around` is the text around the expressions.

    `file` is what `file` stands for, None where it is a column. `of_file` are the names that the template asks of it,
    `lacking` those that it has not.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    spelled: frozenset[str]
    uses_row: bool
    pieces: tuple[tuple[str, bool], ...] | None
    fast: FastTemplate | None
    jinja: Any
    expression: Callable[..., Any] | None
    around: str
    source: str
    file: FileValues | None
    of_file: tuple[str, ...]
    lacking: tuple[str, ...]
    tree: nodes.Template = field(compare=False, repr=False)

    @property
    def constant(self) -> str | None:
        """Its text, where that is the same for every row."""
        if self.pieces is None or any(is_column for _, is_column in self.pieces):
            return None
        return "".join(text for text, _ in self.pieces)

    @property
    def may_be_blank(self) -> bool:
        """Whether a row can make it render nothing but white space, as far as can be seen."""
        return not any((text := _constant_text(node)) and not text.isspace() for node in _printed(self.tree))

    def render(self, values: Mapping[str, Any]) -> str:
        """Its text for a row. UndefinedNameError or TemplateFailedError where the row does not do."""
        if self.fast is not None:
            return self.fast.render(values)
        return str(self._guarded(self.jinja.render, values))

    def value(self, values: Mapping[str, Any]) -> Any:
        """What it stands for: the value itself for `{{ … | json }}`, else the text."""
        if self.expression is None:
            return self.render(values)
        found = self._guarded(self.expression, values)
        value = found.value if isinstance(found, _Json) else found
        try:
            weigh(value)
        except (TooLargeError, RecursionError) as error:
            raise template_failure(error) from None
        return value

    def _guarded(self, render: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        try:
            return render({**values, ROW: Row(values)})
        except UndefinedNameError as undefined:
            # A name that the recipe does not spell out was computed from the row.
            name = undefined.name if undefined.name in self.spelled else None
            raise UndefinedNameError(name, undefined.within) from None
        except Exception as error:  # noqa: BLE001  # a template is a program: it can fail in any way
            raise template_failure(error) from None


def compile_template(
    source: str, *, for_when: bool = False, file: FileValues | None = None, quote: str = DOUBLE
) -> Template:
    """Compiles a template; BadTemplateError where that cannot be.

    `file` is what `file` has; None: it is a column. `quote` is what it stands within, for what is advised.
    """
    environment = _FOR_WHEN if for_when else _FOR_TEXT
    source = sound(source)
    try:
        tree = environment.parse(source)
        for node in tree.find_all(_STATEMENTS):
            raise BadTemplateError(
                "template_statement",
                "templates cannot include, import or extend others; write the text out.",
                node.lineno,
            )
        of_file = _FileNames(tree, file)
        of_file.visit(tree)
        jinja = environment.from_string(tree)
        expression = _expression(environment, source, tree)
    except TemplateSyntaxError as error:
        raise BadTemplateError(
            "template_syntax", _advice(error.message or "", source, environment, quote), error.lineno
        ) from None
    except (RecursionError, SyntaxError, ValueError, OverflowError, MemoryError):
        # What Jinja takes, but Python does not: too deep a nesting (which Python may call
        # a lack of memory), a number of thousands of digits, half a character.
        raise BadTemplateError("template_syntax", "the template cannot be compiled; simplify it.", 1) from None
    used = find_undeclared_variables(tree)
    subscripts = dict.fromkeys(_subscripts(tree))
    optional = _guarded_names(tree)
    names = [name for name in _in_order(tree, used) if name != ROW and name not in _CONSTANTS]
    columns = tuple(dict.fromkeys([*names, *subscripts]))
    pieces = _pieces(tree)
    is_fast = pieces is not None and fast_paths.enabled()
    return Template(
        names=tuple(name for name in columns if name not in optional),
        columns=columns,
        spelled=frozenset({*used, *subscripts, *_attributes(tree)}),
        uses_row=bool(columns) or ROW in used,
        pieces=pieces,
        fast=FastTemplate(pieces or (), environment.finalize or _text) if is_fast else None,
        jinja=jinja,
        expression=expression,
        around="\0".join(node.data for node in tree.find_all(nodes.TemplateData)),
        source=source,
        file=file,
        of_file=tuple(of_file.used),
        lacking=tuple(of_file.missing),
        tree=tree,
    )


_SPACED = re.compile(r"\{\{-?\s*([^\W\d]\w*(?:[ -]\w+)+)\s*-?\}\}")
_TRIPLE = re.compile(r"\{\{\{\s*([^\W\d]\w*)\s*\}\}\}")
_WORD_AS_NAME = re.compile(r"(?:\{\{-?|\{%-?\s*(?:if|elif)|\bin)\s*(not|recursive)\s*(?:\||-?[%}]\})")


def _advice(said: str, source: str, environment: _Environment, quote: str) -> str:
    """What to do about a syntax error; what Jinja says quotes the recipe alone."""
    if found := _TRIPLE.search(source):
        return f"three braces are one too many; write {{{{ {found[1]} }}}}."
    if found := _WORD_AS_NAME.search(source):
        return f"{found[1]} is a word of the template language; write the column as {subscript(found[1], quote)}."
    if (found := _SPACED.search(source)) and len(found[1]) <= MAX_SHOWN:
        return f"a column whose name holds spaces or signs is written {subscript(found[1], quote)}."
    if said.startswith("No filter named"):
        like = nearest(said.split("'")[1], environment.filters)
        said = quoted(said.rstrip("."))
        return f"{said}; " + (f"did you mean {like}?" if like else "use one of Jinja's own.")
    said = quoted(said.rstrip("."))
    if "end of print statement" in said or "unexpected char" in said:
        return (
            f"the template is wrong: {said}; a column whose name holds spaces or signs is written "
            f"{subscript('Review Text', quote)}."
        )
    return f"the template is wrong: {said}; look for a brace or an end that is missing."


def _expression(environment: _Environment, source: str, tree: nodes.Template) -> Callable[..., Any] | None:
    text = source.strip()
    if not (text.startswith("{{") and text.endswith("}}")) or len(tree.body) != 1:
        return None
    printed = [node for node in _printed(tree) if not (isinstance(node, nodes.TemplateData) and not node.data.strip())]
    if len(printed) != 1 or not isinstance(printed[0], nodes.Filter) or printed[0].name not in ("json", "tojson"):
        return None
    result = nodes.Assign(nodes.Name("result", "store", lineno=1), printed[0], lineno=1)
    body = nodes.Template([result], lineno=1)
    body.set_environment(environment)
    return TemplateExpression(environment.from_string(body), undefined_to_none=False)


def _printed(tree: nodes.Template) -> list[nodes.Expr]:
    return [node for output in tree.body if isinstance(output, nodes.Output) for node in output.nodes]


def _pieces(tree: nodes.Template) -> tuple[tuple[str, bool], ...] | None:
    """Return the template's texts and columns, or None if it is more than that."""
    if not all(isinstance(node, nodes.Output) for node in tree.body):
        return None
    pieces: list[tuple[str, bool]] = []
    for node in _printed(tree):
        text, column = _constant_text(node), column_of(node)
        if text is not None:
            pieces.append((text, False))
        elif column is not None:
            pieces.append((column, True))
        else:
            return None
    return tuple(pieces)


def _constant_text(node: nodes.Node) -> str | None:
    """The text that a node prints for any row; None if it is no constant text."""
    if isinstance(node, nodes.TemplateData):
        return node.data
    return str(node.value) if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def _subscript(node: nodes.Node) -> str | None:
    """The column of a node that is `row["column"]` or `row.column`."""
    if isinstance(node, nodes.Getitem | nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == ROW:
        if isinstance(node, nodes.Getattr):
            return None if hasattr(dict, node.attr) else node.attr
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return node.arg.value
    return None


def column_of(node: nodes.Node) -> str | None:
    """Return the column that an expression is, and nothing more; None if it is something else."""
    if isinstance(node, nodes.Name):
        return None if node.name == ROW or node.name in _CONSTANTS else node.name
    return _subscript(node)


def _subscripts(tree: nodes.Template) -> Iterable[str]:
    found = (_subscript(node) for node in tree.find_all((nodes.Getitem, nodes.Getattr)))
    return (name for name in found if name is not None)


def _attributes(tree: nodes.Template) -> Iterable[str]:
    for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
        if isinstance(node, nodes.Getattr):
            yield node.attr
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            yield node.arg.value


def _in_order(tree: nodes.Template, used: set[str]) -> Iterable[str]:
    return dict.fromkeys(node.name for node in tree.find_all(nodes.Name) if node.name in used)


def _guarded_names(tree: nodes.Template) -> set[Any]:
    """Names whose lack the template provides for: `x | default("")`, `x is defined`, `"x" in row`."""
    found: set[Any] = set()
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        if isinstance(node, nodes.Filter | nodes.Test) and node.name in _PROVIDES:
            if isinstance(node.node, nodes.Name):
                found.add(node.node.name)
            elif node.node is not None and (name := _subscript(node.node)) is not None:
                found.add(name)
    for comparison in tree.find_all(nodes.Compare):
        for operand in comparison.ops:
            if operand.op in ("in", "notin") and operand.expr == nodes.Name(ROW, "load"):
                found.add(getattr(comparison.expr, "value", None))
    return found


def spelling(name: str, known: Iterable[str], file: FileValues | None = None, quote: str = DOUBLE) -> str:
    """Advice on the right spelling of a column, as a template within these quotes writes it.

    If the file's path has the value, or `file` itself is meant, it says so.
    """
    columns = [column for column in known if isinstance(column, str)]
    of_file = file is not None and name in file.values
    like = None if of_file and name not in OWN_NAMES else nearest(name, columns)
    if like is None and of_file:
        return f"did you mean {fitted(f'{{{{ {file_expression(name)} }}}}', quote)}, which the file's path has?"
    if name == FILE and file is not None:
        own = fitted(f"{{{{ {file_expression(OWN_NAMES[0])} }}}}", quote)
        column = "" if like is None else f" or the column {quoted(like)}"
        return f"did you mean {own}, the name of the dropped file{column}?"
    if like is None:
        return f"the columns are {listed(columns)}." if columns else "the row has no columns."
    if len(like) > MAX_SHOWN:
        return f"did you mean the column that begins {quoted(like)}?"
    return f"did you mean {placeholder(like, quote)}?"


def placeholder(column: str, quote: str = DOUBLE) -> str:
    """Return how a template prints a column, as it can be pasted into a text of a recipe that has these quotes."""
    plain = column.isidentifier() and column.isascii() and column not in _RESERVED
    return f"{{{{ {column} }}}}" if plain else subscript(column, quote)


def subscript(column: str, quote: str = DOUBLE) -> str:
    """Return the same for a column of any name."""
    return fitted(f"{{{{ {lookup(column)} }}}}", quote)


def lookup(column: str) -> str:
    """Return the expression for a column of any name."""
    return f"row[{literal(column)}]"


def literal(text: str) -> str:
    """Return a text as a template writes it: in single quotes, and no other quote in it."""
    encoded = to_json(text).decode()[1:-1].replace('\\"', "\\u0022").replace("'", "\\u0027")
    return f"'{encoded}'"


def fitted(expression: str, quote: str) -> str:
    """Return an expression, whose texts are as `literal` writes them, as it can be pasted within YAML's quotes."""
    if quote == SINGLE:
        return expression.replace("'", '"')
    return expression.replace("\\", "\\\\") if quote == DOUBLE else expression


_RESERVED = frozenset(
    {"true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else", "elif", "for"}
    | {"import", "from", "include", "set", "block", "row", "loop", "self", "recursive", "super", "caller"}
    | {"varargs", "kwargs", *_FUNCTIONS}
)
"""Names that mean something else in a template, or may."""
