"""Jinja2 in a sandbox: the environment of templates, whose values stay bounded.

Keys of a mapping come before its methods, and a missing name is an error. Each row prints the same text each time.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.parser import Parser
from jinja2.runtime import StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from dropbatch.json_encoding import to_json
from dropbatch.recipes import growth_limits
from dropbatch.recipes.reserved_names import CONSTANTS, FUNCTIONS
from dropbatch.recipes.sizes import check_size, weigh
from dropbatch.recipes.template_errors import BadTemplateError, UndefinedNameError
from dropbatch.recipes.template_names import ColumnNames


class _Missing(StrictUndefined):
    """A name that a row, or a value of it, lacks: any use of it raises UndefinedNameError."""

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


class Json:
    """A value that becomes JSON: itself if it is the whole of a string, its text elsewhere."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return self.encoded().decode()

    def encoded(self) -> bytes:
        """Return the value as JSON; raise TooLargeError if it is too large."""
        weigh(self.value)
        return to_json(self.value)

    def __html__(self) -> str:
        return str(self)


class Row(dict[str, Any]):
    """The whole row: its type distinguishes a missing column from a missing member of a mapping."""


class _CodeGenerator(CodeGenerator):
    """Passes all values that may grow to the environment: operands of `~`, and lists and objects in the template."""

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


class _Parser(Parser):
    """Reads Jinja's constants as names, which are columns if the row has them."""

    def parse_primary(self, with_namespace: bool = False) -> nodes.Expr:
        token = self.stream.current
        if token.type == "name" and token.value in CONSTANTS:
            next(self.stream)
            return nodes.Name(token.value, "load", lineno=token.lineno)
        return super().parse_primary(with_namespace)


class _Buffer(list[str]):
    """The texts that a macro, or a block that is set, has printed so far."""

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


class Environment(ImmutableSandboxedEnvironment):
    """Keys of a mapping come before its methods: `{{ a.items }}` is the row's own `items` if it has one.

    No value that a template makes is larger than a request may be, or computed before there is a row.
    """

    code_generator_class = _CodeGenerator
    buffer = _Buffer
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = _Parser(self, source, name, filename).parse()
        ColumnNames(tree).visit(tree)
        tree.set_environment(self)
        return tree

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join the texts that a template, or a block of it, prints; Jinja's generated code calls this."""
        found, size = [], 0
        for part in parts:
            size += len(part)
            check_size(size)
            found.append(part)
        return "".join(found)

    @staticmethod
    def joined(values: tuple[Any, ...]) -> str:
        """Join the operands of `~`."""
        weigh(values)
        return "".join(map(str, values))

    @staticmethod
    def weighed(value: Any) -> Any:
        """Return a list or an object that a template has made; raise TooLargeError if it is too large."""
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
        growth_limits.check_operator(operator, left, right)
        found = super().call_binop(context, operator, left, right)
        return self.weighed(found) if isinstance(found, list | tuple) else found

    def call(_self, _context: Any, _called: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # as Jinja's own
        args = growth_limits.checked_arguments(_called, args, kwargs)
        found = super().call(_context, _called, *args, **kwargs)
        return _self.weighed(found) if isinstance(found, dict | list | tuple) else found

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        return None if wrapped is None else growth_limits.checked_format(self, value)


def print_value(value: Any) -> Any:
    """Return the text that `{{ … }}` prints for a value of a row."""
    match value:
        case str() | Undefined():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Json():
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


def _print_truth(value: Any) -> Any:
    """Return the same for `when`, for which false, and an empty list or object, are empty."""
    return "" if value is False or value in ([], {}) else print_value(value)


def _json(value: Any) -> Json:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return value if isinstance(value, Json) else Json(value)


_TEXT_FILTERS = frozenset(
    {"capitalize", "center", "indent", "lower", "replace", "string", "striptags", "title", "trim", "truncate", "upper"}
    | {"wordcount", "wordwrap"}
)


def _of_text(name: str, found: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that makes texts so that it reads null as an empty text, which is how null is printed."""
    if name not in _TEXT_FILTERS:
        return found
    place = int(hasattr(found, "jinja_pass_arg"))  # it is given the environment, or the like, first

    @wraps(found)
    def filtered(*args: Any, **named: Any) -> Any:
        if args[place] is None:
            args = (*args[:place], "", *args[place + 1 :])
        return found(*args, **named)

    return filtered


def _environment(finalize: Callable[[Any], Any]) -> Environment:
    environment = Environment(undefined=_Missing, keep_trailing_newline=True, finalize=finalize, optimized=False)
    environment.filters.update(
        {name: _of_text(name, growth_limits.checked_filter(name, found)) for name, found in environment.filters.items()}
    )
    environment.filters["json"] = environment.filters["tojson"] = _json
    # Requests are built more than once, and must come out the same.
    del environment.filters["random"]
    for name in FUNCTIONS:
        setattr(environment, f"function_{name}", environment.globals[name])
    environment.globals = dict(CONSTANTS)
    return environment


FOR_TEXT = _environment(print_value)

FOR_WHEN = _environment(_print_truth)


_STATEMENTS = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


def refuse_statements(tree: nodes.Template) -> None:
    """Raise BadTemplateError if a template takes in another one."""
    for node in tree.find_all(_STATEMENTS):
        problem = "templates cannot include, import or extend others; write the text out."
        raise BadTemplateError("template_statement", problem, node.lineno)
