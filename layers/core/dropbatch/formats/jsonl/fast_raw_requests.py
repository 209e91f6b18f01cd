"""Reads lines of requests that were made alike, many at once.

A program writes a batch file's lines all in the same way, so that they are the same, byte for byte, but for a few texts
and numbers. A line that was checked with all strictness gives a shape: its bytes, with a gap for the `custom_id` and
for whatever was another in a later line. A line that fills the gaps, with a text where a text was and a number where a
number was, is as sound as the first: its names, their order and its nesting are the very same bytes. What decides where
a request goes, and what it takes, is no gap.

Whatever is not so plain is refused here, and read line by line with `jsonl.parsed` and `raw.raw_request`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from enum import Enum
from itertools import repeat
from typing import Any

import jiter
import msgspec

from dropbatch.batch_api.fast_requests import RequestChunk
from dropbatch.batch_api.questions import text_groups
from dropbatch.batch_api.request import FORMS, RELEVANT, RequestEstimate, expectation
from dropbatch.domain.errors import RowRejectedError
from dropbatch.formats.jsonl import reader as jsonl
from dropbatch.formats.jsonl.raw_request import raw_request
from dropbatch.formats.records import Chunk, Record, Records

MAX_SHAPES = 16
"""So many shapes a reader knows at once, those that fitted last."""

MAX_LESSONS = 64
"""From so many lines a reader learns, be it a shape or a gap more: that takes as long as fifty lines do otherwise."""

WORTHWHILE = 8
"""Reading fewer lines than that at once takes longer than one by one."""

MAX_MISSES = 24
"""After so many reads in a row that were not worth it, the lines at hand are read one by one."""

TRIED_AGAIN = 4
"""So often is it tried again after that."""

MIN_REACH = 32
"""So many lines at least are tried, where only few were alike before."""

MAX_GAPS = 32
"""With more gaps than that a line is not much faster read than by itself."""

MAX_TRIES = 8
"""So many places are tried where a line's body may begin: it may stand elsewhere as well."""

MAX_BYTES = 131_072
"""A longer line gives no shape: it would be held, and is read by itself anyway."""

_TEXT = rb'[^"\\]*(?:\\.[^"\\]*)*'
_VALUE = re.compile(rb'"%b"[ \t\r\n]*:|"(%b)"|(-?[0-9][-+.0-9eE]*)' % (_TEXT, _TEXT))
"""In a line that is sound: a name, a text (group 1) or a number (group 2)."""

_to_its_end = re.compile(_TEXT).match

