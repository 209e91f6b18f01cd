"""Blocks of bytes into physical lines, in bounded memory."""

from collections.abc import Iterable, Iterator
from io import BytesIO

from dropbatch.domain.errors import Rejected
from dropbatch.domain.problems import Problem


def physical_lines(blocks: Iterable[bytes], limit: int, line: int = 1) -> Iterator[bytes]:
    """The lines with their line feeds; nothing but a line feed ends one. `line` is the number of the first.

    Rejected (`line_too_long`) as soon as one has more than `limit` bytes.
    """
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        lines = BytesIO(block).readlines()
        rest = lines.pop() if lines and lines[-1][-1] != 10 else b""
        if lines:
            if parts or len(block) > limit:
                lines[0] = b"".join([*parts, lines[0]])
                parts, size = [], 0
                for place, whole in enumerate(lines):
                    if len(whole) > limit:
                        yield from lines[:place]
                        raise Rejected.because(too_long(line + place, limit))
            yield from lines
            line += len(lines)
        if rest:
            parts.append(rest)
            size += len(rest)
            if size > limit:
                raise Rejected.because(too_long(line, limit))
    if parts:
        yield b"".join(parts)


def too_long(line: int, limit: int, *, in_quotes: bool = False) -> Problem:
    what = f"The record that starts in line {line}" if in_quotes else f"Line {line}"
    remedy = "look for a quote that never closes" if in_quotes else "shorten it, or check that lines end in line feeds"
    return Problem(
        "line_too_long", f"{what} is longer than {limit:,} bytes, the most a row may have; {remedy}.", line=line
    )
