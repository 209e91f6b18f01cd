"""Decides what is asked again: pure rules on what a row's answer, or a batch's failure, means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from dropbatch.answers import Answer
from dropbatch.domain.outcomes import BILLING_CODES, MODEL_CODES, PERMISSION_CODES, TOKEN_CODES, Outcome

FILE_SECONDS = (30, 60, 120, 300)
"""When a file that OpenAI does not find, so shortly after its upload, is tried again; then it is uploaded anew."""

MOST_WAIT_SECONDS = 900
MOST_ROUNDS = 50
"""How often in a row rows are put off that a batch of theirs kept from being run; then its reason is theirs."""


class Fate(Enum):
    """What becomes of a row after a try."""

    FINAL = "final"
    AGAIN = "again"  # the try failed, and counts
    LATER = "later"  # the row was not run; the try does not count


def fate(answer: Answer, *, tries: int, attempts: int, retry_invalid: bool) -> Fate:
    """What becomes of a row that failed `tries` times before. A try that ran counts; one that did not, does not.

    An answer that was truncated or refused would be so again; what went missing may have been run.
    """
    match answer.outcome:
        case Outcome.EXPIRED:
            return Fate.LATER
        case Outcome.MISSING:
            worth = True
        case Outcome.ERROR:
            worth = answer.again
        case Outcome.INVALID_ANSWER:
            worth = retry_invalid
        case _:
            worth = False
    return Fate.AGAIN if worth and tries + 1 < attempts else Fate.FINAL


class Failure(StrEnum):
    """Why a batch failed as a whole, before any of its rows was run."""

    TOKENS = "tokens"  # more would be enqueued than the account may have: its rows wait
    FILE = "file"  # its file is not to be seen yet, or no more
    ROWS = "rows"  # rows of it are wrong; the others are right
    ACCOUNT = "account"  # billing or permission: nothing else would be taken either
    MODEL = "model"  # no such model, or not for this account
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class BatchFailure:
    """A failure, OpenAI's code and message, and the reasons of single lines (1-based) where it gives any."""

    kind: Failure
    code: str
    message: str
    lines: dict[int, tuple[str, str]]


_KINDS = {
    Failure.TOKENS: TOKEN_CODES,
    Failure.ACCOUNT: BILLING_CODES | PERMISSION_CODES,
    Failure.MODEL: MODEL_CODES,
}
_NO_FILE = re.compile(r"(cannot find|no such|not find) (the )?(input )?file", re.IGNORECASE)


def failure_of(errors: Sequence[tuple[str, str, int | None]]) -> BatchFailure:
    """What the errors of a failed batch, or of a create that was refused, come to."""
    code, message, _ = errors[0] if errors else ("batch_failed", "", None)
    lines = {line: (reason, text) for reason, text, line in errors if line is not None}
    for reason, text, _ in errors:
        for kind, codes in _KINDS.items():
            if reason in codes:
                return BatchFailure(kind, reason, text, {})
        if _NO_FILE.search(text):
            return BatchFailure(Failure.FILE, reason, text, {})
    return BatchFailure(Failure.ROWS if lines else Failure.OTHER, code, message, lines)


def put_off_seconds(waits: int) -> int:
    """For how many seconds rows wait that were put off `waits` times in a row before: ever longer."""
    return int(min(MOST_WAIT_SECONDS, 60 * 2 ** min(waits, 10)))
