"""Deletion after the end of a job: its items expire, and its work files are deleted at once; over fakes."""

import json
from pathlib import Path

import pytest

from dropbatch.domain.deadlines import GRACE_SECONDS, ITEM_LIFETIME_SECONDS, MAX_JOB_SECONDS, RETENTION_SECONDS
from dropbatch.domain.states import JobState
from tests.driving import RECIPE, drop, jobs, only_job, rows, run, sent_rows
from tests.fakes import WORK, FakeContext, answer_ok, response_line

DAY = 86_400
WORK_BUCKET_DAYS = 60


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def test_a_job_ends_long_before_its_objects_and_items_expire() -> None:
    assert MAX_JOB_SECONDS + 2 * GRACE_SECONDS < WORK_BUCKET_DAYS * DAY
    assert MAX_JOB_SECONDS + 2 * GRACE_SECONDS < ITEM_LIFETIME_SECONDS


def test_items_of_an_ended_job_expire_except_those_that_prevent_paying_twice(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(3))
    run(fake)
    items = [json.loads(text) for text in fake.table.texts()]
    of_the_job = [item for item in items if item["pk"].startswith("job#")]
    ended = only_job(fake).ended_at or 0
    assert {item["sk"].split("#")[0] for item in of_the_job} == {"job", "shard", "batch", "spending"}
    assert all(ended + RETENTION_SECONDS <= item["expires_at"] <= ended + 2 * RETENTION_SECONDS for item in of_the_job)
    kept = {item["pk"].split("#")[0] for item in items if "expires_at" not in item}
    assert {"claim", "drop"} <= kept


def test_the_item_that_names_the_run_of_a_marker_expires(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(3))
    run(fake)
    before = {item["pk"] for item in map(json.loads, fake.table.texts())}
    fake.clock.sleep(60)
    drop(fake, "a.csv.rerun", b"")
    run(fake, ticks=3)
    items = [json.loads(text) for text in fake.table.texts()]
    claims = [item for item in items if item["pk"].startswith("claim#") and item["pk"] not in before]
    assert [item["job_id"] for item in claims] == [jobs(fake)[-1].id]
    assert claims[0]["expires_at"] >= fake.clock() + ITEM_LIFETIME_SECONDS - DAY


@pytest.mark.parametrize("data", [rows(3), b"text\n", b"other\n1\n"])
def test_unneeded_work_files_of_an_ended_job_are_deleted_at_once(fake: FakeContext, data: bytes) -> None:
    drop(fake, "a.csv", data)
    run(fake)
    assert only_job(fake).state in (JobState.SUCCEEDED, JobState.REJECTED)
    assert fake.objects.keys(WORK, "jobs/") == []


def test_work_files_that_a_retry_needs_are_kept_until_the_retry_has_them(fake: FakeContext) -> None:
    def answer(request: object) -> object:
        assert isinstance(request, dict)
        if request["custom_id"] == "2" and len(fake.openai.batches) == 1:
            return "error", response_line(request, 400, {"error": {"code": "lasting", "message": "no"}})
        return answer_ok(request)

    fake.openai.answer = answer  # type: ignore[assignment]  # typed loosely
    drop(fake, "a.csv", rows(3))
    run(fake)
    assert only_job(fake).state is JobState.PARTIAL
    assert fake.objects.keys(WORK, "jobs/")
    fake.clock.sleep(10)
    drop(fake, "a.csv.retry", b"")
    run(fake, ticks=200)
    assert [job.state for job in jobs(fake)] == [JobState.PARTIAL, JobState.SUCCEEDED]
    assert sent_rows(fake) == [[1, 2, 3], [2]]
    assert fake.objects.keys(WORK, "jobs/") == [], "both are done"
