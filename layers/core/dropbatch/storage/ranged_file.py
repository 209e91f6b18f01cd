"""An object in S3 as a seekable file, for formats that are read from their end."""

import io

from dropbatch.ports import Objects

READ_AHEAD = 65_536
"""The minimum size of a request. Smaller reads are served from the last one, because footers are read in small bits."""


class RangedFile(io.RawIOBase):
    """One version of an object, read range by range; its `size` is known."""

    def __init__(self, objects: Objects, bucket: str, key: str, version_id: str | None, size: int) -> None:
        super().__init__()
        self._objects = objects
        self._where = bucket, key, version_id
        self.size = size
        self._at = 0
        self._kept, self._kept_at = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        end = self.size if size < 0 else min(self._at + size, self.size)
        start, self._at = self._at, max(self._at, end)
        if start >= end:
            return b""
        if start < self._kept_at or end > self._kept_at + len(self._kept):
            if end - start >= READ_AHEAD:
                return self._range(start, end)
            # Near the end, the next read is for bytes before these.
            first = max(0, min(start, self.size - READ_AHEAD))
            self._kept, self._kept_at = self._range(first, min(first + READ_AHEAD, self.size)), first
        return self._kept[start - self._kept_at : end - self._kept_at]

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]  # any writable buffer
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _range(self, start: int, end: int) -> bytes:
        bucket, key, version_id = self._where
        return self._objects.read_range(bucket, key, start, end, version_id)
