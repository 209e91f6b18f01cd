"""The files of ended jobs at OpenAI are deleted: of all jobs, never too early, and never for ever; over fakes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import (
    ObjectNotFoundError,
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
    OpenAIRequestError,
)
from dropbatch.domain.states import BatchState, JobState, OpenAIStatus
from dropbatch.polling.poll import poll
from dropbatch.polling.remote_files import MAX_CALLS
from dropbatch.ports import RemoteBatch
from dropbatch.reporting.event_members import results_prefix
from tests.driving import (
    RECIPE,
    batches,
    deliver,
    drop,
    ended,
    jobs,
    only_event,
    only_job,
    pass_time,
    published,
    result_json,
    rows,
    run,
)
from tests.fakes import RESULTS, WORK, FakeContext, FakeOpenAI, Killer, answer_ok, response_line

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Deletes(FakeOpenAI):
    """FakeOpenAI that counts deletes, and calls `before` at each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.deleted: list[str] = []
        self.before: Callable[[str], None] = lambda _: None

    def delete_file(self, file_id: str) -> bool:
        self.before(file_id)
        self.deleted.append(file_id)
        return super().delete_file(file_id)


class Tidy(FakeContext):
    """Fakes with a recipe, two rows a batch, and an OpenAI that counts deletes."""

    def __init__(self, folder: Path, killer: Killer | None = None) -> None:
        super().__init__(folder, limits=Limits(batch_requests=2), killer=killer)
        self.openai = self.deletes = Deletes(self.clock)
        self.objects.drop("recipe.yaml", RECIPE)

    def is_written(self, name: str) -> bool:
        try:
            self.objects.content(RESULTS, results_prefix(only_job(self)) + name)
        except (KeyError, ObjectNotFoundError):
            return False
        return True


@pytest.fixture
def fake(tmp_path: Path) -> Tidy:
    return Tidy(tmp_path)


def failing(*numbers: str, status: int = 500) -> Callable[[dict[str, Any]], Any]:
    """Return an answerer that fails these rows."""
    error = {"error": {"code": "server_error", "message": "no"}}
    return lambda request: (
        ("error", response_line(request, status, error)) if request["custom_id"] in numbers else answer_ok(request)
    )


def test_a_succeeded_job_leaves_no_file(fake: Tidy) -> None:
    drop(fake, "a.csv", rows(5))
    assert run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert (fake.openai.files, len(fake.openai.contents)) == ({}, 6)
    assert max(Counter(fake.deletes.deleted).values()) == 1


def test_a_partial_job_leaves_no_file_of_any_try(fake: Tidy) -> None:
    fake.openai.answer = failing("2", "3")
    drop(fake, "a.csv", rows(5))
    assert run(fake, ticks=200)
    assert only_job(fake).state is JobState.PARTIAL
    assert len(fake.openai.batches) > 5
    assert fake.openai.files == {}


def test_a_failed_job_leaves_no_file(fake: Tidy) -> None:
    fake.openai.answer = failing("1", "2", "3", status=400)
    drop(fake, "a.csv", rows(3))
    assert run(fake)
    assert (only_job(fake).state, fake.openai.files) == (JobState.FAILED, {})


def test_a_cancelled_job_leaves_no_file(fake: Tidy) -> None:
    fake.openai.ending = None
    fake.openai.answer = lambda request: None if request["custom_id"] == "5" else answer_ok(request)
    drop(fake, "a.csv", rows(5))
    run(fake, ticks=3)
    drop(fake, "a.csv.cancel", b"")
    assert run(fake)
    assert (only_job(fake).state, fake.openai.files) == (JobState.CANCELLED, {})


def test_batches_that_openai_refuses_or_that_are_split_leave_no_file(fake: Tidy) -> None:
    def refuse(_batch: RemoteBatch, requests: list[dict[str, Any]]) -> list[tuple[str, str, int | None]]:
        bad = [number for number, its in enumerate(requests, 1) if its["custom_id"] == "2"]
        return [("invalid_value", "no", None)] if bad and len(requests) > 1 else []

    fake.openai.refuse = refuse
    fake.openai.token_limit = 60
    drop(fake, "a.csv", rows(6))
    assert run(fake, ticks=400)
    assert ended(only_job(fake))
    assert fake.openai.files == {}


