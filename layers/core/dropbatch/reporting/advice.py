"""Advice for rows without a good answer: one table, by what would change their outcome."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from dropbatch.batch_api.error_codes import (
    APPROVAL_REQUIRED,
    BILLING_CODES,
    LENGTH_CODES,
    MODEL_CODES,
    PERMISSION_CODES,
    TEMPORARY_CODES,
    TEMPORARY_STATUSES,
    TOKEN_CODES,
    CodeKind,
    codes_about,
)
from dropbatch.domain.outcomes import (
    ANSWERS_GONE,
    BLANK_ROW,
    GAVE_UP,
    IN_DOUBT,
    LEFT_OUT,
    MAY_BE_PAID,
    NEVER_ENDED,
    NOT_COLLECTED,
    PAST_DEADLINE,
    RETRYABLE,
    WHEN,
    Outcome,
)


class Cure(StrEnum):
    """The change that would give rows another outcome."""

    AGAIN = "again"  # another try, as they are
    RECIPE = "recipe"  # another recipe, or for ready requests other lines
    ROWS = "rows"  # other rows
    PAY_AGAIN = "pay_again"  # nothing is wrong with them, but they may be paid already
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Advice:
    """The words about rows, and the change that would give them another outcome.

    `{place}` stands for the recipe, or for the lines of ready requests; see `_WITH_RECIPE` and `_READY` for others.
    """

    cure: Cure
    what: str


_HOW = {
    Cure.AGAIN: "put a .retry beside the drop to ask them again",
    Cure.RECIPE: "then a .retry beside the drop asks these rows with the changed recipe, a .rerun all rows",
    Cure.ROWS: "correct them in the failed file, and drop it",
    Cure.PAY_AGAIN: "to ask, and perhaps pay, again, drop the failed file",
    Cure.NONE: "",
}

HOW_OF_OLDER = {
    Cure.AGAIN: "drop the failed file to ask them again",
    Cure.RECIPE: "then drop the failed file, which asks these rows with the changed recipe",
}
"""The same where another version of the drop has come since: a marker beside it is for that one."""

HOW_OF_REPEATED = {Cure.AGAIN: "another run has answered them; a .rerun beside the drop asks all rows, once approved"}
"""The same where a `.rerun` was not approved, because another run has answered the same rows with the same recipe."""

_TEMPORARY = Advice(Cure.AGAIN, "OpenAI could not answer them, which is mostly temporary")
_UNFINISHED = Advice(Cure.AGAIN, "OpenAI did not finish them")
_TOO_LONG = Advice(
    Cure.RECIPE,
    "they are too long for the model: {rows}shorten the prompt, or choose a model that takes more, in {place}",
)
_TOO_MUCH = Advice(Cure.RECIPE, "a pattern, schema or expression takes too long or makes too much: simplify {place}")

_BY_CODE = {
    **dict.fromkeys(
        codes_about(CodeKind.KEY),
        Advice(Cure.AGAIN, "OpenAI does not accept the API key: have the stack's administrators store a good one"),
    ),
    **dict.fromkeys(
        BILLING_CODES,
        Advice(
            Cure.AGAIN,
            "OpenAI does not take work from this account: have the stack's administrators check its billing and limits",
        ),
    ),
    **dict.fromkeys(
        PERMISSION_CODES,
        Advice(Cure.AGAIN, "the API key may not do this: have the stack's administrators check its permissions"),
    ),
    **dict.fromkeys(
        codes_about(CodeKind.REGION),
        Advice(
            Cure.PAY_AGAIN, "OpenAI does not serve the country that the call came from: use a stack in another region"
        ),
    ),
    **dict.fromkeys(MODEL_CODES, Advice(Cure.RECIPE, "this account has no such model: correct `model` in {place}")),
    **dict.fromkeys(TOKEN_CODES, Advice(Cure.AGAIN, "more is enqueued at OpenAI than the account may have")),
    **dict.fromkeys((*codes_about(CodeKind.RATE), *TEMPORARY_CODES, "no_response"), _TEMPORARY),
    **dict.fromkeys(
        ("failed", "error", "unreadable", "response_cancelled", "response_queued", "response_in_progress"), _UNFINISHED
    ),
    **dict.fromkeys(LENGTH_CODES, _TOO_LONG),
    **dict.fromkeys(("too_slow", "too_large"), _TOO_MUCH),
    APPROVAL_REQUIRED: Advice(
        Cure.RECIPE,
        "the model asks whether it may call a tool, which nobody answers: set require_approval: never in {place}",
    ),
    PAST_DEADLINE: Advice(Cure.AGAIN, "they still waited when the recipe's deadline had passed"),
    GAVE_UP: Advice(Cure.AGAIN, "every attempt failed, and the functions' logs say why"),
    IN_DOUBT: Advice(
        Cure.PAY_AGAIN,
        "nobody could tell whether OpenAI has a batch of them: look for the job's id in the metadata of its batches",
    ),
    ANSWERS_GONE: Advice(Cure.PAY_AGAIN, "OpenAI answered them, and no longer has the answers"),
    NOT_COLLECTED: Advice(
        Cure.PAY_AGAIN,
        "their batch ended at OpenAI, and its answers could not be read; they are in OpenAI's files of that batch",
    ),
    NEVER_ENDED: Advice(Cure.PAY_AGAIN, "their batch did not end in 50 hours and may still be running"),
    WHEN: Advice(Cure.NONE, "the recipe's `when` leaves them out"),
    BLANK_ROW: Advice(
        Cure.NONE, "no column of them has a value; with `blank_rows: ask` in the recipe a .rerun asks them, too"
    ),
}

_BY_OUTCOME = {
    Outcome.TRUNCATED: Advice(
        Cure.RECIPE, "raise max_completion_tokens (max_output_tokens) in {place}, or ask for less"
    ),
    Outcome.REFUSED: Advice(Cure.RECIPE, "OpenAI declined them: reword {prompt}, or leave these rows out{when}"),
    Outcome.INVALID_ANSWER: Advice(
        Cure.AGAIN,
        "the answer was empty or did not fit the schema: see responses.jsonl; if that lasts, change {place}",
    ),
    Outcome.ERROR: Advice(
        Cure.RECIPE, "OpenAI refuses them as they are, and says why in responses.jsonl: {rows}change {place}"
    ),
    Outcome.EXPIRED: Advice(Cure.AGAIN, "OpenAI did not get to them before the deadline"),
    Outcome.CANCELLED: Advice(Cure.AGAIN, "they were cancelled"),
    Outcome.MISSING: Advice(Cure.AGAIN, "OpenAI returned nothing for them in any attempt"),
    Outcome.OK: Advice(Cure.NONE, "nothing to do"),
    Outcome.SKIPPED: Advice(Cure.ROWS, "they cannot be asked as they are"),
}

_WITH_RECIPE = {
    "place": "the recipe",
    "prompt": "the prompt",
    "when": " with `when`",
    "rows": "correct the rows in the failed file and drop it, or ",
}
_READY = {"place": "their lines", "prompt": "them", "when": "", "rows": ""}

_TEMPORARY_STATUSES = frozenset(f"http_{status}" for status in TEMPORARY_STATUSES)


def advise(outcome: Outcome, code: str) -> Advice:
    """Return what is to be said of rows with this outcome and code."""
    found = _BY_CODE.get(code)
    if outcome is Outcome.SKIPPED and code not in LEFT_OUT:
        found = None  # a code of ours, whatever OpenAI means by it
    if found is None and outcome is Outcome.ERROR and (code in _TEMPORARY_STATUSES or code.startswith("http_5")):
        return _TEMPORARY
    return found or _BY_OUTCOME[outcome]


def remedy(outcome: Outcome, code: str, *, has_recipe: bool = True, how: Mapping[Cure, str] | None = None) -> str:
    """Return in a sentence what a person can do about rows with this outcome and code.

    `how` replaces what is done about them in the jobs that it is for.
    """
    advice = advise(outcome, code)
    what = advice.what.format(**(_WITH_RECIPE if has_recipe else _READY))
    cure = Cure.ROWS if advice.cure is Cure.RECIPE and not has_recipe else advice.cure
    done = (how or {}).get(cure, _HOW[cure])
    return f"{what}; {done}" if done else what


def cures(reasons: Iterable[tuple[Outcome, str]], *, has_recipe: bool = True) -> set[Cure]:
    """Return what would change the outcomes of rows with these reasons."""
    found = {advise(outcome, code).cure for outcome, code in reasons}
    if not has_recipe and Cure.RECIPE in found:
        found = found - {Cure.RECIPE} | {Cure.ROWS}
    return found


def can_be_retried(reasons: Iterable[tuple[Outcome, str]], *, has_recipe: bool) -> bool:
    """Return whether a `.retry` can ask any of the rows with these reasons, be it with another recipe."""
    return any(
        code not in MAY_BE_PAID and (outcome in RETRYABLE or (has_recipe and outcome is not Outcome.SKIPPED))
        for outcome, code in reasons
    )
