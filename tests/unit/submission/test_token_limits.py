"""The token limits, as tables: which batches count for a limit, and the limit that OpenAI's message states."""

from pathlib import Path

import pytest

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState, JobState
from dropbatch.submission.token_limits import is_in_flight, learn_limit, token_limit
from tests.fakes import FakeContext


def job(state: JobState) -> Job:
    return Job("j", Drop("inbox", "a.csv", "v", 0), 0, state=state)


def batch(state: BatchState = BatchState.WAITING, admitted_at: int = 0) -> Batch:
    return Batch("j", 0, 0, "/v1/e", "m", 10, 1_000, 0, state=state, admitted_at=admitted_at)


@pytest.mark.parametrize(
    ("its_job", "its_batch", "counts"),
    [
        (None, batch(BatchState.SUBMITTED), False),
        (job(JobState.RUNNING), batch(BatchState.WAITING), False),
        (job(JobState.RUNNING), batch(BatchState.WAITING, 1), True),
        (job(JobState.HELD), batch(BatchState.WAITING, 1), False),
        (job(JobState.HELD), batch(BatchState.SUBMITTING, 1), True),
        (job(JobState.HELD), batch(BatchState.SUBMITTED, 1), True),
        (job(JobState.RUNNING), batch(BatchState.ENDED, 1), True),
        (job(JobState.RUNNING), batch(BatchState.COLLECTED, 1), False),
        (job(JobState.RUNNING), batch(BatchState.ABANDONED, 1), False),
        (job(JobState.RUNNING), batch(BatchState.SPLIT, 1), False),
    ],
)
def test_batches_that_count_for_a_limit(its_job: Job | None, its_batch: Batch, counts: bool) -> None:
    assert is_in_flight(its_batch, its_job) is counts


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("Enqueued token limit reached for m. Limit: 2,000,000 enqueued tokens.", 2_000_000),
        ("limit 90_000", 90_000),
        ("LIMIT:1.500.000", 1_500_000),
        ("Limit: 0 enqueued tokens", 500),  # half of the batch, if nothing else is in flight
        ("too much", 500),
    ],
)
def test_the_limit_that_a_refusal_states(tmp_path: Path, message: str, limit: int) -> None:
    fake = FakeContext(tmp_path)
    assert token_limit(fake.context, "m") is None
    learn_limit(fake.context, batch(BatchState.ENDED, 1), message)
    assert token_limit(fake.context, "m") == limit