def test_a_retry_needs_no_file_of_the_former_job(fake: Tidy) -> None:
    fake.openai.answer = failing("2")
    drop(fake, "a.csv", rows(5))
    assert run(fake, ticks=200)
    assert fake.openai.files == {}
    fake.openai.answer = answer_ok
    drop(fake, "a.csv.retry", b"")
    assert run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.PARTIAL, JobState.SUCCEEDED]
    assert result_json(fake, "summary.json", jobs(fake)[-1])["rows"]["ok"] == 5
    assert fake.openai.files == {}


def test_nothing_is_deleted_before_the_results_and_the_end_are_written(fake: Tidy) -> None:
    def check(_file_id: str) -> None:
        assert ended(only_job(fake))
        assert fake.is_written("summary.json")
        assert fake.is_written("a.answers.csv")
        assert published(fake, "ended")

    fake.deletes.before = check
    drop(fake, "a.csv", rows(5))
    assert run(fake)
    assert len(fake.deletes.deleted) == 6


@pytest.mark.slow
def test_a_collector_that_dies_between_reading_and_writing_still_finds_its_files(tmp_path: Path) -> None:
    killer = Killer()
    whole = Tidy(tmp_path, killer)
    drop(whole, "a.csv", rows(2))
    assert run(whole)
    first = killer.calls.index("openai.streaming")
    last = killer.calls.index("openai.delete_file")
    for point in sorted({2 * first + 1, *(point for point in killer.all_points() if 2 * first < point < 2 * last)}):
        killed = Tidy(tmp_path, Killer())
        assert killed.killer is not None
        killed.killer.points = {point}
        drop(killed, "a.csv", rows(2))
        assert run(killed, ticks=200), killer.calls[point // 2]
        assert killed.killer.is_past
        assert result_json(killed, "summary.json")["rows"]["ok"] == 2, killer.calls[point // 2]
        assert killed.openai.files == {}


@pytest.mark.parametrize(
    "error",
    [
        OpenAIOutcomeUnknownError("http_500"),
        OpenAIRateLimitError("rate_limit_exceeded", 60),
        OpenAIAuthError("no_key"),
        OpenAIPermissionError("insufficient_permissions"),
        OpenAIBillingError("insufficient_quota"),
        OpenAIRequestError("invalid_value"),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_delete_that_fails_changes_nothing_for_the_job_and_is_retried(fake: Tidy, error: Exception) -> None:
    def fail(_file_id: str) -> None:
        raise error

    fake.deletes.before = fail
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=5)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert only_event(fake, "ended").status == "succeeded"
    assert fake.objects.keys(WORK, "jobs/") == [], "its work is deleted"
    assert not run(fake, ticks=30)
    fake.deletes.before = lambda _: None
    assert run(fake, ticks=120)
    assert fake.openai.files == {}
    assert len(published(fake, "ended")) == 1


@pytest.mark.slow
def test_failed_deletes_are_retried_less_and_less_often_and_not_after_the_expiry(fake: Tidy) -> None:
    calls: list[float] = []

    def fail(_file_id: str) -> None:
        calls.append(fake.clock())
        raise OpenAIOutcomeUnknownError("http_500")

    fake.deletes.before = fail
    drop(fake, "a.csv", rows(1))
    run(fake, ticks=5)
    end = only_job(fake).ended_at or 0
    pass_time(fake, 7 * DAY - HOUR, step=10 * MINUTE)
    assert only_job(fake).remote_files is not None
    assert 100 < len(calls) < 7 * 24 + 12
    pass_time(fake, 2 * HOUR, step=10 * MINUTE)
    assert only_job(fake).remote_files is None
    assert max(calls) <= end + 7 * DAY
    assert list(fake.table.open_items("outbox")) == []


def test_a_file_that_cannot_be_deleted_does_not_keep_the_others(fake: Tidy) -> None:
    def fail(file_id: str) -> None:
        if file_id == poison:
            raise OpenAIRequestError("in_use")

    fake.deletes.before = fail
    poison = "file-1"
    drop(fake, "a.csv", rows(9))
    run(fake, ticks=30)
    assert "file-1" in fake.openai.files
    poison = ""
    assert len(fake.openai.files) <= 2, "those of one batch"
    assert run(fake, ticks=120)
    assert fake.openai.files == {}


def test_a_poll_reads_no_item_of_a_job_whose_files_are_not_due(tmp_path: Path) -> None:
    fake = Tidy(tmp_path, Killer())
    assert fake.killer is not None

    def fail(_file_id: str) -> None:
        raise OpenAIOutcomeUnknownError("http_500")

    fake.deletes.before = fail
    drop(fake, "a.csv", rows(1))
    run(fake, ticks=20)
    remote = only_job(fake).remote_files
    assert remote is not None
    assert remote.not_before > fake.clock()
    before = len(fake.killer.calls)
    poll(fake.context)
    calls = Counter(fake.killer.calls[before:])
    assert (calls["table.query"], calls["openai.delete_file"]) == (0, 0)
    assert calls["table.get"] <= 4, "the poller's own items"


def test_a_server_that_deletes_no_files_is_asked_once_a_job(fake: Tidy) -> None:
    fake.openai.deletes_files = False
    drop(fake, "a.csv", rows(9))
    assert run(fake)
    assert (only_job(fake).state, len(fake.deletes.deleted)) == (JobState.SUCCEEDED, 1)


def test_files_of_another_project_are_left_to_expire(fake: Tidy) -> None:
    fake.openai.projects = {"other": "other"}
    drop(fake, "a.csv", rows(3))

    def change_key(_file_id: str) -> None:
        fake.openai.key = "other"

    fake.deletes.before = change_key
    assert run(fake), "404 counts as done"
    assert len(fake.deletes.deleted) == 4


def test_other_errors_of_another_key_end_with_the_expiry(fake: Tidy) -> None:
    def fail(_file_id: str) -> None:
        raise OpenAIPermissionError("insufficient_permissions")

    fake.deletes.before = fail
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=3)
    fake.clock.sleep(7 * DAY)
    assert run(fake, ticks=3)


def submitted(fake: Tidy, count: int) -> None:
    """Have a job of this number of rows submitted. Its batches end when they are next retrieved."""
    fake.openai.ending = None
    drop(fake, "a.csv", rows(count))
    run(fake, ticks=2)
    fake.openai.ending = OpenAIStatus.COMPLETED


def ended_job(fake: Tidy, name: str, count: int) -> None:
    """Have a job of this number of batches end, without any poll after its end."""
    drop(fake, name, rows(2 * count))
    job_id = jobs(fake)[-1].id if jobs(fake) else ""
    while not jobs(fake) or jobs(fake)[-1].id == job_id or not ended(jobs(fake)[-1]):
        deliver(fake)
        if jobs(fake)[-1].id != job_id and ended(jobs(fake)[-1]):
            return
        poll(fake.context)
        deliver(fake)
        fake.clock.sleep(60)


@pytest.mark.slow
def test_a_poll_deletes_a_bounded_number_of_files_and_each_job_has_its_share(fake: Tidy) -> None:
    fake.deletes.before = lambda _: None
    ended_job(fake, "large.csv", 160)
    ended_job(fake, "small.csv", 3)
    fake.deletes.deleted.clear()
    for _ in range(2):
        made = len(fake.deletes.deleted)
        poll(fake.context)
        assert 0 < len(fake.deletes.deleted) - made <= MAX_CALLS
        fake.clock.sleep(60)
    large, small = jobs(fake)
    assert small.remote_files is None
    assert large.remote_files is not None
    assert run(fake)
    assert fake.openai.files == {}


def test_a_poll_without_time_deletes_nothing(fake: Tidy) -> None:
    ended_job(fake, "a.csv", 3)
    fake.deletes.deleted.clear()
    fake.seconds_left = lambda: 29.0
    poll(fake.context)
    assert fake.deletes.deleted == []
    fake.seconds_left = lambda: 300.0
    assert run(fake)
    assert fake.openai.files == {}


def test_a_second_batch_of_a_key_leaves_no_file(fake: Tidy) -> None:
    """The list lags, so another process creates the batch again."""
    create = fake.openai.create
    doubled: list[RemoteBatch] = []

    def create_twice(*args: Any) -> RemoteBatch:
        if doubled:
            return create(*args)
        doubled.append(create(*args))
        create(*args)
        raise OpenAIOutcomeUnknownError("timeout")

    fake.openai.create = create_twice  # type: ignore[method-assign]  # as if two processes had created it
    drop(fake, "a.csv", rows(2))
    assert run(fake, ticks=120)
    (batch,) = batches(fake)
    assert len(batch.doubles) == len(fake.openai.cancelled) == 1
    assert fake.openai.batches[batch.doubles[0]].output_file_id
    assert fake.openai.files == {}


@pytest.mark.slow
def test_answers_that_were_never_collected_stay_until_they_expire(fake: Tidy) -> None:
    """A batch that never ends for Dropbatch may have paid answers that only OpenAI has."""
    submitted(fake, 4)
    first = next(iter(fake.openai.batches))
    fake.openai.faults["streaming"] = lambda file_id, _start: (
        OpenAIOutcomeUnknownError("http_500") if file_id == fake.openai.batches[first].output_file_id else None
    )
    pass_time(fake, 31 * DAY, step=6 * HOUR)
    job = only_job(fake)
    assert ended(job)
    assert sorted(batch.state for batch in batches(fake)) == [BatchState.ABANDONED, BatchState.COLLECTED]
    kept = fake.openai.batches[first]
    assert set(fake.openai.files) == {kept.input_file_id, kept.output_file_id}
    assert job.remote_files is None


@pytest.mark.slow
def test_the_files_of_a_job_whose_results_could_not_be_written_stay(fake: Tidy) -> None:
    real = fake.objects.writing
    drop(fake, "a.csv", rows(3))

    def fail(bucket: str, *args: Any, **more: Any) -> Any:
        if bucket == RESULTS:
            raise OSError("no")
        return real(bucket, *args, **more)

    fake.objects.writing = fail  # type: ignore[method-assign]  # no result file can be written
    fake.objects.join = lambda *_args, **_more: (_ for _ in ()).throw(OSError("no"))  # type: ignore[method-assign]
    pass_time(fake, 31 * DAY, step=6 * HOUR)
    assert only_job(fake).state is JobState.FAILED
    assert "could not write its results" in only_event(fake, "ended").text
    assert fake.deletes.deleted == []


@pytest.mark.slow
def test_a_batch_that_failed_to_be_collected_keeps_its_answers_although_openai_deletes_them(fake: Tidy) -> None:
    """Collecting fails for ten days. OpenAI deletes its files after seven."""
    submitted(fake, 2)
    real = fake.objects.writing

    def fail(bucket: str, key: str, *args: Any, **more: Any) -> Any:
        if "/answers/" not in key:
            raise OSError("no")
        return real(bucket, key, *args, **more)

    fake.objects.writing = fail  # type: ignore[method-assign]  # results cannot be written
    pass_time(fake, 7 * DAY, step=6 * HOUR)
    assert only_job(fake).state is JobState.HELD
    fake.openai.files.clear()
    pass_time(fake, 3 * DAY, step=6 * HOUR)
    fake.objects.writing = real  # type: ignore[method-assign]
    pass_time(fake, 2 * HOUR, step=10 * MINUTE)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert result_json(fake, "summary.json")["rows"]["ok"] == 2


@pytest.mark.slow
def test_a_request_file_that_expired_before_its_batch_was_created_is_uploaded_again(fake: Tidy) -> None:
    fake.openai.faults["create"] = OpenAIRateLimitError("rate_limit_exceeded", 60)
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=3)
    (batch,) = batches(fake)
    assert batch.file_id in fake.openai.files
    fake.clock.sleep(2 * DAY)
    fake.openai.files.clear()
    del fake.openai.faults["create"]
    assert run(fake, ticks=30)
    assert only_job(fake).state is JobState.SUCCEEDED
