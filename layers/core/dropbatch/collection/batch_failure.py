"""Failures of whole batches: their kinds, what OpenAI's errors say of them, and how the other rows continue."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dropbatch.batch_api.error_codes import ERROR_CODES, CodeKind

MAX_ROUNDS = 50
"""How often in a row a batch continues without its blamed rows before it is halved; or waits for its file."""

MAX_HALVINGS = 8
"""How often in a row the other rows are halved before all get the batch's reason: at most 510 more batches, a quarter
of the creates of an hour. By then a batch of 50,000 rows is in parts of 196."""


class Failure(StrEnum):
    """Why a batch failed as a whole, before any of its rows was run."""

    TOKENS = "tokens"  # more would be enqueued than the account may have: its rows wait
    FILE = "file"  # OpenAI does not see its file yet, or no longer
    ROWS = "rows"  # some of its rows are wrong; the others are right
    ACCOUNT = "account"  # billing or permission: OpenAI would refuse every other batch too
    MODEL = "model"  # no such model, or not for this account
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class BatchFailure:
    """A failure, OpenAI's code and message, and the reasons of single lines (1-based) where OpenAI gives any."""

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
"""What all rows of a batch have in common. A line that OpenAI names with it is only the first of all."""

_NO_FILE = re.compile(r"(cannot find|no such|not find) (the )?(input )?file", re.IGNORECASE)


def classify_failure(errors: Sequence[tuple[str, str, int | None]]) -> BatchFailure:
    """Return what the errors (code, text, line) of a failed batch, or of a refused create, mean together.

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
    """In how many batches the rows continue that did not cause their batch's failure; 0 if they do not.

    `rounds` counts the failures before those batches, for the next decision.
    """

    batches: int
    rounds: int


def rest_of(failure: BatchFailure, *, requests: int, rounds: int) -> Rest:
    """Return how a batch of `requests` rows continues that failed because of rows, after `rounds` such failures.

    It continues without the blamed rows. If that never ends, or OpenAI blamed no row of it, its rest is halved: the
    wrong rows end up in ever smaller batches, and the right ones are answered.
    """
    blamed = sum(1 <= line <= requests for line in failure.lines)
    left = requests - blamed
    if not left or rounds >= MAX_ROUNDS + MAX_HALVINGS:
        return Rest(0, rounds)
    if blamed and (rounds < MAX_ROUNDS or left == 1):
        return Rest(1, rounds + 1)
    return Rest(2, max(rounds, MAX_ROUNDS) + 1) if left > 1 else Rest(0, rounds)
