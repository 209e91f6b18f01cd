"""Brings a batch's answers back to the rows that were sent, whatever order, shape or number they come in.

The output and the error file lie on disk; in memory there are only offsets, a few numbers a row. Lines are split on
line feeds alone: U+2028, U+2029 and U+0085 may stand inside an answer.
"""

import os
from array import array
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from dropbatch.answers import NO_SENSE

_ABSENT = -1
_BUFFER_BYTES = 1 << 20


class _Addressed(msgspec.Struct):
    """What is read of a line to know whose it is."""

    custom_id: str


class AnswerLines:
    """The lines of a batch's output and error file, found by row.

    `first_row` and `rows` bound the row numbers that can have been sent. Where a row stands twice, the line of the
    output file counts, and of two in the same file the first: what comes again is counted in `repeated`. Lines that
    are no JSON, or name no row of the batch, are counted in `strange`.
    """

    def __init__(self, first_row: int, rows: int) -> None:
        self._first_row = first_row
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
        file = path.open("rb", buffering=_BUFFER_BYTES)
        self._files.append(file)
        number = len(self._files) - 1
        first, rows, decode = self._first_row, len(self._offsets), self._decoder.decode
        offset = 0
        for line in file:
            size = len(line)
            try:
                index = int(decode(line).custom_id) - first
            except NO_SENSE:
                index = -1
                self.strange -= line.isspace()  # a blank line is none
            if not 0 <= index < rows:
                self.strange += 1
            elif self._offsets[index] != _ABSENT:
                self.repeated += 1
            else:
                self._offsets[index], self._lengths[index], self._from[index] = offset, size, number
                self.found += 1
            offset += size

    def line(self, row: int) -> bytes | None:
        """The row's line without its line end, or None where there is none."""
        index = row - self._first_row
        offset = self._offsets[index]
        if offset == _ABSENT:
            return None
        line = os.pread(self._files[self._from[index]].fileno(), self._lengths[index], offset)
        return line.rstrip(b"\r\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
