"""Detection of recipes by their content, if the name of a file does not say that it is one."""

import re

import msgspec

from dropbatch.recipes.keys import KEYS

MAX_EXAMINED = 1 << 16
"""The number of bytes at the start of a file that are examined."""

_TOP_LEVEL = re.compile(r"(?!\s|#|---)([^:]*)(:(?:\s.*)?)?")
_ASKING = frozenset({"prompt", "body"})
_CHOOSING = frozenset({"model", "body", "endpoint"})


def is_recipe_text(start: bytes) -> bool:
    """Return whether the first lines of a text are a recipe's: all keys are known, and enough for a request."""
    lines = start[:MAX_EXAMINED].decode("utf-8-sig", "replace").splitlines()
    if len(start) > MAX_EXAMINED:
        lines.pop()
    keys = set()
    for line in lines:
        found = _TOP_LEVEL.fullmatch(line)
        if found is None or not line.strip() or line.startswith(("-", "}", "]")):
            continue  # blank, a comment, or part of a value
        if found[2] is None or found[1].strip("\"' ") not in KEYS:
            return False
        keys.add(found[1].strip("\"' "))
    return bool(keys & _ASKING and keys & _CHOOSING)


def is_recipe_object(data: bytes) -> bool:
    """Return the same for JSON: one object whose keys are all a recipe's, and enough for a request."""
    try:
        values = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return (
        isinstance(values, dict)
        and values.keys() <= KEYS.keys()
        and bool(values.keys() & _ASKING and values.keys() & _CHOOSING)
    )
