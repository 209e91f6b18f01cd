"""A `.retry` sends failed rows with the current recipe, and keeps good answers, in one complete file; over fakes."""

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import HeldReason, JobState, OpenAIStatus
from dropbatch.reporting.event_members import results_prefix
from tests.driving import batches, deliver_next, drop, jobs, only_job, result, result_json, rows, run, sent_rows
from tests.fakes import INBOX, RESULTS, FakeContext, Killer, answer_ok, response_line

RECIPE = b'model: our-model\nprompt: "Label: {{ text }}"\nparameters: {max_tokens: 50}\n'
CORRECTED = RECIPE.replace(b"max_tokens", b"max_completion_tokens")


def choosy(request: dict[str, Any]) -> Any:
    """Answer a request. With max_tokens, only the first row succeeds; without it, all do."""
    if "max_tokens" in request["body"] and request["custom_id"] != "1":
        message = "Unsupported parameter: 'max_tokens' is not supported with this model."
        error = {"code": "unsupported_parameter", "message": message}
        return "error", response_line(request, 400, {"error": error})
    return answer_ok(request)


def finishing(reason: str, *but: str) -> Any:
    """Return an answerer: all rows end for this reason while the first recipe is in use."""

    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        if "max_tokens" in request["body"] and request["custom_id"] not in but:
            line["response"]["body"]["choices"][0]["finish_reason"] = reason
        return where, line

    return answer


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.answer = choosy
    return fake


def first_run(fake: FakeContext, data: bytes = rows(3), name: str = "a.csv") -> Job:
    drop(fake, name, data)
    run(fake)
    return only_job(fake)


def put(fake: FakeContext, kind: str, name: str = "a.csv") -> Job:
    """Put a marker, and return the newest job."""
    fake.clock.sleep(60)
    drop(fake, f"{name}.{kind}", b"")
    run(fake, ticks=200)
    return jobs(fake)[-1]


def statuses(fake: FakeContext, job: Job, name: str = "a.answers.csv") -> list[str]:
    return [line.split(",", 2)[2] for line in result(fake, name, job).decode().splitlines()[1:]]


def last(fake: FakeContext) -> str:
    return fake.topics.published[-1].text


def test_a_corrected_recipe_retries_the_failed_rows_and_gives_one_whole_file(fake: FakeContext) -> None:
    former = first_run(fake)
    assert former.state is JobState.PARTIAL
    assert "OpenAI says “Unsupported parameter: 'max_tokens' is not supported with this model.”" in last(fake)
    assert "Once the recipe is changed, to ask these rows with it: echo | aws s3 cp - s3://the-inbox/a.csv.retry" in (
        last(fake).splitlines()
    )
    fake.objects.drop("recipe.yaml", CORRECTED)
    job = put(fake, "retry")
    assert job.state is JobState.SUCCEEDED
    assert sent_rows(fake) == [[1, 2, 3], [2, 3]], "the good row is not retried"
    assert statuses(fake, job) == ["ok,"] * 3
    summary = result_json(fake, "summary.json", job)
    assert [(recipe["path"], recipe["rows"]) for recipe in summary["recipes"]] == [
        ("recipe.yaml", 1),
        ("recipe.yaml", 2),
    ]
    assert [recipe["sha256"] for recipe in summary["recipes"]] == [former.recipe_sha256, job.recipe_sha256]
    assert summary["recipe_sha256"] == job.recipe_sha256
    accepted = [n.text for n in fake.topics.published if n.event == "accepted"][-1]
    assert "The rows are asked with recipe.yaml as it is today; the good answers are kept." in accepted
    assert f"Rows by recipe: 1 by recipe.yaml ({(former.recipe_sha256 or '')[:8]}), 2 by recipe.yaml" in last(fake)
    bodies = [json.loads(line)["body"] for line in list(fake.openai.contents.values())[-2].splitlines()]
    assert all("max_completion_tokens" in body for body in bodies if "messages" in body)


