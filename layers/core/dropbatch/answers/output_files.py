"""The lines of a batch's output and error files, found by row, in any order, shape or number.

The two files are on disk, or in the work bucket if the disk is too small. The lines of a small file are held in memory,
because reading each from disk takes 1 µs. Of a larger file only the places of the lines are held: 17 bytes a row. Lines
are split on line feeds alone, because an answer may contain U+2028, U+2029 or U+0085.
"""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import msgspec

from dropbatch import fast_paths
from dropbatch.answers.fast_addresses import read_rows
from dropbatch.answers.raw_json import DECODE_ERRORS, repair_json
from dropbatch.formats.line_blocks import whole_lines

MAX_HELD_BYTES = 50_331_648
"""How many bytes of the files are held in memory: 50,000 answers of a kilobyte."""

BLOCK_BYTES = 1_048_576

MAX_LINES_BYTES = 33_554_432
"""How many bytes of lines are read at once: an image takes 2 MB, and memory holds each line about four times."""

MAX_OTHERS = 100_000
"""How many places of unmatched lines are kept: two for each row of the largest batch."""

UNKNOWN_ID, NO_ID, BLANK = 0, -1, -2
"""In place of a row, which is at least 1: a line with another id, a line without an id, a blank line."""

_MAX_ROW = 2**62
_ABSENT = -1

_ONLY_ID = re.compile(rb'"custom_id"\s{0,8}:\s{0,8}"(\d{1,18})"')
_START_BYTES = 1_024
"""How far into a broken line the id is searched: OpenAI writes it after its own id, some servers before the answer."""


