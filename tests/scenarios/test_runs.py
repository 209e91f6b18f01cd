"""Runs of a file: their ids, numbers and recipes, and their comparison with the run before; over fakes."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

import dropbatch
from dropbatch.domain.deadlines import RETENTION_SECONDS
from dropbatch.domain.drops import job_id
from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import Claim
from dropbatch.domain.states import HeldReason, JobState
from dropbatch.jobs.deduplication import claim_job
from dropbatch.messages import IntakeMessage
from dropbatch.reporting.event_members import results_prefix
from dropbatch.storage.repository import to_item
from tests.driving import (
    ALMOST_NOTHING,
    RECIPE,
    deliver,
    drop,
    jobs,
    only_job,
    result,
    result_json,
    rows,
    run,
)
from tests.fakes import INBOX, RESULTS, WORK, FakeContext, answer_ok, response_line

SENTIMENT = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema:
  sentiment: [positive, negative]
"""
VERSION = dropbatch.__version__
MIXED = SENTIMENT.replace(b"negative]", b"negative, mixed]")


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("shop/recipe.yaml", SENTIMENT)
    return fake


def answering(*values: Any) -> Any:
    """Return an answerer with a sentiment, or the members of an answer, for each row."""

    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        value = values[int(request["custom_id"]) - 1]
        if value is None:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        members = value if isinstance(value, dict) else {"sentiment": value}
        line["response"]["body"]["choices"][0]["message"]["content"] = json.dumps(members)
        return where, line

    return answer


def texts(fake: FakeContext, event: str) -> list[list[str]]:
    return [notification.text.splitlines() for notification in fake.topics.published if notification.event == event]


def run_lines(fake: FakeContext) -> list[tuple[str, str]]:
    return [(notification.event, notification.text.splitlines()[-1]) for notification in fake.topics.published]


def digest(recipe: bytes) -> str:
    return hashlib.sha256(recipe).hexdigest()


def rerun(fake: FakeContext, kind: str = "rerun", key: str = "shop/reviews.csv") -> Job:
    """Request another run, and approve it if it is unchanged."""
    fake.clock.sleep(3600)
    drop(fake, f"{key}.{kind}", b"")
    run(fake)
    if jobs(fake)[-1].held_reason is HeldReason.REPEATED:
        drop(fake, f"{key}.approve", b"")
        run(fake)
    return jobs(fake)[-1]


def latest(fake: FakeContext, key: str = "shop/reviews.csv") -> Any:
    return json.loads(fake.objects.content(RESULTS, f"{key}/latest.json"))


# Ids and numbers


def test_runs_of_a_file_sort_as_they_happened_and_are_numbered(fake: FakeContext) -> None:
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    again = [rerun(fake), rerun(fake)]
    fake.clock.sleep(3600)
    drop(fake, "shop/reviews.csv", rows(3))
    run(fake)
    found = jobs(fake)
    assert [job.run for job in found] == [1, 2, 3, 4]
    assert [job.id for job in found] == sorted(job.id for job in found)
    assert len({job.id[:16] for job in found}) == 4, "each begins with its own time"
    assert again[1].id > again[0].id


def test_a_number_is_taken_by_what_was_rejected_and_not_by_a_duplicate(fake: FakeContext) -> None:
    drop(fake, "shop/reviews.csv", b"other\na\n")
    run(fake)
    fake.openai.ending = None
    for _ in range(2):
        fake.clock.sleep(60)
        drop(fake, "shop/reviews.csv", rows(1))
        run(fake, ticks=2)
    assert [(job.state, job.run) for job in jobs(fake)] == [
        (JobState.REJECTED, 1),
        (JobState.RUNNING, 2),
        (JobState.REJECTED, 0),
    ]
    assert fake.topics.events() == ["rejected", "accepted", "duplicate"]
    assert run_lines(fake)[:2] == [
        ("rejected", f"Run 1 of reviews.csv, recipe shop/recipe.yaml ({digest(SENTIMENT)[:8]}), Dropbatch {VERSION}."),
        (
            "accepted",
            f"Run 2 of reviews.csv, model gpt-6-luna, recipe shop/recipe.yaml ({digest(SENTIMENT)[:8]}), "
            f"Dropbatch {VERSION}.",
        ),
    ]


