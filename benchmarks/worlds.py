"""A world over a folder: objects on disk, the table and the queues in memory, OpenAI whatever the case gives.

What is measured runs the product's own use cases over it, and so neither moto's nor a server's time is measured.
"""

import itertools
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import orjson

from dropbatch.domain.errors import ConditionFailed, ObjectMissing
from dropbatch.domain.limits import Limits
from dropbatch.ports import Buckets, Notification, ObjectInfo, OpenAI, Piece, World

BUCKETS = Buckets(inbox="inbox", results="results", work="work")
BLOCK_BYTES = 1 << 20
COPY_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class _Version:
    id: str
    path: Path


class FolderObjects:
    """S3 in a folder: `<bucket>/<key, quoted>/<version>`. Only the inbox keeps the versions that were replaced.

    `read_bytes`, `written_bytes` and `copied_bytes` count what passed through the process and what S3 would have copied
    by itself; `calls` what was asked, by name. Several processes may use a folder one after another.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._objects: dict[tuple[str, str], list[_Version]] = {}
        self.read_bytes = self.written_bytes = self.copied_bytes = 0
        self.calls: dict[str, int] = {}
        for path in sorted(folder.glob("*/*/*")):
            if path.suffix != ".part":
                place = (path.parts[-3], unquote(path.parts[-2]))
                self._objects.setdefault(place, []).append(_Version(path.name, path))
        newest = max((int(version.id) for versions in self._objects.values() for version in versions), default=0)
        self._ids = itertools.count(newest + 1)

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo:
        self._called("head")
        found = self._find(bucket, key, version_id)
        status = found.path.stat()
        return ObjectInfo(found.id, int(status.st_mtime), status.st_size, {})

    def blocks(self, bucket: str, key: str, version_id: str | None = None, start: int = 0) -> Iterator[bytes]:
        self._called("get")
        found = self._find(bucket, key, version_id)
        return self._blocks(found.path, start)

    def _blocks(self, path: Path, start: int) -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while block := file.read(BLOCK_BYTES):
                self.read_bytes += len(block)
                yield block

    def read_range(self, bucket: str, key: str, start: int, end: int, version_id: str | None = None) -> bytes:
        self._called("get")
        with self._find(bucket, key, version_id).path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
        self.read_bytes += len(data)
        return data

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:  # noqa: ARG002  # the port's
        with self._new(bucket, key) as file:
            file.write(data)
        self._called("put")
        self.written_bytes += len(data)

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
    ) -> dict[str, Any] | None:
        with self._new(bucket, key) as file:
            for piece in pieces:
                self._append(self._find(piece.bucket, piece.key, None).path, piece.start, file)
        self._called("join")
        return None

    def _append(self, path: Path, start: int, file: BinaryIO) -> None:
        """As S3 copies: the bytes do not pass through this process."""
        with path.open("rb", buffering=0) as source:
            source.seek(start)
            while copied := os.copy_file_range(source.fileno(), file.fileno(), COPY_BYTES):
                self.copied_bytes += copied

    def delete_all(self, bucket: str, prefix: str) -> None:
        for place in [(b, key) for b, key in self._objects if b == bucket and key.startswith(prefix)]:
            for version in self._objects.pop(place):
                version.path.unlink()

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        self._called("list")
        keys = sorted(key for b, key in self._objects if b == bucket)
        found = keys[bisect_right(keys, after) :][:1000]
        return [(key, int(self._find(bucket, key, None).path.stat().st_mtime)) for key in found]

    def path(self, bucket: str, key: str) -> Path:
        """Where an object's newest version lies."""
        return self._find(bucket, key, None).path

    def _called(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1

    def _find(self, bucket: str, key: str, version_id: str | None) -> _Version:
        versions = self._objects.get((bucket, key), [])
        if version_id is not None:
            versions = [version for version in versions if version.id == version_id]
        if not versions:
            raise ObjectMissing("NoSuchKey")
        return versions[-1]

    @contextmanager
    def _new(self, bucket: str, key: str) -> Iterator[BinaryIO]:
        """A new version of an object, there once it is whole."""
        folder = self._folder / bucket / quote(key, safe="")
        folder.mkdir(parents=True, exist_ok=True)
        version = f"{next(self._ids):09d}"
        part = folder / f"{version}.part"
        try:
            with part.open("wb", buffering=BLOCK_BYTES) as file:
                yield file
        except BaseException:
            part.unlink()
            raise
        part.rename(folder / version)
        now = self._clock()
        os.utime(folder / version, (now, now))
        versions = self._objects.setdefault((bucket, key), [])
        if bucket != BUCKETS.inbox:
            for old in versions:
                old.path.unlink()
            versions.clear()
        versions.append(_Version(version, folder / version))


class MemoryTable:
    """DynamoDB in memory, items kept as JSON. `calls` counts what was asked, by name."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, bytes]] = {}
        self._open: dict[str, dict[tuple[str, str], str]] = {}
        self.calls: dict[str, int] = {}

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        self._called("get")
        return self._get(pk, sk)

    def insert(self, item: Mapping[str, Any]) -> None:
        self._called("put")
        if item["sk"] in self._items.get(item["pk"], {}):
            raise ConditionFailed
        self._keep(item)

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        self._called("put")
        found = self._get(item["pk"], item["sk"])
        if found is None or found["rev"] != rev:
            raise ConditionFailed
        self._keep(item)

    def delete(self, pk: str, sk: str, rev: int) -> None:
        self._called("delete")
        found = self._get(pk, sk)
        if found is None:
            return
        if found["rev"] != rev:
            raise ConditionFailed
        del self._items[pk][sk]
        self._close(pk, sk)

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        self._called("query")
        items = self._items.get(pk, {})
        found = [items[sk] for sk in sorted(items) if sk.startswith(sk_prefix)]
        return (orjson.loads(item) for item in found)

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        self._called("query")
        keys = sorted(self._open.get(kind, {}).items(), key=lambda entry: entry[1])
        return (orjson.loads(self._items[pk][sk]) for (pk, sk), _ in keys if sk in self._items.get(pk, {}))

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        item = self._items.get(pk, {}).get(sk)
        return orjson.loads(item) if item else None

    def _keep(self, item: Mapping[str, Any]) -> None:
        pk, sk = item["pk"], item["sk"]
        self._items.setdefault(pk, {})[sk] = orjson.dumps(item)
        self._close(pk, sk)
        if "open" in item:
            self._open.setdefault(item["open"], {})[pk, sk] = item["since"]

    def _close(self, pk: str, sk: str) -> None:
        for kind in self._open.values():
            kind.pop((pk, sk), None)

    def _called(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1


class MemoryQueue:
    """Messages with the time from which they may be taken, the earliest first; `sent` counts them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._messages: list[tuple[float, dict[str, Any]]] = []
        self.sent = 0

    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        self._messages.append((self._clock() + delay_seconds, orjson.loads(orjson.dumps(message))))
        self.sent += 1

    def take(self) -> dict[str, Any] | None:
        """The message that has been due for longest, or None where none is."""
        place = min(range(len(self._messages)), key=lambda n: self._messages[n][0], default=None)
        if place is None or self._messages[place][0] > self._clock():
            return None
        return self._messages.pop(place)[1]

    def __len__(self) -> int:
        return len(self._messages)


class NoDeadLetters:
    """None ever."""

    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return []

    def delete(self, receipt: str) -> None:
        """Nothing to delete."""


@dataclass(slots=True)
class KeptTopics:
    """What was told."""

    published: list[Notification] = field(default_factory=list)

    def publish(self, notification: Notification) -> None:
        self.published.append(notification)


class SilentObserver:
    """Counts what is observed, by name."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def note(self, message: str, **fields: Any) -> None:  # noqa: ARG002  # the port's
        self.counts[message] = self.counts.get(message, 0) + 1

    warn = note
    failed = note

    def measure(self, name: str, value: float, **dimensions: str) -> None:
        """Nothing is kept of it."""


def folder_world(
    folder: Path,
    openai: OpenAI,
    *,
    clock: Callable[[], float] = time.time,
    seconds_left: Callable[[], float] = lambda: 300.0,
    limits: Limits | None = None,
    token_limits: Mapping[str, int] | None = None,
) -> World:
    """A world whose objects and scratch lie in `folder`; the rest of it is new, and gone with the process."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    tokens = itertools.count(1)
    return World(
        objects=FolderObjects(folder / "objects", clock),
        table=MemoryTable(),
        intake=MemoryQueue(clock),
        dispatch=MemoryQueue(clock),
        collect=MemoryQueue(clock),
        dead_intake=NoDeadLetters(),
        topics=KeptTopics(),
        openai=openai,
        observer=SilentObserver(),
        buckets=BUCKETS,
        clock=clock,
        seconds_left=seconds_left,
        scratch=scratch,
        new_token=lambda: f"{os.getpid()}-{next(tokens)}",
        limits=limits or Limits(),
        token_limits=token_limits or {},
        secret_name="the-secret",
    )
