"""The lease protocol: acquiring a lease, an expired lease after a kill, and releasing it."""

from pathlib import Path

import pytest

from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.jobs.lease import LEASE_SECONDS, acquire, defer, leased, release, update_own
from tests.fakes import INBOX, FakeContext


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.context.repository.add(Job("j", Drop(INBOX, "a.csv", "v", 0), 0, sent_at=1))
    return fake


def read(fake: FakeContext) -> Job:
    job = fake.context.repository.job("j")
    assert job is not None
    return job


def always(_job: Job) -> bool:
    return True


def test_one_process_has_the_lease(fake: FakeContext) -> None:
    first, second = read(fake), read(fake)
    acquired = acquire(fake.context, first, always)
    assert acquired is not None
    assert acquired.lease_until == fake.context.now() + LEASE_SECONDS
    assert acquire(fake.context, second, always) is None, "what it read before is stale"
    assert acquire(fake.context, read(fake), always) is None


def test_a_step_that_must_not_begin_writes_nothing(fake: FakeContext) -> None:
    before = read(fake).rev
    assert acquire(fake.context, read(fake), lambda _: False) is None
    assert read(fake).rev == before


def test_an_item_that_changed_is_read_and_judged_again(fake: FakeContext) -> None:
    old, current = read(fake), read(fake)
    current.rows = 7
    fake.context.repository.save(current)
    seen = []

    def begin(job: Job) -> bool:
        seen.append(job.rows)
        return True

    acquired = acquire(fake.context, old, begin)
    assert acquired is not None
    assert (acquired.rows, seen) == (7, [0, 7])


def test_the_change_at_the_start_is_written_with_the_lease(fake: FakeContext) -> None:
    def begin(job: Job) -> bool:
        job.cancel_requested = True
        return True

    assert acquire(fake.context, read(fake), begin) is not None
    assert read(fake).cancel_requested


def test_an_expired_lease_of_a_killed_process_is_counted(fake: FakeContext) -> None:
    acquire(fake.context, read(fake), always)
    fake.clock.sleep(LEASE_SECONDS)
    with leased(fake.context, read(fake), always) as job:
        assert job is not None
        assert (job.start_count, job.kill_count) == (2, 1)


def test_a_process_that_lost_its_lease_writes_nothing(fake: FakeContext) -> None:
    slow = acquire(fake.context, read(fake), always)
    fake.clock.sleep(LEASE_SECONDS)
    quick = acquire(fake.context, read(fake), always)
    assert slow is not None
    assert quick is not None
    assert update_own(fake.context.repository, slow, release) is None
    assert update_own(fake.context.repository, quick, release) is not None
    assert (read(fake).lease, read(fake).sent_at) == (None, 0)


def test_a_failed_step_is_due_again_after_a_backoff(fake: FakeContext) -> None:
    waits = []
    for _ in range(3):
        job = acquire(fake.context, read(fake), always)
        assert job is not None
        update_own(fake.context.repository, job, lambda current: defer(fake.context, current))
        waits.append(read(fake).not_before - fake.context.now())
    assert waits == [fake.context.scaled(60), fake.context.scaled(120), fake.context.scaled(240)]
    assert read(fake).deferrals == 3
