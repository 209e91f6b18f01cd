"""Outcomes of rows whose batch ended in an unusual way, and of work that happens twice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dropbatch.collection.collect import collect
from dropbatch.domain.errors import OpenAIOutcomeUnknownError
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.intake.intake import take_in
from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.submission.submit import submit
from tests.driving import RECIPE, drop, jobs, only_job, result, result_json, run
from tests.fakes import INBOX, FakeContext, answer_ok, response_line


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def statuses(fake: FakeContext) -> list[str]:
    lines = result(fake, "a.answers.csv").decode().splitlines()[1:]
    return [":".join(line.split(",")[-2:]).rstrip(":") for line in lines]


def test_a_completed_batch_without_an_output_file_gives_each_row_its_error(fake: FakeContext) -> None:
    fake.openai.answer = lambda request: (
        "error",
        response_line(request, 400, {"error": {"code": "bad_thing", "message": "no"}}),
    )
    drop(fake, "a.csv", b"text\na\nb\n")
    run(fake)
    assert only_job(fake).state is JobState.FAILED
    assert statuses(fake) == ["error:bad_thing"] * 2
    assert result(fake, "a.failed.csv") == b"text\na\nb\n"


def test_a_row_in_neither_file_is_missing_after_the_wait(fake: FakeContext) -> None:
    def lose_second(request: dict[str, Any]) -> Any:
        return None if request["custom_id"] == "2" else answer_ok(request)

    fake.openai.answer = lose_second
    fake.objects.drop("recipe.yaml", RECIPE + b"attempts: 1\n")
    drop(fake, "a.csv", b"text\na\nb\nc\n")
    run(fake)
    assert statuses(fake) == ["ok", "missing:missing", "ok"]
    assert only_job(fake).state is JobState.PARTIAL


@pytest.mark.slow
def test_an_expired_batch_keeps_its_answers_and_the_others_are_retried_until_the_deadline(fake: FakeContext) -> None:
    def first_only(request: dict[str, Any]) -> Any:
        if request["custom_id"] == "1":
            return answer_ok(request)
        error = {"code": "batch_expired", "message": "expired"}
        return "error", {"id": "x", "custom_id": request["custom_id"], "response": None, "error": error}

    fake.openai.answer, fake.openai.ending = first_only, OpenAIStatus.EXPIRED
    drop(fake, "a.csv", b"text\na\nb\n")
    run(fake, ticks=100, step=3600)
    assert statuses(fake) == ["ok", "expired:batch_expired"]
    asked = [len(fake.openai.contents[batch.input_file_id].splitlines()) for batch in fake.openai.batches.values()]
    assert asked[0] == 2
    assert set(asked[1:]) == {1}, "answered rows are not sent again"
    line = json.loads(result(fake, "responses.jsonl").splitlines()[1])
    assert line["response"] is None
    assert line["error"]["code"] == "expired"


def test_a_batch_that_failed_validation_gives_its_rows_the_reason(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", b"text\na\nb\n")
    run(fake, ticks=1)
    (batch,) = fake.openai.batches.values()
    fake.openai.batches[batch.id] = replace(
        batch, status=OpenAIStatus.FAILED, errors=[("model_not_found", "no such model", 1)]
    )
    run(fake)
    assert statuses(fake) == ["error:model_not_found"] * 2


def test_everything_delivered_twice_and_in_any_order_changes_nothing(fake: FakeContext) -> None:
    version = drop(fake, "a.csv", b"text\na\nb\n")
    fake.intake.send(IntakeMessage(INBOX, "a.csv", version).to_json())
    run(fake)
    before = (len(fake.topics.published), result_json(fake, "summary.json"))
    job = only_job(fake)
    sk = "batch#000000#000#0"
    for _ in range(2):
        collect(fake.context, BatchMessage(job.id, sk))
        submit(fake.context, BatchMessage(job.id, sk))
        take_in(fake.context, IntakeMessage(INBOX, "a.csv", version))
        poll(fake.context)
    run(fake)
    assert (len(fake.topics.published), result_json(fake, "summary.json")) == before
    assert len(fake.openai.batches) == 1


def test_a_drop_that_is_deleted_while_it_runs_is_answered_anyway(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", b"text\na\n")
    run(fake, ticks=2)
    fake.objects.remove(INBOX, "a.csv")
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_a_marker_older_than_the_drop_has_no_effect(fake: FakeContext) -> None:
    for kind in ("cancel", "rerun"):
        drop(fake, f"a.csv.{kind}", b"")
    run(fake, ticks=1)
    fake.clock.sleep(100)
    drop(fake, "a.csv", b"text\na\n")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


@pytest.mark.parametrize("name", ["a.csv.cancel", "a.csv.cancel/"])
def test_a_cancel_whose_event_comes_before_the_drops_is_kept_for_it(fake: FakeContext, name: str) -> None:
    """Both were uploaded, the drop first; EventBridge promises no order."""
    version = fake.objects.drop("a.csv", b"text\na\n")
    fake.clock.sleep(5)
    drop(fake, name, b"whatever it holds")
    run(fake, ticks=1)
    fake.intake.send(IntakeMessage(INBOX, "a.csv", version).to_json())
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED
    assert fake.openai.batches == {}
    assert result_json(fake, "summary.json")["rows"]["cancelled"] == 1


def test_a_cancel_reaches_a_batch_that_is_being_created(fake: FakeContext) -> None:
    """The marker comes between the create and its record: the next poll cancels the batch at OpenAI."""
    create = fake.openai.create

    def cancel_meanwhile(*args: Any) -> Any:
        made = create(*args)
        version = fake.objects.drop("a.csv.cancel", b"")
        take_in(fake.context, IntakeMessage(INBOX, "a.csv.cancel", version))
        return made

    fake.openai.create = cancel_meanwhile  # type: ignore[method-assign]  # the fake's own, for this test
    fake.openai.answer, fake.openai.ending = lambda _request: None, None
    drop(fake, "a.csv", b"text\na\n")
    run(fake)
    assert fake.openai.cancelled == list(fake.openai.batches)
    assert only_job(fake).state is JobState.CANCELLED


def test_a_cancel_of_an_ended_job_changes_nothing(fake: FakeContext) -> None:
    drop(fake, "a.csv", b"text\na\n")
    run(fake)
    before = len(fake.topics.published)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    (told,) = fake.topics.published[before:]
    assert (told.event, told.status, told.detail["reason"]) == ("marker", "refused", "ended")


def test_an_unknown_status_stops_no_other_batch_and_is_logged(fake: FakeContext) -> None:
    retrieve = fake.openai.retrieve
    strange = True

    def strange_for_first(batch_id: str) -> Any:
        if strange and batch_id == next(iter(fake.openai.batches)):
            return replace(fake.openai.batches[batch_id], status=OpenAIStatus.UNKNOWN)
        return retrieve(batch_id)

    fake.openai.retrieve = strange_for_first  # type: ignore[method-assign]  # the fake's own, for this test
    drop(fake, "a.csv", b"text\na\n")
    run(fake, ticks=2)
    drop(fake, "b.csv", b"text\nb\n")
    run(fake, ticks=5)
    assert [job.state for job in jobs(fake)] == [JobState.RUNNING, JobState.SUCCEEDED]
    assert any("status that is not known" in line for line in fake.observer.lines)
    strange = False
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.SUCCEEDED, JobState.SUCCEEDED]


def test_a_batch_that_openai_does_not_answer_about_stops_no_other(fake: FakeContext) -> None:
    retrieve = fake.openai.retrieve

    def broken_for_first(batch_id: str) -> Any:
        if batch_id == next(iter(fake.openai.batches)):
            raise OpenAIOutcomeUnknownError("http_500")
        return retrieve(batch_id)

    fake.openai.retrieve = broken_for_first  # type: ignore[method-assign]  # the fake's own, for this test
    drop(fake, "a.csv", b"text\na\n")
    run(fake, ticks=2)
    drop(fake, "b.csv", b"text\nb\n")
    run(fake, ticks=5)
    assert [job.state for job in jobs(fake)] == [JobState.RUNNING, JobState.SUCCEEDED]


def test_a_rerun_sends_the_same_object_with_the_current_recipe(fake: FakeContext) -> None:
    drop(fake, "a.csv", b"text\na\n")
    run(fake)
    fake.clock.sleep(10)
    fake.objects.drop("recipe.yaml", RECIPE.replace(b"gpt-6-luna", b"gpt-6-sol"))
    drop(fake, "a.csv.rerun/", b"")
    run(fake)
    bodies = [json.loads(fake.openai.contents[batch.input_file_id])["body"] for batch in fake.openai.batches.values()]
    assert [body["model"] for body in bodies] == ["gpt-6-luna", "gpt-6-sol"]
