"""Explanations why a template fails for a row: the column, the type of its value, and the expression that works.

All values of a csv are texts, and the commonest mistake is to compare such a text with a number. An explanation has
columns, types and the recipe's own words, never a value of the row.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from jinja2 import nodes

from dropbatch.json_encoding import to_json
from dropbatch.recipes.quoted_names import quoted
from dropbatch.recipes.snippets import DOUBLE, bare_expression, fit_quotes, literal
from dropbatch.recipes.template_names import FileText, column_of
from dropbatch.recipes.templates import Template

MAX_COLUMNS = 5
"""The maximum number of columns that are named if the wrong one is not known."""

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


class Used(NamedTuple):
    """A value that an expression uses: its name in a sentence, its expression in the template, and its type."""

    name: str
    expression: str
    value: Any
    type: str


class Culprit(NamedTuple):
    """A value that an expression cannot take, and the expression to write in its place."""

    used: Used
    node: nodes.Node
    within: nodes.Node
    instead: str
    more: str = ""
    too: tuple[nodes.Node, str] | None = None


def explain_type_error(template: Template, values: Mapping[str, Any], quote: str = DOUBLE) -> str | None:
    """Return a sentence about the wrong type of a value, and the expression to write within these quotes.

    Return None if the cause is not known, or takes too long to say.
    """
    for node in template.tree.find_all(nodes.Node):
        for find in _FINDERS:
            found = find(node, values)
            if found is not None and len(found.instead) <= MAX_SUGGESTION:
                return _sentence(found, quote)
    return None


def types_of(template: Template, values: Mapping[str, Any]) -> str:
    """Return the columns that a template uses with the types of their values; empty if it uses none."""
    columns = [name for name in template.columns if name in values][:MAX_COLUMNS]
    return ", ".join(f"{quoted(name, 60)} is {_TYPES.get(_type(values[name]), 'an object')}" for name in columns)


def _sentence(found: Culprit, quote: str) -> str:
    what = f"{found.used.name} is {_TYPES.get(found.used.type, 'an object')}"
    if isinstance(found.within, nodes.For):
        return f"{what}; write {fit_quotes(f'{{% {found.instead} %}}', quote)}."
    changed = {
        id(node): instead for node, instead in (found.too or (found.node, found.instead), (found.node, found.instead))
    }
    written = _source(found.within, changed)
    if written is None or len(written) > MAX_SUGGESTION:
        written = found.instead
    return f"{what}; write {fit_quotes(f'{{{{ {written} }}}}', quote)}{found.more}."


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


def _used(node: nodes.Node | None, values: Mapping[str, Any]) -> Used | None:
    """Return the column that a node is, or the value of the dropped file; None if it is neither."""
    if isinstance(node, nodes.Const) and isinstance(node.value, FileText):
        return Used(node.value.written, node.value.written, node.value, "text")
    name = column_of(node) if node is not None else None
    if name is None or name not in values:
        return None
    value = values[name]
    return Used(f"column {quoted(name, 60)!r}", bare_expression(name), value, _type(value))


def _type_of(node: nodes.Node, values: Mapping[str, Any]) -> str | None:
    """Return the type of a node's value; None if it is not known."""
    if isinstance(node, nodes.Const):
        return _type(node.value)
    if isinstance(node, nodes.Filter):
        named = (("number", _TO_NUMBER), ("text", _TO_TEXT), ("list", _TO_LIST))
        return next((kind for kind, names in named if node.name in names), None)
    if isinstance(node, nodes.List | nodes.Tuple):
        return "list"
    found = _used(node, values)
    return found.type if found else None


def _as_number(used: Used) -> tuple[str, str]:
    """Return the expression that reads a value as a number, and words to add to the sentence."""
    if isinstance(used.value, str) and _DECIMAL.fullmatch(used.value):
        return f"{used.expression} | float", ""
    more = ", or | float for decimals" if isinstance(used.value, str) else ""
    return f"{used.expression} | int", more


