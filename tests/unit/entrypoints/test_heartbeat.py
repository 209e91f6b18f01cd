"""A heartbeat keeps a step's lease and message while it runs; a handler retries a failed message later."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.poller import Poller
from dropbatch.entrypoints import sqs_records as queue_handling
from dropbatch.entrypoints.heartbeat import HIDDEN_SECONDS, Heartbeat
from dropbatch.entrypoints.sqs_records import each_message
from dropbatch.jobs.lease import LEASE_SECONDS, acquire
from dropbatch.storage.context import Context
from dropbatch.storage.item_keys import key_of
from tests.fakes import FakeContext


def leased(fake: FakeContext) -> Poller:
    poller = acquire(fake.context, Poller(), lambda _: True)
    assert poller is not None
    return poller


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lease_is_renewed_and_the_message_hidden_for_as_long_as_the_step_runs(fake: FakeContext) -> None:
    poller, hidden = leased(fake), []
    with Heartbeat(fake.context, hidden.append, beat_seconds=0.01) as heart:
        assert hidden == [HIDDEN_SECONDS], "from the very beginning"
        with heart.keeping(*key_of(poller), poller.lease or ""):
            for _ in range(3):
                fake.clock.sleep(LEASE_SECONDS - 1)
                now = int(fake.clock())
                until(lambda now=now: fake.context.repository.poller().lease_until >= now + LEASE_SECONDS)  # type: ignore[misc]  # of this beat
    assert len(hidden) > 3
    assert fake.context.repository.poller().rev == poller.rev, "the step's own writes are not disturbed"


def test_nothing_is_renewed_once_the_step_has_ended(fake: FakeContext) -> None:
    poller = leased(fake)
    with Heartbeat(fake.context, beat_seconds=0.01) as heart, heart.keeping(*key_of(poller), poller.lease or ""):
        pass
    before = fake.context.repository.poller().lease_until
    fake.clock.sleep(100)
    time.sleep(0.05)
    assert fake.context.repository.poller().lease_until == before


def test_a_lease_of_another_process_is_not_renewed(fake: FakeContext) -> None:
    leased(fake)
    with Heartbeat(fake.context, beat_seconds=0.01) as heart, heart.keeping("poller", "poller", "another's"):
        fake.clock.sleep(1000)
        time.sleep(0.05)
    assert fake.context.repository.poller().lease_until < fake.clock()
    with pytest.raises(StaleItemError):
        fake.table.renew("poller", "poller", "another's", 1)


def test_a_failed_renewal_does_not_end_the_step(fake: FakeContext) -> None:
    poller, renew, failures = leased(fake), fake.table.renew, []

    def away(*args: Any) -> None:
        if len(failures) < 2:
            failures.append(args)
            raise RuntimeError("InternalServerError")
        renew(*args)

    fake.table.renew = away  # type: ignore[method-assign]  # a fault of two beats
    fake.clock.sleep(30)
    with Heartbeat(fake.context, beat_seconds=0.01) as heart, heart.keeping(*key_of(poller), poller.lease or ""):
        until(lambda: fake.context.repository.poller().lease_until >= fake.clock() + LEASE_SECONDS - 1)
    assert len(failures) == 2


class RecordingQueue:
    """The queue of an event, which records the times for which messages are hidden."""

    def __init__(self) -> None:
        self.hidden: list[int] = []

    def hide(self, _receipt: str, seconds: int) -> None:
        self.hidden.append(seconds)


@pytest.mark.parametrize(("receives", "seconds"), [(1, 30), (2, 60), (5, 480), (9, 900)])
def test_a_failed_message_is_redelivered_after_seconds_with_backoff(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch, receives: int, seconds: int
) -> None:
    monkeypatch.setattr(queue_handling, "observer", lambda: ObserverWithIds(fake))
    queue = RecordingQueue()
    event = json.loads(Path("events/sqs_dispatch.json").read_text())
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(receives)
    name = event["Records"][0]["eventSourceARN"].rpartition(":")[2]

    def fails(_context: Context, _message: dict[str, Any]) -> None:
        raise RuntimeError

    context: Any = SimpleNamespace(aws_request_id="r")
    answer = each_message(event, context, fake.context, {name: queue}, fails)  # type: ignore[dict-item]  # what it uses of a queue
    assert len(answer["batchItemFailures"]) == 1
    assert queue.hidden == [HIDDEN_SECONDS, seconds]


class ObserverWithIds:
    """The fake observer, with ids on its lines."""

    def __init__(self, fake: FakeContext) -> None:
        self._fake = fake

    def about(self, **_ids: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake.observer, name)
