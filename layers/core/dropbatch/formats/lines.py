"""Blocks of bytes into physical lines, in bounded memory."""

import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO

from dropbatch.domain.errors import Rejected
from dropbatch.domain.problems import Problem

_GZIP = 31  # zlib's window bits for a gzip header and trailer
_BLOCK = 1 << 20


def gunzipped(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a gzip file of one or more members, in blocks of at most 1 MiB.

    Zero padding at the end is allowed, as gzip itself does. Rejected (`corrupt_gzip`) where the file is damaged, cut
    short, or followed by anything else.
    """
    member = zlib.decompressobj(_GZIP)
    begun, members = False, 0  # whether bytes of the present member were read; how many have ended
    for block in blocks:
        rest = block
        while rest or begun:
            if not begun and members and not rest.strip(b"\0"):
                break  # padding
            begun = True
            try:
                content = member.decompress(rest, _BLOCK)
            except zlib.error as error:
                raise Rejected.because(_corrupt(after_a_member=members > 0)) from error
            if content:
                yield content
            if member.eof:
                rest = member.unused_data
                member, begun, members = zlib.decompressobj(_GZIP), False, members + 1
            elif not member.unconsumed_tail and len(content) < _BLOCK:
                break  # it has given all that it can before the next block
            else:
                rest = member.unconsumed_tail
    if begun:
        raise Rejected.because(
            Problem("corrupt_gzip", "The gzip file ends too early; it was cut short: compress and drop it again.")
        )


def _corrupt(*, after_a_member: bool) -> Problem:
    what = "holds something after its end that is not gzip" if after_a_member else "is damaged, or is no gzip at all"
    return Problem("corrupt_gzip", f"The gzip file {what}; compress the file and drop it again.")


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
