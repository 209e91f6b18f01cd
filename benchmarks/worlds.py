"""A context over a folder: objects on disk, the table and the queues in memory, and the OpenAI client of the case.

Measurements run the product's use cases over it, so the time of moto or of a server does not count.
"""

import itertools
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import orjson

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import ObjectNotFoundError, StaleItemError
from dropbatch.ports import Audience, Notification, ObjectInfo, OpenAI, Piece
from dropbatch.reporting.message_length import fitted
from dropbatch.storage.context import Buckets, Context

BUCKETS = Buckets(inbox="inbox", results="results", work="work")
BLOCK_BYTES = 1 << 20
DELETED_AT_ONCE = 1000
"""Maximum number of objects that one call to S3 deletes."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of a file's bytes; its name says which: `<version>.<number>.<start>.<end>`."""

    path: Path
    start: int
    end: int

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
                yield _Part(part.path, part.start + first - at, part.start + last - at)
            at += len(part)


class FolderObjects:
    """S3 in a folder: `<bucket>/<key, quoted>/<part>`. Only the inbox keeps replaced versions.

    A joined object shares its pieces' files, for it is S3 that copies them. `read_bytes` and `written_bytes` count what
    passed through the process, `calls` what was asked, by name. Several processes may use a folder one after another.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._objects: dict[tuple[str, str], list[_Version]] = {}
        self.read_bytes = self.written_bytes = 0
        self.calls: dict[str, int] = {}
        found: dict[tuple[str, str, str], list[_Part]] = {}
        for path in sorted(folder.glob("*/*/*.*.*.*")):
            version, _, start, end = path.name.split(".")
            place = (path.parts[-3], unquote(path.parts[-2]), version)
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
        folder = self._folder / bucket / quote(key, safe="")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _new_id(self) -> str:
        return f"{next(self._ids):09d}"

    def _keep(self, bucket: str, key: str, version: _Version) -> None:
        versions = self._objects.setdefault((bucket, key), [])
        if bucket != BUCKETS.inbox:
            self._forget(versions)
            versions.clear()
        versions.append(version)

    def _forget(self, versions: Sequence[_Version]) -> None:
        for version in versions:
            for part in version.parts:
                part.path.unlink()


class MemoryTable:
    """DynamoDB in memory. Items are kept as JSON. `calls` counts the calls by name."""

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
            raise StaleItemError
        self._keep(item)

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        self._called("put")
        found = self._get(item["pk"], item["sk"])
        if found is None or found["rev"] != rev:
            raise StaleItemError
        self._keep(item)

    def write_all(self, items: Sequence[tuple[Mapping[str, Any], int]]) -> None:
        self._called("transaction")
        for item, rev in items:
            found = self._get(item["pk"], item["sk"])
            if (found["rev"] if found else 0) != rev:
                raise StaleItemError
        for item, _ in items:
            self._keep(item)

    def delete(self, pk: str, sk: str, rev: int) -> None:
        self._called("delete")
        found = self._get(pk, sk)
        if found is None:
            return
        if found["rev"] != rev:
            raise StaleItemError
        del self._items[pk][sk]
        self._close(pk, sk)

    def renew(self, pk: str, sk: str, lease: str, until: int) -> None:
        self._called("update")
        found = self._get(pk, sk)
        if found is None or found.get("lease") != lease:
            raise StaleItemError
        self._keep({**found, "lease_until": until})

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        self._called("query")
        items = self._items.get(pk, {})
        found = [items[sk] for sk in sorted(items) if sk.startswith(sk_prefix)]
        return (orjson.loads(item) for item in found)

    def newest(self, pk: str, maximum: int) -> Sequence[dict[str, Any]]:
        self._called("query")
        items = self._items.get(pk, {})
        return [orjson.loads(items[sk]) for sk in sorted(items, reverse=True)[:maximum]]

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
    """Messages with the time from which they may be taken, the earliest first. `sent` counts them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._messages: list[tuple[float, dict[str, Any]]] = []
        self.sent = 0

    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        self._messages.append((self._clock() + delay_seconds, orjson.loads(orjson.dumps(message))))
        self.sent += 1

    def take(self) -> dict[str, Any] | None:
        """Return the message that has been due for longest, or None if none is due."""
        place = min(range(len(self._messages)), key=lambda n: self._messages[n][0], default=None)
        if place is None or self._messages[place][0] > self._clock():
            return None
        return self._messages.pop(place)[1]

    def depth(self) -> int:
        return len(self._messages)

    def hide(self, receipt: str, seconds: int) -> None:
        """Do nothing: `take` has deleted the message."""

    def __len__(self) -> int:
        return len(self._messages)


class NoDeadLetters:
    """A dead-letter queue that is always empty."""

    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return []

    def delete(self, receipt: str) -> None:
        """Do nothing."""


class SilentBus:
    """EventBridge without a rule."""

    def publish(self, notification: Notification) -> None:
        """Ignore the event."""


@dataclass(slots=True)
class KeptTopics:
    """The notifications: `published` for programs, `people` for people, `operators` for operators."""

    published: list[Notification] = field(default_factory=list)
    people: list[Notification] = field(default_factory=list)
    operators: list[Notification] = field(default_factory=list)

    def publish(self, audience: Audience, notification: Notification) -> None:
        told = {
            Audience.PROGRAMS: self.published,
            Audience.PEOPLE: self.people,
            Audience.OPERATORS: self.operators,
        }
        told[audience].append(fitted(notification))


class SilentObserver:
    """An observer that writes nothing. It counts its calls by name."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def info(self, message: str, **fields: Any) -> None:  # noqa: ARG002  # the port's
        self.counts[message] = self.counts.get(message, 0) + 1

    warning = info
    exception = info

    def metric(self, name: str, value: float, **dimensions: str) -> None:
        """Ignore the metric."""


def folder_context(
    folder: Path,
    openai: OpenAI,
    *,
    clock: Callable[[], float] = time.time,
    seconds_left: Callable[[], float] = lambda: 300.0,
    limits: Limits | None = None,
    token_limits: Mapping[str, int] | None = None,
) -> Context:
    """Return a context whose objects and scratch files are in `folder`. All else is new, and ends with the process."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    tokens = itertools.count(1)
    return Context(
        objects=FolderObjects(folder / "objects", clock),
        table=MemoryTable(),
        intake=MemoryQueue(clock),
        dispatch=MemoryQueue(clock),
        collect=MemoryQueue(clock),
        dead_letters={name: NoDeadLetters() for name in ("intake", "dispatch", "collect", "drop_events")},
        topics=KeptTopics(),
        bus=SilentBus(),
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
