"""Says what each row of an ended batch came to, and whether its answer is final."""

from collections.abc import Mapping
from dataclasses import dataclass

from dropbatch.answers.answer import Answer
from dropbatch.batch_api.error_codes import CONTENT_CODES
from dropbatch.collection.retry_policy import MAX_ROUNDS, BatchFailure, Failure, RetryDecision, fate, rest_of
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import PAST_DEADLINE, Outcome
from dropbatch.domain.states import OpenAIStatus
from dropbatch.ports import RemoteBatch


class Unanswered:
    """The outcome of rows that have no line: it follows from what became of their batch."""

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
        """The answer and OpenAI's message for the row that was line `position` (from 1) of the batch's file."""
        code, message = self._by_line.get(position, (self._code, self._message))
        outcome = Outcome.REFUSED if position in self._by_line and code in CONTENT_CODES else self._outcome
        return Answer(outcome, code, None, None, failed=True), message


@dataclass(frozen=True, slots=True)
class Judge:
    """Says of each row of a batch whether its answer is final."""

    job: Job
    batch: Batch
    unanswered: Unanswered
    failure: BatchFailure | None = None
    over: bool = True  # nothing is tried again any more

    @property
    def settles_good(self) -> bool:
        """Whether a good answer is final, whatever else is to be known of it."""
        return self.over or self.failure is None

    def fate(self, answer: Answer, position: int, tries: int) -> RetryDecision:
        if self.over:
            return RetryDecision.FINAL
        if self.failure is None:
            return fate(answer, tries=tries, attempts=self.job.attempts, retry_invalid=self.job.retry_invalid)
        match self.failure.kind:
            case Failure.TOKENS:
                return RetryDecision.LATER  # bounded by the deadline
            case Failure.FILE if self.batch.requeues < MAX_ROUNDS:
                return RetryDecision.LATER
            case Failure.ROWS if position not in self.failure.lines:
                rest = rest_of(self.failure, requests=self.batch.requests, rounds=self.batch.requeues)
                return RetryDecision.LATER if rest.batches else RetryDecision.FINAL
        return RetryDecision.FINAL
