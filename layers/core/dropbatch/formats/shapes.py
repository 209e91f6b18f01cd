"""Reads lines of requests that were made alike, many at once.

A program writes a batch file's lines all in the same way: they differ in their texts and numbers, and hardly in their
names. So a line that was checked with all strictness gives a shape: its names, and what kind of value each bears. Lines
that are decoded by it have these names and no others, and what decides where a request goes and what it takes has the
same value in all. All that the decoder does not see is a name that stands twice; it would bring quotes with it, and
there are just as many as the names and texts of the shape take.

Whatever is not so plain is refused here, and read line by line with `jsonl.parsed` and `raw.raw_request`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from dropbatch.domain.errors import RowRejected
from dropbatch.formats import jsonl
from dropbatch.formats.raw import raw_request
from dropbatch.formats.records import Chunk, Record, Records
from dropbatch.requests import RELEVANT, Expectation, Requests, expectation

MOST_SHAPES = 16
"""So many shapes are learned by one reader: learning one takes as long as a hundred lines do otherwise."""

MOST_MISSES = 200
"""After so many misses in a row a shape is tried no more."""

MOST_ITEMS = 64
"""A list of more items gives no shape."""

_ESCAPES = re.compile(rb'\\["\\]')
"""An escaped quote, or backslash, of which the next letter is no escape."""


class _Line(msgspec.Struct, gc=False):
    """What is read of a line that was found good, to pass its body on as it was written."""

    body: msgspec.Raw


_bodies = msgspec.json.Decoder(_Line).decode_lines


class ReadyLines(Chunk):
    """Rows that are requests of one shape, each in a line of its own; nothing is wrong with them."""

    __slots__ = ("_shape", "ids")

    def __init__(self, number: int, line: int, raws: list[bytes], shape: "Shape", ids: list[str]) -> None:
        super().__init__(number, line, raws)
        self.ids = ids
        self._shape = shape

    def records(self) -> list[Record]:
        return [
            Record(self.number + place, self.line + place, raw, *jsonl.parsed(raw, self.line + place))
            for place, raw in enumerate(self.raws)
        ]

    def requests(self) -> Requests:
        return self._shape.requests(self)


class Shape:
    """What lines have in common that were made alike. Reads a million of a kilobyte in 1.2 s (measured)."""

    def __init__(self, raw: bytes, values: Mapping[str, Any], body: bytes) -> None:
        """The shape of a line that was found good, with its values and its body as written; NoShapeError if none."""
        try:
            self._decode = msgspec.json.Decoder(_struct(values, _LINE)).decode_lines
        except (ValueError, TypeError, RecursionError):
            raise NoShapeError from None  # a name that msgspec does not take, or too many levels
        self.misses = 0
        self.endpoint: str = values["url"]
        self.model: str = values["body"].get("model", "")
        self._expectation: Expectation = expectation(self.endpoint, self.model, body)
        self._quotes = _quotes(raw)

    def read(self, raws: Sequence[bytes]) -> list[str] | None:
        """The custom_ids of lines, if all of them have this shape; else None."""
        data = b"".join(raws)
        try:
            found = self._decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        # Each line has at least its own quotes; together they have no more, and so none has.
        if len(found) != len(raws) or _quotes(data) != len(found) * self._quotes:
            return None
        return [line.custom_id for line in found]  # type: ignore[attr-defined]  # a field of every shape

    def requests(self, lines: ReadyLines) -> Requests:
        bodies = [bytes(line.body) for line in _bodies(b"".join(lines.raws))]
        return Requests(self.endpoint, self.model, self._expectation, lines.number, len(bodies), b"%b", [bodies])


def _quotes(data: bytes) -> int:
    """How many quotes begin or end a name or a text."""
    escaped = _ESCAPES.findall(data).count(b'\\"') if b"\\" in data else 0
    return data.count(b'"') - escaped


class NoShapeError(Exception):
    """A line holds what a shape cannot tell of."""


class Shapes:
    """The shapes that a file's lines had so far, the one that fitted last at first."""

    def __init__(self) -> None:
        self._shapes: list[Shape] = []
        self._to_learn = MOST_SHAPES

    def chunks(self, raws: list[bytes], number: int, line: int) -> Iterator[Chunk]:
        """The rows of these lines, in as few chunks as their shapes allow."""
        found = self._read(raws)
        if found is not None:
            yield ReadyLines(number, line, raws, *found)
        elif len(raws) > 1 and (self._shapes or self._to_learn):
            half = len(raws) // 2
            for chunk in self.chunks(raws[:half], number, line):
                yield chunk
                number += len(chunk.raws)
            yield from self.chunks(raws[half:], number, line + half)
        else:
            records: list[Record] = []
            for at, raw in enumerate(raws, line):
                if not raw.isspace():
                    records.append(Record(number + len(records), at, raw, *jsonl.parsed(raw, at)))
            if records:
                self._learn(records[-1])
                yield Records(records)

    def _read(self, raws: list[bytes]) -> tuple[Shape, list[str]] | None:
        for shape in list(self._shapes):
            ids = shape.read(raws)
            if ids is not None:
                shape.misses = 0
                self._shapes.remove(shape)
                self._shapes.insert(0, shape)
                return shape, ids
            shape.misses += 1
            if shape.misses > MOST_MISSES:
                self._shapes.remove(shape)
        return None

    def _learn(self, record: Record) -> None:
        if not self._to_learn:
            return
        self._to_learn -= 1
        try:
            self._shapes.insert(0, Shape(record.raw, record.values or {}, raw_request(record).request.body))
        except (RowRejected, NoShapeError):
            return


_LINE, _BODY, _INNER = range(3)


def _struct(values: Mapping[str, Any], place: int) -> type[msgspec.Struct]:
    fields, names = [], {}
    for number, (name, value) in enumerate(values.items()):
        field = name if place == _LINE and name == "custom_id" else f"member_{number}"
        names[field] = name
        fields.append((field, _type(name, value, place)))
    return msgspec.defstruct("Line", fields, rename=names, forbid_unknown_fields=True, gc=False)


def _type(name: str, value: Any, place: int) -> Any:
    if place == _LINE and name == "custom_id":
        return Annotated[str, msgspec.Meta(min_length=1)]
    if place == _LINE and name in ("method", "url"):
        return Literal[value]
    if place == _BODY and name == "stream":
        raise NoShapeError  # its value counts, and a type cannot hold it to one
    if place == _BODY and (name == "model" or (name in RELEVANT and name != "input")):
        if type(value) not in (str, int):
            raise NoShapeError
        return Literal[value]
    if isinstance(value, Mapping):
        return _struct(value, _BODY if place == _LINE and name == "body" else _INNER)
    if isinstance(value, list):
        if len(value) > MOST_ITEMS:
            raise NoShapeError
        return tuple[tuple(_type("", item, _INNER) for item in value)] if value else tuple[()]  # type: ignore[misc]
    return int | float if type(value) in (int, float) else type(value)
