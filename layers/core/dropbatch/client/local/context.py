"""A context over a folder: objects on disk, the table and the queues in memory, and an OpenAI client that is given.

`dropbatch check` and the benchmarks run the product's use cases over it.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from dropbatch.batch_api.limits import Limits
from dropbatch.client.local.objects import INBOX, FolderObjects
from dropbatch.domain.errors import StaleItemError
from dropbatch.ports import Audience, Notification, OpenAI
from dropbatch.reporting.message_length import fitted
from dropbatch.storage.context import Buckets, Context

BUCKETS = Buckets(inbox=INBOX, results="results", work="work")


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

    def job_metric(self, name: str, value: float, job_id: str = "", **dimensions: str) -> None:
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
        secret_name="the-secret",  # noqa: S106  # a name
    )
