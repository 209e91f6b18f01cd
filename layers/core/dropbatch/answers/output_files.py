"""Finds the rows that a batch's answers belong to, whatever order, shape or number the answers come in.

The output and the error file lie on disk, or in the work bucket where the disk is too small. The lines of a file that
is small are held in memory, since a look at the disk for each takes 1 µs; of a larger one only their places are, 17
bytes a row. Lines are split on line feeds alone: U+2028, U+2029 and U+0085 may stand inside an answer.
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
from dropbatch.answers.reader import DECODE_ERRORS, mended
from dropbatch.formats.line_blocks import whole_lines

HELD_BYTES = 50_331_648
"""How much of the files is held in memory: 50,000 answers of a kilobyte."""

BLOCK_BYTES = 1_048_576

MAX_LINES_BYTES = 33_554_432
"""How many bytes of lines are read at once: an image takes 2 MB, and each line lies in memory some four times."""

MAX_OTHERS = 100_000
"""How many lines that answer nothing are remembered: two for each row of the largest batch."""

NOBODYS, UNADDRESSED, BLANK = 0, -1, -2
"""In place of a row, which is at least 1: a line that names something else, a line that names nothing, no line."""

_MAX_ROW = 2**62
_ABSENT = -1

_ONLY_ID = re.compile(rb'"custom_id"\s{0,8}:\s{0,8}"(\d{1,18})"')
_START_BYTES = 1_024
"""Where the last resort looks for the id: OpenAI writes it after an id of its own, some servers before the answer."""


class Source(Protocol):
    """The bytes of one of a batch's files, wherever they lie."""

    @property
    def size(self) -> int: ...

    def blocks(self) -> Iterator[bytes]: ...

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Return the bytes at these places (start, length), in their order."""
        ...

    def addresses(self) -> "Iterator[Addresses] | None":
        """Return where the lines lie and whose they are, if that has been written down."""
        ...

    def keep(self) -> None:
        """See that another invocation has the file without asking OpenAI for it."""
        ...

    def close(self) -> None: ...


class Addresses(NamedTuple):
    """Whose some lines of a file are (or one of the codes above), where they start, and how long they are."""

    rows: Sequence[int]
    starts: Sequence[int]
    lengths: Sequence[int]


class _Addressed(msgspec.Struct, gc=False):
    """What is read of a line to know whose it is."""

    custom_id: str


_decoder = msgspec.json.Decoder(_Addressed)


class AnswerLines:
    """The lines of a batch's output and error file, found by row.

    `first_row` and `rows` bound the row numbers that can have been sent. Where a row stands twice, the line of the
    output file counts, and of two in the same file the first: what comes again is counted in `repeated`. Lines that
    name no row of the batch are counted in `strange`; those among them in which nothing is named at all are counted in
    `unaddressed`, too.
    """

    def __init__(self, first_row: int, rows: int, held_bytes: int = HELD_BYTES) -> None:
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
        self.strange = 0
        self.unaddressed = 0

    def read(self, source: Source) -> None:
        """Take in a file, and own it; call it with the output file first."""
        self._sources.append(source)
        is_held = source.size <= self._room
        if is_held:
            self._room -= source.size
        else:
            self._all_held = False
        known = None if is_held else source.addresses()
        if known is not None:
            for addresses in known:
                self._note(addresses)
            return
        offset = 0
        for data in whole_lines(source.blocks()):
            lines, bare, rows = addressed(data)
            starts = accumulate(map(len, lines), lambda start, size: start + size + 1, initial=offset)
            if is_held:
                self._hold(bare, rows, starts)
            else:
                self._note(Addresses(rows, list(starts)[: len(rows)], list(map(len, bare))))
            offset += len(data)

    def _hold(self, lines: Sequence[bytes], rows: Sequence[int], starts: Iterable[int]) -> None:
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

    def _note(self, addresses: Addresses) -> None:
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
            self.strange += 1
            self.unaddressed += row == UNADDRESSED
        if len(self._others) < MAX_OTHERS:
            self._others.append((len(self._sources) - 1, start, length, row))

    def fitting(self, rows: Sequence[int]) -> int:
        """Return how many of these rows, from the first on, have lines that memory takes at once: at least one."""
        if self._all_held:
            return len(rows)
        first, lengths = self._first_row, self._lengths
        sums = accumulate(lengths[row - first] for row in rows)
        return max(1, sum(size <= MAX_LINES_BYTES for size in sums))

    def lines(self, rows: Sequence[int]) -> Sequence[bytes | None]:
        """The lines of rows that are given in order, without their line ends; None for a row that has none."""
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
        """The lines that `lines` never gives, except mere copies of those it gives. Each may have been paid for."""
        for number, start, length, row in self._others:
            line = self._sources[number].read([(start, length)])[0]
            if not 0 <= row - self._first_row < len(self._held) or self.lines([row]) != [line]:
                yield line

    def keep(self) -> None:
        """See that another invocation can read the same lines without asking OpenAI for them."""
        for source in self._sources:
            source.keep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self._sources:
            source.close()


def addressed(data: bytes) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[int]]:
    """Return the lines of `data`, the same without a carriage return at their ends, and the row that each names."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    # A single byte is looked for thirty times as fast as two.
    bare = [line.removesuffix(b"\r") for line in lines] if b"\r" in data else lines
    return lines, bare, _rows(data, bare)


def _rows(data: bytes, lines: Sequence[bytes]) -> Sequence[int]:
    """Return whose the lines in `data` are. It chooses between the fast path and reading line by line."""
    rows = read_rows(data, lines) if fast_paths.enabled() else None
    return list(map(_row, lines)) if rows is None else rows


def _row(line: bytes) -> int:
    """Whose a line is, which names the row's number just as it was sent."""
    if not line.strip():
        return BLANK
    name = _name(line)
    if name is None:
        return UNADDRESSED
    try:
        row = int(name)
    except ValueError:
        return NOBODYS
    return row if str(row) == name and 0 < row < _MAX_ROW else NOBODYS


def _name(line: bytes) -> str | None:
    """The `custom_id` of a line, read as its answer will be: strictly, then mended. None if nothing can be read.

    The last resort is for a line that is no JSON at all, cut short or run through with something else: it is the row's
    whose id it begins with, if no other id stands in it.
    """
    for read in (bytes, mended):
        try:
            return _decoder.decode(read(line)).custom_id
        except DECODE_ERRORS:
            continue
    found = _ONLY_ID.search(line, 0, _START_BYTES)
    return found[1].decode() if found and line.count(b'"custom_id"') == 1 else None
