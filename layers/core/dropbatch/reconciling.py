"""Brings a batch's answers back to the rows that were sent, whatever order, shape or number they come in.

The output and the error file lie on disk. The lines of a file that is small are held in memory, since a look at the
disk for each takes 1 µs; of a larger one only their places are, 17 bytes a row. Lines are split on line feeds alone:
U+2028, U+2029 and U+0085 may stand inside an answer.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec
import orjson

from dropbatch.answers import NO_SENSE

HELD_BYTES = 50_331_648
"""So much of the files is held in memory: 50,000 answers of a kilobyte."""

BLOCK_BYTES = 1_048_576

_ABSENT = -1


class _Addressed(msgspec.Struct, gc=False):
    """What is read of a line to know whose it is."""

    custom_id: str


class AnswerLines:
    """The lines of a batch's output and error file, found by row.

    `first_row` and `rows` bound the row numbers that can have been sent. Where a row stands twice, the line of the
    output file counts, and of two in the same file the first: what comes again is counted in `repeated`. Lines that
    are no JSON, or name no row of the batch, are counted in `strange`.
    """

    def __init__(self, first_row: int, rows: int, held_bytes: int = HELD_BYTES) -> None:
        self._first_row = first_row
        self._room = held_bytes
        self._held: list[bytes | None] = [None] * rows
        self._offsets = array("q", [_ABSENT]) * rows
        self._lengths = array("q", [0]) * rows
        self._from = bytearray(rows)
        self._files: list[BinaryIO] = []
        self._decoder = msgspec.json.Decoder(_Addressed)
        self.found = 0
        self.repeated = 0
        self.strange = 0

    def read(self, path: Path) -> None:
        """Takes in a file; call it with the output file first."""
        file = path.open("rb", buffering=0)
        self._files.append(file)
        size = os.fstat(file.fileno()).st_size
        held = size <= self._room
        if held:
            self._room -= size
        offset = 0
        for data in _whole_lines(file):
            lines = data.split(b"\n")
            if not lines[-1]:
                lines.pop()
            # A single byte is looked for thirty times as fast as two.
            bare = [line.removesuffix(b"\r") for line in lines] if b"\r" in data else lines
            rows = self._rows(data, bare)
            if held:
                self._hold(bare, rows)
            else:
                starts = accumulate(map(len, lines), lambda start, size: start + size + 1, initial=offset)
                self._note(bare, rows, starts)
            offset += len(data)

    def _hold(self, lines: Sequence[bytes], rows: Sequence[int]) -> None:
        first, held, offsets = self._first_row, self._held, self._offsets
        count = len(held)
        if len(self._files) == 1 and self._are_new(rows):
            for line, row in zip(lines, rows, strict=True):
                held[row - first] = line
            self.found += len(rows)
            return
        for line, row in zip(lines, rows, strict=True):
            index = row - first
            if 0 <= index < count and held[index] is None and offsets[index] == _ABSENT:
                held[index] = line
                self.found += 1
            else:
                self._count_odd(line, index)

    def _are_new(self, rows: Sequence[int]) -> bool:
        """Whether all these rows can have been sent, and each has come for the first time (of lines that are held)."""
        first, held = self._first_row, self._held
        return (
            first <= min(rows)
            and max(rows) < first + len(held)
            and len(set(rows)) == len(rows)
            and [held[row - first] for row in rows].count(None) == len(rows)
        )

    def _note(self, lines: Sequence[bytes], rows: Sequence[int], starts: Iterable[int]) -> None:
        number = len(self._files) - 1
        for line, row, start in zip(lines, rows, starts, strict=False):
            index = row - self._first_row
            if 0 <= index < len(self._held) and self._held[index] is None and self._offsets[index] == _ABSENT:
                self._offsets[index], self._lengths[index], self._from[index] = start, len(line), number
                self.found += 1
            else:
                self._count_odd(line, index)

    def _count_odd(self, line: bytes, index: int) -> None:
        if 0 <= index < len(self._held):
            self.repeated += 1
        else:
            self.strange += bool(line.strip())

    def _rows(self, data: bytes, lines: Sequence[bytes]) -> Sequence[int]:
        """Whose the lines in `data` are: many at once where all are sound."""
        try:
            names = ",".join([line.custom_id for line in self._decoder.decode_lines(data)])
            rows: Sequence[int] = orjson.loads(f"[{names}]")  # takes no zero before a number
        except NO_SENSE:
            names, rows = "", ()
        # The decoder passes over blank lines, and takes two objects in one; where none is blank, none can have two.
        alike = len(rows) == len(lines) and all(map(bytes.startswith, lines, repeat(b"{")))
        return rows if alike and names.replace(",", "").isdecimal() else list(map(self._row, lines))

    def _row(self, line: bytes) -> int:
        """Whose a line is, which bears the number just as it was sent; a row before the first where it is nobody's."""
        try:
            name = self._decoder.decode(line).custom_id
            row = int(name)
        except NO_SENSE:
            return self._first_row - 1
        return row if str(row) == name else self._first_row - 1

    def lines(self, rows: Sequence[int]) -> Sequence[bytes | None]:
        """The lines of rows that are given in order, without their line ends; None for a row that has none."""
        first, held = self._first_row, self._held
        if rows[-1] - rows[0] < len(rows):  # they follow one another
            found = held[rows[0] - first : rows[-1] - first + 1]
        else:
            found = [held[row - first] for row in rows]
        if None not in found:
            return found
        return [line or self._fetched(row - first) for line, row in zip(found, rows, strict=True)]

    def _fetched(self, index: int) -> bytes | None:
        offset = self._offsets[index]
        if offset == _ABSENT:
            return None
        return os.pread(self._files[self._from[index]].fileno(), self._lengths[index], offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The file's bytes, up to the last line feed of each block, and the rest."""
    parts: list[bytes | memoryview] = []
    while block := file.read(BLOCK_BYTES):
        end = block.rfind(b"\n") + 1
        parts.append(memoryview(block)[:end] if end else block)
        if end:
            yield b"".join(parts)
            parts = [block[end:]]
    rest = b"".join(parts)
    if rest:
        yield rest
