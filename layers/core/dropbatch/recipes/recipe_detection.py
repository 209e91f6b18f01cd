"""Tells a recipe from data by what it holds, where its name does not."""

import re

import msgspec

from dropbatch.recipes.keys import KEYS

MAX_LOOKED_AT = 1 << 16
"""How many bytes of a file are looked at."""

_TOP_LEVEL = re.compile(r"(?!\s|#|---)([^:]*)(:(?:\s.*)?)?")
_ASKING = frozenset({"prompt", "body"})
_CHOOSING = frozenset({"model", "body", "endpoint"})


def is_recipe_text(start: bytes) -> bool:
    """Return whether the lines with which a text begins are a recipe's: all keys known, and enough of them to ask."""
    lines = start[:MAX_LOOKED_AT].decode("utf-8-sig", "replace").splitlines()
    if len(start) > MAX_LOOKED_AT:
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
    """The same of JSON: one object whose keys are all a recipe's."""
    try:
        values = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return (
        isinstance(values, dict)
        and values.keys() <= KEYS.keys()
        and bool(values.keys() & _ASKING and values.keys() & _CHOOSING)
    )
