"""Part of the fast path for raw drops: the template of a line, which reads other lines that were written alike.

The template is the line's bytes, with a gap for the `custom_id` and for whatever another line has different. A line
that fills the gaps, with a text for a text and a number for a number, is as valid as the first: its names, their order
and its nesting are the same bytes. What decides where a request goes, and what it takes, is no gap.

`fast_raw_requests` says what it saves: reading takes 7.4 times as long without it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from enum import Enum
from itertools import repeat
from typing import Any

import msgspec

from dropbatch.batch_api.estimates import ESTIMATED_MEMBERS, LISTABLE_MEMBERS, RequestEstimate, estimate_request
from dropbatch.batch_api.fast_requests import RequestChunk
from dropbatch.batch_api.questions import text_groups
from dropbatch.batch_api.token_estimates import TokenEstimate, estimate_tokens
from dropbatch.formats.jsonl import reader as jsonl
from dropbatch.formats.jsonl.fast_line_parts import (
    TEXT,
    Place,
    count_leading,
    decode_values,
    each_of,
    find_part,
    first_blank,
    move,
    slices,
)
from dropbatch.formats.records import Chunk, Record

MAX_GAPS = 32
"""With more gaps than that a line is read hardly faster than alone."""

MAX_BODY_PLACES = 8
"""The places of a line where its body may begin that are tried: the same bytes may occur elsewhere."""

MAX_BYTES = 131_072
"""A longer line makes no template: it would be kept in memory, and is read alone anyway."""

_VALUE = re.compile(rb'"%b"[ \t\r\n]*:|"(%b)"|(-?[0-9][-+.0-9eE]*)' % (TEXT, TEXT))
"""In a valid line: a name, a text (group 1) or a number (group 2)."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class NoTemplateError(Exception):
    """No template can be made of a line."""


class RawChunk(Chunk):
    """Rows that are requests of one template, each in a line of its own; they have no problems."""

    __slots__ = ("_places", "_template", "ids")

    def __init__(
        self, number: int, line: int, raws: list[bytes], template: "LineTemplate", ids: list[str], places: list[Place]
    ) -> None:
        super().__init__(number, range(line, line + len(raws)), raws)
        self.ids = ids
        self._template = template
        self._places = places

    def records(self) -> list[Record]:
        rows = enumerate(zip(self.lines, self.raws, strict=True), self.number)
        return [Record(number, line, raw, *jsonl.parse_object(raw, line)) for number, (line, raw) in rows]

    def requests(self) -> RequestChunk:
        """Return the requests of the rows."""
        return self._template.requests(self.number, self.raws, self._places)


