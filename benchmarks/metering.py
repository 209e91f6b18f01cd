"""The bill of AWS for the use cases: an account over fakes that counts what each call of the adapters comes to.

A fake knows what a call does, and this module what AWS counts for it: units of the table by the size of items, parts of
uploads by the size of objects, and lines of the log as Powertools writes them. What is counted has the names of the
prices in `benchmarks/prices.toml`, except bytes, calls to OpenAI and reported metrics.
"""

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from itertools import count
from math import ceil
from typing import Any

import msgspec
from aws_lambda_powertools import Logger, Metrics

from dropbatch.adapters.s3 import PART_BYTES
from dropbatch.adapters.s3_multipart import MIN_PART_BYTES
from dropbatch.adapters.secrets import CACHE_SECONDS
from dropbatch.domain.states import OpenAIStatus
from dropbatch.entrypoints.observability import PowertoolsObserver
from dropbatch.ports import Audience, Piece, RemoteBatch
from dropbatch.storage.context import Context
from tests.fakes import RESULTS, WORK, FakeContext, FakeObjects, FakeOpenAI, FakeTable

Bill = Counter[str]

PAGE_READS = 75
"""The read units of an index page, whose 500 entries have 600 bytes each: the most, however few a run has listed."""

SQS_REQUESTS_A_MESSAGE = 4
"""To send it, to receive it, to hide it while its step runs, and to delete it."""

EVENT_BYTES = 26
"""What CloudWatch Logs counts for an event besides its text."""

PLATFORM_LOG_BYTES = 150 + 260 + 2 * EVENT_BYTES
"""The lines of Lambda itself about an invocation: that it began, and how long it took."""

_ID, _TRACE = "0" * 36, "1-00000000-" + "0" * 24
_numbers = count()


@dataclass
class MeteredAccount(FakeContext):
    """Fakes whose calls are billed. While `progress` is set, batches at OpenAI stay open, and this part is done."""

    bill: Bill = field(default_factory=Counter)
    progress: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log = io.StringIO()
        self.metrics: set[str] = set()  # the names of those that were reported
        self.key_read_at = 0.0
        self.observer_of_functions = _observer(self.log)

    @property
    def context(self) -> Context:
        seen = super().context
        return replace(
            seen,
            objects=_Objects(self.objects, self.bill),
            table=_Table(self.table, self.bill),
            intake=_Queue(self.intake, self.bill),
            dispatch=_Queue(self.dispatch, self.bill),
            collect=_Queue(self.collect, self.bill),
            dead_letters={name: _DeadLetters(letters, self.bill) for name, letters in self.dead_letters.items()},
            topics=_Topics(self.topics, self.bill),
            bus=_Bus(self.bus, self.bill),
            openai=_OpenAI(self.openai, self),
            observer=self.observer_of_functions,
        )

    @contextmanager
    def metering(self) -> Iterator[Bill]:
        """Yield a bill. At the end it has what the block came to, with its log."""
        self.bill.clear()
        self.log.seek(0)
        self.log.truncate()
        bill: Bill = Counter()
        with redirect_stdout(self.log):  # Powertools prints metrics
            yield bill
        bill.update(self.bill)
        lines = self.log.getvalue().splitlines()
        bill["log_bytes"] += sum(len(line.encode()) + EVENT_BYTES for line in lines)
        self.metrics |= {name for line in lines for name in _metrics_in(json.loads(line))}

    def kept_bytes(self, bucket: str) -> int:
        """Return the size of what is in a bucket."""
        return sum(len(self.objects.content(bucket, key)) for key in self.objects.keys(bucket))


def _observer(log: io.StringIO) -> PowertoolsObserver:
    service = f"dropbatch-{next(_numbers):06d}"  # loggers of one service share a stream
    logger = Logger(service=service, stream=log)
    logger.append_keys(request_id=_ID, message_id=_ID, xray_trace_id=_TRACE)  # as on Lambda
    return PowertoolsObserver(logger, Metrics(namespace="Dropbatch", service=service))