def _find_in_comparison(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if not isinstance(node, nodes.Compare):
        return None
    left: nodes.Expr = node.expr
    for operand in node.ops:
        right = operand.expr
        if operand.op in _ORDERS:
            found = _find_unlike_sides(node, left, right, values)
            if found is not None:
                return found
        elif operand.op in ("in", "notin"):
            found = _find_in_search(node, right, values)
            if found is not None:
                return found
        left = right
    return None


_NUMBERS = ("number", "truth")


def _find_unlike_sides(
    node: nodes.Node, left: nodes.Expr, right: nodes.Expr, values: Mapping[str, Any]
) -> Culprit | None:
    """Find the side of a comparison, or of a sum, that must be read as the type of the other."""
    for one, other in ((left, right), (right, left)):
        used, kind = _used(one, values), _type_of(other, values)
        if used is None or kind is None:
            continue
        if used.type in ("text", "null") and kind in _NUMBERS:
            instead, more = _as_number(used)
            return Culprit(used, one, node, instead, more)
        if used.type == "null" and kind == "text":
            return Culprit(used, one, node, f"({used.expression} or '')")
        if used.type in _NUMBERS and isinstance(other, nodes.Const) and kind == "text" and not _used(other, values):
            if _INTEGER.fullmatch(other.value) or _DECIMAL.fullmatch(other.value):
                return Culprit(used, other, node, other.value.strip())
            return Culprit(used, one, node, f"{used.expression} | string")
    return None


def _find_in_search(node: nodes.Node, holder: nodes.Expr, values: Mapping[str, Any]) -> Culprit | None:
    used = _used(holder, values)
    if used is None or used.type not in (*_NUMBERS, "null"):
        return None
    instead = f"({used.expression} or '')" if used.type == "null" else f"{used.expression} | string"
    return Culprit(used, holder, node, instead)


def _find_in_arithmetic(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if isinstance(node, nodes.Neg | nodes.Pos):
        used = _used(node.node, values)
        if used is None or used.type not in ("text", "null"):
            return None
        instead, more = _as_number(used)
        return Culprit(used, node.node, node, f"({instead})", more)
    if not isinstance(node, nodes.BinExpr) or isinstance(node, nodes.And | nodes.Or):
        return None
    kinds = {_type_of(node.left, values), _type_of(node.right, values)}
    if isinstance(node, nodes.Add) and "text" in kinds and not kinds <= {"text"}:
        return _find_in_sum(node, values)
    found = _find_unlike_sides(node, node.left, node.right, values)
    if found is not None and isinstance(node, nodes.Mul) and isinstance(_value(node, found), int):
        return None  # a text is repeated
    if found is None and kinds == {"text"} and not isinstance(node, nodes.Add | nodes.Mod):
        sides = [(side, used) for side in (node.left, node.right) if (used := _used(side, values))]
        if sides:
            (side, used), (last, other) = sides[0], sides[-1]
            instead, more = _as_number(used)
            return Culprit(used, side, node, instead, more, (last, _as_number(other)[0]))
    return found


def _value(node: nodes.BinExpr, found: Culprit) -> Any:
    other = node.right if found.node is node.left else node.left
    return getattr(other, "value", None) if found.used.type == "text" else None


def _find_in_sum(node: nodes.Add, values: Mapping[str, Any]) -> Culprit | None:
    """Find a sum of a text and a number: both become numbers if the text is a column's, else both become texts."""
    for one, other in ((node.left, node.right), (node.right, node.left)):
        used = _used(one, values)
        if used is None:
            continue
        if used.type == "text" and _type_of(other, values) in _NUMBERS and _used(other, values) is None:
            instead, more = _as_number(used)
            return Culprit(used, one, node, instead, more)
        if used.type == "null" and _type_of(other, values) == "text":
            return Culprit(used, one, node, f"({used.expression} or '')")
        if used.type != "text" and _type_of(other, values) == "text":
            left, right = _source(node.left, {}), _source(node.right, {})
            if left is not None and right is not None:
                return Culprit(used, node, node, f"{left} ~ {right}")
    return None


def _find_in_loop(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if not isinstance(node, nodes.For):
        return None
    if isinstance(node.iter, nodes.Call):
        return _find_in_range(node, node.iter, values)
    used = _used(node.iter, values)
    if used is None or used.type not in (*_NUMBERS, "null"):
        return None
    target = _source(node.target, {}) or "item"
    instead = f"{used.expression} or []" if used.type == "null" else f"range({used.expression})"
    return Culprit(used, node.iter, node, f"for {target} in {instead}")


def _find_in_range(node: nodes.For, called: nodes.Call, values: Mapping[str, Any]) -> Culprit | None:
    """Find a loop over a range that ends, or begins, at a text."""
    if not isinstance(called.node, nodes.EnvironmentAttribute) or called.node.name != "function_range":
        return None
    for place, argument in enumerate(called.args):
        used = _used(argument, values)
        if used is not None and used.type in ("text", "null"):
            whole = f"{used.expression} | int"
            written = [whole if at == place else _source(each, {}) or "…" for at, each in enumerate(called.args)]
            target = _source(node.target, {}) or "item"
            return Culprit(used, argument, node, f"for {target} in range({', '.join(written)})")
    return None


def _find_in_call(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if isinstance(node, nodes.Call) and (used := _used(node.node, values)) is not None:
        return Culprit(used, node, node, used.expression, ", without the brackets")
    if isinstance(node, nodes.Output):
        for printed in node.nodes:
            if isinstance(printed, nodes.Getattr) and (used := _used(printed.node, values)) is not None:
                is_method = used.type == "text" and hasattr(str, printed.attr)
                if is_method:
                    return Culprit(used, printed, printed, f"{used.expression}.{printed.attr}()")
    return None


def _find_in_filter(node: nodes.Node, values: Mapping[str, Any]) -> Culprit | None:
    if not isinstance(node, nodes.Filter) or (used := _used(node.node, values)) is None:
        return None
    assert node.node is not None  # noqa: S101  # a value is used; tells the type checker
    if node.name in ("round", "abs") and used.type in ("text", "null"):
        return Culprit(used, node.node, node, f"{used.expression} | float")
    if node.name in _OF_SEQUENCE and used.type in (*_NUMBERS, "null"):
        instead = f"({used.expression} or [])" if used.type == "null" else f"{used.expression} | string"
        return Culprit(used, node.node, node, instead)
    return None


_FINDERS: tuple[Callable[[nodes.Node, Mapping[str, Any]], Culprit | None], ...] = (
    _find_in_comparison, _find_in_arithmetic, _find_in_loop, _find_in_call, _find_in_filter,
)  # fmt: skip  # a list of names


def _source(node: nodes.Node | None, changed: Mapping[int, str]) -> str | None:
    """Return the source of an expression, with other text for the nodes in `changed`; None if it is too complex."""
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
    if isinstance(value, FileText):
        return value.written
    return literal(value) if isinstance(value, str) else to_json(value).decode()
