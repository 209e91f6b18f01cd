"""The length of JSON that fits a schema, as models write it: for the estimate of an answer before it is known.

Where the schema or a description says how long a text is ("at most five words", "one sentence", `maxLength`), that
counts. Other texts count as a short phrase, which is what models write into most columns.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MAX_DEPTH = 6
"""Below it, a recursive schema counts as null."""

WORD_BYTES = 6
SENTENCE_WORDS = 16
"""The length of English words, with their spaces, and of sentences."""


class Size(NamedTuple):
    """A number of bytes: a likely one, and bounds for the average of many answers."""

    low: float
    likely: float
    high: float

    def plus(self, *others: "Size") -> "Size":
        return Size(*map(sum, zip(self, *others, strict=True)))

    def times(self, counts: "Size") -> "Size":
        return Size(self.low * counts.low, self.likely * counts.likely, self.high * counts.high)


PHRASE = Size(8, 36, 240)
"""A text of which nothing says how long it is: a word to a few sentences, six words most likely."""

ITEMS = Size(1, 2, 6)
"""The items of a list of which nothing says how many there are."""

_FORMATS = {"date": 10, "time": 9, "date-time": 20, "duration": 5, "uuid": 36, "email": 22, "ipv4": 13, "uri": 40}
_NULL, _TRUTH, _NUMBER = Size(4, 4, 4), Size(4, 4.5, 5), Size(1, 3, 12)

_NUMBERS = "a an one two three four five six seven eight nine ten eleven twelve"
_VALUES = {word: max(1, place - 1) for place, word in enumerate(_NUMBERS.split())}
_WORDS = "|".join(_VALUES)
_COUNT = rf"(\d{{1,4}}|{_WORDS})(?:(?:\s+(?:or|to)\s+|\s*[-\u2013]\s*)(\d{{1,4}}|{_WORDS}))?"
_LENGTH = re.compile(
    rf"(at most|up to|no more than|maximum of|max\.?|under|less than)?\s*\b{_COUNT}[ -]+(?:short |long )?"
    r"(word|sentence|line|paragraph|character)s?(?![\w-])",
    re.IGNORECASE,
)
_UNITS = {"word": 1.0, "sentence": SENTENCE_WORDS, "line": SENTENCE_WORDS, "paragraph": 5 * SENTENCE_WORDS}


def schema_size(schema: Any) -> Size:
    """Return the bytes of JSON that fits a schema."""
    return _Sizes(schema).of(schema, 0)


def described_size(description: str) -> Size | None:
    """Return the bytes of a text that is as long as its description says; None if it does not say it."""
    found = _LENGTH.search(description)
    if found is None:
        return None
    limit, first, last, unit = found.groups()
    least, most = _value(first), _value(last or first)
    each = WORD_BYTES * _UNITS[unit.lower()] if unit.lower() in _UNITS else 1
    if limit:
        return Size(0.2 * most * each, 0.7 * most * each, 1.2 * most * each)
    return Size(0.5 * least * each, (least + most) / 2 * each, 1.8 * most * each)


def _value(written: str) -> int:
    return int(written) if written.isdecimal() else _VALUES[written.lower()]


class _Sizes:
    """The sizes of the parts of one schema, whose `$ref`s start at its root."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def of(self, schema: Any, depth: int) -> Size:
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return _NULL if depth > MAX_DEPTH else PHRASE
        if isinstance(reference := schema.get("$ref"), str):
            return self.of(self._resolved(reference), depth + 1)
        if "const" in schema:
            return _written([schema["const"]])
        if isinstance(values := schema.get("enum"), list) and values:
            return _written(values)
        for name in ("anyOf", "oneOf"):
            if isinstance(parts := schema.get(name), list) and parts:
                return self._either(parts, depth)
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            return self._either([{**schema, "type": one} for one in kind], depth)
        return self._of_type(kind, schema, depth)

    def _of_type(self, kind: Any, schema: Mapping[str, Any], depth: int) -> Size:
        if kind == "object" or isinstance(schema.get("properties"), Mapping):
            members = schema.get("properties")
            names = members if isinstance(members, Mapping) else {}
            each = [self.of(part, depth + 1).plus(_exactly(len(name.encode()) + 4)) for name, part in names.items()]
            return _exactly(2).plus(*each)
        if kind == "array" or "items" in schema:
            item = self.of(schema.get("items"), depth + 1).plus(_exactly(1))
            return item.times(_counts(schema)).plus(_exactly(2))
        if kind == "boolean":
            return _TRUTH
        if kind in ("integer", "number"):
            return _NUMBER
        return _NULL if kind == "null" else _text(schema)

    def _either(self, parts: Sequence[Any], depth: int) -> Size:
        """Return the size of one of several forms. Null is the exception among others."""
        sizes = [self.of(part, depth + 1) for part in parts]
        said = [size for size in sizes if size is not _NULL] or sizes
        likely = sum(size.likely for size in said) / len(said)
        return Size(min(size.low for size in sizes), likely, max(size.high for size in sizes))

    def _resolved(self, reference: str) -> Any:
        found = self._root
        for part in reference.lstrip("#").strip("/").split("/") if reference.strip("#/") else ():
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found


def _text(schema: Mapping[str, Any]) -> Size:
    """Return the size of a text with its quotes."""
    known, described = schema.get("format"), schema.get("description")
    size = PHRASE
    if isinstance(known, str) and known in _FORMATS:
        size = _exactly(_FORMATS[known])
    elif isinstance(described, str):
        size = described_size(described) or PHRASE
    least, most = _bound(schema, "minLength", 0), _bound(schema, "maxLength", None)
    size = Size(*(max(value, least) for value in size))
    if most is not None:
        size = Size(*(min(value, most) for value in size))
    return size.plus(_exactly(2))


def _counts(schema: Mapping[str, Any]) -> Size:
    least, most = _bound(schema, "minItems", None), _bound(schema, "maxItems", None)
    counts = ITEMS if least is None else Size(least, max(ITEMS.likely, least), max(ITEMS.high, 2 * least))
    return counts if most is None else Size(*(min(value, most) for value in counts))


def _bound(schema: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    value = schema.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


def _written(values: Sequence[Any]) -> Size:
    """Return the size of one of these values; a model uses some more often than others."""
    sizes = [len(value.encode()) + 2 if isinstance(value, str) else len(str(value)) for value in values]
    return Size(min(sizes), sum(sizes) / len(sizes), max(sizes))


def _exactly(size: float) -> Size:
    return Size(size, size, size)
