"""The runs of a key: each has one number, whichever process assigns it, and few are remembered; over fakes."""

import json

import pytest

from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import MAX_FINISHED_RUNS, MAX_OPEN_RUNS
from dropbatch.domain.states import JobState
from dropbatch.jobs.latest_job import set_latest
from dropbatch.jobs.runs import begin_run, finish_run, previous_run, replace_older
from dropbatch.reporting.result_files import write_latest
from dropbatch.storage.repository import Repository
from tests.fakes import INBOX, RESULTS, FakeContext


@pytest.fixture
def repository(fake: FakeContext) -> Repository:
    return fake.context.repository


def noted(repository: Repository, number: int, version: str | None = None) -> Job:
    """Return a job that is being built. Each is requested a second after the one before."""
    job = Job(f"{number:04d}", Drop(INBOX, "a.csv", version or f"v{number}", number), number, requested_at=number)
    assert repository.add(job)
    set_latest(repository, job, number)
    return job


def saved(repository: Repository, job: Job, state: JobState) -> Job:
    job.state = state
    repository.save(job)
    return job


def test_numbering_a_job_again_keeps_its_number(repository: Repository) -> None:
    first, second = noted(repository, 1), noted(repository, 2)
    for job in (second, first, second, first):
        job.run = 0  # as after a kill before the job was saved
        begin_run(repository, job)
    assert (second.run, first.run) == (1, 2), "in the order in which they were accepted"
    assert repository.latest_job(INBOX, "a.csv").runs == 2


def test_older_open_jobs_are_returned_and_those_that_ended_forgotten(repository: Repository) -> None:
    older, ended, own = noted(repository, 1), noted(repository, 2), noted(repository, 3)
    newer = noted(repository, 4)
    saved(repository, ended, JobState.REJECTED)
    assert [job.id for job in begin_run(repository, own)] == [older.id]
    assert repository.latest_job(INBOX, "a.csv").open_jobs == {older.id: 0, own.id: 1, newer.id: 0}


def test_at_most_a_hundred_open_jobs_of_a_key_are_remembered(repository: Repository) -> None:
    for number in range(MAX_OPEN_RUNS + 20):
        noted(repository, number)
    assert list(repository.latest_job(INBOX, "a.csv").open_jobs) == [f"{n:04d}" for n in range(20, MAX_OPEN_RUNS + 20)]


def test_a_run_is_compared_with_the_latest_before_it_that_has_answers(repository: Repository) -> None:
    runs = [noted(repository, number) for number in range(1, 31)]
    for job in runs:
        begin_run(repository, job)
    for job in runs:
        finish_run(repository, job, is_answered=job.run != 24)
        finish_run(repository, job, is_answered=job.run != 24)
    assert previous_run(repository, runs[29]) == (runs[28].id, 29)
    assert previous_run(repository, runs[24]) == (runs[22].id, 23)
    assert previous_run(repository, runs[0]) is None
    newest = repository.latest_job(INBOX, "a.csv")
    assert (len(newest.finished), newest.open_jobs) == (MAX_FINISHED_RUNS, {})


def test_replacing_twice_equals_replacing_once(repository: Repository) -> None:
    older, rerun, own = noted(repository, 1), noted(repository, 2), noted(repository, 3)
    newer = noted(repository, 4)
    for job in (older, rerun, own, newer):
        begin_run(repository, job)
        saved(repository, job, JobState.RUNNING)
    own.cancels_older = True
    repository.save(own)
    for now in (10, 20):
        replace_older(repository, own, now)
    found = [repository.job(job.id) for job in (older, rerun, own, newer)]
    assert [job and (job.cancel_requested_at, job.replaced_by) for job in found] == [(10, 3), (10, 3), (0, 0), (0, 0)]
    assert found[2] is not None
    assert not found[2].cancels_older


def latest(fake: FakeContext) -> tuple[str, str]:
    found = json.loads(fake.objects.content(RESULTS, "a.csv/latest.json"))
    return found["job_id"], found["status"]


@pytest.mark.parametrize("moves", ["another job", "its end"])
def test_latest_is_written_again_if_a_job_changed_meanwhile(
    fake: FakeContext, repository: Repository, moves: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = saved(repository, noted(repository, 1), JobState.RUNNING)
    put = fake.objects.put

    def slowly(bucket: str, key: str, data: bytes, content_type: str) -> None:
        monkeypatch.setattr(fake.objects, "put", put)
        if moves == "its end":
            current = repository.job(job.id)
            assert current is not None
            saved(repository, current, JobState.SUCCEEDED)
            write_latest(fake.context, current)
        else:
            write_latest(fake.context, noted(repository, 2))
        put(bucket, key, data, content_type)  # overtaken

    monkeypatch.setattr(fake.objects, "put", slowly)
    write_latest(fake.context, job)
    assert latest(fake) == (("0001", "succeeded") if moves == "its end" else ("0002", "running"))


def test_latest_has_the_decided_state_before_the_job_is_saved(fake: FakeContext, repository: Repository) -> None:
    job = saved(repository, noted(repository, 1), JobState.ASSEMBLING)
    write_latest(fake.context, job, "partial")
    assert latest(fake) == ("0001", "partial")
