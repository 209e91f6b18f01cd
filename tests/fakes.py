"""The world in memory: every port, a clock that tests move, and a process that can be killed at any call.

The fakes pass the same contract suite as the real adapters (`tests/contract`).
"""

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dropbatch.domain.errors import ConditionFailed, ObjectForbidden, ObjectMissing, OpenAIKeyRejected, OpenAINotFound
from dropbatch.domain.jobs import TERMINAL, OpenAIStatus
from dropbatch.domain.limits import Limits
from dropbatch.ports import Buckets, Notification, ObjectInfo, Piece, RemoteBatch, World

INBOX, RESULTS, WORK = "the-inbox", "the-results", "the-work"


class FakeClock:
    """Seconds since 1970, moved by hand."""

    def __init__(self, now: float = 1_750_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


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


class FakeTable:
    """Items by (pk, sk), kept as JSON, so that nothing is shared with who wrote them."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], str] = {}

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        item = self._items.get((pk, sk))
        return json.loads(item) if item else None

    def insert(self, item: Mapping[str, Any]) -> None:
        if (item["pk"], item["sk"]) in self._items:
            raise ConditionFailed
        self._items[item["pk"], item["sk"]] = json.dumps(item)

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        found = self.get(item["pk"], item["sk"])
        if found is None or found["rev"] != rev:
            raise ConditionFailed
        self._items[item["pk"], item["sk"]] = json.dumps(item)

    def delete(self, pk: str, sk: str, rev: int) -> None:
        found = self.get(pk, sk)
        if found is not None and found["rev"] != rev:
            raise ConditionFailed
        self._items.pop((pk, sk), None)

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        keys = sorted(key for key in self._items if key[0] == pk and key[1].startswith(sk_prefix))
        return (json.loads(self._items[key]) for key in keys if key in self._items)

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        items = [json.loads(item) for item in self._items.values()]
        return iter(sorted((item for item in items if item.get("open") == kind), key=lambda item: item["since"]))

    def everything(self) -> str:
        """All that the table holds, as text."""
        return "\n".join(self._items.values())


class FakeQueue:
    """Messages with the time from which they may be taken."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.messages: list[tuple[float, dict[str, Any]]] = []

    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        assert 0 <= delay_seconds <= 900
        self.messages.append((self._clock() + delay_seconds, json.loads(json.dumps(message))))

    def take(self) -> dict[str, Any] | None:
        for index, (due, message) in enumerate(self.messages):
            if due <= self._clock():
                del self.messages[index]
                return message
        return None


class FakeDeadLetters:
    """What was taken stays hidden."""

    def __init__(self) -> None:
        self._receipts = itertools.count(1)
        self._visible: list[dict[str, Any]] = []
        self._hidden: dict[str, dict[str, Any]] = {}

    def put(self, message: Mapping[str, Any]) -> None:
        self._visible.append(json.loads(json.dumps(message)))

    def take(self) -> Sequence[tuple[str, dict[str, Any]]]:
        taken, self._visible = self._visible[:10], self._visible[10:]
        found = [(f"receipt-{next(self._receipts)}", message) for message in taken]
        self._hidden.update(found)
        return found

    def delete(self, receipt: str) -> None:
        del self._hidden[receipt]

    @property
    def left(self) -> int:
        return len(self._visible) + len(self._hidden)


class FakeTopics:
    def __init__(self) -> None:
        self.published: list[Notification] = []

    def publish(self, notification: Notification) -> None:
        self.published.append(notification)

    def events(self) -> list[str]:
        return [notification.event for notification in self.published]


class FakeObserver:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.metrics: list[tuple[str, float, dict[str, str]]] = []

    def note(self, message: str, **fields: Any) -> None:
        self.lines.append(f"{message} {json.dumps(fields)}")

    warn = note

    def failed(self, message: str, **fields: Any) -> None:
        import sys

        kind = sys.exc_info()[0]
        self.lines.append(f"{message} {kind.__name__ if kind else ''} {json.dumps(fields)}")

    def measure(self, name: str, value: float, **dimensions: str) -> None:
        self.metrics.append((name, value, dimensions))

    def total(self, name: str) -> float:
        return sum(value for metric, value, _ in self.metrics if metric == name)


Answerer = Callable[[dict[str, Any]], tuple[str, dict[str, Any]] | None]
"""Gives for a request line ("output" | "error", its answer line), or None where the row goes missing."""


Refuser = Callable[[RemoteBatch, list[dict[str, Any]]], Sequence[tuple[str, str, int | None]]]
"""Gives the errors (code, message, line) with which a batch of these requests fails validation, or none."""


def answer_ok(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A chat completion that says ok, or classifies as positive where a schema asks for a sentiment."""
    content = "ok"
    schema = request["body"].get("response_format", {}).get("json_schema", {}).get("schema")
    if schema:
        content = json.dumps({name: member.get("enum", ["text"])[0] for name, member in schema["properties"].items()})
    body = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
    return "output", response_line(request, 200, body)


def response_line(request: dict[str, Any], status: int, body: Any) -> dict[str, Any]:
    return {
        "id": "batch_req_" + request["custom_id"],
        "custom_id": request["custom_id"],
        "response": {"status_code": status, "request_id": "req", "body": body},
        "error": None,
    }


class FakeOpenAI:
    """Files and Batches: a batch ends as soon as it is next looked at, unless `ending` says otherwise."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self.key: str | None = "sk-fake"
        self.key_valid = True
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, RemoteBatch] = {}
        self.answer: Answerer = answer_ok
        self.ending: OpenAIStatus | None = OpenAIStatus.COMPLETED
        self.list_lag = 0.0
        self.refuse: Refuser | None = None
        self.token_limit: int | None = None
        self.cancelled: list[str] = []

    def _authenticate(self) -> None:
        if not self.key or not self.key_valid:
            raise OpenAIKeyRejected("invalid_api_key")

    def key_version(self, fresh: bool = False) -> str:
        if not self.key:
            raise OpenAIKeyRejected("no_key")
        return self.key

    def upload(self, path: Path, name: str) -> str:
        self._authenticate()
        assert name.endswith(".jsonl")
        file_id = f"file-{next(self._ids)}"
        self.files[file_id] = path.read_bytes()
        return file_id

    def create(self, file_id: str, endpoint: str, metadata: Mapping[str, str]) -> RemoteBatch:
        self._authenticate()
        if file_id not in self.files:
            raise OpenAINotFound("no_file", 400)
        lines = self.files[file_id].splitlines()
        made = RemoteBatch(
            id=f"batch_{next(self._ids)}",
            status=OpenAIStatus.VALIDATING,
            created_at=int(self._clock()),
            input_file_id=file_id,
            metadata=dict(metadata),
            total=len(lines),
        )
        self.batches[made.id] = made
        return made

    def retrieve(self, batch_id: str) -> RemoteBatch:
        self._authenticate()
        if batch_id not in self.batches:
            raise OpenAINotFound("no_batch", 404)
        batch = self.batches[batch_id]
        if batch.status is OpenAIStatus.CANCELLING:
            self._end(batch, OpenAIStatus.CANCELLED)
        elif batch.status is OpenAIStatus.VALIDATING and (errors := self._validate(batch)):
            self.batches[batch_id] = replace(batch, status=OpenAIStatus.FAILED, errors=errors)
        elif batch.status not in TERMINAL and self.ending is not None:
            self._end(batch, self.ending)
        return self.batches[batch_id]

    def _validate(self, batch: RemoteBatch) -> Sequence[tuple[str, str, int | None]]:
        requests = [json.loads(line) for line in self.files[batch.input_file_id].split(b"\n") if line]
        if self.token_limit is not None:
            open_batches = [other for other in self.batches.values() if other.status not in TERMINAL]
            enqueued = sum(self.tokens(other) for other in open_batches if other.created_at <= batch.created_at)
            if enqueued > self.token_limit:
                text = f"Enqueued token limit reached for m in organization o. Limit: {self.token_limit:,} enqueued"
                return [("token_limit_exceeded", f"{text} tokens. Please try again later.", None)]
        return self.refuse(batch, requests) if self.refuse else []

    def tokens(self, batch: RemoteBatch) -> int:
        """What a batch enqueues: a quarter of its bodies' bytes."""
        lines = [json.loads(line) for line in self.files[batch.input_file_id].split(b"\n") if line]
        return sum(len(json.dumps(line["body"], separators=(",", ":"))) // 4 for line in lines)

    def _end(self, batch: RemoteBatch, status: OpenAIStatus) -> None:
        files: dict[str, list[bytes]] = {"output": [], "error": []}
        requests = [json.loads(line) for line in self.files[batch.input_file_id].split(b"\n") if line]
        answers = [self.answer(request) for request in requests]
        random.Random(batch.id).shuffle(answers)
        for where, line in filter(None, answers):
            files[where].append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        ids = {}
        for where, content in files.items():
            if content:
                ids[where] = f"file-{next(self._ids)}"
                self.files[ids[where]] = b"".join(content)
        self.batches[batch.id] = replace(
            batch,
            status=status,
            output_file_id=ids.get("output"),
            error_file_id=ids.get("error"),
            completed=len(files["output"]),
            failed=len(files["error"]),
        )

    def newest(self) -> Iterator[Sequence[RemoteBatch]]:
        self._authenticate()
        seen_until = self._clock() - self.list_lag
        found = [batch for batch in reversed(self.batches.values()) if batch.created_at <= seen_until]
        for start in range(0, max(len(found), 1), 2):
            yield [self.retrieve(batch.id) for batch in found[start : start + 2]]

    def cancel(self, batch_id: str) -> None:
        self._authenticate()
        if batch_id not in self.batches:
            raise OpenAINotFound("no_batch", 404)
        self.cancelled.append(batch_id)
        batch = self.batches[batch_id]
        if batch.status not in TERMINAL:
            self.batches[batch_id] = replace(batch, status=OpenAIStatus.CANCELLING)

    def download(self, file_id: str, path: Path) -> None:
        self._authenticate()
        if file_id not in self.files:
            raise OpenAINotFound("no_file", 404)
        path.write_bytes(self.files[file_id])

    def batches_by_key(self) -> dict[str, int]:
        """How many batches were ever created for each key."""
        counts: dict[str, int] = {}
        for batch in self.batches.values():
            counts[batch.metadata["dropbatch"]] = counts.get(batch.metadata["dropbatch"], 0) + 1
        return counts


class Killed(BaseException):
    """The process is gone. Nothing in the project may catch it."""


class Killer:
    """Counts the calls to the world, and kills the process at one: before it takes effect, or just after.

    The point `2n` is before the n-th call (from 0), `2n + 1` after it. `intrusions` run before the n-th call, as
    another process would that is quicker.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.points: set[int] = set()
        self.intrusions: dict[int, Callable[[], None]] = {}

    def wrap(self, name: str, port: Any) -> Any:
        return _Killable(name, port, self)

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        number = len(self.calls)
        self.calls.append(name)
        if 2 * number in self.points:
            raise Killed(name)
        intrude = self.intrusions.pop(number, None)
        if intrude:
            intrude()
        result = call()
        if 2 * number + 1 in self.points:
            raise Killed(name)
        return result


class _Killable:
    def __init__(self, name: str, port: Any, killer: Killer) -> None:
        self._name, self._port, self._killer = name, port, killer

    def __getattr__(self, member: str) -> Any:
        found = getattr(self._port, member)
        if not callable(found):
            return found
        return lambda *args, **more: self._killer.around(f"{self._name}.{member}", lambda: found(*args, **more))


@dataclass
class FakeWorld:
    """The fakes, and the World that the use cases see: through the killer, if there is one."""

    scratch: Path
    clock: FakeClock = field(default_factory=FakeClock)
    limits: Limits = field(default_factory=Limits)
    killer: Killer | None = None
    token_limits: dict[str, int] = field(default_factory=dict)
    seconds_left: Callable[[], float] = lambda: 300.0

    def __post_init__(self) -> None:
        self.objects = FakeObjects(self.clock)
        self.table = FakeTable()
        self.intake, self.dispatch, self.collect = (FakeQueue(self.clock) for _ in range(3))
        self.dead_intake = FakeDeadLetters()
        self.topics = FakeTopics()
        self.openai = FakeOpenAI(self.clock)
        self.observer = FakeObserver()
        self._tokens = itertools.count(1)

    @property
    def world(self) -> World:
        def seen(name: str, port: Any) -> Any:
            return self.killer.wrap(name, port) if self.killer else port

        return World(
            objects=seen("objects", self.objects),
            table=seen("table", self.table),
            intake=seen("intake", self.intake),
            dispatch=seen("dispatch", self.dispatch),
            collect=seen("collect", self.collect),
            dead_intake=seen("dead_intake", self.dead_intake),
            topics=seen("topics", self.topics),
            openai=seen("openai", self.openai),
            observer=self.observer,
            buckets=Buckets(INBOX, RESULTS, WORK),
            clock=self.clock,
            seconds_left=self.seconds_left,
            scratch=self.scratch,
            new_token=lambda: f"token-{next(self._tokens)}",
            limits=self.limits,
            token_limits=self.token_limits,
            secret_name="the-secret",
        )
