"""Models are checked before a job starts: one that is gone, or soon will be, rejects the drop; over fakes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
    OpenAIRequestError,
)
from dropbatch.domain.states import JobState
from dropbatch.intake.model_check import KNOWN_SECONDS, MAX_ASKED
from tests.driving import drop, jobs, last_message, only_event, only_job, result_json, rows, run
from tests.fakes import FakeContext, Killer, answer_ok, response_line
from tests.scenarios.test_model_notices import raw

DAY = 86_400
SHUTDOWN = datetime(2026, 12, 11, tzinfo=UTC).timestamp()
"""When OpenAI shuts gpt-5-mini down."""

GONE = "OpenAI shut the model o1 down on 2026-10-23; write gpt-5.6-sol in its place."


class Asked(FakeContext):
    """Fakes whose calls are counted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, killer=Killer())
        self.at(datetime(2026, 11, 27, tzinfo=UTC).timestamp())

    def at(self, time: float) -> None:
        self.clock.sleep(time - self.clock())

    @property
    def asked(self) -> int:
        """The number of calls that asked the server for a model."""
        assert self.killer is not None
        return self.killer.calls.count("openai.has_model")


@pytest.fixture
def fake(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def recipe(model: str) -> bytes:
    return f'prompt: "{{{{ text }}}}"\nmodel: {model}\n'.encode()


def dropped(fake: FakeContext, model: str, name: str = "a.csv", ticks: int = 60) -> JobState:
    """Drop three rows under a recipe with this model. Return the state of the job at its end."""
    fake.objects.drop("recipe.yaml", recipe(model))
    drop(fake, name, rows(3))
    run(fake, ticks=ticks)
    return jobs(fake)[-1].state


def problems(fake: FakeContext) -> Sequence[dict[str, Any]]:
    found: Sequence[dict[str, Any]] = result_json(fake, "rejected.json")["problems"]["first"]
    return found


def test_a_model_that_was_shut_down_rejects_the_drop_and_names_the_replacement(fake: Asked) -> None:
    assert dropped(fake, "o1") is JobState.REJECTED
    (problem,) = problems(fake)
    assert (problem["code"], problem["path"], problem["line"], problem["key"]) == (
        "model_gone",
        "recipe.yaml",
        2,
        "model",
    )
    assert problem["message"] == f"Line 2 of recipe.yaml, key model: {GONE}"
    assert problem["message"] in last_message(fake, "rejected").text
    assert (fake.asked, fake.openai.batches) == (0, {}), "the published day is enough"


def test_the_corrected_recipe_has_the_file_answered(fake: Asked) -> None:
    dropped(fake, "o1")
    fake.clock.sleep(60)
    drop(fake, "recipe.yaml", recipe("gpt-5.6-sol"))
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.REJECTED, JobState.SUCCEEDED]


@pytest.mark.parametrize(
    ("before_window_ends", "state"), [(1, JobState.REJECTED), (0, JobState.RUNNING), (-1, JobState.RUNNING)]
)
def test_the_window_of_a_batch_decides_to_the_second(fake: Asked, before_window_ends: int, state: JobState) -> None:
    fake.at(SHUTDOWN - DAY + before_window_ends)
    fake.openai.ending = None
    fake.objects.drop("recipe.yaml", recipe("gpt-5-mini"))
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=1)
    assert only_job(fake).state is state
    if state is JobState.REJECTED:
        assert problems(fake)[0]["message"].endswith(
            "OpenAI shuts the model gpt-5-mini down on 2026-12-11, within a batch's 24 h; write gpt-5.6-terra or "
            "gpt-6.1-terra in its place."
        )
    else:
        assert [notice["code"] for notice in only_event(fake, "accepted").detail["notices"]] == ["model_ends"]


def test_a_shut_down_base_shuts_its_fine_tuned_models(fake: Asked) -> None:
    assert dropped(fake, "ft:o1-2024-12-17:org::id") is JobState.REJECTED
    assert "the model ft:o1-2024-12-17:org::id down on 2026-10-23" in problems(fake)[0]["message"]


def test_a_fine_tuned_model_is_asked_for_by_its_full_name(fake: Asked) -> None:
    fake.openai.models = {"gpt-6-luna"}
    assert dropped(fake, "ft:gpt-6-luna:org::id") is JobState.REJECTED
    (problem,) = problems(fake)
    assert problem["code"] == "model_not_found"
    assert problem["message"] == (
        "Line 2 of recipe.yaml, key model: OpenAI has no model ft:gpt-6-luna:org::id, or the project of the API key "
        "may not use it; correct the name, or let the project use the model."
    )


def test_another_server_is_asked_and_the_published_days_do_not_count_there(fake: Asked) -> None:
    fake.openai_base_url = "https://models.example.com/v1"
    assert dropped(fake, "o1") is JobState.SUCCEEDED
    assert fake.asked == 1
    fake.openai.models = set()
    assert dropped(fake, "mine", "b.csv") is JobState.REJECTED
    assert "The server models.example.com has no model mine, or" in last_message(fake, "rejected").text
    assert dropped(fake, "gpt-4", "c.csv") is JobState.REJECTED
    assert "OpenAI shut the model gpt-4 down on 2026-10-23; write gpt-5.6-sol" in last_message(fake, "rejected").text


