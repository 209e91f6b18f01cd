"""Brings a batch's answers back to the rows that were sent, whatever order, shape or number they come in.

The output and the error file lie on disk; in memory there are only offsets, a few numbers a row. Lines are split on
line feeds alone: U+2028, U+2029 and U+0085 may stand inside an answer.
"""

from array import array
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

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
        file = path.open("rb")
        self._files.append(file)
        number = len(self._files) - 1
        offset = 0
        for line in file:
            if not line.isspace():
                self._place(line, number, offset)
            offset += len(line)

    def _place(self, line: bytes, file: int, offset: int) -> None:
        try:
            index = int(self._decoder.decode(line).custom_id) - self._first_row
        except (msgspec.DecodeError, ValueError):
            self.strange += 1
            return
        if not 0 <= index < len(self._offsets):
            self.strange += 1
        elif self._offsets[index] != _ABSENT:
            self.repeated += 1
        else:
            self._offsets[index], self._lengths[index], self._from[index] = offset, len(line), file
            self.found += 1

    def line(self, row: int) -> bytes | None:
        """The row's line without its line end, or None where there is none."""
        index = row - self._first_row
        if self._offsets[index] == _ABSENT:
            return None
        file = self._files[self._from[index]]
        file.seek(self._offsets[index])
        return file.read(self._lengths[index]).rstrip(b"\r\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
