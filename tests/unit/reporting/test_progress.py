"""The phase of a job, its rows so far, and the estimate of its end."""

from collections.abc import Sequence
from typing import Any

import pytest

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Canary, Job
from dropbatch.domain.states import BatchState, JobState
from dropbatch.reporting.progress import (
    COLLECT_SECONDS,
    MAX_OPEN_BATCHES,
    Estimate,
    estimate,
    open_batch_members,
    outcomes_so_far,
    phase,
    seconds_taken,
)

NOW = 1_000_000
HOUR = 3_600
DAY = 24 * HOUR


def job(state: JobState = JobState.RUNNING, **members: Any) -> Job:
    return Job("the-job", Drop("inbox", "a.csv", "v", NOW), NOW, state=state, **members)


def batch(state: BatchState = BatchState.SUBMITTED, attempt: str = "0", **members: Any) -> Batch:
    return Batch("the-job", 0, 0, "/v1/responses", "m", 100, 1_000, NOW - DAY, attempt=attempt, state=state, **members)


WAITING, SENT, RETRY = batch(BatchState.WAITING), batch(submitted_at=NOW - 60), batch(BatchState.WAITING, "0.1")


@pytest.mark.parametrize(
    ("its", "open_batches", "expected"),
    [
        (job(JobState.BUILDING), [], "reading"),
        (job(JobState.HELD), [SENT], "held"),
        (job(), [WAITING], "waiting_for_tokens"),
        (job(), [batch(BatchState.SUBMITTING)], "waiting_for_tokens"),
        (job(awaits_money=True), [WAITING], "waiting_for_money"),
        (job(awaits_money=True), [WAITING, SENT], "at_openai"),
        (job(), [WAITING, SENT, RETRY], "at_openai"),
        (job(), [batch(BatchState.ENDED)], "at_openai"),
        (job(), [RETRY, batch(attempt="0-1.2")], "retrying"),
        (job(), [batch(attempt="0-1")], "at_openai"),
        (job(), [], "assembling"),
        (job(JobState.ASSEMBLING), [], "assembling"),
        *((job(state), [], "ended") for state in (JobState.REJECTED, JobState.PARTIAL, JobState.CANCELLED)),
    ],
)
def test_the_phase_says_what_is_done_or_for_what_the_job_waits(
    its: Job, open_batches: Sequence[Batch], expected: str
) -> None:
    assert phase(its, open_batches) == expected


def expected(*batches: Batch, times: Sequence[int], its: Job | None = None) -> tuple[int, int] | None:
    """Return the estimate in seconds from now, without the time for collecting."""
    found = estimate(its or job(), batches, lambda _: times, NOW)
    return (found.earliest - NOW - COLLECT_SECONDS // 2, found.latest - NOW - COLLECT_SECONDS) if found else None


TIMES = [600, 1_200, 1_800, 2_400, 3_000]
"""The times of former batches, with the quartiles 1,200 and 2,400."""


def test_a_batch_takes_as_long_as_the_middle_half_of_the_former_ones() -> None:
    assert expected(batch(submitted_at=NOW), times=TIMES) == (1_200, 2_400)
    assert expected(batch(submitted_at=NOW), times=[700]) == (700, 700)


def test_the_time_that_a_batch_has_taken_already_counts() -> None:
    """Of the former batches only those are like it that took longer than it has until now."""
    assert expected(batch(submitted_at=NOW - 1_300), times=TIMES) == (2_100 - 1_300, 2_700 - 1_300)


def test_a_batch_that_takes_longer_than_any_before_may_take_openais_whole_window() -> None:
    assert expected(batch(submitted_at=NOW - 2 * HOUR), times=TIMES) == (0, DAY - 2 * HOUR)
    assert expected(batch(submitted_at=NOW - 2 * DAY), times=TIMES) == (0, COLLECT_SECONDS)


def test_the_slowest_batch_decides_and_an_ended_one_is_collected_at_once() -> None:
    assert expected(batch(submitted_at=NOW - 590), batch(submitted_at=NOW), times=TIMES) == (1_200, 2_400)
    assert expected(batch(BatchState.ENDED, submitted_at=NOW), times=TIMES) == (0, 0)
    assert expected(batch(BatchState.ENDED), times=[]) == (0, 0)
    assert expected(batch(BatchState.COLLECTED), batch(submitted_at=NOW), times=TIMES) == (1_200, 2_400)


def test_batches_that_wait_for_tokens_come_in_waves() -> None:
    assert expected(batch(submitted_at=NOW), *[WAITING] * 3, times=TIMES) == (1_200, 2_400 * 4)
    assert expected(*[batch(submitted_at=NOW)] * 2, *[WAITING] * 2, times=TIMES) == (1_200, 2_400 * 2)
    assert expected(*[WAITING] * 4, times=TIMES) == (1_200, 2_400), "nothing says how many go at once"


def test_a_retry_that_backs_off_begins_later_and_a_canary_comes_before_all_others() -> None:
    assert expected(batch(BatchState.WAITING, "0.1", not_before=NOW + 900), times=TIMES) == (2_100, 3_300)
    canary = job(canary=Canary(5, min_ok=0))  # type: ignore[arg-type]  # a share
    assert expected(WAITING, times=TIMES, its=canary) == (1_200, 4_800)


def test_nothing_is_estimated_without_history_or_while_a_person_must_decide() -> None:
    assert expected(batch(submitted_at=NOW), times=[]) is None
    assert expected(batch(submitted_at=NOW), times=TIMES, its=job(JobState.HELD)) is None
    assert expected(WAITING, times=TIMES, its=job(awaits_money=True)) is None
    assert expected(SENT, times=TIMES, its=job(awaits_money=True)) is not None
    assert expected(times=TIMES) is None
    assert estimate(job(), [batch(BatchState.COLLECTED)], lambda _: TIMES, NOW) is None


def test_an_estimate_is_a_range_of_times() -> None:
    assert Estimate(0, 3_600).to_json() == {"earliest": "1970-01-01T00:00:00Z", "latest": "1970-01-01T01:00:00Z"}


def test_a_batch_took_as_long_as_openai_had_it_if_openai_completed_it() -> None:
    assert seconds_taken(batch(submitted_at=NOW, ended_at=NOW + 70, completed=1)) == 70
    assert seconds_taken(batch(submitted_at=NOW, ended_at=NOW - 1, completed=1)) == 0, "clocks differ"
    for other in (
        batch(submitted_at=NOW, completed=1),
        batch(ended_at=NOW, completed=1),
        batch(submitted_at=NOW, ended_at=NOW + 70, completed=1, assumed_ended=True),
        batch(submitted_at=NOW, ended_at=NOW + 70, completed=0),
    ):
        assert seconds_taken(other) is None


def test_rows_so_far_are_those_of_all_collected_batches() -> None:
    found = [batch(outcomes={"ok": 5, "error": 1}), batch(outcomes={"ok": 2}), batch()]
    assert outcomes_so_far(found) == {"error": 1, "ok": 7}


def test_open_batches_are_listed_by_age_and_not_without_end() -> None:
    found = open_batch_members([batch(submitted_at=NOW - 5, completed=3, failed=1), WAITING], NOW)
    assert [(each["state"], each["age_seconds"]) for each in found] == [("waiting", DAY), ("submitted", 5)]
    assert found[1] == {
        "key": found[0]["key"],
        "model": "m",
        "state": "submitted",
        "requests": 100,
        "completed": 3,
        "failed": 1,
        "age_seconds": 5,
    }
    assert len(open_batch_members([WAITING] * 200, NOW)) == MAX_OPEN_BATCHES