def test_each_line_of_a_ready_batch_file_that_first_names_a_missing_model_is_named(fake: Asked) -> None:
    fake.openai.models = {"gpt-6-luna"}
    drop(fake, "a.jsonl", raw("gpt-6-luna", "o1", "gpt-6-luna", "o1", "mine"))
    run(fake)
    assert only_job(fake).state is JobState.REJECTED
    found = {(problem["code"], problem["line"], problem["key"]): problem["message"] for problem in problems(fake)}
    assert found["model_gone", 2, "body.model"] == f"Line 2: {GONE}"
    assert found["model_not_found", 5, "body.model"].startswith("Line 5: OpenAI has no model mine, or")
    assert len(found) == 2


def test_a_model_that_a_row_names_is_a_problem_of_the_row(fake: Asked) -> None:
    fake.objects.drop("recipe.yaml", recipe('"{{ model }}"'))
    drop(fake, "a.csv", b"model,text\ngpt-6-luna,a\ngpt-6-luna,b\no1,c\n")
    run(fake)
    (problem,) = problems(fake)
    assert (problem["code"], problem["line"], problem["key"], problem.get("path")) == ("model_gone", 4, "model", None)


def test_a_drop_with_many_models_asks_for_ten(fake: Asked) -> None:
    drop(fake, "a.jsonl", raw(*(f"model-{number}" for number in range(MAX_ASKED + 5))))
    run(fake)
    assert (only_job(fake).state, fake.asked) == (JobState.SUCCEEDED, MAX_ASKED)


def test_the_server_is_asked_once_a_day(fake: Asked) -> None:
    fake.at(fake.clock() // 60 * 60)
    began = fake.clock()
    for name in ("a.csv", "b.csv"):
        assert dropped(fake, "gpt-6-luna", name) is JobState.SUCCEEDED
    assert fake.asked == 1
    fake.at(began + KNOWN_SECONDS - 1)
    dropped(fake, "gpt-6-luna", "c.csv")
    assert fake.asked == 1
    fake.at(began + KNOWN_SECONDS)
    dropped(fake, "gpt-6-luna", "d.csv")
    assert fake.asked == 2


def test_that_a_model_is_missing_is_not_kept(fake: Asked) -> None:
    """The project may get the model a minute later."""
    fake.openai.models = set()
    assert dropped(fake, "gpt-6-luna") is JobState.REJECTED
    fake.openai.models = None
    assert dropped(fake, "gpt-6-luna", "b.csv") is JobState.SUCCEEDED
    assert fake.asked == 2


def test_a_server_that_does_not_say_which_models_it_has_is_asked_once_a_day(fake: Asked) -> None:
    fake.openai.tells_models = False
    for number, model in enumerate(("gpt-6-luna", "mine", "gpt-6-luna")):
        assert dropped(fake, model, f"{number}.csv") is JobState.SUCCEEDED
    assert fake.asked == 1
    fake.clock.sleep(KNOWN_SECONDS)
    dropped(fake, "mine", "last.csv")
    assert fake.asked == 2


@pytest.mark.parametrize(
    "error",
    [
        OpenAIRateLimitError("rate_limit_exceeded", 60),
        OpenAIOutcomeUnknownError("timeout"),
        OpenAIPermissionError("insufficient_permissions"),
        OpenAIAuthError("invalid_api_key"),
        OpenAIBillingError("insufficient_quota"),
        OpenAIRequestError("invalid_value"),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_error_keeps_a_job_from_starting(fake: Asked, error: Exception) -> None:
    def fail(model: str) -> bool:
        raise error

    fake.openai.has_model = fail  # type: ignore[method-assign]  # also with an error that the port does not raise
    drop(fake, "a.jsonl", raw("one", "two", "three"))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert fake.asked == 1, "the other models are not asked for"
    is_logged = ("ERROR", "the models of a job could not be checked") in fake.observer.warnings
    assert is_logged is not isinstance(error, OpenAIError)


def test_with_little_time_left_no_model_is_asked_for(fake: Asked) -> None:
    fake.seconds_left = lambda: 59.0
    drop(fake, "a.csv", rows(3))
    fake.objects.drop("recipe.yaml", recipe("gpt-6-luna"))
    run(fake, ticks=2)
    assert (only_job(fake).rows, fake.asked) == (3, 0)


def test_a_retry_and_a_rerun_are_checked_again(fake: Asked) -> None:
    fake.openai.answer = lambda request: (
        ("error", response_line(request, 500, {"error": {"code": "server_error", "message": "no"}}))
        if request["custom_id"] == "2"
        else answer_ok(request)
    )
    assert dropped(fake, "gpt-5-mini", ticks=200) is JobState.PARTIAL
    sent = len(fake.openai.batches)
    fake.at(SHUTDOWN - DAY + 1)
    for marker in ("retry", "rerun"):
        drop(fake, f"a.csv.{marker}", b"")
        run(fake)
        assert jobs(fake)[-1].state is JobState.REJECTED
        assert "down on 2026-12-11" in last_message(fake, "rejected").text
        fake.clock.sleep(60)
    assert len(fake.openai.batches) == sent


def test_a_job_that_waits_for_an_approval_is_not_checked_again(fake: Asked) -> None:
    fake.at(SHUTDOWN - DAY)
    fake.objects.drop("recipe.yaml", recipe("gpt-5-mini") + b"hold: true\n")
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=3)
    assert only_job(fake).state is JobState.HELD
    fake.clock.sleep(3600)
    drop(fake, "a.csv.approve", b"")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_the_problems_of_a_drop_are_json(fake: Asked) -> None:
    dropped(fake, "o1")
    assert json.loads(json.dumps(only_event(fake, "rejected").detail))["job_id"] == only_job(fake).id