def test_a_late_event_and_the_sweep_make_one_job(fake: FakeContext) -> None:
    version = fake.objects.drop("shop/reviews.csv", rows(2))
    event = fake.objects.event(INBOX, "shop/reviews.csv", version)
    event["time"] = "2099-01-01T00:00:00Z"
    fake.intake.send(IntakeMessage(INBOX, "shop/reviews.csv", None).to_json())
    run(fake)
    fake.intake.send(event)
    run(fake)
    fake.intake.send(event)
    run(fake)
    assert only_job(fake).run == 1
    assert fake.topics.events() == ["accepted", "ended"]


def test_a_marker_that_is_delivered_twice_makes_one_job(fake: FakeContext) -> None:
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    fake.clock.sleep(60)
    version = fake.objects.drop("shop/reviews.csv.rerun", b"")
    event = fake.objects.event(INBOX, "shop/reviews.csv.rerun", version)
    for seconds in (0, 1, 3600):
        fake.clock.sleep(seconds)
        fake.intake.send(event)
        deliver(fake)
    run(fake)
    assert [job.run for job in jobs(fake)] == [1, 2]


def test_a_drop_that_an_earlier_release_accepted_is_not_accepted_again(fake: FakeContext) -> None:
    """The earlier release named a job by the time of the drop, and claimed only the version of the drop."""
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    first = only_job(fake)
    repository = fake.context.repository
    rerun_version = fake.objects.drop("shop/reviews.csv.rerun", b"")
    old = Job(
        id=job_id(first.drop, first.drop.modified, rerun_version), drop=first.drop, created_at=first.created_at,
        rerun_version=rerun_version, requested_at=first.requested_at, state=JobState.SUCCEEDED, is_clean=True,
        expires_at=first.created_at + RETENTION_SECONDS,
    )  # fmt: skip  # a job on one line or two
    item = to_item(old)
    for name in ("run", "models", "endpoints", "cancels_older", "replaced_by"):
        item.pop(name, None)
    fake.table.insert({**item, "rev": 1})
    fake.intake.send(fake.objects.event(INBOX, "shop/reviews.csv.rerun", rerun_version))
    fake.clock.sleep(3600)
    run(fake)
    assert {job.id for job in jobs(fake)} == {first.id, old.id}
    claim = Claim(hashlib.sha256(f"version\n{INBOX}\nshop/b.csv\nv".encode()).hexdigest(), "the-job-of-before")
    assert repository.add(claim)
    drop_of_before = first.drop.__class__(INBOX, "shop/b.csv", "v", 0)
    assert claim_job(repository, drop_of_before, 99, 99) == "the-job-of-before"


def test_the_package_has_the_version_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


# Recipes of runs


def test_a_run_is_named_in_messages_files_page_and_latest(fake: FakeContext) -> None:
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    again = rerun(fake)
    recipe = f"shop/recipe.yaml ({digest(SENTIMENT)[:8]})"
    line = f"Run 2 of reviews.csv, model gpt-6-luna, recipe {recipe}, Dropbatch {VERSION}."
    assert run_lines(fake)[2:] == [("held", line), ("marker", line), ("ended", line)]
    for name in ("summary.json", "status.json"):
        found = result_json(fake, name, again)
        assert found["run"] == 2
        assert (found["models"], found["endpoints"]) == (["gpt-6-luna"], ["/v1/chat/completions"])
        assert found["recipe"] == {"path": "shop/recipe.yaml", "sha256": digest(SENTIMENT)}
        assert (found["recipe_sha256"], found["dropbatch_version"]) == (digest(SENTIMENT), VERSION)
    assert f'<p class="soft">{line}</p>' in result(fake, "report.html", again).decode()
    assert latest(fake) == {
        "schema_version": 1,
        "job_id": again.id,
        "run": 2,
        "status": "succeeded",
        "version_id": again.drop.version_id,
        "dropped": result_json(fake, "summary.json", again)["times"]["dropped"],
        "results": {"bucket": RESULTS, "prefix": results_prefix(again)},
    }