def test_an_unchanged_recipe_sends_the_same_requests(fake: FakeContext) -> None:
    former = first_run(fake)
    fake.objects.drop("recipe.yaml", b"# a comment changes nothing\n" + RECIPE)
    job = put(fake, "retry")
    assert (job.state, job.recipe_sha256) == (JobState.PARTIAL, former.recipe_sha256)
    assert sent_rows(fake) == [[1, 2, 3], [2, 3]]
    (recipe,) = result_json(fake, "summary.json", job)["recipes"]
    assert recipe == {"path": "recipe.yaml", "sha256": former.recipe_sha256, "rows": 3}


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_truncated_and_refused_rows_are_retried_only_with_another_recipe(fake: FakeContext, reason: str) -> None:
    """Each message names the next step, and following it works."""
    fake.openai.answer = finishing(reason, "2")
    first_run(fake)
    assert "Once the recipe is changed, to ask these rows with it" in last(fake)
    rejected = put(fake, "retry")
    assert rejected.state is JobState.REJECTED
    assert "No row of the former job can be sent again with the same recipe" in last(fake)
    assert "new .retry" not in last(fake), "a corrected recipe retries the rows"
    assert json.loads(fake.objects.content(RESULTS, "a.csv/latest.json"))["run"] == 1
    assert last(fake).splitlines()[-3] == (
        "Correct the recipe and upload it; the failed rows are then retried automatically: aws s3 cp recipe.yaml "
        "s3://the-inbox/recipe.yaml"
    )
    fake.objects.drop("recipe.yaml", CORRECTED)
    job = put(fake, "retry")
    assert (job.state, statuses(fake, job)) == (JobState.SUCCEEDED, ["ok,"] * 3)
    assert sent_rows(fake) == [[1, 2, 3], [1, 3]]


def test_a_corrected_recipe_retries_rejected_rows_that_were_paid_before(fake: FakeContext) -> None:
    fake.openai.answer = finishing("length", "2")
    first_run(fake)
    assert put(fake, "retry").state is JobState.REJECTED
    fake.clock.sleep(60)
    drop(fake, "recipe.yaml", CORRECTED)
    run(fake)
    assert sent_rows(fake) == [[1, 2, 3], [1, 3]]
    (usable,) = [told.text for told in fake.topics.people if told.event == "recipe"]
    assert "1 file that waited for it is read again with it: `a.csv`.\n" in usable


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_without_any_good_answer_the_advice_retries_all_rows_with_the_changed_recipe(
    fake: FakeContext, reason: str
) -> None:
    fake.openai.answer = finishing(reason)
    first_run(fake)
    line = "Once the recipe is changed, to ask all rows with it: echo | aws s3 cp - s3://the-inbox/a.csv.rerun"
    assert line in last(fake).splitlines()
    fake.objects.drop("recipe.yaml", CORRECTED)
    job = put(fake, "rerun")
    assert (job.state, statuses(fake, job)) == (JobState.SUCCEEDED, ["ok,"] * 3)


def test_all_invalid_answers_may_pass_as_they_are(fake: FakeContext) -> None:
    def blank(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        line["response"]["body"]["choices"][0]["message"]["content"] = " "
        return where, line

    fake.openai.answer = blank
    first_run(fake)
    assert "To ask the failed ones again: echo | aws s3 cp - s3://the-inbox/a.csv.retry" in last(fake).splitlines()
    fake.openai.answer = answer_ok
    assert put(fake, "retry").state is JobState.SUCCEEDED


def test_a_recipe_with_other_columns_is_refused_and_the_rerun_that_it_names_works(fake: FakeContext) -> None:
    first_run(fake)
    fake.objects.drop("recipe.yaml", CORRECTED + b"schema: {label: [a, b]}\n")
    job = put(fake, "retry")
    assert job.state is JobState.REJECTED
    (problem,) = fake.topics.published[-1].detail["problems"]["first"]
    assert problem["code"] == "columns_changed"
    assert "label, _status, _error" in problem["message"]
    line = "To ask all rows with today's recipe: echo | aws s3 cp - s3://the-inbox/a.csv.rerun"
    assert last(fake).splitlines()[-3] == line
    again = put(fake, "rerun")
    assert again.state is JobState.SUCCEEDED
    assert sent_rows(fake) == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    ("recipe", "code"),
    [
        (CORRECTED + b"shema: {a: string}\n", "unknown_key"),
        (CORRECTED.replace(b"{{ text }}", b"{{ txt }}"), "undefined_name"),
        (b"model: [", "invalid_yaml"),
    ],
)
def test_a_broken_recipe_is_reported_and_the_retry_works_once_it_is_corrected(
    fake: FakeContext, recipe: bytes, code: str
) -> None:
    first_run(fake)
    fake.objects.drop("recipe.yaml", recipe)
    assert put(fake, "retry").state is JobState.REJECTED
    found = [problem["code"] for problem in fake.topics.published[-1].detail["problems"]["first"]]
    assert code in found or code == "invalid_yaml", found
    fake.objects.drop("recipe.yaml", CORRECTED)
    job = put(fake, "retry")
    assert (job.state, statuses(fake, job)) == (JobState.SUCCEEDED, ["ok,"] * 3)
    assert sent_rows(fake) == [[1, 2, 3], [2, 3]]