_decode_numbers = msgspec.json.Decoder(list[int | float]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


Place = int | Sequence[int]
"""A place in lines: the same in all of them, from their end where it is negative, or one for each."""


class RawChunk(Chunk):
    """Rows that are requests of one shape, each in a line of its own; nothing is wrong with them."""

    __slots__ = ("_places", "_shape", "ids")

    def __init__(
        self, number: int, line: int, raws: list[bytes], shape: "LineTemplate", ids: list[str], places: list[Place]
    ) -> None:
        super().__init__(number, range(line, line + len(raws)), raws)
        self.ids = ids
        self._shape = shape
        self._places = places

    def records(self) -> list[Record]:
        rows = zip(self.lines, self.raws, strict=True)
        return [
            Record(number, line, raw, *jsonl.parsed(raw, line)) for number, (line, raw) in enumerate(rows, self.number)
        ]

    def requests(self) -> RequestChunk:
        return self._shape.requests(self.number, self.raws, self._places)


class LineTemplate:
    """What lines have in common that were made alike. Reads a million of a kilobyte in 0.6 s (measured)."""

    def __init__(self, raw: bytes, values: Mapping[str, Any], body: bytes) -> None:
        """The shape of a line that was found good, with its values and its body as written; NoShapeError if none."""
        if len(raw) > MAX_BYTES:
            raise NoShapeError
        self.misses = 0
        self.endpoint: str = values["url"]
        self.model: str = values["body"].get("model", "")
        self._expectation: RequestEstimate = expectation(self.endpoint, self.model, body)
        self._around, self._values = _taken_apart(raw)
        self._roles = list(_roles(values))
        if len(self._roles) != len(self._values):
            raise NoShapeError
        self._asked = _asked(values)
        self._gaps = {self._roles.index(_Role.ID)}
        start = _place_of(body, raw)
        self._body = start, start + len(body)
        self._arrange()

    def _arrange(self) -> None:
        """Puts together what is the same in all lines: `_same` lies around the gaps."""
        same, ends, at = [self._around[0]], [], len(self._around[0])
        for place, (value, around) in enumerate(zip(self._values, self._around[1:], strict=True)):
            at += len(value)
            if place in self._gaps:
                ends.append(at)
                same.append(around)
            else:
                same[-1] += value + around
            at += len(around)
        self._same = same
        self._in_quotes = [part.endswith(b'"') for part in same[:-1]]
        gaps = sorted(self._gaps)
        self._id = gaps.index(self._roles.index(_Role.ID))
        # Texts of which one has to say something, as far as the lines differ in all of them.
        self._questions = [
            [gaps.index(place) for place in reversed(group) if place in self._gaps]
            for group in self._asked
            if all(place in self._gaps or is_blank for place, is_blank in group.items())
        ]
        # Where the body begins and ends: in which of the parts, and how far behind the gap before it.
        begins, ends_at = (sum(end <= place for end in ends) for place in (self._body[0], self._body[1] - 1))
        behind = [0, *ends]
        self._begins = begins, self._body[0] - behind[begins]
        self._ends = ends_at, self._body[1] - behind[ends_at]

    def with_gaps_for(self, other: "LineTemplate") -> "LineTemplate | None":
        """This shape with a gap more wherever another line's differs; None where the two are of different kinds."""
        if self._around != other._around:
            return None
        differ = {place for place, value in enumerate(self._values) if value != other._values[place]}
        gaps = self._gaps | differ
        if any(self._roles[place] is _Role.FIXED for place in differ) or len(gaps) > MAX_GAPS:
            return None
        wider = copy(self)  # lines that were read by this one go by it
        wider._gaps = gaps
        wider._arrange()
        return wider

    def read(self, number: int, line: int, raws: list[bytes]) -> RawChunk | None:
        """Lines, the first of this number, up to the first that has not this shape; None where that is the first."""
        while raws:
            found = self._read(number, line, raws)
            if isinstance(found, RawChunk):
                return found
            raws = raws[:found]
        return None

    def _read(self, number: int, line: int, raws: list[bytes]) -> RawChunk | int:
        """All of the lines; or, where one has not this shape, how many of the first may have it."""
        first, *between, last = self._same
        fit = _leading(bytes.startswith, raws, repeat(first))
        if fit < len(raws):
            return fit
        start: Place = len(first)
        places: list[Place] = []
        columns: list[list[bytes]] = []
        for part, quoted in zip(between, self._in_quotes, strict=False):
            end, fit = _place_behind(start, part, raws, quoted=quoted)
            if fit < len(raws):
                return fit
            columns.append(_slices(raws, start, end))
            places.append(end)
            start = _moved(end, len(part))
        fit = _leading(bytes.endswith, raws, repeat(last), _each(start))
        if fit < len(raws):
            return fit
        columns.append(_slices(raws, start, -len(last)))
        texts: list[list[str]] = []
        for written, quoted in zip(columns, self._in_quotes, strict=True):
            found = _sound(written, quoted)
            if found is None:
                return len(raws) // 2
            texts.append(found)
        ids = texts[self._id]
        if not ids or "" in ids:
            return len(raws) // 2
        for group in self._questions:
            blank = _first_blank([texts[place] for place in group])
            if blank is not None:
                return blank
        return RawChunk(number, line, raws, self, ids, places)

    def requests(self, number: int, raws: Sequence[bytes], places: Sequence[Place]) -> RequestChunk:
        """The requests of such lines; `places` tells where their parts but the first and the last begin."""
        last = -len(self._same[-1])
        start, end = (_moved((0, *places, last)[part], behind) for part, behind in (self._begins, self._ends))
        bodies = _slices(raws, start, end)
        return RequestChunk(self.endpoint, self.model, self._expectation, number, len(bodies), b"%b", [bodies])


class NoShapeError(Exception):
    """A line is one that a shape cannot be made of."""


class LineTemplates:
    """The shapes that a file's lines had so far, the one that fitted last at first."""

    def __init__(self) -> None:
        self._shapes: list[LineTemplate] = []
        self._lessons = MAX_LESSONS
        self._in_vain = 0

    def chunks(self, raws: list[bytes], number: int, line: int) -> Iterator[Chunk]:
        """The rows of these lines, in as few chunks as their shapes allow."""
        at, reach = 0, len(raws)
        while at < len(raws) and self._in_vain < MAX_MISSES:
            ahead = raws[at : at + reach]
            found: Chunk | None = self._read(ahead, number, line + at)
            if found is None:
                ahead = raws[at : at + 1]
                found = _read_strictly(ahead, number, line + at)
                if found is not None:
                    self._learn(found.records()[0])
            taken = len(found.raws) if found is not None else 1
            if found is not None:
                yield found
                number += taken
            at += taken
            reach = max(4 * taken, MIN_REACH)
            self._in_vain = 0 if taken >= WORTHWHILE or (at == len(raws) and taken > 1) else self._in_vain + 1
        rest = _read_strictly(raws[at:], number, line + at)
        if rest is not None:
            self._in_vain -= TRIED_AGAIN
            yield rest

    def _read(self, raws: list[bytes], number: int, line: int) -> RawChunk | None:
        for place, shape in enumerate(self._shapes):
            found = shape.read(number, line, raws)
            if found is not None:
                self._shapes.insert(0, self._shapes.pop(place))
                return found
        return None

    def _learn(self, record: Record) -> None:
        if not self._lessons:
            return
        self._lessons -= 1
        try:
            shape = LineTemplate(record.raw, record.values or {}, raw_request(record).request.body)
        except (RowRejectedError, NoShapeError, *_REFUSED):
            return
        for known in self._shapes:
            wider = known.with_gaps_for(shape)
            if wider is not None:
                self._shapes.remove(known)
                self._shapes.insert(0, wider)
                return
        self._shapes = [shape, *self._shapes[: MAX_SHAPES - 1]]


def _read_strictly(raws: Sequence[bytes], number: int, line: int) -> Records | None:
    """The rows of lines, one by one; None where all are blank."""
    records: list[Record] = []
    for at, raw in enumerate(raws, line):
        if not raw.isspace():
            records.append(Record(number + len(records), at, raw, *jsonl.parsed(raw, at)))
    return Records(records) if records else None


def _first_blank(columns: Sequence[Sequence[str]]) -> int | None:
    """Return the first row whose texts say nothing, of the columns given; None if there is none."""
    for column in columns:
        if "" not in column and not any(map(str.isspace, column)):
            return None
    rows = zip(*columns, strict=True)
    return next((place for place, row in enumerate(rows) if not any(map(str.strip, row))), None)


class _Role(Enum):
    """What a text or a number of a line may be in another line of the same shape."""

    ID = "id"
    FIXED = "the same"
    FREE = "another"


_DECIDING = RELEVANT - FORMS | {"model", "stream"}
"""The members of a body that decide where it goes, or what it takes, by their texts or numbers."""


def _roles(values: Mapping[str, Any]) -> Iterator[_Role]:
    """Those of a line's texts and numbers, in order."""
    for name, value in values.items():
        if name == "custom_id":
            yield _Role.ID
        elif name == "body":
            for key, inner in value.items():
                yield from repeat(_Role.FIXED if key in _DECIDING else _Role.FREE, _leaves(inner))
        else:
            yield from repeat(_Role.FIXED if name in ("method", "url") else _Role.FREE, _leaves(value))


def _asked(values: Mapping[str, Any]) -> list[dict[int, bool]]:
    """Return groups of texts of which one must say something: their places, and whether they are blank in this line."""
    places = {path: place for place, path in enumerate(_paths(values, ()))}
    groups = text_groups(values["url"], values["body"])
    return [{places[("body", *path)]: not text.strip() for path, text in group} for group in groups]


def _paths(value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Yield where a value's texts and numbers stand, in order."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _paths(item, (*at, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _paths(item, (*at, place))
    elif _leaves(value):
        yield at


def _leaves(value: Any) -> int:
    """How many texts and numbers a value consists of, names aside."""
    if isinstance(value, Mapping):
        return sum(map(_leaves, value.values()))
    if isinstance(value, list):
        return sum(map(_leaves, value))
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _taken_apart(raw: bytes) -> tuple[list[bytes], list[bytes]]:
    """What lies around a line's texts and numbers, and these; of the former there is one more."""
    around, values, at = [], [], 0
    for found in _VALUE.finditer(raw):
        if found.lastindex is not None:
            start, end = found.span(found.lastindex)
            around.append(raw[at:start])
            values.append(raw[start:end])
            at = end
    return [*around, raw[at:]], values


def _place_of(body: bytes, raw: bytes) -> int:
    """Where in its line a body begins: where another value would be the body's, if it stood there."""
    start = raw.find(body)
    for _ in range(MAX_TRIES):
        if _members(raw[:start] + b"0" + raw[start + len(body) :]).get("body") == msgspec.Raw(b"0"):
            return start
        start = raw.find(body, start + 1)
        if start < 0:
            break
    raise NoShapeError


def _each(place: Place) -> Iterable[int]:
    return repeat(place) if isinstance(place, int) else place


def _moved(place: Place, by: int) -> Place:
    return place + by if isinstance(place, int) else [each + by for each in place]


def _slices(raws: Sequence[bytes], start: Place, end: Place) -> list[bytes]:
    if isinstance(start, int) and isinstance(end, int):
        return [raw[start:end] for raw in raws]
    return [raw[begin:stop] for raw, begin, stop in zip(raws, _each(start), _each(end), strict=False)]


def _leading(check: Callable[..., bool], raws: Sequence[bytes], *more: Iterable[Any]) -> int:
    """How many lines pass a check, up to the first that does not."""
    if all(map(check, raws, *more)):
        return len(raws)
    return next(place for place, passes in enumerate(map(check, raws, *more)) if not passes)


def _place_behind(start: Place, part: bytes, raws: Sequence[bytes], *, quoted: bool) -> tuple[Place, int]:
    """Where a part begins behind gaps that begin at `start`; and in how many lines, up to the first where not."""
    mark = part[:1]
    if isinstance(start, int):
        guess = raws[0].find(mark, start)
        if all(map(bytes.startswith, raws, repeat(part), repeat(guess))):  # ids are often equally long
            return guess, len(raws)
    found = list(map(bytes.find, raws, repeat(mark), _each(start)))
    fit = _leading(bytes.startswith, raws, repeat(part), found)
    if quoted and fit < len(raws):
        begins = start if isinstance(start, int) else start[fit]
        if found[fit] != _end_of_text(raws[fit], begins):  # but that of a quote that is escaped
            found = list(map(_end_of_text, raws, _each(start)))
            fit = _leading(bytes.startswith, raws, repeat(part), found)
    return found, fit


def _end_of_text(raw: bytes, start: int) -> int:
    """Where the quote stands that ends a text, after those that are escaped."""
    found = _to_its_end(raw, start)
    assert found is not None  # noqa: S101  # it matches nothing, too; tells the type checker
    return found.end()


def _texts(written: Sequence[bytes]) -> list[str] | None:
    """The texts that are written so within quotes, many at once; None where that is not what they are.

    jiter takes the very strings that msgspec takes, and half as long (60 ns for 500 bytes).
    """
    try:
        # A text that swallowed the quote behind it would have a line feed in it, which no text may have.
        found: list[str] = jiter.from_json(b'["%b"]' % b'"\n,"'.join(written), cache_mode=False)
    except ValueError:
        return None
    return found if len(found) == len(written) else None  # each is one at least


def _sound(written: Sequence[bytes], quoted: bool) -> list[str] | None:
    """Return the texts that are written so within quotes, nothing for numbers; None if they are neither."""
    if quoted:
        return _texts(written)
    try:
        return [] if len(_decode_numbers(b"[%b]" % b",".join(written))) == len(written) else None  # as above
    except _REFUSED:
        return None
