"""The sets of outcomes, and the status of a job that follows from them."""

import pytest

from dropbatch.domain.outcomes import (
    ANSWERED,
    COMPLETE,
    RETRYABLE,
    RETRYABLE_WITH_CHANGES,
    UNANSWERED,
    JobStatus,
    Outcome,
    job_status,
)

SETS = {
    # outcome: complete, answered, retryable, retryable with another recipe
    "ok": (True, True, False, False),
    "truncated": (False, True, False, True),
    "refused": (False, True, False, True),
    "invalid_answer": (False, True, True, True),
    "error": (False, False, True, True),
    "expired": (False, False, True, True),
    "cancelled": (False, False, True, True),
    "missing": (False, False, True, True),
    "skipped": (True, False, False, False),
}


def test_each_outcome_is_in_the_sets_that_it_belongs_to() -> None:
    sets = (COMPLETE, ANSWERED, RETRYABLE, RETRYABLE_WITH_CHANGES)
    assert {str(outcome): tuple(outcome in each for each in sets) for outcome in Outcome} == SETS
    assert {*ANSWERED, *UNANSWERED, Outcome.SKIPPED} == set(Outcome)
    assert not ANSWERED & UNANSWERED


@pytest.mark.parametrize("outcome", Outcome)
def test_a_row_without_a_good_answer_makes_a_job_partial(outcome: Outcome) -> None:
    is_complete = SETS[outcome][0]
    counts = {Outcome.OK: 1, outcome: 2}
    assert job_status(counts, cancelled=False) is (JobStatus.SUCCEEDED if is_complete else JobStatus.PARTIAL)
    assert job_status({outcome: 2}, cancelled=False) is (JobStatus.SUCCEEDED if is_complete else JobStatus.FAILED)
    assert job_status(counts, cancelled=True) is JobStatus.CANCELLED
