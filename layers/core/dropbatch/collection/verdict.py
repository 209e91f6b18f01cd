"""The verdict on each row of an ended batch: its outcome if it has no answer, and whether it gets another try.

The rules of retries are those of `retry_policy`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dropbatch.answers.answer import Answer
from dropbatch.batch_api.error_codes import CONTENT_CODES
from dropbatch.collection.batch_failure import BatchFailure
from dropbatch.collection.retry_policy import RetryDecision, decide_requeue, decide_retry
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import PAST_DEADLINE, Outcome
from dropbatch.domain.states import OpenAIStatus
from dropbatch.ports import RemoteBatch


class Unanswered:
    """The outcome of rows without an answer line. It follows from how their batch ended."""

    def __init__(
        self,
        remote: RemoteBatch | None,
        failure: BatchFailure | None = None,
        refusal: str | None = None,
        code: str | None = None,
    ) -> None:
        self._by_line: Mapping[int, tuple[str, str]] = failure.lines if failure else {}
        self._message = failure.message if failure else ""
        match remote.status if remote else None:
            case None if refusal is None:
                self._outcome, self._code = Outcome.CANCELLED, "cancelled"
            case None if refusal == PAST_DEADLINE:
                self._outcome, self._code = Outcome.EXPIRED, PAST_DEADLINE
            case None:
                self._outcome, self._code = Outcome.ERROR, refusal or "refused"
            case OpenAIStatus.EXPIRED:
                self._outcome, self._code = Outcome.EXPIRED, "batch_expired"
            case OpenAIStatus.CANCELLED:
                self._outcome, self._code = Outcome.CANCELLED, "batch_cancelled"
            case OpenAIStatus.FAILED:
                self._outcome, self._code = Outcome.ERROR, failure.code if failure else "batch_failed"
            case _:
                self._outcome, self._code = Outcome.MISSING, "missing"
        self._code = code or self._code

    def answer(self, position: int) -> tuple[Answer, str]:
        """Return the answer, and OpenAI's message, for the row on line `position` (from 1) of the batch's file."""
        code, message = self._by_line.get(position, (self._code, self._message))
        outcome = Outcome.REFUSED if position in self._by_line and code in CONTENT_CODES else self._outcome
        return Answer(outcome, code, None, None, failed=True), message


@dataclass(frozen=True, slots=True)
class Judge:
    """The judge of a batch's rows: it decides which answers are final."""

    job: Job
    batch: Batch
    unanswered: Unanswered
    failure: BatchFailure | None = None
    over: bool = True  # no row gets another try

    @property
    def settles_good(self) -> bool:
        """True if a good answer is final, whatever else is known of it."""
        return self.over or self.failure is None

    def decide(self, answer: Answer, position: int, tries: int) -> RetryDecision:
        """Decide about the row on line `position` (from 1) of the batch's file, which failed `tries` times before."""
        if self.over:
            return RetryDecision.FINAL
        if self.failure is None:
            job = self.job
            return decide_retry(answer, tries=tries, attempts=job.attempts, retry_invalid=job.retry_invalid)
        return decide_requeue(self.failure, position, requests=self.batch.requests, requeues=self.batch.requeues)
