"""Explain why a template fails for a row: the column, the type of its value, and the expression that works.

Rows of csv hold texts, whatever stands in them, and the commonest mistake is to compare such a text with a number. What
is said names columns, types and the recipe's own words, never a value of the row.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from jinja2 import nodes

from dropbatch.json_values import to_json
from dropbatch.recipes.names import quoted
from dropbatch.recipes.suggestions import bare_expression
from dropbatch.recipes.templates import Template, column_of

MAX_COLUMNS = 5
"""How many columns are named if it cannot be told which is to blame."""

MAX_SUGGESTION = 200

_TYPES = {"text": "a text", "number": "a number", "truth": "true or false", "null": "empty (null)", "list": "a list"}
_SIGNS = {"eq": "==", "ne": "!=", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "in": "in", "notin": "not in"}
_ORDERS = frozenset({"gt", "gteq", "lt", "lteq"})
_TO_NUMBER = frozenset({"int", "float", "round", "abs", "length", "count", "sum", "wordcount"})
_TO_TEXT = frozenset({"string", "trim", "lower", "upper", "title", "capitalize", "replace", "join", "truncate"})
_TO_LIST = frozenset({"list", "sort", "unique", "map", "select", "reject", "batch"})
_OF_SEQUENCE = frozenset(
    {"length", "count", "first", "last", "join", "sort", "unique", "list", "map", "select", "reject"}
)
_INTEGER = re.compile(r"\s*[-+]?\d+\s*")
_DECIMAL = re.compile(r"\s*[-+]?\d*\.\d+\s*")


class Culprit(NamedTuple):
    """A column whose value an expression cannot take, and what to write in its place."""

    column: str
    type: str
    node: nodes.Node
    within: nodes.Node
    instead: str
    more: str = ""
    too: tuple[nodes.Node, str] | None = None


def explained(template: Template, values: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a value's type and what to write, None if that cannot be seen, or said in short."""
    for node in template.tree.find_all(nodes.Node):
        for find in _FINDERS:
            found = find(node, values)
            if found is not None and len(found.instead) <= MAX_SUGGESTION:
                return _sentence(found)
    return None


def types_of(template: Template, values: Mapping[str, Any]) -> str:
    """Return the columns that a template uses with the types of their values; empty if it uses none."""
    columns = [name for name in template.columns if name in values][:MAX_COLUMNS]
    return ", ".join(f"{quoted(name, 60)} is {_TYPES.get(_type(values[name]), 'an object')}" for name in columns)


def _sentence(found: Culprit) -> str:
    what = f"column {quoted(found.column, 60)!r} is {_TYPES.get(found.type, 'an object')}"
    if isinstance(found.within, nodes.For):
        return f"{what}; write {{% {found.instead} %}}."
    changed = {
        id(node): instead for node, instead in (found.too or (found.node, found.instead), (found.node, found.instead))
    }
    written = _source(found.within, changed)
    if written is None or len(written) > MAX_SUGGESTION:
        written = found.instead
    quotes = " (in YAML within single quotes)" if '"' in written else ""
    return f"{what}; write {{{{ {written} }}}}{quotes}{found.more}."


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "truth"
        case str():
            return "text"
        case int() | float():
            return "number"
        case list() | tuple():
            return "list"
        case _:
            return "object"


def _column(node: nodes.Node | None, values: Mapping[str, Any]) -> tuple[str, str] | None:
    """The column that a node is, with the type of its value."""
    name = column_of(node) if node is not None else None
    return (name, _type(values[name])) if name is not None and name in values else None


def _type_of(node: nodes.Node, values: Mapping[str, Any]) -> str | None:
    """The type of what a node gives, None if it is not known."""
    if isinstance(node, nodes.Const):
        return _type(node.value)
    if isinstance(node, nodes.Filter):
        named = (("number", _TO_NUMBER), ("text", _TO_TEXT), ("list", _TO_LIST))
        return next((kind for kind, names in named if node.name in names), None)
    if isinstance(node, nodes.List | nodes.Tuple):
        return "list"
    found = _column(node, values)
    return found[1] if found else None


