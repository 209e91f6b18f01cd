"""S3 in memory."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dropbatch.domain.errors import ObjectForbidden, ObjectMissing
from dropbatch.ports import ObjectInfo, Piece
from tests.fakes.names import INBOX


@dataclass
class _Version:
    data: bytes
    id: str
    modified: int
    labels: Mapping[str, str] = field(default_factory=dict)


class FakeObjects:
    """S3 with versioning."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._objects: dict[tuple[str, str], list[_Version]] = {}
        self._begun: dict[str, bytes] = {}  # what is joined, as far as it came
        self._ids = itertools.count(1)
        self.forbidden: set[str] = set()  # keys that may not be read

    def drop(
        self,
        key: str,
        data: bytes,
        labels: Mapping[str, str] | None = None,
        bucket: str = INBOX,
        version_id: str | None = None,
    ) -> str:
        """Puts an object as a user would; returns its version."""
        version = _Version(data, version_id or f"v{next(self._ids)}", int(self._clock()), labels or {})
        self._objects.setdefault((bucket, key), []).append(version)
        return version.id

    def remove(self, bucket: str, key: str) -> None:
        """A delete marker: the versions stay."""
        self._objects.setdefault((bucket, key), []).append(_Version(b"", "", int(self._clock())))

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        return sorted(key for b, key in self._objects if b == bucket and key.startswith(prefix) and self._has(b, key))

    def content(self, bucket: str, key: str) -> bytes:
        return self._find(bucket, key, None).data

    def _has(self, bucket: str, key: str) -> bool:
        versions = self._objects.get((bucket, key))
        return versions is not None and versions[-1].id != ""

    def _find(self, bucket: str, key: str, version_id: str | None) -> _Version:
        if key in self.forbidden:
            raise ObjectForbidden("403")
        versions = self._objects.get((bucket, key), [])
        if version_id:
            found = next((version for version in versions if version.id == version_id), None)
        else:
            found = versions[-1] if self._has(bucket, key) else None
        if found is None:
            raise ObjectMissing("NoSuchKey")
        return found

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo:
        found = self._find(bucket, key, version_id)
        return ObjectInfo(found.id, found.modified, len(found.data), found.labels)

    def blocks(self, bucket: str, key: str, version_id: str | None = None, start: int = 0) -> Iterator[bytes]:
        data = self._find(bucket, key, version_id).data
        # Odd, small blocks, so that no reader can lean on their ends.
        return (data[at : at + 7919] for at in range(start, len(data), 7919))

    def read_range(self, bucket: str, key: str, start: int, end: int, version_id: str | None = None) -> bytes:
        data = self._find(bucket, key, version_id).data
        assert 0 <= start < end <= len(data)
        return data[start:end]

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        self.drop(key, data, bucket=bucket)

    def put_new(self, bucket: str, key: str, data: bytes, content_type: str) -> bool:
        if self._has(bucket, key):
            return False
        self.drop(key, data, bucket=bucket)
        return True

    @contextmanager
    def writing(self, bucket: str, key: str, content_type: str) -> Iterator["_Buffer"]:
        buffer = _Buffer()
        yield buffer
        self.put(bucket, key, bytes(buffer.data), content_type)

    def join(
        self,
        pieces: Sequence[Piece],
        bucket: str,
        key: str,
        content_type: str,
        in_time: Callable[[], bool] = lambda: True,
        begun: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        data = self._begun.get(begun["upload"], b"") if begun else b""
        done = begun["done"] if begun and begun["upload"] in self._begun else 0
        for number, piece in enumerate(pieces[done:], done + 1):
            content = self._find(piece.bucket, piece.key, piece.version_id).data
            assert len(content) == piece.size
            data += content[piece.start : piece.end]
            if number < len(pieces) and not in_time():
                upload = f"upload-{next(self._ids)}"
                self._begun[upload] = data
                return {"upload": upload, "done": number}
        if begun:
            self._begun.pop(begun["upload"], None)
        self.put(bucket, key, data, content_type)
        return None

    def delete_all(self, bucket: str, prefix: str) -> None:
        for key in self.keys(bucket, prefix):
            self.remove(bucket, key)

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        return [(key, self.head(bucket, key).modified) for key in self.keys(bucket) if key > after][:1000]


class _Buffer:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)