def test_a_held_job_names_its_run(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_job_usd=ALMOST_NOTHING)
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    assert run_lines(fake) == [
        ("held", f"Run 1 of a.csv, model gpt-6-luna, recipe recipe.yaml ({digest(RECIPE)[:8]}), Dropbatch {VERSION}.")
    ]
    assert latest(fake, "a.csv")["status"] == "running"


def test_some_of_many_models_are_named_and_only_valid_names(fake: FakeContext) -> None:
    fake.objects.drop("shop/recipe.yaml", SENTIMENT.replace(b"gpt-6-luna", b'"{{ model }}"'))
    models, long = [f"model-{number}" for number in range(12)], "long-" * 30
    drop(fake, "shop/a.csv", "\n".join(["model,text", f"{long},x", *(f"{m},x" for m in models)]).encode())
    run(fake)
    assert only_job(fake).models == models[:10]
    assert run_lines(fake)[-1][1].startswith("Run 1 of a.csv, models model-0, model-1, model-2 and others, recipe ")
    assert long not in "".join(notification.text for notification in fake.topics.published)


def test_a_run_keeps_its_recipe_and_files_as_they_were_dropped(fake: FakeContext) -> None:
    recipe = b'# caf\xc3\xa9\r\nmodel: gpt-6-luna\r\nsystem: file://parts/./system.md\r\nprompt: "{{ text }}"\r\n'
    part = b"\xef\xbb\xbfBe brief.\r\n"
    fake.objects.drop("shop/recipe.yaml", recipe)
    fake.objects.drop("shop/parts/system.md", part)
    drop(fake, "shop/deep/reviews.csv", rows(1))
    run(fake)
    fake.objects.drop("shop/parts/system.md", b"Something else.")
    prefix = results_prefix(only_job(fake))
    copies = {
        key.removeprefix(prefix): fake.objects.content(RESULTS, key)
        for folder in ("recipe/", "recipe/parts/")
        for key in fake.objects.keys(RESULTS, prefix + folder)
    }
    assert copies == {"recipe/recipe.yaml": recipe, "recipe/parts/system.md": part}
    assert result_json(fake, "summary.json")["objects"]["recipe"] == prefix + "recipe/recipe.yaml"


@pytest.mark.parametrize("recipe", [b"model: gpt-6-luna\nprompt: '{{ no }}'\n", b"model: [\n", SENTIMENT + b"x: 1\n"])
def test_a_rejected_run_keeps_the_recipe_that_it_used(fake: FakeContext, recipe: bytes) -> None:
    fake.objects.drop("shop/recipe.yaml", recipe)
    drop(fake, "shop/reviews.csv", rows(1))
    run(fake)
    job = only_job(fake)
    assert job.state is JobState.REJECTED
    assert result(fake, "recipe/recipe.yaml") == recipe
    assert result_json(fake, "rejected.json")["recipe"] == {"path": "shop/recipe.yaml", "sha256": digest(recipe)}
    assert (latest(fake)["status"], latest(fake)["run"]) == ("rejected", 1)


# latest.json


def test_latest_says_that_the_newest_job_is_running_until_it_ends(fake: FakeContext) -> None:
    fake.openai.ending = None
    first = drop(fake, "shop/reviews.csv", rows(1))
    run(fake, ticks=2)
    assert (latest(fake)["status"], latest(fake)["version_id"], latest(fake)["run"]) == ("running", first, 1)
    fake.clock.sleep(60)
    second = drop(fake, "shop/reviews.csv", rows(2))
    run(fake, ticks=2)
    assert (latest(fake)["status"], latest(fake)["version_id"], latest(fake)["run"]) == ("running", second, 2)
    fake.clock.sleep(60)
    fake.openai.answer = lambda _request: None
    drop(fake, "shop/reviews.csv.cancel", b"")
    run(fake)
    assert (latest(fake)["status"], latest(fake)["version_id"], latest(fake)["run"]) == ("cancelled", second, 2)


