"""Blocks of bytes into physical lines, one at a time or many at once, in bounded memory."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import chain

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem

CHUNK_BYTES = 1 << 17
"""The bytes of lines that are parsed at once: few enough for a processor's cache."""


class Lines(Iterator[bytes]):
    """A file's lines with their line feeds; nothing but a line feed ends one.

    `offset` is the number of the file's bytes before the next line, and `number` that line's number, from 1: there
    another reader can continue. Raise DropRejectedError (`line_too_long`) if the next line has over `limit` bytes.
    """

    def __init__(self, blocks: Iterable[bytes], limit: int, offset: int = 0, number: int = 1) -> None:
        self._blocks = iter(blocks)
        self._limit = limit
        self._held = b""  # what was read; the next line starts at `_at` in it
        self._at = 0
        self.offset = offset
        self.number = number

    def __next__(self) -> bytes:
        end = self._line_end(self._at)
        line = self._held[self._at : end]
        if not line:
            raise StopIteration
        if len(line) > self._limit:
            raise DropRejectedError.because(too_long(self.number, self._limit))
        self._move(end, 1)
        return line

    def take(self, size: int | None = None) -> list[bytes]:
        """Return as many lines as about `size` bytes hold (`CHUNK_BYTES` if None), at least one; none at the end."""
        size = CHUNK_BYTES if size is None else size
        while len(self._held) - self._at < size and self._read_on():
            pass
        end = self._held.rfind(b"\n", self._at, self._at + size) + 1
        if not end:
            end = self._line_end(self._at)
        size = end - self._at
        stream = BytesIO(self._held)  # it does not copy them
        stream.seek(self._at)
        lines = stream.readlines(size) if size else []  # up to `end`, where a line ends
        if size > self._limit:
            fit = next((place for place, line in enumerate(lines) if len(line) > self._limit), len(lines))
            if lines and not fit:
                raise DropRejectedError.because(too_long(self.number, self._limit))
            lines = lines[:fit]
            end = self._at + sum(map(len, lines))
        self._move(end, len(lines))
        return lines

    def give_back(self, lines: list[bytes]) -> None:
        """Return the lines that were taken last to the stream."""
        size = sum(map(len, lines))
        if size > self._at:  # some of them were released
            self._held, self._at = b"".join([*lines, self._held[self._at :]]), size
        self._move(self._at - size, -len(lines))

    def skip(self, lines: list[bytes]) -> None:
        """Take lines that were given back."""
        self._move(self._at + sum(map(len, lines)), len(lines))

    def peek(self, size: int) -> bytes:
        """Return the next bytes, at least `size` of them unless the file ends before, and take none of them."""
        while len(self._held) - self._at < size and self._read_on():
            pass
        return self._held[self._at :]

    def held(self, size: int) -> bytes:
        """Return the next bytes as far as they were read, at most `size` of them, and take none of them."""
        return self._held[self._at : self._at + size]

    def rest(self) -> Iterator[bytes]:
        """Return all that follows, in blocks, and end the lines."""
        held, self._held = self._held[self._at :], b""
        return chain([held], self._blocks)

    def _move(self, to: int, lines: int) -> None:
        self.offset += to - self._at
        self.number += lines
        self._at = to

    def _line_end(self, start: int) -> int:
        """Return where the line ends that starts at `start`; of one that is too long, read only as much as shows it."""
        searched = start
        while True:
            end = self._held.find(b"\n", searched) + 1
            if end or len(self._held) - self._at > self._limit:
                return end or len(self._held)
            at = self._at
            searched = len(self._held)
            if not self._read_on():
                return len(self._held)
            searched -= at - self._at

    def _read_on(self) -> bool:
        """Read the next block, and drop what is before the next line. Return False at the end."""
        block = next(self._blocks, None)
        if block is None:
            return False
        # Blocks are gathered before they are joined, so that a line of many is not copied once for each.
        more, size = [self._held[self._at :], block], len(block)
        while size < len(more[0]) and (block := next(self._blocks, None)) is not None:
            more.append(block)
            size += len(block)
        self._held, self._at = b"".join(more), 0
        return True


def first_line(lines: Lines, blank: bytes | None, otherwise: str = "The file is empty") -> bytes:
    """Return the next line, and do not take it; lines of `blank` bytes alone (white space if None) are skipped.

    Raise DropRejectedError, which says `otherwise`, if there is none.
    """
    for raw in lines:
        if raw.strip(blank):
            lines.give_back([raw])
            return raw
    raise DropRejectedError.because(Problem("empty_file", f"{otherwise}; drop one that has at least one row."))


def line_end_of(raw: bytes) -> str:
    """Return what ends a line: CRLF or LF."""
    return "\r\n" if raw.endswith(b"\r\n") else "\n"


def too_long(line: int, limit: int, *, in_quotes: bool = False) -> Problem:
    """Return the problem of a row that has over `limit` bytes."""
    what = f"The record that starts in line {line}" if in_quotes else f"Line {line}"
    remedy = "look for a quote that never closes" if in_quotes else "shorten it, or check that lines end in line feeds"
    return Problem(
        "line_too_long", f"{what} is longer than {limit:,} bytes, the most a row may have; {remedy}.", line=line
    )
