"""S3 in memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dropbatch.adapters.s3 import PART_BYTES
from dropbatch.adapters.s3_multipart import MIN_PART_BYTES
from dropbatch.domain.errors import ObjectForbiddenError, ObjectNotFoundError, StaleItemError
from dropbatch.ports import ObjectInfo, Piece
from dropbatch.storage.objects import read_object
from tests.fakes.names import INBOX, Numbers
from tests.fakes.refusal import refusal

MAX_KEY_BYTES = 1_024
MAX_METADATA_BYTES = 2_048
"""The maximum size of the names and values of an object's `x-amz-meta-*` together."""

PAGE = 1_000
"""The maximum number of keys that S3 lists or deletes in one call."""


@dataclass
class _Version:
    data: bytes
    id: str
    number: int  # in the order in which they came
    came: int  # at the end of its upload
    modified: int  # as S3 shows it: at the beginning of a multipart upload
    labels: Mapping[str, str] = field(default_factory=dict)
    is_marker: bool = False


class FakeObjects:
    """S3 with versioning. It refuses what S3 refuses."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._objects: dict[tuple[str, str], list[_Version]] = {}
        self._by_folder: dict[tuple[str, str], set[str]] = {}  # keys: a month of jobs has too many to search
        self._ids = Numbers()
        self.uploads: dict[str, tuple[bytes, float]] = {}  # unfinished joins: their bytes, and when they began
        self.forbidden: set[str] = set()  # keys that may not be read
        self.progress: set[tuple[str, str]] = set()  # objects whose old versions S3 deletes after a day
        self.archived: set[str] = set()  # keys whose objects must be restored before they can be read
        self.conflicting: set[str] = set()  # keys whose conditional writes always conflict with another

    def drop(
        self,
        key: str,
        data: bytes,
        labels: Mapping[str, str] | None = None,
        bucket: str = INBOX,
        version_id: str | None = None,
        began: float | None = None,
    ) -> str:
        """Put an object as a user would, and return its version.

        `began` makes it a multipart upload that began then: S3 shows that time as the object's LastModified.
        """
        _check_key("PutObject", key)
        labels = labels or {}
        if sum(len(text.encode()) for label in labels.items() for text in label) > MAX_METADATA_BYTES:
            raise refusal("PutObject", "MetadataTooLarge", "Your metadata headers exceed the maximum allowed")
        number, now = next(self._ids), self._clock()
        modified = now if began is None else began
        version = _Version(data, version_id or f"v{number}", number, int(now), int(modified), labels)
        self._add(bucket, key, version)
        return version.id

    def event(self, bucket: str, key: str, version_id: str | None = None) -> dict[str, Any]:
        """Return EventBridge's `Object Created` for a version, or for the newest one."""
        versions = [version for version in self._objects[bucket, key] if not version.is_marker]
        version = next(version for version in reversed(versions) if version_id in (None, version.id))
        return {
            "version": "0",
            "id": f"17793124-05d4-b198-2fde-{version.number:012x}",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": "111122223333",
            "time": f"{datetime.fromtimestamp(version.came, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "region": "us-east-1",
            "resources": [f"arn:aws:s3:::{bucket}"],
            "detail": {
                "version": "0",
                "bucket": {"name": bucket},
                "object": {
                    "key": key,
                    "size": len(version.data),
                    "etag": hashlib.md5(version.data).hexdigest(),
                    "version-id": version.id,
                    "sequencer": _sequencer(version.number),
                },
                "request-id": f"N4N7GDK58NMK{version.number:04d}",
                "requester": "111122223333",
                "source-ip-address": "192.0.2.4",
                "reason": "PutObject" if version.came == version.modified else "CompleteMultipartUpload",
            },
        }

    def remove(self, bucket: str, key: str) -> str:
        """Put a delete marker, and return its version. The other versions stay."""
        number, now = next(self._ids), int(self._clock())
        marker = _Version(b"", f"v{number}", number, now, now, is_marker=True)
        self._add(bucket, key, marker)
        return marker.id

    def forget(self, bucket: str, key: str) -> None:
        """Delete all versions of a key, to save memory in a long test."""
        del self._objects[bucket, key]
        self._by_folder[bucket, _folder(key)].remove(key)

    def _add(self, bucket: str, key: str, version: _Version) -> None:
        self._objects.setdefault((bucket, key), []).append(version)
        self._by_folder.setdefault((bucket, _folder(key)), set()).add(key)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        if "/" in prefix.partition("/")[2]:
            keys: Iterable[str] = self._by_folder.get((bucket, _folder(prefix)), ())
        else:
            keys = (key for b, key in self._objects if b == bucket)
        return sorted(key for key in keys if key.startswith(prefix) and self._has(bucket, key))

    def content(self, bucket: str, key: str) -> bytes:
        return self._find(bucket, key, None).data

    def _has(self, bucket: str, key: str) -> bool:
        versions = self._objects.get((bucket, key))
        return versions is not None and not versions[-1].is_marker

    def _find(self, bucket: str, key: str, version_id: str | None) -> _Version:
        _check_key("GetObject", key)
        if key in self.forbidden:
            raise ObjectForbiddenError("403")
        versions = self._objects.get((bucket, key), [])
        if version_id:
            found = next((version for version in versions if version.id == version_id and not version.is_marker), None)
        else:
            found = versions[-1] if self._has(bucket, key) else None
        if found is None:
            raise ObjectNotFoundError("NoSuchKey")
        return found

    def _read(self, bucket: str, key: str, version_id: str | None) -> bytes:
        found = self._find(bucket, key, version_id)
        if key in self.archived:
            raise ObjectForbiddenError("InvalidObjectState")
        return found.data

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo:
        found = self._find(bucket, key, version_id)
        return ObjectInfo(found.id, found.modified, len(found.data), found.labels, _etag(found.data))

    def blocks(self, bucket: str, key: str, version_id: str | None = None, start: int = 0) -> Iterator[bytes]:
        data = self._read(bucket, key, version_id)
        # Small blocks of an odd size, so that no reader can rely on their ends.
        yield from (data[at : at + 7919] for at in range(start, len(data), 7919))

    def read_range(self, bucket: str, key: str, start: int, end: int, version_id: str | None = None) -> bytes:
        data = self._read(bucket, key, version_id)
        assert 0 <= start < end <= len(data)
        return data[start:end]

    def read_many(self, bucket: str, keys: Sequence[str]) -> Iterator[bytes]:
        return (read_object(self, bucket, key) for key in keys)

    def put(self, bucket: str, key: str, data: bytes, content_type: str, *, is_progress: bool = False) -> None:
        self.drop(key, data, bucket=bucket)
        if is_progress:
            self.progress.add((bucket, key))
        else:
            self.progress.discard((bucket, key))

    def put_new(self, bucket: str, key: str, data: bytes, content_type: str) -> bool:
        if key in self.conflicting:
            raise refusal("PutObject", "ConditionalRequestConflict", "A conflicting operation is under way", 409)
        if self._has(bucket, key):
            return False
        self.drop(key, data, bucket=bucket)
        return True

    @contextmanager
    def writing(self, bucket: str, key: str, content_type: str) -> Iterator["_Buffer"]:
        buffer, began = _Buffer(), self._clock()
        yield buffer
        self.drop(key, bytes(buffer.data), bucket=bucket, began=began if len(buffer.data) >= PART_BYTES else None)

    def join(
        self,
        pieces: Sequence[Piece],
        bucket: str,
        key: str,
        content_type: str,
        in_time: Callable[[], bool] = lambda: True,
        begun: Mapping[str, Any] | None = None,
        instead_of: str | None = None,
    ) -> dict[str, Any] | None:
        plan = hashlib.sha256(repr(pieces).encode()).hexdigest()
        data, began, done = b"", self._clock(), 0
        if begun and (found := self.uploads.pop(begun["upload"], None)) and begun["plan"] == plan:
            (data, began), done = found, begun["done"]
        for number, piece in enumerate(pieces[done:], done + 1):
            content = self._read(piece.bucket, piece.key, piece.version_id)
            assert len(content) == piece.size
            data += content[piece.start : piece.end]
            if number < len(pieces) and not in_time():
                upload = f"upload-{next(self._ids)}"
                self.uploads[upload] = data, began
                return {"plan": plan, "upload": upload, "done": number}
        if instead_of is not None:
            stands = _etag(self._find(bucket, key, None).data) if self._has(bucket, key) else ""
            if stands != instead_of:
                raise StaleItemError
        self.drop(key, data, bucket=bucket, began=began if len(data) >= MIN_PART_BYTES else None)
        return None

    def delete_all(self, bucket: str, prefix: str, in_time: Callable[[], bool] = lambda: True) -> bool:
        while found := self.keys(bucket, prefix):
            for key in found[:PAGE]:
                self.remove(bucket, key)
            if found[PAGE:] and not in_time():
                return False
        return True

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        return [(key, self._objects[bucket, key][-1].modified) for key in self.keys(bucket) if key > after][:PAGE]


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def _folder(key: str) -> str:
    """Return the first two folders of a key."""
    return "/".join(key.split("/")[:2])


def _check_key(operation: str, key: str) -> None:
    if not 0 < len(key.encode()) <= MAX_KEY_BYTES:
        raise refusal(operation, "KeyTooLongError", "Your key is too long")


def _sequencer(number: int) -> str:
    """Return a text that is greater for a later version, if the shorter of two is padded with zeros on the right.

    The sequencers of S3 have different lengths.
    """
    return f"0066A3F1C2{number:08X}".rstrip("0")


class _Buffer:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)
