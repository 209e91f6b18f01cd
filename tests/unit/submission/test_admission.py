"""Admission, as a table: which waiting batches go, in which order, within which limit."""

from collections import Counter
from pathlib import Path

import pytest

from dropbatch.domain.account_items import ModelLimit
from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState, JobState
from dropbatch.submission.admission import TURN_SECONDS, admit
from tests.fakes import INBOX, FakeContext

NOW = 1_000_000


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.clock.now = NOW
    return fake


def job(name: str, state: JobState = JobState.RUNNING, *, cancelled: bool = False) -> Job:
    return Job(name, Drop(INBOX, f"{name}.csv", "v", 0), 0, state=state, cancel_requested=cancelled)


JOBS = {
    "a": job("a"),
    "b": job("b"),
    "held": job("held", JobState.HELD),
    "cancelled": job("cancelled", cancelled=True),
}


def waiting(job_id: str, shard: int, tokens: int = 10, *, age: int = 60, not_before: int = 0) -> Batch:
    return Batch(job_id, shard, 0, "/v1/e", "m", 2, tokens, NOW - age, not_before=not_before)


def submitted(job_id: str, shard: int, tokens: int = 10) -> Batch:
    return Batch(job_id, shard, 0, "/v1/e", "m", 2, tokens, 0, state=BatchState.SUBMITTED, admitted_at=1)


@pytest.mark.parametrize(
    ("limit", "room", "batches", "admitted"),
    [
        (None, 9, [waiting("a", 0), waiting("a", 1, 10**9)], ["a0", "a1"]),  # no limit is known
        (None, 1, [waiting("a", 0), waiting("a", 1)], ["a0"]),  # the queue has room for one
        (None, 0, [waiting("a", 0)], []),
        (25, 9, [waiting("a", 0), waiting("a", 1), waiting("a", 2)], ["a0", "a1"]),  # the third exceeds the limit
        (25, 9, [submitted("a", 0), waiting("a", 1), waiting("a", 2)], ["a1"]),  # one is in flight
        (25, 9, [submitted("a", 0, 30), waiting("b", 1)], []),  # the limit is already exceeded
        (25, 9, [waiting("a", 0, 30)], ["a0"]),  # it will be split, so it takes no room
        (25, 9, [submitted("a", 0), waiting("a", 1), waiting("b", 2)], ["b2"]),  # `b` has less in flight
        (45, 9, [waiting("a", 0), waiting("a", 1), waiting("b", 2), waiting("b", 3)], ["a0", "b2", "a1", "b3"]),
        (35, 9, [submitted("a", 0), submitted("a", 1), waiting("a", 2, 20), waiting("b", 3)], ["b3"]),
        # A batch that waits for long keeps smaller ones from going before it.
        (35, 9, [submitted("b", 0, 20), waiting("a", 1, 20, age=TURN_SECONDS + 1), waiting("b", 2)], []),
        (35, 9, [submitted("b", 0, 20), waiting("a", 1, 20), waiting("b", 2)], ["b2"]),
        (None, 9, [waiting("held", 0), waiting("cancelled", 1), waiting("unknown", 2)], []),
        (None, 9, [waiting("a", 0, not_before=NOW + 1), waiting("a", 1, not_before=NOW)], ["a1"]),
    ],
)
def test_batches_that_are_admitted(
    fake: FakeContext, limit: int | None, room: int, batches: list[Batch], admitted: list[str]
) -> None:
    if limit is not None:
        fake.context.repository.save(ModelLimit("m", tokens=limit))
    found = admit(fake.context, JOBS, batches, room)
    assert [f"{batch.job_id}{batch.shard}" for batch in found] == admitted
    assert all(batch.admitted_at == NOW for batch in found)


def test_models_share_the_dispatch_quota(fake: FakeContext) -> None:
    job = Job("j", Drop(INBOX, "a.csv", "v", 0), 0, state=JobState.RUNNING)
    waiting = [Batch("j", n, 0, "/v1/e", "many" if n < 50 else "few", 1, 1, 0) for n in range(53)]
    found = Counter(batch.model for batch in admit(fake.context, {"j": job}, waiting, 10))
    assert found == {"many": 7, "few": 3}
