"""Decides what is asked again: pure rules on what a row's answer, or a batch's failure, means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from dropbatch.answers.answer import Answer
from dropbatch.batch_api.error_codes import APPROVAL_REQUIRED, ERROR_CODES, CodeKind
from dropbatch.domain.outcomes import Outcome

FILE_SECONDS = (30, 60, 120, 300)
"""When a file that OpenAI does not find, so shortly after its upload, is tried again; then it is uploaded anew."""

MAX_WAIT_SECONDS = 900
MAX_ROUNDS = 50
"""How often in a row a batch goes on without its blamed rows before it is halved; or waits for its file."""

MAX_HALVINGS = 8
"""How often in a row what is left is halved before its reason is every row's: at most 510 more batches, a quarter of
the creates of an hour, and by then a batch of 50,000 rows is in parts of 196."""


class RetryDecision(Enum):
    """What becomes of a row after a try."""

    FINAL = "final"
    AGAIN = "again"  # the try failed, and counts
    LATER = "later"  # the row was not run; the try does not count


def fate(answer: Answer, *, tries: int, attempts: int, retry_invalid: bool) -> RetryDecision:
    """What becomes of a row that failed `tries` times before. A try that ran counts; one that did not, does not.

    An answer that was truncated or refused would be so again; what went missing may have been run.
    """
    match answer.outcome:
        case Outcome.EXPIRED:
            return RetryDecision.LATER
        case Outcome.MISSING:
            worth = True
        case Outcome.ERROR:
            worth = answer.is_temporary
        case Outcome.INVALID_ANSWER:
            worth = retry_invalid and answer.code != APPROVAL_REQUIRED
        case _:
            worth = False
    return RetryDecision.AGAIN if worth and tries + 1 < attempts else RetryDecision.FINAL


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


_FAILURES = {
    CodeKind.TOKENS: Failure.TOKENS,
    CodeKind.BILLING: Failure.ACCOUNT,
    CodeKind.PERMISSION: Failure.ACCOUNT,
    CodeKind.MODEL: Failure.MODEL,
}
_SHARED = frozenset({CodeKind.TOKENS, CodeKind.BILLING, CodeKind.MODEL})
"""What all rows of a batch have in common, so that a line which OpenAI names with it is only the first of all."""

_NO_FILE = re.compile(r"(cannot find|no such|not find) (the )?(input )?file", re.IGNORECASE)


def classify_failure(errors: Sequence[tuple[str, str, int | None]]) -> BatchFailure:
    """Return what the errors of a failed batch, or of a create that was refused, come to.

    An error that names a line is that row's, whatever its text says: a row may speak of files of its own.
    """
    for code, text, line in errors:
        about = ERROR_CODES.get(code)
        if about in _FAILURES and (line is None or about in _SHARED):
            return BatchFailure(_FAILURES[about], code, text, {})
    code, message, _ = errors[0] if errors else ("batch_failed", "", None)
    lines = {line: (reason, text) for reason, text, line in errors if line is not None}
    if lines:
        return BatchFailure(Failure.ROWS, code, message, lines)
    for reason, text, _ in errors:
        if _NO_FILE.search(text):
            return BatchFailure(Failure.FILE, reason, text, {})
    return BatchFailure(Failure.OTHER, code, message, {})


@dataclass(frozen=True, slots=True)
class Rest:
    """How the rows go on that are not to blame for their batch's failure: in so many batches, none if 0.

    `rounds` is what those batches have behind them, for the next decision.
    """

    batches: int
    rounds: int


def rest_of(failure: BatchFailure, *, requests: int, rounds: int) -> Rest:
    """Return how a batch of `requests` rows goes on that failed because of rows, after `rounds` such failures.

    It goes on without the rows that were blamed. If that never ends, or no row of it was blamed, its rest is halved:
    the wrong rows end up in ever smaller batches, and the right ones are answered.
    """
    blamed = sum(1 <= line <= requests for line in failure.lines)
    left = requests - blamed
    if not left or rounds >= MAX_ROUNDS + MAX_HALVINGS:
        return Rest(0, rounds)
    if blamed and (rounds < MAX_ROUNDS or left == 1):
        return Rest(1, rounds + 1)
    return Rest(2, max(rounds, MAX_ROUNDS) + 1) if left > 1 else Rest(0, rounds)


def put_off_seconds(waits: int) -> int:
    """For how many seconds rows wait that were put off `waits` times in a row before: ever longer."""
    return int(min(MAX_WAIT_SECONDS, 60 * 2 ** min(waits, 10)))