def test_the_recipe_of_the_former_job_replaces_a_deleted_one_and_the_message_says_so(fake: FakeContext) -> None:
    former = first_run(fake)
    fake.objects.remove(INBOX, "recipe.yaml")
    fake.openai.answer = answer_ok
    job = put(fake, "retry")
    assert (job.state, job.recipe_sha256) == (JobState.SUCCEEDED, former.recipe_sha256)
    accepted = [n.text for n in fake.topics.published if n.event == "accepted"][-1]
    assert "recipe.yaml is gone: the rows are asked with the recipe that the former job kept." in accepted


def test_another_model_and_endpoint_get_batches_of_their_own(fake: FakeContext) -> None:
    first_run(fake, b"text,kind\n" + b"".join(b"row %d,%d\n" % (n, n % 2) for n in range(1, 8)))
    fake.objects.drop("recipe.yaml", CORRECTED.replace(b"our-model", b'"m{{ kind }}"'))
    job = put(fake, "retry")
    assert job.state is JobState.SUCCEEDED
    assert sent_rows(fake)[1:] == [[2, 4, 6], [3, 5, 7]]
    made = [(batch.model, batch.requests) for batch in batches(fake) if batch.job_id == job.id and batch.openai_id]
    assert made == [("m0", 3), ("m1", 3)]


@pytest.mark.parametrize("lists_first", [True, False])
def test_columns_have_lists_if_the_current_recipe_returns_lists(fake: FakeContext, lists_first: bool) -> None:
    """Only retried rows have lists; earlier answers stay unchanged."""

    def embedded(request: dict[str, Any]) -> Any:
        if request["custom_id"] == "2" and len(fake.openai.batches) == 1:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value"}})
        return "output", response_line(request, 200, {"data": [{"index": 0, "embedding": [0.5]}]})

    recipe = b'endpoint: /v1/embeddings\nbody: {model: m, input: "{{ %s }}"}\n'
    first, second = (recipe % b"texts | json", recipe % b"text")[:: 1 if lists_first else -1]
    fake.objects.drop("recipe.yaml", first)
    fake.openai.answer = embedded
    first_run(fake, b'{"text":"a","texts":["a"]}\n{"text":"b","texts":["b"]}\n', "a.jsonl")
    fake.objects.drop("recipe.yaml", second)
    job = put(fake, "retry", "a.jsonl")
    found = [json.loads(line)["embedding"] for line in result(fake, "a.answers.jsonl", job).splitlines()]
    assert found == [[[0.5]], [0.5]][:: 1 if lists_first else -1]


def test_requests_that_have_grown_are_spread_over_more_batches(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_bytes=4_000))
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.answer = choosy
    former = first_run(fake, rows(8))
    assert former.shards == 1
    fake.objects.drop("recipe.yaml", CORRECTED.replace(b"Label", b"x" * 900))
    job = put(fake, "retry")
    assert job.state is JobState.SUCCEEDED
    sizes = [len(fake.openai.contents[batch.input_file_id]) for batch in list(fake.openai.batches.values())[1:]]
    assert len(sizes) > 1
    assert max(sizes) <= 4_000
    assert sorted(row for batch in sent_rows(fake)[1:] for row in batch) == list(range(2, 9))


