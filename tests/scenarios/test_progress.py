"""`status.json`: written when something changed, with the phase, the rows so far, the open batches and an estimate."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.polling.poll import poll
from dropbatch.reporting import result_files
from dropbatch.reporting.event_members import results_prefix
from tests.driving import RECIPE, deliver, deliver_next, drop, jobs, only_job, pass_time, result_json, rows, run
from tests.fakes import RESULTS, FakeContext

MINUTE, HOUR = 60, 3_600


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=2))
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def job_of(fake: FakeContext, key: str) -> Job:
    return next(job for job in jobs(fake) if job.drop.key == key)


def status(fake: FakeContext, key: str) -> dict[str, Any]:
    return result_json(fake, "status.json", job_of(fake, key))


def versions(fake: FakeContext, key: str) -> int:
    return len(fake.objects._objects.get((RESULTS, results_prefix(job_of(fake, key)) + "status.json"), []))


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def end_first_batch(fake: FakeContext) -> None:
    first = next(iter(fake.openai.batches))
    fake.openai._end(fake.openai.batches[first], OpenAIStatus.COMPLETED)


def test_the_phases_of_a_job_and_its_rows_so_far(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(4))
    deliver(fake)
    pass_time(fake, 2 * MINUTE)
    begun = status(fake, "a.csv")
    assert (begun["phase"], begun["status"], begun["rows"]) == ("at_openai", "running", {"total": 4})
    assert [(each["requests"], each["completed"], each["state"]) for each in begun["open_batches"]] == [
        (2, 0, "submitted")
    ] * 2
    assert all(each["age_seconds"] >= 0 for each in begun["open_batches"])
    assert "eta" not in begun, "nothing is known of such batches"
    end_first_batch(fake)
    pass_time(fake, 3 * MINUTE)
    half = status(fake, "a.csv")
    assert (half["phase"], half["rows"]) == ("at_openai", {"total": 4, "ok": 2})
    assert len(half["open_batches"]) == 1
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    ended = status(fake, "a.csv")
    assert (ended["phase"], ended["status"], ended["rows"]["ok"]) == ("ended", "succeeded", 4)
    assert ended["open_batches"] == []


def test_a_file_that_takes_longer_than_an_invocation_is_being_read(fake: FakeContext) -> None:
    """Small files have no such progress: nobody would see it."""
    fake.seconds_left = lambda: 5.0
    drop(fake, "a.csv", rows(4))
    assert deliver_next(fake, "intake") is not None
    fake.seconds_left = lambda: 300.0
    assert only_job(fake).state is JobState.BUILDING
    poll(fake.context)
    reading = status(fake, "a.csv")
    assert (reading["phase"], reading["open_batches"]) == ("reading", [])
    run(fake)
    assert status(fake, "a.csv")["phase"] == "ended"


def test_a_held_job_says_why(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"hold: true\n")
    drop(fake, "a.csv", rows(4))
    deliver(fake)
    poll(fake.context)
    held = status(fake, "a.csv")
    assert (held["phase"], held["held_reason"]) == ("held", "requested")
    assert "eta" not in held


def test_a_job_that_has_no_tokens_waits_for_them(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=50), token_limits={"gpt-6-luna": 500})
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    for key in ("a.csv", "b.csv"):
        drop(fake, key, b"text\n" + b"".join(b"%d of %s\n" % (row, key.encode()) for row in range(50)))
        deliver(fake)
        pass_time(fake, 2 * MINUTE)
    assert status(fake, "a.csv")["phase"] == "at_openai"
    assert status(fake, "b.csv")["phase"] == "waiting_for_tokens"


def test_it_is_written_only_when_something_changed(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(4))
    deliver(fake)
    pass_time(fake, 3 * MINUTE)
    before = versions(fake, "a.csv")
    pass_time(fake, 2 * HOUR)
    assert versions(fake, "a.csv") == before


def learn_times(fake: FakeContext) -> None:
    """Run a job whose batches take 30 minutes."""
    fake.openai.ending = None
    drop(fake, "former.csv", rows(4))
    deliver(fake)
    pass_time(fake, 30 * MINUTE)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    fake.openai.ending = None


def test_the_end_is_estimated_by_how_long_the_accounts_batches_took_before(fake: FakeContext) -> None:
    learn_times(fake)
    drop(fake, "a.csv", b"text\nother\nrows\n")
    deliver(fake)
    pass_time(fake, 2 * MINUTE)
    found = status(fake, "a.csv")
    begun = seconds(found["updated_at"])
    earliest, latest = (seconds(found["eta"][name]) - begun for name in ("earliest", "latest"))
    assert 25 * MINUTE <= earliest <= latest <= 35 * MINUTE


def test_an_estimate_that_has_passed_is_replaced_though_nothing_changed(fake: FakeContext) -> None:
    learn_times(fake)
    drop(fake, "a.csv", b"text\nother\nrows\n")
    deliver(fake)
    pass_time(fake, 2 * MINUTE)
    before = versions(fake, "a.csv")
    pass_time(fake, HOUR)
    assert versions(fake, "a.csv") == before + 1
    assert seconds(status(fake, "a.csv")["eta"]["latest"]) > fake.clock()
    pass_time(fake, 2 * HOUR)
    assert versions(fake, "a.csv") == before + 1


def test_the_jobs_own_batches_count_as_former_ones(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(6))
    deliver(fake)
    pass_time(fake, 20 * MINUTE)
    end_first_batch(fake)
    pass_time(fake, 3 * MINUTE)
    assert "eta" in status(fake, "a.csv")


def test_its_old_versions_are_not_kept_for_long(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(4))
    deliver(fake)
    pass_time(fake, 2 * MINUTE)
    assert (RESULTS, results_prefix(only_job(fake)) + "status.json") in fake.objects.progress


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_poll_at_work_while_a_job_ends_leaves_the_end_in_the_file(
    fake: FakeContext, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes the progress that it has read before, a moment before the end of the job or after it."""
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    deliver(fake)
    pass_time(fake, 2 * MINUTE)
    context = fake.context
    stale = context.repository.job(only_job(fake).id)
    assert stale is not None
    stale.status_digest = "another"
    put, later = fake.objects.put, []

    def put_late(bucket: str, key: str, data: bytes, *more: Any, **options: Any) -> None:
        if options.get("is_progress") and key.endswith("status.json"):
            if place == "after":  # the job ends first
                monkeypatch.setattr(fake.objects, "put", put)
                fake.openai.ending = OpenAIStatus.COMPLETED
                run(fake)
            later.append(key)
        put(bucket, key, data, *more, **options)

    monkeypatch.setattr(fake.objects, "put", put_late)
    result_files.write_status(context, stale, [], result_files.read_history(context))
    monkeypatch.setattr(fake.objects, "put", put)
    assert later
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert status(fake, "a.csv")["phase"] == "ended"


def test_a_drop_that_is_rejected_after_a_long_reading_ends_its_progress_too(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", b"no_text\n1\n")
    deliver(fake)
    job = only_job(fake)
    assert job.state is JobState.REJECTED
    job.status_digest = "of a poll while it was read"
    result_files.correct_status(fake.context, job)
    found = json.loads(fake.objects.content(RESULTS, results_prefix(job) + "status.json"))
    assert (found["phase"], found["status"]) == ("ended", "rejected")
