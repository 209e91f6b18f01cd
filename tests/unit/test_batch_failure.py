"""What the errors of a failed batch mean for its rows: pure rules."""

import pytest

from dropbatch.batch_api.error_codes import ERROR_CODES, CodeKind, codes_about
from dropbatch.collection.retry_policy import (
    MAX_HALVINGS,
    MAX_ROUNDS,
    BatchFailure,
    Failure,
    Rest,
    classify_failure,
    rest_of,
)

FILE_TEXT = "Cannot find file file-1, or organization org does not have access to it."


@pytest.mark.parametrize(
    ("errors", "kind", "code", "lines"),
    [
        ([], Failure.OTHER, "batch_failed", []),
        ([("something_new", "?", None)], Failure.OTHER, "something_new", []),
        ([("invalid_request", FILE_TEXT, None)], Failure.FILE, "invalid_request", []),
        ([("invalid_request", "No such File object: file-1", None)], Failure.FILE, "invalid_request", []),
        ([("invalid_request", FILE_TEXT, 3)], Failure.ROWS, "invalid_request", [3]),
        ([("invalid_request", FILE_TEXT, 3), ("bad", "", 4)], Failure.ROWS, "invalid_request", [3, 4]),
        ([("invalid_request", FILE_TEXT, None), ("bad", "", 4)], Failure.ROWS, "invalid_request", [4]),
        ([("token_limit_exceeded", "Limit: 9", None)], Failure.TOKENS, "token_limit_exceeded", []),
        ([("bad", "", 2), ("insufficient_quota", "", None)], Failure.ACCOUNT, "insufficient_quota", []),
        # All rows of a batch have one account and one model: the line is only the first of all.
        ([("billing_hard_limit_reached", "", 1)], Failure.ACCOUNT, "billing_hard_limit_reached", []),
        ([("model_not_found", "", 1)], Failure.MODEL, "model_not_found", []),
        # But a row may name something of its own that the key may not use.
        ([("insufficient_permissions", "", 2)], Failure.ROWS, "insufficient_permissions", [2]),
        ([("insufficient_permissions", "", None)], Failure.ACCOUNT, "insufficient_permissions", []),
        ([("model_mismatch", "", 2)], Failure.ROWS, "model_mismatch", [2]),
    ],
)
def test_a_failure_is_what_its_errors_say(
    errors: list[tuple[str, str, int | None]], kind: Failure, code: str, lines: list[int]
) -> None:
    failure = classify_failure(errors)
    assert (failure.kind, failure.code, sorted(failure.lines)) == (kind, code, lines)


def blaming(*lines: int) -> BatchFailure:
    return classify_failure([("bad", "", line) for line in lines])


@pytest.mark.parametrize(
    ("lines", "requests", "rounds", "rest"),
    [
        ((2,), 5, 0, Rest(1, 1)),
        ((2,), 5, MAX_ROUNDS - 1, Rest(1, MAX_ROUNDS)),
        ((2,), 5, MAX_ROUNDS, Rest(2, MAX_ROUNDS + 1)),
        ((2,), 2, MAX_ROUNDS, Rest(1, MAX_ROUNDS + 1)),
        ((1, 2), 2, 0, Rest(0, 0)),
        ((2,), 5, MAX_ROUNDS + MAX_HALVINGS, Rest(0, MAX_ROUNDS + MAX_HALVINGS)),
        ((7,), 5, 0, Rest(2, MAX_ROUNDS + 1)),  # no line of this batch: the rows that are wrong are looked for
        ((7,), 1, 0, Rest(0, 0)),
    ],
)
def test_the_rest_goes_on_without_the_blamed_rows_and_is_halved_in_the_end(
    lines: tuple[int, ...], requests: int, rounds: int, rest: Rest
) -> None:
    assert rest_of(blaming(*lines), requests=requests, rounds=rounds) == rest


def answered(rows: list[int], bad: set[int], rounds: int = 0, *, named: bool = True) -> tuple[list[int], int]:
    """The rows that are answered where OpenAI names one bad line a round, or a wrong one, and the batches it takes."""
    places = [place for place, row in enumerate(rows, 1) if row in bad]
    if not places:
        return rows, 1
    failure = blaming(places[0] if named else len(rows) + 1)
    rest = rest_of(failure, requests=len(rows), rounds=rounds)
    left = [row for place, row in enumerate(rows, 1) if place not in failure.lines]
    found, batches = [], 1
    for part in range(rest.batches):
        half = len(left) * part // rest.batches, len(left) * (part + 1) // rest.batches
        good, more = answered(left[slice(*half)], bad, rest.rounds, named=named)
        found, batches = found + good, batches + more
    return found, batches


@pytest.mark.parametrize("named", [True, False])
def test_good_rows_beside_bad_ones_are_answered(named: bool) -> None:
    bad = set(range(3, 200, 40))
    found, _ = answered(list(range(200)), bad, named=named)
    assert found == [row for row in range(200) if row not in bad]


def test_more_bad_rows_than_rounds_leave_the_good_ones_right() -> None:
    rows, bad = list(range(1000)), set(range(100))
    assert answered(rows, bad)[0] == list(range(100, 1000))


@pytest.mark.slow
def test_a_batch_of_bad_rows_alone_takes_no_more_than_a_few_hundred_others() -> None:
    found, batches = answered(list(range(50_000)), set(range(50_000)))
    assert found == []
    assert batches <= 1 + MAX_ROUNDS + 510


def test_azures_codes_mean_what_openais_mean() -> None:
    for pair in (("invalid_url", "url_mismatch"), ("mismatched_model", "model_mismatch")):
        assert len({ERROR_CODES[code] for code in pair}) == 1
    assert codes_about(CodeKind.FILE) == {"empty_file", "too_many_tasks"}