def _metrics_in(line: Mapping[str, Any]) -> Iterator[str]:
    for about in line.get("_aws", {}).get("CloudWatchMetrics", ()):
        yield from (metric["Name"] for metric in about["Metrics"])


class _Port:
    """A port: what it does not define itself is that of the fake, and costs nothing."""

    def __init__(self, fake: Any, bill: Bill) -> None:
        self._fake, self._bill = fake, bill

    def __getattr__(self, member: str) -> Any:
        return getattr(self._fake, member)


class _Table(_Port):
    """DynamoDB: write units of 1 KB, and read units of 4 KB, or 8 KB out of the index."""

    _fake: FakeTable

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        found = self._fake.get(pk, sk)
        self._bill["table_reads"] += max(1, ceil(_size(found) / 4096)) if found else 1
        return found

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        found = list(self._fake.query(pk, sk_prefix))
        self._bill["table_reads"] += max(1, ceil(sum(map(_size, found)) / 4096))
        return iter(found)

    def newest(self, pk: str, maximum: int) -> Sequence[dict[str, Any]]:
        self._bill["table_reads"] += PAGE_READS
        return self._fake.newest(pk, maximum)

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        found = list(self._fake.open_items(kind))
        self._bill["table_reads"] += max(1, ceil(sum(map(_size, found)) / 4096)) / 2  # type: ignore[assignment]  # a half
        return iter(found)

    def insert(self, item: Mapping[str, Any]) -> None:
        self._bill["table_writes"] += self._units(item)
        self._fake.insert(item)

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        self._bill["table_writes"] += self._units(item)
        self._fake.replace(item, rev)

    def write_all(self, items: Sequence[tuple[Mapping[str, Any], int]]) -> None:
        self._bill["table_writes"] += sum(self._units(item, transaction=2) for item, _ in items)
        self._fake.write_all(items)

    def delete(self, pk: str, sk: str, rev: int) -> None:
        self._bill["table_writes"] += self._units(self._fake.get(pk, sk) or {}, {"pk": pk, "sk": sk})
        self._fake.delete(pk, sk, rev)

    def renew(self, pk: str, sk: str, lease: str, until: int) -> None:
        self._bill["table_writes"] += self._units(self._fake.get(pk, sk) or {"pk": pk, "sk": sk})
        self._fake.renew(pk, sk, lease, until)

    def _units(self, item: Mapping[str, Any], new: Mapping[str, Any] | None = None, transaction: int = 1) -> int:
        """Return the units of a write: of the item, and of its copies in the index, before and after it."""
        new = item if new is None else new
        size = max(1, ceil(_size(item) / 1024))
        before = _index_key(self._fake.get(item["pk"], item["sk"]) or {}) if item else None
        after = _index_key(new)
        copies = (before is not None) + (after is not None) if before != after else after is not None
        return size * (transaction + copies)


def _index_key(item: Mapping[str, Any]) -> tuple[str, str] | None:
    return (item["open"], item["since"]) if "open" in item and "since" in item else None


def _size(item: Mapping[str, Any]) -> int:
    return len(msgspec.json.encode(item))


