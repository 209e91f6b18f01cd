"""The names that a template uses: columns of the row, and values of the dropped file."""

import unicodedata
from collections.abc import Iterable
from typing import Any

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from dropbatch.recipes.file_values import FILE, FileValues
from dropbatch.recipes.reserved_names import CONSTANTS, FUNCTIONS, ROW
from dropbatch.recipes.snippets import file_expression


class ColumnNames(NodeTransformer):
    """Makes columns of names that are Jinja's own, or that Python does not distinguish from others."""

    def __init__(self, tree: nodes.Template) -> None:
        self._own = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
        self._own.update(node.name for node in tree.find_all(nodes.Macro))

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802  # Jinja's name
        called = node.node
        if isinstance(called, nodes.Name) and called.name in FUNCTIONS and called.name not in self._own:
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
"""The filters and tests that accept an undefined value."""


class FileText(str):
    """A value of the dropped file as a constant of a template; `written` is the expression in the template."""

    written: str


class FileNames(NodeTransformer):
    """Replaces `file.name` and `file["name"]` by their values.

    `used` are all names that the template looks up in the file, `missing` those that it lacks without a default.
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
            nothing = nodes.List([], lineno=node.lineno)  # its first item is undefined
            return nodes.Getitem(nothing, nodes.Const(0, lineno=node.lineno), "load", lineno=node.lineno)
        text = FileText(value)
        text.written = file_expression(name)
        return nodes.Const(text, lineno=node.lineno)


def _subscript(node: nodes.Node) -> str | None:
    """Return the column of a node that is `row["column"]` or `row.column`; None for any other node."""
    if isinstance(node, nodes.Getitem | nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == ROW:
        if isinstance(node, nodes.Getattr):
            return None if hasattr(dict, node.attr) else node.attr
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return node.arg.value
    return None


def column_of(node: nodes.Node) -> str | None:
    """Return the column of an expression that is a column and nothing more; None for any other expression."""
    if isinstance(node, nodes.Name):
        return None if node.name == ROW or node.name in CONSTANTS else node.name
    return _subscript(node)


def subscripts(tree: nodes.Template) -> Iterable[str]:
    """Return the columns that a template names by `row`."""
    found = (_subscript(node) for node in tree.find_all((nodes.Getitem, nodes.Getattr)))
    return (name for name in found if name is not None)


def attributes(tree: nodes.Template) -> Iterable[str]:
    """Yield the names that a template looks up in any value."""
    for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
        if isinstance(node, nodes.Getattr):
            yield node.attr
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            yield node.arg.value


def in_order(tree: nodes.Template, used: set[str]) -> Iterable[str]:
    """Return the names that are `used`, in the order of the template."""
    return dict.fromkeys(node.name for node in tree.find_all(nodes.Name) if node.name in used)


def optional_names(tree: nodes.Template) -> set[Any]:
    """Return the names that a row may lack, as in `x | default("")`, `x is defined` and `"x" in row`."""
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
