"""Plans how pieces of objects become the parts of one: copied within S3 wherever S3 can.

S3 takes parts of at least 5 MiB, but for the last, and 10,000 of them; it copies a range only out of an object over
5 MB. What is too small for a part of its own is fetched and goes into one with what follows. The plan is a function of
the pieces alone, so that how many parts are done is all that must be known to go on with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dropbatch.ports import Piece

MIN_PART_BYTES = 5_242_880
COPY_BYTES = 268_435_456
"""How much one copy asks for. S3 takes 5 GiB, but it copies some 100 MB a second and answers when it is done: this much
takes seconds, and ten times as long is within the client's read timeout. 10,000 of them are 2.5 TB."""

MAX_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of an object: from `start` up to before `end`, of `size` in all."""

    bucket: str
    key: str
    start: int
    end: int
    size: int
    version_id: str | None = None

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def whole(self) -> bool:
        return len(self) == self.size

    @property
    def can_be_copied(self) -> bool:
        return self.whole or self.size > MIN_PART_BYTES


Part = list[Range]
"""One range is copied where that can be; several are fetched."""


def parts_of(pieces: Sequence[Piece]) -> list[Part]:
    """The parts that come to the pieces in their order; none is empty."""
    total = sum(map(len, pieces))
    least = max(MIN_PART_BYTES, -(-total // MAX_PARTS))
    most = max(COPY_BYTES, least)
    parts: list[Part] = []
    small: Part = []
    missing = 0  # how many bytes the small ones lack to be a part
    for piece in pieces:
        start, end = piece.start, piece.start + len(piece)

        def cut(start: int, end: int, piece: Piece = piece) -> Range:
            return Range(piece.bucket, piece.key, start, end, piece.size, piece.version_id)

        if small and start < end:
            taken = min(end - start, missing)
            small.append(cut(start, start + taken))
            start, missing = start + taken, missing - taken
            if not missing:
                parts.append(small)
                small = []
        if end - start < least:
            if start < end:
                small, missing = [cut(start, end)], least - (end - start)
            continue
        while start < end:
            # The last range takes up a remainder that would be too small for a part of its own.
            until = end if end - start < most + least else start + most
            parts.append([cut(start, until)])
            start = until
    if small:
        parts.append(small)
    return parts