def test_latest_of_a_file_that_is_dropped_twice_names_the_job_that_does_the_work(fake: FakeContext) -> None:
    fake.openai.ending = None
    first = drop(fake, "shop/reviews.csv", rows(1))
    run(fake, ticks=2)
    drop(fake, "shop/reviews.csv", rows(1))
    run(fake, ticks=2)
    assert (latest(fake)["status"], latest(fake)["version_id"]) == ("running", first)


# Comparisons with the run before


def compared_line(fake: FakeContext) -> list[str]:
    return [line for line in texts(fake, "ended")[-1] if line.startswith(("Compared", "The file differs"))]


def test_a_second_run_says_which_answers_changed(fake: FakeContext) -> None:
    fake.openai.answer = answering(*["positive"] * 6, "negative", "negative")
    drop(fake, "shop/reviews.csv", rows(8))
    run(fake)
    assert result_json(fake, "summary.json")["compared_with"] is None
    first = only_job(fake)
    fake.objects.drop("shop/recipe.yaml", MIXED)
    fake.openai.answer = answering(*["positive"] * 4, "mixed", "mixed", "positive", "negative")
    again = rerun(fake)
    assert compared_line(fake) == [
        "Compared with run 1: sentiment changed in 3 of 8 rows, the first is row 5; `sentiment` can be mixed now."
    ]
    expected = {
        "job_id": first.id,
        "run": 1,
        "same_file": True,
        "rows": 8,
        "answered": 0,
        "unanswered": 0,
        "columns": [
            {
                "name": "sentiment",
                "rows": 3,
                "first_row": 5,
                "moves": [
                    {"from": "positive", "to": "mixed", "rows": 2},
                    {"from": "negative", "to": "positive", "rows": 1},
                ],
            }
        ],
        "new_columns": [],
        "gone_columns": [],
    }
    assert result_json(fake, "summary.json", again)["compared_with"] == expected
    assert fake.topics.published[-1].detail["compared_with"] == expected
    page = result(fake, "report.html", again).decode()
    assert "<h2>Compared with run 1</h2>" in page
    assert '<tr><td>positive</td><td>mixed</td><td class="n">2</td></tr>' in page


def test_columns_that_are_new_or_gone_are_named(fake: FakeContext) -> None:
    fake.openai.answer = answering(*[{"sentiment": "positive", "why": "a"}] * 2)
    fake.objects.drop("shop/recipe.yaml", SENTIMENT + b"  why: the reason\n")
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    fake.openai.answer = answering(*[{"sentiment": "positive", "score": 1}] * 2)
    fake.objects.drop("shop/recipe.yaml", SENTIMENT + b"  score: integer\n")
    rerun(fake)
    assert compared_line(fake) == ["Compared with run 1: no answer changed in 2 rows; `score` is new; `why` is gone."]


def test_the_same_content_dropped_again_is_compared_and_another_is_not(fake: FakeContext) -> None:
    fake.openai.answer = answering(*["positive"] * 3)
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    fake.clock.sleep(60)
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    assert compared_line(fake) == ["Compared with run 1: no answer changed in 2 rows."]
    fake.clock.sleep(60)
    drop(fake, "shop/reviews.csv", rows(3))
    run(fake)
    assert compared_line(fake) == ["The file differs from run 2's, so answers are not compared."]
    found = result_json(fake, "summary.json", jobs(fake)[-1])["compared_with"]
    assert found == {"job_id": jobs(fake)[1].id, "run": 2, "same_file": False}


def test_a_retry_says_how_many_rows_have_an_answer_for_the_first_time(fake: FakeContext) -> None:
    fake.openai.answer = answering("positive", None, "negative")
    drop(fake, "shop/reviews.csv", rows(3))
    run(fake)
    fake.openai.answer = answering("negative", "positive", "negative")
    fake.objects.drop("shop/recipe.yaml", MIXED)
    rerun(fake, "retry")
    assert compared_line(fake) == [
        "Compared with run 1: no answer changed in 2 rows; 1 row has an answer for the first time; `sentiment` can be "
        "mixed now."
    ]


