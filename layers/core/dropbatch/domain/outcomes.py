"""Outcomes of rows and statuses of jobs: closed sets."""

from collections.abc import Mapping
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a row. Each row of an accepted drop has exactly one."""

    OK = "ok"
    TRUNCATED = "truncated"  # the model reached its maximum of tokens; its text is kept
    REFUSED = "refused"  # a refusal, or the content filter
    INVALID_ANSWER = "invalid_answer"  # an answer that is empty, is not JSON, or does not fit the schema
    ERROR = "error"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    MISSING = "missing"  # sent, but in neither the output nor the error file
    SKIPPED = "skipped"  # `when` was empty, a blank row, or a bad one under `bad_rows: skip`; unpaid


COMPLETE = frozenset({Outcome.OK, Outcome.SKIPPED})
"""The outcomes of complete rows: these are not in the failed file."""

RETRYABLE = frozenset({Outcome.INVALID_ANSWER, Outcome.ERROR, Outcome.EXPIRED, Outcome.CANCELLED, Outcome.MISSING})
"""The outcomes whose rows a `.retry` sends again with the same recipe. Others would have the same outcome again."""

RETRYABLE_WITH_CHANGES = RETRYABLE | {Outcome.TRUNCATED, Outcome.REFUSED}
"""The outcomes whose rows a `.retry` sends again with another recipe: all without a good answer."""

ANSWERED = frozenset({Outcome.OK, Outcome.TRUNCATED, Outcome.REFUSED, Outcome.INVALID_ANSWER})
"""The outcomes of rows that a model answered. OpenAI bills them, even if their answers have no usage."""

UNANSWERED = frozenset(Outcome) - ANSWERED - {Outcome.SKIPPED}
"""The outcomes of rows that were sent, or were to be sent, and have no answer. OpenAI does not bill them."""

WHEN = "when"
"""The code of a row that the recipe's `when` leaves out."""

BLANK_ROW = "blank_row"
"""The code of a row without any value, which is skipped unless the recipe says otherwise."""

LEFT_OUT = frozenset({WHEN, BLANK_ROW})
"""The codes of rows that are skipped though they are not bad; all other codes are those of bad rows."""

COLUMN_EXISTS = "column_exists"
"""The code of a drop or row that already has a column of the answers."""

BAD_ROW_CODE = "bad_row"
"""The code of a bad row if nothing else is known about it."""

GAVE_UP = "gave_up"
"""The code of rows and drops that were tried again and again, and never completed."""

IN_DOUBT = "in_doubt"
"""The code of rows whose batch may exist at OpenAI: that was unknown until the job had to end."""

ANSWERS_GONE = "answers_gone"
"""The code of rows whose batch completed, but whose answers OpenAI no longer has."""

NOT_COLLECTED = "not_collected"
"""The code of rows whose batch ended, but whose answers could not be read until the job had to end."""

NEVER_ENDED = "never_ended"
"""The code of rows of a batch that did not end in twice OpenAI's time: it may still be running."""

MAY_BE_PAID = frozenset({IN_DOUBT, ANSWERS_GONE, NOT_COLLECTED, NEVER_ENDED})
"""The codes of rows that OpenAI may have answered: no retry and no `.retry` sends and pays them again."""

PAST_DEADLINE = "deadline"
"""The code of rows that were still waiting when the recipe's deadline passed."""


class JobStatus(StrEnum):
    """The end of a job, as its notification says it."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


def job_status(counts: Mapping[Outcome, int], *, cancelled: bool) -> JobStatus:
    """Return the status that follows from the numbers of rows by outcome; a missing outcome means 0."""
    if cancelled:
        return JobStatus.CANCELLED
    unanswered = sum(count for outcome, count in counts.items() if outcome not in COMPLETE)
    if unanswered == 0:
        return JobStatus.SUCCEEDED
    return JobStatus.PARTIAL if counts.get(Outcome.OK, 0) else JobStatus.FAILED
