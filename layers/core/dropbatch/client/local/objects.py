"""S3 in a folder of this machine."""

import itertools
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.ports import ObjectInfo, Piece
from dropbatch.storage.objects import read_object

INBOX = "inbox"
"""The bucket that keeps replaced versions."""

NAME_LENGTH = 200
"""A longer key becomes several folders: most file systems take names of 255 bytes."""

BLOCK_BYTES = 1 << 20
DELETED_AT_ONCE = 1000
"""Maximum number of objects that one call to S3 deletes."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of a file's bytes; its name says which: `<version>.<number>.<start>.<end>`.

    A linked file is a person's own, and is never deleted.
    """

    path: Path
    start: int
    end: int
    is_linked: bool = False

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of an object. A joined object consists of several parts."""

    id: str
    parts: Sequence[_Part]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    @property
    def modified(self) -> int:
        return int(self.parts[0].path.stat().st_mtime) if self.parts else 0

    def cut(self, start: int, end: int) -> Iterator[_Part]:
        """Return the parts that hold the bytes from `start` up to `end`."""
        at = 0
        for part in self.parts:
            first, last = max(start, at), min(end, at + len(part))
            if first < last:
                yield _Part(part.path, part.start + first - at, part.start + last - at, part.is_linked)
            at += len(part)


class FolderObjects:
    """S3 in a folder: `<bucket>/<key, quoted, in parts of bounded length>/<part>`.

    Only the inbox keeps replaced versions. A joined object shares its pieces' files, for it is S3 that copies them.
    `read_bytes` and `written_bytes` count what passed through the process, `calls` what was asked, by name. Several
    processes may use a folder one after another.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._objects: dict[tuple[str, str], list[_Version]] = {}
        self.read_bytes = self.written_bytes = 0
        self.calls: dict[str, int] = {}
        found: dict[tuple[str, str, str], list[_Part]] = {}
        for path in sorted(path for path in folder.rglob("*.*.*.*") if path.is_file()):
            version, _, start, end = path.name.split(".")
            bucket, *names = path.relative_to(folder).parts[:-1]
            place = (bucket, unquote("".join(names)), version)
            found.setdefault(place, []).append(_Part(path, int(start), int(end)))
        for (bucket, key, version), parts in found.items():
            self._objects.setdefault((bucket, key), []).append(_Version(version, parts))
        newest = max((int(version) for _, _, version in found), default=0)
        self._ids = itertools.count(newest + 1)

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo:
        self._called("head")
        found = self._find(bucket, key, version_id)
        return ObjectInfo(found.id, found.modified, found.size, {})

    def blocks(self, bucket: str, key: str, version_id: str | None = None, start: int = 0) -> Iterator[bytes]:
        self._called("get")
        found = self._find(bucket, key, version_id)
        return self._blocks(found.cut(start, found.size))

    def _blocks(self, parts: Iterable[_Part]) -> Iterator[bytes]:
        for part in parts:
            with part.path.open("rb", buffering=0) as file:
                file.seek(part.start)
                while block := file.read(min(BLOCK_BYTES, part.end - file.tell())):
                    self.read_bytes += len(block)
                    yield block

    def read_range(self, bucket: str, key: str, start: int, end: int, version_id: str | None = None) -> bytes:
        self._called("get")
        return b"".join(self._blocks(self._find(bucket, key, version_id).cut(start, end)))

    def read_many(self, bucket: str, keys: Sequence[str]) -> Iterator[bytes]:
        return (read_object(self, bucket, key) for key in keys)

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        content_type: str,  # noqa: ARG002  # the port's
        *,
        is_progress: bool = False,  # noqa: ARG002  # the port's
    ) -> None:
        with self._new(bucket, key) as file:
            file.write(data)
        self._called("put")
        self.written_bytes += len(data)

    def link(self, bucket: str, key: str, path: Path) -> None:
        """Make a file of this machine an object, without a copy. It lasts as long as the process."""
        self._keep(bucket, key, _Version(self._new_id(), [_Part(path, 0, path.stat().st_size, is_linked=True)]))

    def put_new(self, bucket: str, key: str, data: bytes, content_type: str) -> bool:
        if (bucket, key) in self._objects:
            return False
        self.put(bucket, key, data, content_type)
        return True

    @contextmanager
    def writing(self, bucket: str, key: str, content_type: str) -> Iterator[BinaryIO]:  # noqa: ARG002  # the port's
        with self._new(bucket, key) as file:
            yield file
            self.written_bytes += file.tell()
        self._called("put")

    def join(
        self,
        pieces: Sequence[Piece],
        bucket: str,
        key: str,
        content_type: str,  # noqa: ARG002  # the port's
        in_time: Callable[[], bool] = lambda: True,  # noqa: ARG002  # joining takes no time here
        begun: Mapping[str, Any] | None = None,  # noqa: ARG002  # as above
        instead_of: str | None = None,  # noqa: ARG002  # nobody else writes here
    ) -> dict[str, Any] | None:
        folder, version = self._folder_of(bucket, key), self._new_id()
        parts: list[_Part] = []
        for piece in pieces:
            source = self._find(piece.bucket, piece.key, piece.version_id)
            for cut in source.cut(piece.start, piece.start + len(piece)):
                path = folder / f"{version}.{len(parts):06d}.{cut.start}.{cut.end}"
                path.hardlink_to(cut.path)
                parts.append(_Part(path, cut.start, cut.end))
        self._keep(bucket, key, _Version(version, parts))
        self._called("join")
        return None

    def delete_all(self, bucket: str, prefix: str, in_time: Callable[[], bool] = lambda: True) -> bool:
        found = [(b, key) for b, key in self._objects if b == bucket and key.startswith(prefix)]
        for start in range(0, len(found), DELETED_AT_ONCE):
            if start and not in_time():
                return False
            self._called("delete")
            for place in found[start : start + DELETED_AT_ONCE]:
                self._forget(self._objects.pop(place))
        return True

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        self._called("list")
        keys = sorted(key for b, key in self._objects if b == bucket)
        found = keys[bisect_right(keys, after) :][:1000]
        return [(key, self._find(bucket, key, None).modified) for key in found]

    def _called(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1

    def _find(self, bucket: str, key: str, version_id: str | None) -> _Version:
        versions = self._objects.get((bucket, key), [])
        if version_id is not None:
            versions = [version for version in versions if version.id == version_id]
        if not versions:
            raise ObjectNotFoundError("NoSuchKey")
        return versions[-1]

    @contextmanager
    def _new(self, bucket: str, key: str) -> Iterator[BinaryIO]:
        """Yield the file of a new version of an object. The version exists when the block ends."""
        folder, version = self._folder_of(bucket, key), self._new_id()
        part = folder / f"{version}.part"
        try:
            with part.open("wb", buffering=BLOCK_BYTES) as file:
                yield file
        except BaseException:
            part.unlink()
            raise
        size = part.stat().st_size
        path = part.rename(folder / f"{version}.000000.0.{size}")
        now = self._clock()
        os.utime(path, (now, now))
        self._keep(bucket, key, _Version(version, [_Part(path, 0, size)]))

    def _folder_of(self, bucket: str, key: str) -> Path:
        name = quote(key, safe="")
        folder = self._folder.joinpath(
            bucket, *(name[at : at + NAME_LENGTH] for at in range(0, len(name), NAME_LENGTH))
        )
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _new_id(self) -> str:
        return f"{next(self._ids):09d}"

    def _keep(self, bucket: str, key: str, version: _Version) -> None:
        versions = self._objects.setdefault((bucket, key), [])
        if bucket != INBOX:
            self._forget(versions)
            versions.clear()
        versions.append(version)

    def _forget(self, versions: Sequence[_Version]) -> None:
        for version in versions:
            for part in version.parts:
                if not part.is_linked:
                    part.path.unlink()