def test_rows_that_the_current_recipe_leaves_out_are_skipped_as_the_message_advises(fake: FakeContext) -> None:
    fake.openai.answer = finishing("content_filter", "1")
    first_run(fake)
    assert "leave these rows out with `when`" in last(fake)
    fake.objects.drop("recipe.yaml", RECIPE + b"when: \"{{ text == 'row 1' }}\"\n")
    job = put(fake, "retry")
    assert (job.state, statuses(fake, job)) == (JobState.SUCCEEDED, ["ok,", "skipped,when", "skipped,when"])
    assert result_json(fake, "summary.json", job)["rows"]["skipped"] == 2
    assert len(sent_rows(fake)) == 1


@pytest.mark.parametrize("skips", [False, True])
def test_rows_that_the_current_recipe_cannot_send_are_bad_rows(fake: FakeContext, skips: bool) -> None:
    first_run(fake, b"text,n\na,1\nb,0\nc,1\n")
    divides = b'prompt: "{{ 1 / n | int }} {{ text }}"'
    changed = CORRECTED.replace(b'prompt: "Label: {{ text }}"', divides) + b"bad_rows: skip\n" * skips
    fake.objects.drop("recipe.yaml", changed)
    job = put(fake, "retry")
    if skips:
        assert (job.state, sent_rows(fake)[1:]) == (JobState.SUCCEEDED, [[3]])
        assert result_json(fake, "skipped.json", job)["codes"] == {"template_failed": 1}
        assert result(fake, "a.failed.csv", job) == b"text,n\nb,0\n"
        assert "1 bad row was skipped: 1 template_failed." in last(fake)
    else:
        assert job.state is JobState.REJECTED
        (problem,) = fake.topics.published[-1].detail["problems"]["first"]
        assert (problem["line"], problem["code"]) == (2, "template_failed")
        assert problem["message"].startswith("Row 2, key prompt of the recipe:")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"text,n\n\na,1\n\nb,0\n"),
        ("a.json", b'[\n{"text":"a","n":1},\n\n{"text":"b","n":0}\n]\n'),
    ],
)
def test_messages_name_a_row_by_its_number_whatever_is_between_rows(fake: FakeContext, name: str, data: bytes) -> None:
    first_run(fake, data, name)
    fake.objects.drop("recipe.yaml", CORRECTED.replace(b"Label: {{ text }}", b"{{ 1 / n | int }}"))
    put(fake, "retry", name)
    (problem,) = fake.topics.published[-1].detail["problems"]["first"]
    assert problem["message"].startswith("Row 2, key prompt of the recipe:")


def test_skipped_rows_stay_skipped_and_are_reported_again(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"bad_rows: skip\n")
    first_run(fake, b"id,text\n1,a\n2,b\n,\n3,c,d\n")
    fake.objects.drop("recipe.yaml", CORRECTED + b"blank_rows: ask\nlimit: 1\n")
    job = put(fake, "retry")
    assert sent_rows(fake) == [[1, 2], [2]]
    assert result_json(fake, "skipped.json", job)["codes"] == {"blank_row": 1, "ragged_row": 1}
    assert "1 row was blank and skipped." in last(fake)


def test_ready_requests_have_no_recipe_and_are_sent_unchanged(fake: FakeContext) -> None:
    line = {
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    }
    lines = b"".join(json.dumps({"custom_id": f"id-{n}", **line}).encode() + b"\n" for n in range(3))
    fake.openai.answer = lambda request: (
        ("error", response_line(request, 500, {"error": {"code": "server_error"}}))
        if request["custom_id"] == "2" and len(fake.openai.batches) < 4
        else answer_ok(request)
    )
    first_run(fake, lines, "a.jsonl")
    job = put(fake, "retry", "a.jsonl")
    assert job.state is JobState.SUCCEEDED
    assert result_json(fake, "summary.json", job)["recipes"] == []


