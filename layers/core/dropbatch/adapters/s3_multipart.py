"""The plan of a multipart upload that joins pieces of objects, copied within S3 where S3 can.

S3 takes up to 10,000 parts of at least 5 MiB each; only the last may be smaller. It copies a range only from an object
of more than 5 MB. A piece that is too small for a part of its own is fetched, and shares a part with the next one. The
plan follows from the pieces alone, so a process that continues an upload needs to know only how many parts are done.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dropbatch.ports import Piece

MIN_PART_BYTES = 5_242_880
COPY_BYTES = 268_435_456
"""The size of one copy. S3 takes 5 GiB, but it copies some 100 MB a second, and answers when it is done. This size
takes seconds, and the client's read timeout allows ten times as long. 10,000 copies are 2.5 TB."""

MAX_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Range:
    """The bytes of an object from `start` up to, but not including, `end`; the object has `size` bytes."""

    bucket: str
    key: str
    start: int
    end: int
    size: int
    version_id: str | None = None

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def is_whole(self) -> bool:
        return len(self) == self.size

    @property
    def can_be_copied(self) -> bool:
        return self.is_whole or self.size > MIN_PART_BYTES


Part = list[Range]
"""The ranges of one part. A single range is copied where S3 can; several ranges are fetched."""


def is_copied(part: Part) -> bool:
    """Return whether S3 copies a part; else its bytes are fetched and sent."""
    return len(part) == 1 and part[0].can_be_copied


def parts_of(pieces: Sequence[Piece]) -> list[Part]:
    """Return the parts that the pieces make in their order; no part is empty."""
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
            # The last range includes a remainder that would be too small for a part of its own.
            until = end if end - start < most + least else start + most
            parts.append([cut(start, until)])
            start = until
    if small:
        parts.append(small)
    return parts