class Source(Protocol):
    """The bytes of one of a batch's files, on disk or in the work bucket."""

    @property
    def size(self) -> int: ...

    def blocks(self) -> Iterator[bytes]: ...

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Return the bytes at these places (start, length), in their order."""
        ...

    def addresses(self) -> "Iterator[Addresses] | None":
        """Return the places and the rows of the lines, if an earlier invocation stored them."""
        ...

    def keep(self) -> None:
        """Store the file, so that another invocation need not fetch it from OpenAI."""
        ...

    def close(self) -> None: ...


class Addresses(NamedTuple):
    """The rows of some lines of a file (or a code from above), where the lines start, and how long they are."""

    rows: Sequence[int]
    starts: Sequence[int]
    lengths: Sequence[int]


class _WithId(msgspec.Struct, gc=False):
    """The member of a line that names its row."""

    custom_id: str


_decoder = msgspec.json.Decoder(_WithId)


class AnswerLines:
    """The lines of a batch's output and error file, found by row.

    `first_row` and `rows` bound the row numbers that can have been sent. If a row has several lines, the first line of
    the output file counts, then the first of the error file; `repeated` counts the others. `unmatched` counts the lines
    that name no row of the batch. `without_id` counts those of them that have no id at all.
    """

    def __init__(self, first_row: int, rows: int, held_bytes: int = MAX_HELD_BYTES) -> None:
        self._first_row = first_row
        self._room = held_bytes
        self._held: list[bytes | None] = [None] * rows
        self._offsets = array("q", [_ABSENT]) * rows
        self._lengths = array("q", [0]) * rows
        self._from = bytearray(rows)
        self._all_held = True
        self._sources: list[Source] = []
        self._others: list[tuple[int, int, int, int]] = []  # (source, start, length, row)
        self.found = 0
        self.repeated = 0
        self.unmatched = 0
        self.without_id = 0

    def read(self, source: Source) -> None:
        """Read a file, and close it in the end. Read the output file first."""
        self._sources.append(source)
        is_held = source.size <= self._room
        if is_held:
            self._room -= source.size
        else:
            self._all_held = False
        known = None if is_held else source.addresses()
        if known is not None:
            for addresses in known:
                self._add_places(addresses)
            return
        offset = 0
        for data in whole_lines(source.blocks()):
            lines, bare, rows = split_addressed(data)
            starts = accumulate(map(len, lines), lambda start, size: start + size + 1, initial=offset)
            if is_held:
                self._add_lines(bare, rows, starts)
            else:
                self._add_places(Addresses(rows, list(starts)[: len(rows)], list(map(len, bare))))
            offset += len(data)

    def _add_lines(self, lines: Sequence[bytes], rows: Sequence[int], starts: Iterable[int]) -> None:
        first, held, offsets = self._first_row, self._held, self._offsets
        count = len(held)
        others: list[int] = []
        for place, row in enumerate(rows):
            index = row - first
            if 0 <= index < count and held[index] is None and offsets[index] == _ABSENT:
                held[index] = lines[place]
            else:
                others.append(place)
        self.found += len(rows) - len(others)
        if others:
            known = list(starts)
            for place in others:
                self._count_other(rows[place], known[place], len(lines[place]))

    def _add_places(self, addresses: Addresses) -> None:
        first, held, offsets = self._first_row, self._held, self._offsets
        count, number = len(held), len(self._sources) - 1
        for row, start, length in zip(*addresses, strict=True):
            index = row - first
            if 0 <= index < count and held[index] is None and offsets[index] == _ABSENT:
                offsets[index], self._lengths[index], self._from[index] = start, length, number
                self.found += 1
            else:
                self._count_other(row, start, length)

    def _count_other(self, row: int, start: int, length: int) -> None:
        if row == BLANK:
            return
        if 0 <= row - self._first_row < len(self._held):
            self.repeated += 1
        else:
            self.unmatched += 1
            self.without_id += row == NO_ID
        if len(self._others) < MAX_OTHERS:
            self._others.append((len(self._sources) - 1, start, length, row))

    def fitting(self, rows: Sequence[int]) -> int:
        """Return how many of these rows, from the first on, have lines that fit in memory together: at least one."""
        if self._all_held:
            return len(rows)
        first, lengths = self._first_row, self._lengths
        sums = accumulate(lengths[row - first] for row in rows)
        return max(1, sum(size <= MAX_LINES_BYTES for size in sums))

    def lines(self, rows: Sequence[int]) -> Sequence[bytes | None]:
        """Return the lines of rows, which are in order, without their line ends; None for a row without a line."""
        first, held = self._first_row, self._held
        if rows[-1] - rows[0] < len(rows):  # they follow one another
            found = held[rows[0] - first : rows[-1] - first + 1]
        else:
            found = [held[row - first] for row in rows]
        if None not in found or self._all_held:
            return found
        for number, source in enumerate(self._sources):
            places, wanted = [], []
            for place, row in enumerate(rows):
                index = row - first
                if self._offsets[index] != _ABSENT and self._from[index] == number:
                    places.append(place)
                    wanted.append((self._offsets[index], self._lengths[index]))
            for place, line in zip(places, source.read(wanted), strict=True):
                found[place] = line
        return found

    def others(self) -> Iterator[bytes]:
        """Yield the lines that `lines` never returns, except exact copies. Each of them may have been paid for."""
        for number, start, length, row in self._others:
            line = self._sources[number].read([(start, length)])[0]
            if not 0 <= row - self._first_row < len(self._held) or self.lines([row]) != [line]:
                yield line

    def keep(self) -> None:
        """Store the files, so that another invocation need not fetch them from OpenAI."""
        for source in self._sources:
            source.keep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self._sources:
            source.close()


def split_addressed(data: bytes) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[int]]:
    """Return the lines of `data`, the same without a carriage return at their ends, and the row that each names."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    # A single byte is looked for thirty times as fast as two.
    bare = [line.removesuffix(b"\r") for line in lines] if b"\r" in data else lines
    return lines, bare, _rows(data, bare)


def _rows(data: bytes, lines: Sequence[bytes]) -> Sequence[int]:
    """Return the rows of the lines in `data`. It chooses between the fast path and reading line by line."""
    rows = read_rows(data, lines) if fast_paths.enabled() else None
    return list(map(_row, lines)) if rows is None else rows


def _row(line: bytes) -> int:
    """Return the row of a line, which has to name the row's number exactly as it was sent."""
    if not line.strip():
        return BLANK
    name = _name(line)
    if name is None:
        return NO_ID
    try:
        row = int(name)
    except ValueError:
        return UNKNOWN_ID
    return row if str(row) == name and 0 < row < _MAX_ROW else UNKNOWN_ID


def _name(line: bytes) -> str | None:
    """Return the `custom_id` of a line, read as its answer will be: as it is, then repaired. None if it has none.

    The last resort is for a line that is not JSON, because it is cut short or mixed with something else. It belongs to
    the row whose id is near its start, if there is no other id in it.
    """
    for read in (bytes, repair_json):
        try:
            return _decoder.decode(read(line)).custom_id
        except DECODE_ERRORS:
            continue
    found = _ONLY_ID.search(line, 0, _START_BYTES)
    return found[1].decode() if found and line.count(b'"custom_id"') == 1 else None
