"""An answer file on the disk, under no name: a process that is killed leaves nothing there."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from dropbatch.answers.output_files import BLOCK_BYTES
from dropbatch.collection.bucket_file import BucketFile
from dropbatch.collection.handover import InTime

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFile:
    """A file on the disk, without a name: a sink of at most `room` bytes, and a source once it `is_whole`."""

    def __init__(self, scratch: Path, room: int, kept: BucketFile) -> None:
        self._scratch = scratch
        self._room = room
        self._kept = kept
        self._file: IO[bytes] | None = None
        self._has_line = False
        self.size = 0
        self.is_whole = False

    def expects(self, size: int | None) -> bool:
        return (size or 0) <= self._room

    def take(self, blocks: Iterable[bytes], in_time: InTime) -> bool:
        for block in blocks:
            # Less than a line cannot be kept: another invocation would come no further.
            if self.size + len(block) > self._room or (self._has_line and not in_time()):
                return False
            try:
                self._write(block)
            except OSError as error:
                if error.errno not in _DISK_IS_FULL:
                    raise
                return False
            self._has_line = self._has_line or b"\n" in block
        return True

    def _write(self, block: bytes) -> None:
        if self._file is None:
            self._file = TemporaryFile(dir=self._scratch, buffering=0)  # noqa: SIM115  # closed by `close`
        rest = memoryview(block)
        while rest:
            written = self._file.write(rest)  # a disk that is nearly full takes less
            self.size += written
            rest = rest[written:]

    def forget(self) -> None:
        self.close()
        self.size, self._has_line = 0, False

    def blocks(self) -> Iterator[bytes]:
        at = 0
        while at < self.size:
            block = self._read(at, BLOCK_BYTES)
            at += len(block)
            yield block

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        return [self._read(start, length) for start, length in places]

    def _read(self, start: int, length: int) -> bytes:
        assert self._file is not None  # noqa: S101  # something was written; tells the type checker
        return os.pread(self._file.fileno(), min(length, self.size - start), start)

    def addresses(self) -> None:
        return None

    def keep(self) -> None:
        """Move the bytes that came to the work bucket, if it has none of the file yet."""
        if not self._kept.is_begun:
            self._kept.take(self.blocks(), lambda: True, is_complete=self.is_whole)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