def test_values_are_compared_and_not_how_they_are_written(fake: FakeContext) -> None:
    """5 equals 5.0, and a text of a csv equals itself with an apostrophe."""
    recipe = SENTIMENT.replace(b"  sentiment: [positive, negative]", b"  why: the reason\n  score: number")
    fake.objects.drop("shop/recipe.yaml", recipe)
    fake.openai.answer = answering({"why": "=a", "score": 5}, {"why": "b", "score": 1.5}, {"why": "c", "score": 2})
    drop(fake, "shop/reviews.csv", rows(3))
    run(fake)
    fake.objects.drop("shop/recipe.yaml", recipe + b"formulas: keep\n")
    fake.openai.answer = answering({"why": "=a", "score": 5.0}, {"why": "b", "score": 1.5}, {"why": "c", "score": 2.5})
    rerun(fake)
    assert compared_line(fake) == ["Compared with run 1: score changed in 1 of 3 rows, row 3."]


def test_runs_with_another_limit_are_compared_by_the_rows_that_both_have(fake: FakeContext) -> None:
    fake.openai.answer = answering(*["positive"] * 9)
    fake.objects.drop("shop/recipe.yaml", SENTIMENT + b"limit: 4\n")
    drop(fake, "shop/reviews.csv", rows(9))
    run(fake)
    fake.objects.drop("shop/recipe.yaml", SENTIMENT)
    fake.openai.answer = answering("negative", *["positive"] * 8)
    rerun(fake)
    assert compared_line(fake) == ["Compared with run 1: sentiment changed in 1 of 4 rows, row 1."]


def test_without_the_fingerprints_of_the_former_run_there_is_no_comparison(fake: FakeContext) -> None:
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    fake.context.objects.delete_all(WORK, "answers/")
    rerun(fake)
    assert compared_line(fake) == []


@pytest.mark.slow
def test_a_run_without_good_answers_is_not_compared_with(fake: FakeContext) -> None:
    fake.openai.answer = answering("positive", "positive")
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    fake.openai.answer = answering(None, None)
    rerun(fake)
    fake.openai.answer = answering("positive", "negative")
    rerun(fake)
    assert compared_line(fake) == ["Compared with run 1: sentiment changed in 1 of 2 rows, row 2."]


def test_neither_a_vector_nor_a_ready_file_is_compared(fake: FakeContext) -> None:
    body = {"model": "text-embedding-3-small", "input": "hi"}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": body}).encode()
    drop(fake, "shop/ready.jsonl", line)
    run(fake)
    rerun(fake, key="shop/ready.jsonl")
    assert compared_line(fake) == []
    recipe = b'model: text-embedding-3-small\nendpoint: /v1/embeddings\nprompt: "{{ text }}"\n'
    fake.objects.drop("shop/recipe.yaml", recipe)
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake)
    rerun(fake)
    assert compared_line(fake) == []
    assert fake.objects.keys(WORK, "answers/") == []


def test_work_files_of_an_ended_job_are_deleted_though_latest_cannot_be_written(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = fake.objects.put

    def failing(bucket: str, key: str, data: bytes, content_type: str) -> None:
        if key.endswith("latest.json") and only_job(fake).state is JobState.SUCCEEDED:
            raise RuntimeError
        put(bucket, key, data, content_type)

    monkeypatch.setattr(fake.objects, "put", failing)
    drop(fake, "shop/reviews.csv", rows(2))
    run(fake, ticks=2)
    assert (only_job(fake).is_clean, bool(fake.objects.keys(WORK, "jobs/"))) == (False, True)
    run(fake, ticks=30, step=3600)
    assert (only_job(fake).is_clean, fake.objects.keys(WORK, "jobs/")) == (True, [])
