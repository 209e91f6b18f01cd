"""The rules of retries: which rows get another try, in how many batches, and when. Pure: no call, no clock."""

from dataclasses import dataclass
from enum import Enum

from dropbatch.answers.answer import Answer
from dropbatch.batch_api.error_codes import APPROVAL_REQUIRED
from dropbatch.collection.batch_failure import MAX_ROUNDS, BatchFailure, Failure, rest_of
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import Outcome
from dropbatch.jobs.backoff import backoff_seconds

FILE_SECONDS = (30, 60, 120, 300)
"""The waits between the tries of a batch whose file OpenAI does not find. Then the file is uploaded again."""

MAX_WAIT_SECONDS = 900
"""How long rows wait for their next try at most."""


class RetryDecision(Enum):
    """The decision about a row after a try."""

    FINAL = "final"
    RETRY = "retry"  # the try failed, and counts
    REQUEUE = "requeue"  # the row was not run; the try does not count


def decide_retry(answer: Answer, *, tries: int, attempts: int, retry_invalid: bool) -> RetryDecision:
    """Decide about a row of a batch that ran; the row failed `tries` times before.

    A truncated or refused answer would be the same again. A missing row may have been run, so its try counts.
    """
    match answer.outcome:
        case Outcome.EXPIRED:
            return RetryDecision.REQUEUE
        case Outcome.MISSING:
            may_succeed = True
        case Outcome.ERROR:
            may_succeed = answer.is_temporary
        case Outcome.INVALID_ANSWER:
            may_succeed = retry_invalid and answer.code != APPROVAL_REQUIRED
        case _:
            may_succeed = False
    return RetryDecision.RETRY if may_succeed and tries + 1 < attempts else RetryDecision.FINAL


def decide_requeue(failure: BatchFailure, position: int, *, requests: int, requeues: int) -> RetryDecision:
    """Decide about the row on line `position` (from 1) of a batch that failed as a whole: none of its rows was run."""
    match failure.kind:
        case Failure.TOKENS:
            return RetryDecision.REQUEUE  # the deadline ends it
        case Failure.FILE if requeues < MAX_ROUNDS:
            return RetryDecision.REQUEUE
        case Failure.ROWS if position not in failure.lines:
            rest = rest_of(failure, requests=requests, rounds=requeues)
            return RetryDecision.REQUEUE if rest.batches else RetryDecision.FINAL
    return RetryDecision.FINAL


@dataclass(frozen=True, slots=True)
class NextTry:
    """The plan of the next try of a batch's rows."""

    wait_seconds: int = 0
    requeues: int = 0  # how often in a row they were put off without having been run
    keeps_file: bool = False  # the file is at OpenAI already
    must_split: bool = False


def plan_next_try(failure: BatchFailure | None, batch: Batch, *, failed_attempts: int) -> NextTry:
    """Return how the rows of a batch that get another try go into it; they failed `failed_attempts` times at most."""
    waits = _wait_seconds(batch.failed_attempts) if failed_attempts > batch.failed_attempts else 0
    if failure is None:
        return NextTry(waits)
    requeues = batch.requeues
    match failure.kind:
        case Failure.TOKENS:
            return NextTry(_wait_seconds(requeues), requeues + 1)
        case Failure.FILE if requeues < len(FILE_SECONDS):
            return NextTry(FILE_SECONDS[requeues], requeues + 1, keeps_file=True)
        case Failure.FILE:
            return NextTry(0, requeues + 1)
        case Failure.ROWS:
            rest = rest_of(failure, requests=batch.requests, rounds=requeues)
            return NextTry(0, rest.rounds, must_split=rest.batches > 1)
    return NextTry(waits)


def _wait_seconds(tries: int) -> int:
    return backoff_seconds(tries + 1, most=MAX_WAIT_SECONDS)


def is_last_try(job: Job, code: str | None, now: int) -> bool:
    """Return whether no row of a batch gets another try. `code` says why its answers are not to be had, if so.

    A batch that never ended may still be running, and lost answers were paid: their rows are not sent twice.
    """
    return job.cancel_requested or now >= job.deadline_at or code is not None
