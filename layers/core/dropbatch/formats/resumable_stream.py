"""A drop's content as a stream that another process can resume, at any byte that was reached.

A file that is not compressed is read from there. Of a compressed file, the member (see `compression`) that holds the
byte is unpacked again up to it, at hundreds of megabytes a second: the state of a decompressor cannot be kept.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from dropbatch.formats.compression import Compression, decompress, limit_size
from dropbatch.formats.transcoding import PLAIN, Readable, Storage

HASHED_BYTES = 1 << 20
"""Content is hashed in blocks of this size: the state of a hash cannot be kept either."""


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A point to resume content at: a member's start in the file and in the content, and the hash up to `hashed`."""

    member_at: tuple[int, int] = (0, 0)
    hashed: int = 0
    digest: str = ""


class ResumableStream(Iterator[bytes]):
    """The content from `offset` on, in the form that readers expect. `read(start)` gives the file's bytes from there.

    `storage` is how the content lies in S3; if it is None, the first bytes show it: see `transcoding`. `passing_over`
    is called for each block before `offset`, and may raise. Raise DropRejectedError if the file is corrupt, or its
    content larger than `most` bytes.
    """

    def __init__(
        self,
        read: Callable[[int], Iterable[bytes]],
        compression: Compression,
        most: int,
        mark: ResumePoint | None = None,
        offset: int = 0,
        passing_over: Callable[[], object] = lambda: None,
        storage: Storage | None = PLAIN,
        *,
        has_quotes: bool = False,
    ) -> None:
        mark = mark or ResumePoint()
        self._passing_over = passing_over
        unpacked = decompress(read(mark.member_at[0]), compression, mark.member_at)
        self._unpacked = Readable(unpacked, storage, mark.member_at[1], has_quotes=has_quotes)
        self._blocks = limit_size(self._unpacked, most - mark.member_at[1])
        self._members = [mark.member_at]
        self._at = mark.member_at[1]  # how far the content was read
        self._offset = offset
        self._hash = _Hash(mark.hashed, mark.digest)

    def __next__(self) -> bytes:
        while True:
            block = next(self._blocks)
            start, self._at = self._at, self._at + len(block)
            member = self._unpacked.member_at
            if member[1] - self._members[-1][1] >= HASHED_BYTES:
                self._members.append(member)
            if self._at > self._hash.hashed:
                self._hash.update(block[max(0, self._hash.hashed - start) :])
            if self._at > self._offset:
                return block[max(0, self._offset - start) :]
            self._passing_over()

    @property
    def storage(self) -> Storage:
        """The form of the content in the file."""
        return self._unpacked.storage

    def mark(self, offset: int) -> ResumePoint:
        """Return where to resume the content so as to continue with the byte at `offset`, which was reached."""
        hashed, digest = self._hash.before(offset)
        place = bisect_right(self._members, hashed, key=lambda member: member[1]) - 1
        return ResumePoint(self._members[place], hashed, digest)

    def digest(self) -> str:
        """Return the hash of all that was read, from the content's first byte on, and of how it lies in the file."""
        digest = self._hash.digest()
        if self.storage.is_plain:
            return digest
        return hashlib.sha256(f"{digest} {self.storage.codec} {self.storage.is_cr}".encode()).hexdigest()


class _Hash:
    """The SHA-256 of each block's SHA-256 and of all before it, so that hashing can continue after any block."""

    def __init__(self, hashed: int, digest: str) -> None:
        self._digests = [(hashed, digest)]
        self._block = hashlib.sha256()
        self.hashed = hashed  # how far the content was hashed, the present block included

    def update(self, data: bytes) -> None:
        while data:
            missing = HASHED_BYTES - self.hashed % HASHED_BYTES
            taken = data[:missing]
            self._block.update(taken)
            self.hashed += len(taken)
            if len(taken) == missing:
                self._digests.append((self.hashed, self.digest()))
                self._block = hashlib.sha256()
            data = data[missing:]

    def digest(self) -> str:
        before = self._digests[-1][1]
        return hashlib.sha256(bytes.fromhex(before) + self._block.digest()).hexdigest()

    def before(self, offset: int) -> tuple[int, str]:
        return self._digests[bisect_right(self._digests, offset, key=lambda done: done[0]) - 1]
