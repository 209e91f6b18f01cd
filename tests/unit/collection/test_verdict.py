"""The verdicts, as tables: the outcome of rows without an answer, and when nothing is retried."""

import pytest

from dropbatch.answers.answer import Answer
from dropbatch.batch_api.error_codes import CONTENT_CODES
from dropbatch.collection.batch_failure import BatchFailure, Failure
from dropbatch.collection.retry_policy import RetryDecision
from dropbatch.collection.verdict import Judge, Unanswered
from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import ANSWERS_GONE, IN_DOUBT, PAST_DEADLINE, Outcome
from dropbatch.domain.states import OpenAIStatus
from dropbatch.ports import RemoteBatch

CONTENT_CODE = min(CONTENT_CODES)


def remote(status: OpenAIStatus) -> RemoteBatch:
    return RemoteBatch("b", status, 0, "file-1")


FAILURE = BatchFailure(Failure.ROWS, "bad_batch", "wrong", {2: ("bad_row", "why"), 3: (CONTENT_CODE, "no")})


@pytest.mark.parametrize(
    ("unanswered", "outcome", "code"),
    [
        (Unanswered(None), Outcome.CANCELLED, "cancelled"),
        (Unanswered(None, refusal=PAST_DEADLINE), Outcome.EXPIRED, PAST_DEADLINE),
        (Unanswered(None, refusal=IN_DOUBT), Outcome.ERROR, IN_DOUBT),
        (Unanswered(None, refusal=""), Outcome.ERROR, "refused"),
        (Unanswered(remote(OpenAIStatus.EXPIRED)), Outcome.EXPIRED, "batch_expired"),
        (Unanswered(remote(OpenAIStatus.CANCELLED)), Outcome.CANCELLED, "batch_cancelled"),
        (Unanswered(remote(OpenAIStatus.COMPLETED)), Outcome.MISSING, "missing"),
        (Unanswered(remote(OpenAIStatus.COMPLETED), code=ANSWERS_GONE), Outcome.MISSING, ANSWERS_GONE),
        (Unanswered(remote(OpenAIStatus.FAILED)), Outcome.ERROR, "batch_failed"),
        (Unanswered(remote(OpenAIStatus.FAILED), FAILURE), Outcome.ERROR, "bad_batch"),
    ],
)
def test_outcome_of_a_row_without_an_answer(unanswered: Unanswered, outcome: Outcome, code: str) -> None:
    answer, _ = unanswered.answer(1)
    assert (answer.outcome, answer.code) == (outcome, code)


@pytest.mark.parametrize(
    ("position", "outcome", "code", "message"),
    [
        (1, Outcome.ERROR, "bad_batch", "wrong"),
        (2, Outcome.ERROR, "bad_row", "why"),
        (3, Outcome.REFUSED, CONTENT_CODE, "no"),
    ],
)
def test_a_blamed_row_gets_the_reason_of_its_line(position: int, outcome: Outcome, code: str, message: str) -> None:
    answer, said = Unanswered(remote(OpenAIStatus.FAILED), FAILURE).answer(position)
    assert (answer.outcome, answer.code, said) == (outcome, code, message)


@pytest.mark.parametrize(
    ("failure", "over", "decision", "settles_good"),
    [
        (None, True, RetryDecision.FINAL, True),
        (None, False, RetryDecision.RETRY, True),
        (FAILURE, True, RetryDecision.FINAL, True),
        (FAILURE, False, RetryDecision.REQUEUE, False),
    ],
)
def test_nothing_is_retried_once_the_job_is_over(
    failure: BatchFailure | None, over: bool, decision: RetryDecision, settles_good: bool
) -> None:
    job = Job("j", Drop("inbox", "a.csv", "v", 0), 0, attempts=3)
    batch = Batch("j", 0, 0, "/v1/e", "m", 5, 1, 0)
    judge = Judge(job, batch, Unanswered(None), failure, over)
    assert judge.decide(Answer(Outcome.MISSING, "missing", None, None), 1, 0) is decision
    assert judge.settles_good is settles_good
