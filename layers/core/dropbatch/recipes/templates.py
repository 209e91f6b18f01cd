"""Templates: Jinja2 in a sandbox, over the values of one row.

A template sees each column by its name, the whole row as `row`, and the dropped file as `file`. It is compiled once.
Most are only text with columns in it; `fast_templates` joins those without Jinja. The rendered text follows from
template, file and row alone, because requests are built more than once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateSyntaxError, nodes
from jinja2.environment import TemplateExpression
from jinja2.meta import find_undeclared_variables

from dropbatch import fast_paths
from dropbatch.json_encoding import replace_surrogates
from dropbatch.recipes.fast_templates import FastTemplate
from dropbatch.recipes.file_values import FileValues
from dropbatch.recipes.reserved_names import CONSTANTS, ROW
from dropbatch.recipes.sizes import TooLargeError, weigh
from dropbatch.recipes.snippets import DOUBLE
from dropbatch.recipes.suggestions import advise_on_syntax
from dropbatch.recipes.template_environment import (
    FOR_TEXT,
    FOR_WHEN,
    Environment,
    Json,
    Row,
    print_value,
    refuse_statements,
)
from dropbatch.recipes.template_errors import BadTemplateError, UndefinedNameError, failure_of
from dropbatch.recipes.template_names import FileNames, attributes, column_of, in_order, optional_names, subscripts


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template.

    `names` are the columns that a row must have, `columns` all that the template uses, `spelled` all names that it
    spells out. `uses_row` says that it depends on the row at all. `pieces` are its texts and the names of its columns,
    in order, each with True if it is a column; None if it has anything else. `fast` renders these. `expression` is
    there if it is `{{ … | json }}` and nothing else. `around` is the text around the expressions.

    `file` has the values of the dropped file; None if `file` is a column. `of_file` are the names that the template
    looks up in it, `lacking` those of them that it lacks.
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
        """Its text if that is the same for every row, else None."""
        if self.pieces is None or any(is_column for _, is_column in self.pieces):
            return None
        return "".join(text for text, _ in self.pieces)

    @property
    def may_be_blank(self) -> bool:
        """True unless it is certain that it renders more than white space for every row."""
        return not any((text := _constant_text(node)) and not text.isspace() for node in _printed(self.tree))

    def render(self, values: Mapping[str, Any]) -> str:
        """Return its text for a row; raise UndefinedNameError or TemplateFailedError if the row does not fit."""
        if self.fast is not None:
            return self.fast.render(values)
        return str(self._guarded(self.jinja.render, values))

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the value itself for `{{ … | json }}`, else the text."""
        if self.expression is None:
            return self.render(values)
        found = self._guarded(self.expression, values)
        value = found.value if isinstance(found, Json) else found
        try:
            weigh(value)
        except (TooLargeError, RecursionError) as error:
            raise failure_of(error) from None
        return value

    def _guarded(self, render: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        try:
            return render({**values, ROW: Row(values)})
        except UndefinedNameError as undefined:
            # A name that the recipe does not spell out was computed from the row.
            name = undefined.name if undefined.name in self.spelled else None
            raise UndefinedNameError(name, undefined.within) from None
        except Exception as error:  # noqa: BLE001  # a template is a program: it can fail in any way
            raise failure_of(error) from None


def compile_template(
    source: str, *, for_when: bool = False, file: FileValues | None = None, quote: str = DOUBLE
) -> Template:
    """Return a compiled template; raise BadTemplateError if it cannot be compiled.

    `file` has the values of the dropped file; None says that `file` is a column. `quote` is the quote around the
    template in the recipe, for the advice in errors.
    """
    environment = FOR_WHEN if for_when else FOR_TEXT
    source = replace_surrogates(source)
    try:
        tree = environment.parse(source)
        refuse_statements(tree)
        of_file = FileNames(tree, file)
        of_file.visit(tree)
        jinja = environment.from_string(tree)
        expression = _expression(environment, source, tree)
    except TemplateSyntaxError as error:
        raise BadTemplateError(
            "template_syntax", advise_on_syntax(error.message or "", source, environment.filters, quote), error.lineno
        ) from None
    except (RecursionError, SyntaxError, ValueError, OverflowError, MemoryError):
        # Jinja accepts it, but Python does not: too deep a nesting (which Python may call
        # a lack of memory), a number of thousands of digits, half a character.
        raise BadTemplateError("template_syntax", "the template cannot be compiled; simplify it.", 1) from None
    used = find_undeclared_variables(tree)
    by_row = dict.fromkeys(subscripts(tree))
    optional = optional_names(tree)
    names = [name for name in in_order(tree, used) if name != ROW and name not in CONSTANTS]
    columns = tuple(dict.fromkeys([*names, *by_row]))
    pieces = _pieces(tree)
    is_fast = pieces is not None and fast_paths.enabled()
    return Template(
        names=tuple(name for name in columns if name not in optional),
        columns=columns,
        spelled=frozenset({*used, *by_row, *attributes(tree)}),
        uses_row=bool(columns) or ROW in used,
        pieces=pieces,
        fast=FastTemplate(pieces or (), environment.finalize or print_value) if is_fast else None,
        jinja=jinja,
        expression=expression,
        around="\0".join(node.data for node in tree.find_all(nodes.TemplateData)),
        source=source,
        file=file,
        of_file=tuple(of_file.used),
        lacking=tuple(of_file.missing),
        tree=tree,
    )


def _expression(environment: Environment, source: str, tree: nodes.Template) -> Callable[..., Any] | None:
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
    """Return the template's texts and columns, each with True if it is a column; None if it has anything else."""
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
    """Return the text that a node prints for any row; None if it is not a constant text."""
    if isinstance(node, nodes.TemplateData):
        return node.data
    return str(node.value) if isinstance(node, nodes.Const) and isinstance(node.value, str) else None
