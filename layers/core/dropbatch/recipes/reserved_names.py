"""The names that mean something in a template besides the columns."""

from collections.abc import Mapping
from typing import Any

ROW = "row"
"""The name of the whole row in a template."""

CONSTANTS: Mapping[str, Any] = {
    "true": True, "True": True, "false": False, "False": False, "none": None, "None": None,
}  # fmt: skip  # three pairs
"""Jinja's constants. A row may have columns of these names, so they are looked up like any other."""

FUNCTIONS = ("range", "dict", "cycler", "joiner", "namespace")
"""Jinja's functions: a call calls them, and any other use of these names means a column."""

RESERVED = frozenset(
    {"true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else", "elif", "for"}
    | {"import", "from", "include", "set", "block", "row", "loop", "self", "recursive", "super", "caller"}
    | {"varargs", "kwargs", *FUNCTIONS}
)
"""Names that mean something other than a column in a template, or may do so."""
