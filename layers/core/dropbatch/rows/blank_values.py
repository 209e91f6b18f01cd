"""The rule which values say nothing, so that a row of such values alone is blank."""

from typing import Any


def is_empty(value: Any) -> bool:
    """Return whether a value says nothing: null, white space, an empty list or object."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, list | dict) and not value)