class LineTemplate:
    """The common bytes of lines that a program wrote in the same way, with gaps for the rest."""

    def __init__(self, raw: bytes, values: Mapping[str, Any], body: bytes) -> None:
        """Make the template of a valid line, with its values and its body as written.

        Raise NoTemplateError if none can be made.
        """
        if len(raw) > MAX_BYTES:
            raise NoTemplateError
        self.endpoint: str = values["url"]
        self.model: str = values["body"].get("model", "")
        self._estimate: RequestEstimate = estimate_request(self.endpoint, self.model, body)
        expected = estimate_tokens(self.endpoint, self.model, body)
        self._expected: TokenEstimate | None = None if expected.has_media else expected
        self._around, self._values = _split_values(raw)
        self._roles = list(_roles(values))
        if len(self._roles) != len(self._values):
            raise NoTemplateError
        self._asked = _asked(values)
        self._gaps = {self._roles.index(_Role.ID)}
        start = _place_of(body, raw)
        self._body = start, start + len(body)
        self._join_parts()

    def _join_parts(self) -> None:
        """Join what is the same in all lines: `_parts` are around the gaps."""
        same, ends, at = [self._around[0]], [], len(self._around[0])
        for place, (value, around) in enumerate(zip(self._values, self._around[1:], strict=True)):
            at += len(value)
            if place in self._gaps:
                ends.append(at)
                same.append(around)
            else:
                same[-1] += value + around
            at += len(around)
        self._parts = same
        self._in_quotes = [part.endswith(b'"') for part in same[:-1]]
        gaps = sorted(self._gaps)
        self._id = gaps.index(self._roles.index(_Role.ID))
        # Texts of which one must say something, if the lines differ in all of them.
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
        """Return this template with a gap wherever another one differs; None if the two are of different kinds."""
        if self._around != other._around:
            return None
        differ = {place for place, value in enumerate(self._values) if value != other._values[place]}
        gaps = self._gaps | differ
        if any(self._roles[place] is _Role.FIXED for place in differ) or len(gaps) > MAX_GAPS:
            return None
        wider = copy(self)  # chunks that were read by this one refer to it
        wider._gaps = gaps
        wider._join_parts()
        return wider

    def read(self, number: int, line: int, raws: list[bytes]) -> RawChunk | None:
        """Return the lines up to the first that does not fit; None if that is the first.

        `number` is the first row's, and `line` the number of its line.
        """
        while raws:
            found = self._read(number, line, raws)
            if isinstance(found, RawChunk):
                return found
            raws = raws[:found]
        return None

    def _read(self, number: int, line: int, raws: list[bytes]) -> RawChunk | int:
        """Return all lines; or, if one does not fit, how many of the first ones may fit."""
        first, *between, last = self._parts
        fit = count_leading(bytes.startswith, raws, repeat(first))
        if fit < len(raws):
            return fit
        start: Place = len(first)
        places: list[Place] = []
        columns: list[list[bytes]] = []
        for part, quoted in zip(between, self._in_quotes, strict=False):
            end, fit = find_part(start, part, raws, quoted=quoted)
            if fit < len(raws):
                return fit
            columns.append(slices(raws, start, end))
            places.append(end)
            start = move(end, len(part))
        fit = count_leading(bytes.endswith, raws, repeat(last), each_of(start))
        if fit < len(raws):
            return fit
        columns.append(slices(raws, start, -len(last)))
        texts: list[list[str]] = []
        for written, quoted in zip(columns, self._in_quotes, strict=True):
            found = decode_values(written, quoted)
            if found is None:
                return len(raws) // 2
            texts.append(found)
        ids = texts[self._id]
        if not ids or "" in ids:
            return len(raws) // 2
        for group in self._questions:
            blank = first_blank([texts[place] for place in group])
            if blank is not None:
                return blank
        return RawChunk(number, line, raws, self, ids, places)

    def requests(self, number: int, raws: Sequence[bytes], places: Sequence[Place]) -> RequestChunk:
        """Return the requests of such lines; `places` are where their parts but the first and the last begin."""
        last = -len(self._parts[-1])
        start, end = (move((0, *places, last)[part], behind) for part, behind in (self._begins, self._ends))
        bodies = slices(raws, start, end)
        count, columns = len(bodies), [bodies]
        return RequestChunk(self.endpoint, self.model, self._estimate, number, count, b"%b", columns, self._expected)


class _Role(Enum):
    """The role of a text or a number of a line: what it may be in another line of the same template."""

    ID = "id"
    FIXED = "the same"
    FREE = "another"


_DECIDING = ESTIMATED_MEMBERS - LISTABLE_MEMBERS | {"model", "stream", "reasoning", "reasoning_effort"}
"""The members of a body whose texts or numbers decide where it goes, or what it takes."""


def _roles(values: Mapping[str, Any]) -> Iterator[_Role]:
    """Yield the roles of a line's texts and numbers, in order."""
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
    """Yield the paths to a value's texts and numbers, in order."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _paths(item, (*at, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _paths(item, (*at, place))
    elif _leaves(value):
        yield at


def _leaves(value: Any) -> int:
    """Return how many texts and numbers a value consists of, names aside."""
    if isinstance(value, Mapping):
        return sum(map(_leaves, value.values()))
    if isinstance(value, list):
        return sum(map(_leaves, value))
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _split_values(raw: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return what is around a line's texts and numbers, and these; of the former there is one more."""
    around, values, at = [], [], 0
    for found in _VALUE.finditer(raw):
        if found.lastindex is not None:
            start, end = found.span(found.lastindex)
            around.append(raw[at:start])
            values.append(raw[start:end])
            at = end
    return [*around, raw[at:]], values


def _place_of(body: bytes, raw: bytes) -> int:
    """Return where in its line a body begins: where another value in its place would be the body's."""
    start = raw.find(body)
    for _ in range(MAX_BODY_PLACES):
        if _members(raw[:start] + b"0" + raw[start + len(body) :]).get("body") == msgspec.Raw(b"0"):
            return start
        start = raw.find(body, start + 1)
        if start < 0:
            break
    raise NoTemplateError
