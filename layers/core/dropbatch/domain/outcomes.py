"""What became of a row, and of a job: closed sets."""

from collections.abc import Mapping
from enum import StrEnum


class Outcome(StrEnum):
    """Exactly one of these stands beside every row of an accepted drop."""

    OK = "ok"
    TRUNCATED = "truncated"  # the model ran into its token cap; the text it gave is kept
    REFUSED = "refused"  # a refusal, or the content filter
    INVALID_ANSWER = "invalid_answer"  # an answer that is empty, is no JSON, or does not fit the schema
    ERROR = "error"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    MISSING = "missing"  # sent, but in neither the output nor the error file
    SKIPPED = "skipped"  # `when` was empty, a blank row, or a bad one under `bad_rows: skip`; unpaid


COMPLETE = frozenset({Outcome.OK, Outcome.SKIPPED})
"""The outcomes that leave nothing to be done: their rows are not in the failed file."""

RETRYABLE = frozenset({Outcome.INVALID_ANSWER, Outcome.ERROR, Outcome.EXPIRED, Outcome.CANCELLED, Outcome.MISSING})
"""The outcomes whose rows a `.retry` asks again with the same recipe; others would be so again."""

RETRYABLE_WITH_CHANGES = RETRYABLE | {Outcome.TRUNCATED, Outcome.REFUSED}
"""Those whose rows it asks again with another recipe: all that have no good answer."""

ANSWERED = frozenset({Outcome.OK, Outcome.TRUNCATED, Outcome.REFUSED, Outcome.INVALID_ANSWER})
"""The outcomes of rows that a model answered. OpenAI bills them, even if their answers have no usage."""

UNANSWERED = frozenset(Outcome) - ANSWERED - {Outcome.SKIPPED}
"""The outcomes of rows that were sent, or were to be sent, and have no answer. OpenAI does not bill them."""

WHEN = "when"
"""The code of a row that the recipe's `when` leaves out."""

BLANK_ROW = "blank_row"
"""The code of a row without any value, which is not asked unless the recipe says so."""

LEFT_OUT = frozenset({WHEN, BLANK_ROW})
"""The codes of rows that are skipped though nothing is wrong with them; all others are those of bad rows."""

COLUMN_EXISTS = "column_exists"
"""The code of what has a column already that the answers would add."""

BAD_ROW_CODE = "bad_row"
"""The code of a bad row of which no more is known."""

GAVE_UP = "gave_up"
"""The code of what was tried again and again, and never came to its end."""

IN_DOUBT = "in_doubt"
"""The code of rows whose batch may exist at OpenAI: nobody could tell until the job had to end."""

ANSWERS_GONE = "answers_gone"
"""The code of rows whose batch completed, and whose answers OpenAI no longer has."""

NOT_COLLECTED = "not_collected"
"""The code of rows whose batch ended, and whose answers could not be read until the job had to end."""

NEVER_ENDED = "assumed_ended"
"""The code of rows of a batch that did not end in twice OpenAI's time: it may still be running."""

MAY_BE_PAID = frozenset({IN_DOUBT, ANSWERS_GONE, NOT_COLLECTED, NEVER_ENDED})
"""The codes of rows that OpenAI may have answered already: no retry, and no `.retry`, asks and pays them again."""

PAST_DEADLINE = "deadline"
"""The code of rows that were still waiting when the recipe's deadline had passed."""


class JobStatus(StrEnum):
    """How a job ended, as its notification says."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


def job_status(counts: Mapping[Outcome, int], *, cancelled: bool) -> JobStatus:
    """The status that follows from the rows' outcomes (rows by outcome; absent means 0)."""
    if cancelled:
        return JobStatus.CANCELLED
    unanswered = sum(count for outcome, count in counts.items() if outcome not in COMPLETE)
    if unanswered == 0:
        return JobStatus.SUCCEEDED
    return JobStatus.PARTIAL if counts.get(Outcome.OK, 0) else JobStatus.FAILED