class _Objects(_Port):
    """S3: a write is a PUT, a part, a copy or a list; to delete is free."""

    _fake: FakeObjects

    def head(self, *args: Any) -> Any:
        self._bill["s3_reads"] += 1
        return self._fake.head(*args)

    def blocks(self, bucket: str, key: str, version_id: str | None = None, start: int = 0) -> Iterator[bytes]:
        self._bill["s3_reads"] += 1
        return self._fake.blocks(bucket, key, version_id, start)

    def read_range(self, *args: Any) -> bytes:
        self._bill["s3_reads"] += 1
        return self._fake.read_range(*args)

    def read_many(self, bucket: str, keys: Sequence[str]) -> Iterator[bytes]:
        self._bill["s3_reads"] += len(keys)
        return self._fake.read_many(bucket, keys)

    def put(self, bucket: str, key: str, data: bytes, content_type: str, *, is_progress: bool = False) -> None:
        self._wrote(bucket, len(data), 1)
        self._fake.put(bucket, key, data, content_type, is_progress=is_progress)

    def put_new(self, bucket: str, key: str, data: bytes, content_type: str) -> bool:
        self._wrote(bucket, len(data), 1)
        return self._fake.put_new(bucket, key, data, content_type)

    @contextmanager
    def writing(self, bucket: str, key: str, content_type: str) -> Iterator[Any]:
        with self._fake.writing(bucket, key, content_type) as buffer:
            yield buffer
        size = len(buffer.data)
        self._wrote(bucket, size, 1 if size < PART_BYTES else 2 + ceil(size / PART_BYTES))

    def join(self, pieces: Sequence[Piece], bucket: str, *args: Any, **more: Any) -> dict[str, Any] | None:
        size = sum(map(len, pieces))
        if len(pieces) == 1 and size < MIN_PART_BYTES:
            self._bill["s3_reads"] += 1
            self._wrote(bucket, size, 1)
        else:  # a copy of each piece, as those of whole shards are
            self._wrote(bucket, size, 2 + len(pieces))
        return self._fake.join(pieces, bucket, *args, **more)

    def delete_all(self, *args: Any) -> bool:
        self._bill["s3_writes"] += 1
        return self._fake.delete_all(*args)

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        self._bill["s3_writes"] += 1
        return self._fake.names(bucket, after)

    def _wrote(self, bucket: str, size: int, calls: int) -> None:
        self._bill["s3_writes"] += calls
        self._bill["written_bytes"] += size * (bucket in (RESULTS, WORK))


class _Queue(_Port):
    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        self._bill["messages"] += 1
        self._fake.send(message, delay_seconds)

    def depth(self) -> int:
        self._bill["sqs_requests"] += 1
        return int(self._fake.depth())

    def hide(self, receipt: str, seconds: int) -> None:
        self._bill["sqs_requests"] += 1
        self._fake.hide(receipt, seconds)


class _DeadLetters(_Port):
    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        self._bill["sqs_requests"] += 1
        found: Sequence[tuple[str, Mapping[str, Any]]] = self._fake.take()
        return found

    def delete(self, receipt: str) -> None:
        self._bill["sqs_requests"] += 1
        self._fake.delete(receipt)


class _Topics(_Port):
    """SNS: a notification, the mail of one person who gets it, and the key's requests for a topic that rested."""

    def publish(self, audience: Audience, notification: Any) -> None:
        self._bill["sns_publishes"] += 1
        self._bill["sns_mails"] += audience is not Audience.PROGRAMS
        self._bill["key_requests"] += 2
        self._fake.publish(audience, notification)


class _Bus(_Port):
    def publish(self, *args: Any, **more: Any) -> Any:
        self._bill["events"] += 1
        return self._fake.publish(*args, **more)


class _OpenAI:
    """OpenAI: its calls cost nothing, and are counted because it limits them. The key for them is read now and then."""

    def __init__(self, fake: FakeOpenAI, account: MeteredAccount) -> None:
        self._fake, self._account = fake, account

    def key_version(self, fresh: bool = False) -> str:
        self._read_key(fresh)
        return self._fake.key_version(fresh)

    def _read_key(self, fresh: bool = False) -> None:
        now = self._account.clock()
        if fresh or now - self._account.key_read_at >= CACHE_SECONDS:
            self._account.bill["secret_reads"] += 1
            self._account.key_read_at = now

    def retrieve(self, batch_id: str) -> RemoteBatch:
        self._account.bill["openai_calls"] += 1
        self._read_key()
        if self._account.progress is None:
            return self._fake.retrieve(batch_id)
        batch = self._fake.batches[batch_id]
        done = int(batch.total * self._account.progress)
        return replace(batch, status=OpenAIStatus.IN_PROGRESS, completed=done)

    def __getattr__(self, member: str) -> Any:
        found = getattr(self._fake, member)
        if member in ("upload", "create", "streaming", "delete_file", "newest"):
            self._account.bill["openai_calls"] += 1
            self._read_key()
        return found