def test_each_row_names_the_one_of_several_corrected_recipes_that_it_was_sent_with(fake: FakeContext) -> None:
    def answer(request: dict[str, Any]) -> Any:
        most = request["body"]["max_tokens"]
        if int(request["custom_id"]) > most:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value"}})
        return answer_ok(request)

    fake.openai.answer = answer
    versions = [RECIPE.replace(b"50", b"%d" % most) for most in (1, 3, 6)]
    for number, recipe in enumerate(versions):
        fake.objects.drop("recipe.yaml", recipe)
        job = put(fake, "retry") if number else first_run(fake, rows(6))
    assert job.state is JobState.SUCCEEDED
    assert sent_rows(fake) == [[1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6], [4, 5, 6]]
    found = result_json(fake, "summary.json", job)["recipes"]
    assert [recipe["rows"] for recipe in found] == [1, 2, 3]
    assert [recipe["sha256"] for recipe in found] == [each.recipe_sha256 for each in jobs(fake)]
    said = fake.openai.echoes(jobs(fake)[0].id) | fake.openai.echoes(jobs(fake)[1].id) | fake.openai.echoes(job.id)
    answered = [
        json.loads(line)["response"]["body"]["choices"] for line in result(fake, "responses.jsonl", job).splitlines()
    ]
    assert [choices[0]["message"]["content"] for choices in answered] == [said[row] for row in range(1, 7)]


def test_rows_that_may_be_paid_already_are_never_sent_again(fake: FakeContext) -> None:
    """The answers of the first batch are lost, although OpenAI has answered its rows."""
    stream = fake.openai.streaming

    def gone(*args: Any, **more: Any) -> Any:
        fake.openai.files = {
            name: data for name, data in fake.openai.files.items() if b"custom_id" not in data or b"method" in data
        }
        return stream(*args, **more)

    fake.openai.streaming = gone  # type: ignore[method-assign]  # files that are lost when they are requested
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=200)
    assert {reason["code"] for reason in result_json(fake, "summary.json")["reasons"]} == {"answers_gone"}
    assert "To ask, and perhaps pay, them again: aws s3 cp s3://the-results/" in last(fake)
    fake.openai.streaming = stream  # type: ignore[method-assign]
    fake.objects.drop("recipe.yaml", CORRECTED)
    assert put(fake, "retry").state is JobState.FAILED
    assert last(fake).startswith("No row of a.csv can be sent again as it is, so a.csv.retry does nothing.")
    assert len(sent_rows(fake)) == 1


@pytest.mark.parametrize("seconds", [5.0, 50.0])
def test_a_retry_with_another_recipe_continues_in_the_next_invocation(tmp_path: Path, seconds: float) -> None:
    """Each invocation has little time, and the recipe changes in between."""
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=4))
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.answer = choosy
    first_run(fake, rows(18))
    fake.objects.drop("recipe.yaml", CORRECTED)
    fake.seconds_left = lambda: seconds
    fake.clock.sleep(60)
    drop(fake, "a.csv.retry", b"")
    deliver_next(fake, "intake")
    fake.objects.drop("recipe.yaml", b"broken: [")
    fake.seconds_left = lambda: 300.0
    run(fake, ticks=200)
    job = jobs(fake)[-1]
    assert job.state is JobState.SUCCEEDED
    assert statuses(fake, job) == ["ok,"] * 18
    assert set(fake.openai.paid_answers().values()) == {1}


@pytest.mark.slow
def test_a_kill_at_any_call_of_a_retry_with_another_recipe_leaves_one_recipe_and_pays_once(tmp_path: Path) -> None:
    """The recipe changes again after each kill: the one with which the job began counts."""

    def prepared() -> FakeContext:
        fake = FakeContext(tmp_path, limits=Limits(batch_requests=2), killer=Killer())
        fake.objects.drop("recipe.yaml", RECIPE)
        fake.openai.answer = choosy
        drop(fake, "a.csv", rows(4))
        run(fake)
        fake.objects.drop("recipe.yaml", CORRECTED)
        fake.clock.sleep(60)
        drop(fake, "a.csv.retry", b"")
        return fake

    whole = prepared()
    beginning = pickle.dumps(whole)
    assert whole.killer is not None
    before = len(whole.killer.calls)
    run(whole)
    expected = result(whole, "a.answers.csv", jobs(whole)[-1])
    for point in whole.killer.all_points():
        call = point // 2
        if call < before:
            continue
        fake: FakeContext = pickle.loads(beginning)
        assert fake.killer is not None
        fake.killer.points = {point}
        run(fake, ticks=1)
        fake.objects.drop("recipe.yaml", CORRECTED.replace(b"50", b"60"))
        run(fake, ticks=120)
        job = jobs(fake)[-1]
        place = f"killed at {whole.killer.calls[call]}, call {call}"
        assert job.state is JobState.SUCCEEDED, place
        assert statuses(fake, job) == ["ok,"] * 4, place
        assert set(fake.openai.paid_answers().values()) == {1}, place
        assert set(fake.openai.batches_by_key().values()) == {1}, place
        sent = Counter(
            json.loads(line)["body"].get("max_completion_tokens")
            for batch in fake.openai.batches.values()
            for line in fake.openai.contents[batch.input_file_id].splitlines()
        )
        assert len(sent) == 2, f"{place}: one recipe a job, {sent}"
        if 60 not in sent:
            assert result(fake, "a.answers.csv", job) == expected, place
        names = [key for key in fake.objects.keys(RESULTS, results_prefix(job)) if key.endswith("summary.json")]
        assert len(names) == 1, place
        assert sum(recipe["rows"] for recipe in result_json(fake, "summary.json", job)["recipes"]) == 4, place


