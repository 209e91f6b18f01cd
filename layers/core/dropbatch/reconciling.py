"""Brings a batch's answers back to the rows that were sent, whatever order, shape or number they come in.

The output and the error file lie on disk. The lines of a file that is small are held in memory, since a look at the
disk for each takes 1 µs; of a larger one only their places are, 17 bytes a row. Lines are split on line feeds alone:
U+2028, U+2029 and U+0085 may stand inside an answer.
"""

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from dropbatch.answers import NO_SENSE

HELD_BYTES = 50_331_648
"""So much of the files is held in memory: 50,000 answers of a kilobyte."""

BLOCK_BYTES = 1_048_576

_ABSENT = -1


class _Addressed(msgspec.Struct):
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
        number = len(self._files) - 1
        size = os.fstat(file.fileno()).st_size
        held = size <= self._room
        if held:
            self._room -= size
        first, rows, offsets = self._first_row, len(self._offsets), self._offsets
        offset = 0
        for lines in _lines(file):
            for line, row in zip(lines, self._rows(lines), strict=True):
                index = -1 if row is None else row - first
                if not 0 <= index < rows:
                    self.strange += bool(line.strip())
                elif offsets[index] != _ABSENT:
                    self.repeated += 1
                else:
                    offsets[index], self._lengths[index], self._from[index] = offset, len(line), number
                    if held:
                        self._held[index] = line
                    self.found += 1
                offset += len(line) + 1

    def _rows(self, lines: Sequence[bytes]) -> Sequence[int | None]:
        """Whose the lines are: many at once where all are sound."""
        try:
            found = self._decoder.decode_lines(b"\n".join(lines))
            rows = [int(line.custom_id) for line in found]
        except NO_SENSE:
            rows = []
        return rows if len(rows) == len(lines) else [self._row(line) for line in lines]

    def _row(self, line: bytes) -> int | None:
        try:
            return int(self._decoder.decode(line).custom_id)
        except NO_SENSE:
            return None

    def line(self, row: int) -> bytes | None:
        """The row's line without its line end, or None where there is none."""
        index = row - self._first_row
        line = self._held[index]
        if line is None:
            offset = self._offsets[index]
            if offset == _ABSENT:
                return None
            line = os.pread(self._files[self._from[index]].fileno(), self._lengths[index], offset)
        return line[:-1] if line.endswith(b"\r") else line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()


def _lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """The file's lines without their line feeds, as many at once as end in a block."""
    parts: list[bytes] = []
    while block := file.read(BLOCK_BYTES):
        lines = block.split(b"\n")
        parts.append(lines[0])
        if len(lines) == 1:
            continue
        lines[0], parts = b"".join(parts), [lines.pop()]
        yield lines
    rest = b"".join(parts)
    if rest:
        yield [rest]
