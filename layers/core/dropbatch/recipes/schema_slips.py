"""Slips in a schema: a description of a text that was probably meant as a type or as a list.

`score: int` is a text with the description "int": the recipe can be used, and nobody would notice before it is paid.
So Dropbatch refuses it, with the line to write instead. A description that is a sentence is not a slip.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

MAX_CHARACTERS = 200
"""A longer text is a description."""

MAX_SPELLED_OUT = 20
"""For a range of more numbers the advice is the type, and not each number."""

_TYPES = {
    **dict.fromkeys(("int", "integer", "integers", "ints", "long", "bigint", "whole", "wholenumber"), "integer"),
    **dict.fromkeys(("float", "double", "decimal", "num", "number", "numbers", "numeric", "real"), "number"),
    **dict.fromkeys(("str", "string", "strings", "text", "texts", "txt", "varchar", "char"), "string"),
    **dict.fromkeys(("bool", "boolean", "booleans", "logical", "truefalse"), "boolean"),
}
"""The names of the types in other languages, without spaces and in lower case."""

_LISTS = frozenset({"list", "array", "lists", "arrays", "set", "tuple", "[]"})
_OBJECTS = frozenset({"dict", "object", "json", "map", "mapping", "struct", "record"})
_NOTHING = frozenset({"null", "none", "nil", "optional", "undefined"})

_LIST_OF = re.compile(
    r"(?:list|array|set|sequence)\s*(?:of\s+|[\[<(]\s*)(\w+)\s*[\]>)]?|(\w+)\s*\[\s*\]", re.IGNORECASE
)
_RANGE = re.compile(
    r"(?:(\w+)[\s,:(]*)?(?:from|between)?\s*(-?\d{1,9})\s*(?:-|–|\.\.\.?|to|and|bis)\s*(\d{1,9})\s*\)?", re.IGNORECASE
)
_SEPARATOR = re.compile(r"\s*[,/|;]\s*(?:(?:or|and|oder|und|ou)\s+)?|\s+(?:or|oder|ou)\s+")
_WORD = re.compile(r"[^\s:]{1,40}")
_PLAIN = re.compile(r"[^\W\d][\w-]*|-?\d+")


def slip_of(value: str, name: str) -> str | None:
    """Return a sentence about a property's text that is probably not a description; None if it may be one."""
    text = value.strip()
    if not text or len(text) > MAX_CHARACTERS:
        return None
    instead = _type_instead(text)
    if instead is not None:
        return f"{_shown(text)} is not a type, and would describe a text; write `{_key(name)}: {instead}`."
    values = _values_in(text)
    if values is None:
        return None
    described = json.dumps(f"In the form {text}", ensure_ascii=False)
    return (
        f"{_shown(text)} would describe a text; write `{_key(name)}: {_list(values)}` to allow these values alone, or "
        f"`{_key(name)}: {described}` if it is a description."
    )


def slip_in_list(values: Sequence[Any], name: str) -> str | None:
    """Return the same for a list whose only value is a type, or several values in one text."""
    if len(values) != 1 or not isinstance(values[0], str) or len(values[0]) > MAX_CHARACTERS:
        return None
    text = values[0].strip()
    kind = _type_of(text)
    if kind is not None:
        return f"this allows the one value {_shown(text)}; write `{_key(name)}: {{list: {kind}}}` for a list of them."
    found = _values_in(text)
    return None if found is None else f"this is one value; write `{_key(name)}: {_list(found)}`."


def slip_in_type(value: Any) -> str | None:
    """Return a sentence about a `type` in JSON Schema that is a word for a type; None for any other text."""
    if not isinstance(value, str):
        return None
    plain = value.strip().casefold()
    kind = "array" if plain in _LISTS else "object" if plain in _OBJECTS else _type_of(value)
    kind = "null" if plain in _NOTHING - {"optional"} else kind
    return None if kind is None else f"{_shown(value)} is not a type; write `type: {kind}`."


def _type_of(text: str) -> str | None:
    return _TYPES.get(re.sub(r"[\s_-]+", "", text).casefold().rstrip("?"))


def _type_instead(text: str) -> str | None:
    """Return the notation for a text that names a type in other words, or describes one; None for any other."""
    if text in _TYPES.values():
        return None  # these are the types themselves
    kind = _type_of(text)
    if kind is not None:
        return kind
    plain = text.casefold()
    if plain in _LISTS:
        return "{list: string}"
    if plain in _OBJECTS:
        return "{name: string}"
    if plain == "enum":
        return "[positive, negative]"
    found = _LIST_OF.fullmatch(text)
    if found is not None and (kind := _type_of(found[1] or found[2])) is not None:
        return f"{{list: {kind}}}"
    return _range_instead(text) or _union_instead(text)


def _range_instead(text: str) -> str | None:
    """Return the notation for `1-5` and `integer from 1 to 5`; `number 0-1` has more values than can be listed."""
    found = _RANGE.fullmatch(text)
    kind = "integer" if found is None or found[1] is None else _type_of(found[1])
    if found is None or kind not in ("integer", "number"):
        return None
    first, last = int(found[2]), int(found[3])
    if first >= last:
        return None
    is_short = kind == "integer" and last - first < MAX_SPELLED_OUT
    return _list([str(number) for number in range(first, last + 1)]) if is_short else kind


def _union_instead(text: str) -> str | None:
    """Return the notation for several types at once: `string | null`, `int/float` and `true/false`."""
    parts = [part.casefold() for part in _SEPARATOR.split(text.strip("()[]{}")) if part]
    if len(parts) < 2:
        return None
    if set(parts) == {"true", "false"}:
        return "boolean"
    kinds = list(dict.fromkeys(_type_of(part) for part in parts if part not in _NOTHING))
    if not kinds or None in kinds:
        return None
    return "number" if set(kinds) == {"integer", "number"} else kinds[0] if len(kinds) == 1 else "string"


def _values_in(text: str) -> list[str] | None:
    """Return the values of `a, b`, `a/b/c` and `a | b`: at least two single words; None for any other text."""
    bare = text[1:-1] if text[:1] + text[-1:] in ("[]", "()", "{}") else text
    values = [value.strip("\"'") for value in _SEPARATOR.split(bare.strip())]
    if len(values) < 2 or not all(_WORD.fullmatch(value) for value in values):
        return None
    return list(dict.fromkeys(values)) if len(set(values)) > 1 else None


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(_scalar, values))}]"


def _scalar(value: str) -> str:
    is_plain = _PLAIN.fullmatch(value) and value.casefold() not in ("true", "false", "null")
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return _scalar(name)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line if len(line) <= 60 else line[:59] + '…'}”"