def _as_number(name: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """How a column is read as a number, and what to add."""
    value = values[name]
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return f"{bare_expression(name)} | float", ""
    more = ", or | float for decimals" if isinstance(value, str) else ""
    return f"{bare_expression(name)} | int", more


def _compared(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if not isinstance(node, nodes.Compare):
        return None
    left: nodes.Expr = node.expr
    for operand in node.ops:
        right = operand.expr
        if operand.op in _ORDERS:
            found = _unlike(node, left, right, values)
            if found is not None:
                return found
        elif operand.op in ("in", "notin"):
            found = _searched(node, right, values)
            if found is not None:
                return found
        left = right
    return None


_NUMBERS = ("number", "truth")


def _unlike(node: nodes.Node, left: nodes.Expr, right: nodes.Expr, values: Mapping[str, Any]) -> Culprit | None:
    """Two sides of a comparison, or of a sum, of which one must be read as the other is."""
    for one, other in ((left, right), (right, left)):
        column, kind = _column(one, values), _type_of(other, values)
        if column is None or kind is None:
            continue
        name, own = column
        if own in ("text", "null") and kind in _NUMBERS:
            instead, more = _as_number(name, values)
            return Culprit(name, own, one, node, instead, more)
        if own == "null" and kind == "text":
            return Culprit(name, own, one, node, f"({bare_expression(name)} or '')")
        if own in _NUMBERS and isinstance(other, nodes.Const) and kind == "text":
            if _INTEGER.fullmatch(other.value) or _DECIMAL.fullmatch(other.value):
                return Culprit(name, own, other, node, other.value.strip())
            return Culprit(name, own, one, node, f"{bare_expression(name)} | string")
    return None


def _searched(node: nodes.Node, holder: nodes.Expr, values: Mapping[str, Any]) -> Culprit | None:
    column = _column(holder, values)
    if column is None or column[1] not in (*_NUMBERS, "null"):
        return None
    name, own = column
    instead = f"({bare_expression(name)} or '')" if own == "null" else f"{bare_expression(name)} | string"
    return Culprit(name, own, holder, node, instead)


def _computed(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if isinstance(node, nodes.Neg | nodes.Pos):
        column = _column(node.node, values)
        if column is None or column[1] not in ("text", "null"):
            return None
        instead, more = _as_number(column[0], values)
        return Culprit(*column, node.node, node, f"({instead})", more)
    if not isinstance(node, nodes.BinExpr) or isinstance(node, nodes.And | nodes.Or):
        return None
    kinds = {_type_of(node.left, values), _type_of(node.right, values)}
    if isinstance(node, nodes.Add) and "text" in kinds and not kinds <= {"text"}:
        return _added(node, values)
    found = _unlike(node, node.left, node.right, values)
    if found is not None and isinstance(node, nodes.Mul) and isinstance(_value(node, found), int):
        return None  # a text is repeated
    if found is None and kinds == {"text"} and not isinstance(node, nodes.Add | nodes.Mod):
        sides = [(side, column[0]) for side in (node.left, node.right) if (column := _column(side, values))]
        if sides:
            (side, name), (last, other) = sides[0], sides[-1]
            instead, more = _as_number(name, values)
            return Culprit(name, "text", side, node, instead, more, (last, _as_number(other, values)[0]))
    return found


def _value(node: nodes.BinExpr, found: Culprit) -> Any:
    other = node.right if found.node is node.left else node.left
    return getattr(other, "value", None) if found.type == "text" else None


def _added(node: nodes.Add, values: Mapping[str, Any]) -> Culprit | None:
    """A text and a number: both are numbers if the text is a column's, else both are texts."""
    for one, other in ((node.left, node.right), (node.right, node.left)):
        column = _column(one, values)
        if column is None:
            continue
        name, own = column
        if own == "text" and _type_of(other, values) in _NUMBERS and _column(other, values) is None:
            instead, more = _as_number(name, values)
            return Culprit(name, own, one, node, instead, more)
        if own == "null" and _type_of(other, values) == "text":
            return Culprit(name, own, one, node, f"({bare_expression(name)} or '')")
        if own != "text" and _type_of(other, values) == "text":
            left, right = _source(node.left, {}), _source(node.right, {})
            if left is not None and right is not None:
                return Culprit(name, own, node, node, f"{left} ~ {right}")
    return None


def _looped(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if not isinstance(node, nodes.For):
        return None
    if isinstance(node.iter, nodes.Call):
        return _counted(node, node.iter, values)
    column = _column(node.iter, values)
    if column is None or column[1] not in (*_NUMBERS, "null"):
        return None
    name, own = column
    written = bare_expression(name)
    target = _source(node.target, {}) or "item"
    instead = f"{written} or []" if own == "null" else f"range({written})"
    return Culprit(name, own, node.iter, node, f"for {target} in {instead}")


def _counted(node: nodes.For, called: nodes.Call, values: Mapping[str, Any]) -> Culprit | None:
    """A loop over a range that ends, or begins, at a text."""
    if not isinstance(called.node, nodes.EnvironmentAttribute) or called.node.name != "function_range":
        return None
    for place, argument in enumerate(called.args):
        column = _column(argument, values)
        if column is not None and column[1] in ("text", "null"):
            whole = f"{bare_expression(column[0])} | int"
            written = [whole if at == place else _source(each, {}) or "…" for at, each in enumerate(called.args)]
            target = _source(node.target, {}) or "item"
            return Culprit(*column, argument, node, f"for {target} in range({', '.join(written)})")
    return None


def _called(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if isinstance(node, nodes.Call) and (column := _column(node.node, values)) is not None:
        return Culprit(*column, node, node, bare_expression(column[0]), ", without the brackets")
    if isinstance(node, nodes.Output):
        for printed in node.nodes:
            if isinstance(printed, nodes.Getattr) and (column := _column(printed.node, values)) is not None:
                is_method = column[1] == "text" and hasattr(str, printed.attr)
                if is_method:
                    return Culprit(*column, printed, printed, f"{bare_expression(column[0])}.{printed.attr}()")
    return None


def _filtered(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if not isinstance(node, nodes.Filter) or (column := _column(node.node, values)) is None:
        return None
    name, own = column
    assert node.node is not None  # noqa: S101  # it is a column; tells the type checker
    if node.name in ("round", "abs") and own in ("text", "null"):
        return Culprit(name, own, node.node, node, f"{bare_expression(name)} | float")
    if node.name in _OF_SEQUENCE and own in (*_NUMBERS, "null"):
        instead = f"({bare_expression(name)} or [])" if own == "null" else f"{bare_expression(name)} | string"
        return Culprit(name, own, node.node, node, instead)
    return None


_FINDERS: tuple[Callable[[nodes.Node, Mapping[str, Any]], Culprit | None], ...] = (
    _compared, _computed, _looped, _called, _filtered,
)  # fmt: skip  # a list of names


def _source(node: nodes.Node | None, changed: Mapping[int, str]) -> str | None:
    """An expression as it is written, with other words for some of its nodes; None if it is too long a story."""
    if node is None:
        return None
    if id(node) in changed:
        return changed[id(node)]
    name = column_of(node)
    if name is not None:
        return bare_expression(name)
    parts = list(_parts(node, changed))
    return None if not parts or None in parts else "".join(part for part in parts if part is not None)


def _parts(node: nodes.Node, changed: Mapping[int, str]) -> Iterator[str | None]:
    if isinstance(node, nodes.Const):
        yield _literal(node.value)
    elif isinstance(node, nodes.Name):
        yield node.name
    elif isinstance(node, nodes.Compare):
        yield _source(node.expr, changed)
        for operand in node.ops:
            yield f" {_SIGNS[operand.op]} "
            yield _source(operand.expr, changed)
    elif isinstance(node, nodes.BinExpr):
        yield _operand(node.left, changed)
        yield f" {node.operator} "
        yield _operand(node.right, changed)
    elif isinstance(node, nodes.UnaryExpr):
        yield "not " if isinstance(node, nodes.Not) else node.operator
        yield _operand(node.node, changed)
    elif isinstance(node, nodes.Filter) and not (node.kwargs or node.dyn_args or node.dyn_kwargs):
        yield _source(node.node, changed)
        yield f" | {node.name}"
        if node.args:
            yield "("
            for place, argument in enumerate(node.args):
                yield ", " * bool(place)
                yield _source(argument, changed)
            yield ")"
    else:
        yield None


def _operand(node: nodes.Node, changed: Mapping[int, str]) -> str | None:
    written = _source(node, changed)
    is_whole = id(node) in changed or not isinstance(node, nodes.BinExpr | nodes.Compare)
    return written if written is None or is_whole else f"({written})"


def _literal(value: Any) -> str:
    if isinstance(value, str) and "'" not in value and "\\" not in value and value.isprintable():
        return f"'{value}'"
    return to_json(value).decode()
