"""The rules of retries, as tables: which rows get another try, in how many batches, and when."""

import pytest

from dropbatch.answers.answer import Answer
from dropbatch.batch_api.error_codes import APPROVAL_REQUIRED
from dropbatch.collection.batch_failure import (
    MAX_HALVINGS,
    MAX_ROUNDS,
    BatchFailure,
    Failure,
    Rest,
    classify_failure,
    rest_of,
)
from dropbatch.collection.retry_policy import (
    FILE_SECONDS,
    MAX_WAIT_SECONDS,
    NextTry,
    RetryDecision,
    decide_requeue,
    decide_retry,
    plan_next_try,
)
from dropbatch.domain.batches import Batch
from dropbatch.domain.outcomes import Outcome

FINAL, RETRY, REQUEUE = RetryDecision.FINAL, RetryDecision.RETRY, RetryDecision.REQUEUE


def answer(outcome: Outcome, code: str | None = None, *, again: bool = False) -> Answer:
    return Answer(outcome, code, None, None, is_temporary=again)


@pytest.mark.parametrize(
    ("given", "tries", "retry_invalid", "decision"),
    [
        (answer(Outcome.OK), 0, True, FINAL),
        (answer(Outcome.TRUNCATED), 0, True, FINAL),
        (answer(Outcome.REFUSED), 0, True, FINAL),
        (answer(Outcome.CANCELLED), 0, True, FINAL),
        (answer(Outcome.ERROR), 0, True, FINAL),
        (answer(Outcome.ERROR, again=True), 0, False, RETRY),
        (answer(Outcome.ERROR, again=True), 1, False, RETRY),
        (answer(Outcome.ERROR, again=True), 2, False, FINAL),
        (answer(Outcome.MISSING), 1, False, RETRY),
        (answer(Outcome.MISSING), 2, False, FINAL),
        (answer(Outcome.INVALID_ANSWER), 0, False, FINAL),
        (answer(Outcome.INVALID_ANSWER), 0, True, RETRY),
        (answer(Outcome.INVALID_ANSWER), 2, True, FINAL),
        (answer(Outcome.INVALID_ANSWER, APPROVAL_REQUIRED), 0, True, FINAL),
        (answer(Outcome.EXPIRED), 0, False, REQUEUE),
        (answer(Outcome.EXPIRED), 99, False, REQUEUE),  # it was not run: no try counts
    ],
)
def test_decision_on_a_row_that_may_be_tried_three_times(
    given: Answer, tries: int, retry_invalid: bool, decision: RetryDecision
) -> None:
    assert decide_retry(given, tries=tries, attempts=3, retry_invalid=retry_invalid) is decision


def failed(kind: Failure) -> BatchFailure:
    return BatchFailure(kind, "code", "message", {2: ("bad", "")} if kind is Failure.ROWS else {})


@pytest.mark.parametrize(
    ("kind", "position", "requeues", "decision"),
    [
        (Failure.TOKENS, 1, 10_000, REQUEUE),
        (Failure.FILE, 1, MAX_ROUNDS - 1, REQUEUE),
        (Failure.FILE, 1, MAX_ROUNDS, FINAL),
        (Failure.ROWS, 1, 0, REQUEUE),
        (Failure.ROWS, 2, 0, FINAL),  # the blamed row
        (Failure.ROWS, 1, MAX_ROUNDS + MAX_HALVINGS - 1, REQUEUE),
        (Failure.ROWS, 1, MAX_ROUNDS + MAX_HALVINGS, FINAL),
        (Failure.ACCOUNT, 1, 0, FINAL),
        (Failure.MODEL, 1, 0, FINAL),
        (Failure.OTHER, 1, 0, FINAL),
    ],
)
def test_decision_on_a_row_of_a_failed_batch(
    kind: Failure, position: int, requeues: int, decision: RetryDecision
) -> None:
    assert decide_requeue(failed(kind), position, requests=5, requeues=requeues) is decision


@pytest.mark.parametrize(
    ("kind", "requeues", "failed_before", "failed_now", "plan"),
    [
        (None, 0, 0, 0, NextTry()),  # the rows expired
        (None, 3, 0, 1, NextTry(60)),
        (None, 0, 1, 2, NextTry(120)),
        (None, 0, 9, 10, NextTry(MAX_WAIT_SECONDS)),
        (Failure.TOKENS, 0, 0, 0, NextTry(60, 1)),
        (Failure.TOKENS, 2, 0, 0, NextTry(240, 3)),
        (Failure.TOKENS, 40, 0, 0, NextTry(MAX_WAIT_SECONDS, 41)),
        (Failure.FILE, 0, 0, 0, NextTry(FILE_SECONDS[0], 1, keeps_file=True)),
        (Failure.FILE, 3, 0, 0, NextTry(FILE_SECONDS[3], 4, keeps_file=True)),
        (Failure.FILE, 4, 0, 0, NextTry(0, 5)),  # it is uploaded again
        (Failure.ROWS, 0, 0, 0, NextTry(0, 1)),
        (Failure.ROWS, MAX_ROUNDS, 0, 0, NextTry(0, MAX_ROUNDS + 1, must_split=True)),
        (Failure.OTHER, 3, 0, 0, NextTry()),
    ],
)
def test_plan_of_the_next_try(
    kind: Failure | None, requeues: int, failed_before: int, failed_now: int, plan: NextTry
) -> None:
    batch = Batch("j", 0, 0, "/v1/e", "m", 5, 1, 0, requeues=requeues, failed_attempts=failed_before)
    assert plan_next_try(failed(kind) if kind else None, batch, failed_attempts=failed_now) == plan


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
        ((7,), 5, 0, Rest(2, MAX_ROUNDS + 1)),  # no line of this batch: halving finds the wrong rows
        ((7,), 1, 0, Rest(0, 0)),
    ],
)
def test_the_rest_continues_without_the_blamed_rows_and_is_halved_in_the_end(
    lines: tuple[int, ...], requests: int, rounds: int, rest: Rest
) -> None:
    assert rest_of(blaming(*lines), requests=requests, rounds=rounds) == rest


def answered(rows: list[int], bad: set[int], rounds: int = 0, *, named: bool = True) -> tuple[list[int], int]:
    """Return the answered rows and the number of batches, if OpenAI names a bad or a wrong line in each round."""
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


def test_more_bad_rows_than_rounds_do_not_affect_good_ones() -> None:
    rows, bad = list(range(1000)), set(range(100))
    assert answered(rows, bad)[0] == list(range(100, 1000))


@pytest.mark.slow
def test_a_batch_of_bad_rows_alone_takes_no_more_than_a_few_hundred_others() -> None:
    found, batches = answered(list(range(50_000)), set(range(50_000)))
    assert found == []
    assert batches <= 1 + MAX_ROUNDS + 510