@pytest.mark.slow
def test_an_expired_job_is_retried_as_it_was(fake: FakeContext) -> None:
    fake.openai.answer, fake.openai.ending = lambda _request: None, OpenAIStatus.EXPIRED
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=100, step=3600)
    assert "To ask the failed ones again: echo | aws s3 cp - s3://the-inbox/a.csv.retry" in last(fake)
    fake.openai.answer, fake.openai.ending = answer_ok, OpenAIStatus.COMPLETED
    assert put(fake, "retry").state is JobState.SUCCEEDED


@pytest.mark.slow
def test_a_job_held_for_its_recipe_is_ended_corrected_and_retried_as_the_message_says(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=2))
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.token_limits = {"*": 60}  # one batch at a time
    fake.openai.answer = choosy
    drop(fake, "a.csv", rows(10))
    run(fake, ticks=10)
    assert only_job(fake).state is JobState.HELD
    held = next(n for n in fake.topics.published if n.event == "held")
    assert held.text.splitlines()[-3].startswith(
        "If the recipe is wrong, end the run, correct the recipe, and then ask"
    )
    assert put(fake, "cancel").state is JobState.CANCELLED
    fake.objects.drop("recipe.yaml", CORRECTED)
    job = put(fake, "retry")
    assert (job.state, statuses(fake, job)) == (JobState.SUCCEEDED, ["ok,"] * 10)
    assert set(fake.openai.paid_answers().values()) == {1}


def test_ready_requests_that_were_truncated_are_corrected_in_the_failed_file_as_the_messages_say(
    fake: FakeContext,
) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    fake.openai.answer = finishing("length")
    first_run(fake, json.dumps(line).encode() + b"\n", "a.jsonl")
    assert "in their lines, or ask for less; correct them in the failed file, and drop it" in last(fake)
    assert "and then: aws s3 cp failed.jsonl s3://the-inbox/failed.jsonl" in last(fake)
    assert put(fake, "retry", "a.jsonl").state is JobState.FAILED
    assert [job.run for job in jobs(fake)] == [1], "it does not count as a run"
    assert "if there is a failed file, correct the rows in it, and drop it" in last(fake)
    assert ".retry" not in last(fake).replace("so a.jsonl.retry does nothing.", "")
    corrected = result(fake, "failed.jsonl", jobs(fake)[0]).replace(b"max_tokens", b"max_completion_tokens")
    fake.clock.sleep(60)
    drop(fake, "failed.jsonl", corrected)
    run(fake)
    assert jobs(fake)[-1].state is JobState.SUCCEEDED


@pytest.mark.slow
def test_a_retry_without_failed_rows_names_the_rerun(fake: FakeContext) -> None:
    fake.openai.answer = answer_ok
    first_run(fake)
    assert put(fake, "retry").state is JobState.SUCCEEDED
    assert last(fake).splitlines()[:2] == [
        "Every row of a.csv that could be asked is done, so a.csv.retry does nothing.",
        "To ask all rows again: make a folder `a.csv.rerun` beside the file, or: echo | aws s3 cp - "
        "s3://the-inbox/a.csv.rerun",
    ]
    assert [job.run for job in jobs(fake)] == [1], "it does not count as a run"
    assert json.loads(fake.objects.content(RESULTS, "a.csv/latest.json"))["status"] == "succeeded"
    assert put(fake, "rerun").held_reason is HeldReason.REPEATED
    assert put(fake, "approve").state is JobState.SUCCEEDED
