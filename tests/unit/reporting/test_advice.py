"""The advice for rows without a good answer: only steps that would change their outcome."""

import json
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.error_codes import ERROR_CODES, TEMPORARY_CODES, CodeKind, codes_about
from dropbatch.domain.outcomes import LEFT_OUT, MAY_BE_PAID, RETRYABLE, Outcome
from dropbatch.reporting.advice import Cure, advise, can_be_retried, cures, remedy
from tests.driving import drop, jobs, result, result_json, run
from tests.fakes import FakeContext, answer_ok, response_line
from tests.unit.batch_api.test_error_messages import UNSUPPORTED

FAILED = [outcome for outcome in Outcome if outcome is not Outcome.OK]
LASTING = [
    "unsupported_parameter",
    "invalid_json_schema",
    "invalid_value",
    "http_400",
    "http_404",
    "batch_failed",
    "new",
]


@pytest.mark.parametrize("code", [*sorted(TEMPORARY_CODES), "http_408", "http_409", "http_429", "http_500", "http_503"])
def test_rows_with_temporary_errors_can_be_retried_as_they_are(code: str) -> None:
    assert advise(Outcome.ERROR, code).cure is Cure.AGAIN
    assert remedy(Outcome.ERROR, code).endswith("put a .retry beside the drop to ask them again")


@pytest.mark.parametrize(
    "code", [*LASTING, *sorted(codes_about(CodeKind.MODEL, CodeKind.LINE)), "context_length_exceeded"]
)
def test_rows_that_would_fail_again_need_another_recipe_or_other_lines(code: str) -> None:
    assert advise(Outcome.ERROR, code).cure is Cure.RECIPE
    assert "with the changed recipe" in remedy(Outcome.ERROR, code)
    ready = remedy(Outcome.ERROR, code, has_recipe=False)
    assert ready.endswith("correct them in the failed file, and drop it")
    assert ".retry" not in ready
    assert ".rerun" not in ready


def test_rows_that_are_left_out_need_nothing_and_bad_rows_need_a_correction() -> None:
    assert advise(Outcome.SKIPPED, "when").cure is Cure.NONE
    assert advise(Outcome.SKIPPED, "blank_row").cure is Cure.NONE
    assert advise(Outcome.SKIPPED, "ragged_row").cure is Cure.ROWS
    assert advise(Outcome.SKIPPED, "invalid_model").cure is Cure.ROWS, "a code of ours"


@pytest.mark.parametrize("code", sorted(MAY_BE_PAID))
def test_rows_that_may_be_paid_already_are_never_retried(code: str) -> None:
    for outcome in (Outcome.ERROR, Outcome.EXPIRED, Outcome.MISSING):
        assert advise(outcome, code).cure is Cure.PAY_AGAIN
        assert ".retry" not in remedy(outcome, code)
        assert not can_be_retried([(outcome, code)], has_recipe=True)


@pytest.mark.parametrize("outcome", FAILED)
@pytest.mark.parametrize("has_recipe", [True, False])
def test_every_outcome_and_code_has_a_sentence_that_names_what_there_is(outcome: Outcome, has_recipe: bool) -> None:
    for code in [*ERROR_CODES, *LEFT_OUT, *MAY_BE_PAID, *LASTING, "length", "refusal", "empty", "too_slow", "other"]:
        found = remedy(outcome, code, has_recipe=has_recipe)
        assert found
        assert "{" not in found
        if not has_recipe:
            assert ".rerun" not in found or code in LEFT_OUT
        retried = can_be_retried([(outcome, code)], has_recipe=has_recipe)
        if outcome in RETRYABLE and advise(outcome, code).cure is Cure.AGAIN:
            assert retried


def test_the_cures_of_several_reasons_are_those_of_each() -> None:
    reasons = [(Outcome.TRUNCATED, "length"), (Outcome.EXPIRED, "batch_expired"), (Outcome.SKIPPED, "ragged_row")]
    assert cures(reasons) == {Cure.RECIPE, Cure.AGAIN, Cure.ROWS}
    assert cures(reasons, has_recipe=False) == {Cure.AGAIN, Cure.ROWS}


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\n')
    return fake


def failing(*messages: str, where: str = "error") -> Any:
    def answer(request: dict[str, Any]) -> Any:
        row = int(request["custom_id"])
        if row > len(messages):
            return answer_ok(request)
        error = {"code": "bad_thing", "message": messages[row - 1]}
        if where == "line":
            return "error", {"custom_id": request["custom_id"], "response": None, "error": error}
        return where, response_line(request, 400, {"error": error})

    return answer


@pytest.mark.parametrize("where", ["error", "output", "line"])
def test_the_commonest_error_is_shown_in_openais_words_unless_it_quotes_a_row(fake: FakeContext, where: str) -> None:
    """The first row's message quotes it; the second's does not."""
    fake.openai.answer = failing("Invalid value: 'xyzzy'.", UNSUPPORTED, where=where)
    drop(fake, "a.csv", b"text\nxyzzy\nplugh\nc\n")
    run(fake)
    (reason,) = result_json(fake, "summary.json")["reasons"]
    assert (reason["rows"], reason["message"]) == (2, UNSUPPORTED)
    ended = fake.topics.published[-1]
    assert f"OpenAI says “{UNSUPPORTED}”" in ended.text
    assert "OpenAI says “Unsupported parameter" in result(fake, "report.html").decode()
    assert "xyzzy" not in ended.text + json.dumps(ended.detail) + "".join([*fake.table.texts(), *fake.observer.lines])
    assert "xyzzy" in result(fake, "responses.jsonl").decode()


@pytest.mark.parametrize("message", ["xyzzy", "Invalid input: xyzzy", "Invalid value: 'xyzzy'."])
def test_a_message_that_every_row_has_and_may_quote_a_row_is_not_shown(fake: FakeContext, message: str) -> None:
    fake.openai.answer = failing(message, message, message)
    drop(fake, "a.csv", b"text,url\na,xyzzy\nb,xyzzy\nc,xyzzy\n")
    run(fake)
    ended = fake.topics.published[-1]
    assert "OpenAI says" not in ended.text
    assert "xyzzy" not in ended.text + json.dumps(ended.detail) + "".join([*fake.table.texts(), *fake.observer.lines])


def test_the_message_of_a_failed_batch_is_shown_as_well(fake: FakeContext) -> None:
    fake.openai.refuse = lambda _batch, _requests: [("something_new", UNSUPPORTED, None)]
    drop(fake, "a.csv", b"text\na\nb\n")
    run(fake)
    assert result_json(fake, "summary.json")["reasons"][0]["message"] == UNSUPPORTED


def test_a_wrong_recipe_is_corrected_and_used_as_the_rejection_says(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ txt }}"\n')
    drop(fake, "a.csv", b"text\na\n")
    run(fake)
    assert fake.topics.published[-1].text.splitlines()[-3:-1] == [
        "Correct the recipe and upload it; the file is then read again automatically: aws s3 cp recipe.yaml "
        "s3://the-inbox/recipe.yaml",
        "  or, in the S3 console, upload it into the bucket itself, into no folder",
    ]
    fake.clock.sleep(60)
    drop(fake, "recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\n')
    run(fake)
    assert result_json(fake, "summary.json", jobs(fake)[-1])["rows"]["ok"] == 1
