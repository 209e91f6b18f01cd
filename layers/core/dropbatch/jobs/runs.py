"""The runs of a key: its jobs, numbered as they are accepted or rejected.

No number is given twice, and a job that is numbered again keeps its own.
"""

from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import MAX_FINISHED_RUNS, LatestJob
from dropbatch.domain.states import APPROVABLE, ENDED_JOBS, JobState
from dropbatch.jobs.latest_job import is_older
from dropbatch.storage.repository import Repository


def begin_run(repository: Repository, job: Job) -> list[Job]:
    """Give a job that is accepted or rejected its number, and return the key's older open jobs.

    The caller saves the job.
    """
    others: list[Job] = []
    known = job.run

    def number(newest: LatestJob) -> bool:
        others[:] = _open_runs(repository, newest, job)
        job.run = known or newest.open_jobs.get(job.id) or newest.runs + 1
        before = newest.runs, newest.open_jobs
        newest.runs = max(newest.runs, job.run)
        still = {other.id: newest.open_jobs[other.id] for other in others}
        newest.open_jobs = {**still, job.id: job.run}
        return before != (newest.runs, newest.open_jobs)

    repository.change(lambda: repository.latest_job(job.drop.bucket, job.drop.key), number)
    return [other for other in others if is_older(other, job)]


def _open_runs(repository: Repository, newest: LatestJob, job: Job) -> list[Job]:
    """Return the other open jobs of a job's key."""
    found = (repository.job(each) for each in newest.open_jobs if each != job.id)
    return [other for other in found if other is not None and other.state not in ENDED_JOBS]


def finish_run(repository: Repository, job: Job, *, is_answered: bool) -> None:
    """Remove a job that ends from its key's open ones. If it has answers, the next run is compared with it."""

    def finish(newest: LatestJob) -> bool:
        before = newest.open_jobs, newest.finished
        newest.open_jobs = {each: run for each, run in newest.open_jobs.items() if each != job.id}
        if is_answered and job.run:
            runs = sorted({**newest.finished, job.id: job.run}.items(), key=lambda item: item[1])
            newest.finished = dict(runs[-MAX_FINISHED_RUNS:])
        return before != (newest.open_jobs, newest.finished)

    repository.change(lambda: repository.latest_job(job.drop.bucket, job.drop.key), finish)


def previous_run(repository: Repository, job: Job) -> tuple[str, int] | None:
    """Return the latest job before this one that has answers, and its run; None if there is none."""
    newest = repository.latest_job(job.drop.bucket, job.drop.key)
    before = [(each, run) for each, run in newest.finished.items() if run < job.run]
    return max(before, key=lambda found: found[1], default=None)


def replace_older(repository: Repository, job: Job, now: int) -> None:
    """Cancel the open jobs of older versions of a job's drop, as its recipe asks, once the job itself runs.

    The open jobs are read after the job runs, and an older job searches for a newer one after it is recorded. So of two
    that come at once, one sees the other.
    """
    newest = repository.latest_job(job.drop.bucket, job.drop.key)
    for other in _open_runs(repository, newest, job):
        if other.drop.version_id != job.drop.version_id and is_older(other, job):
            repository.update(other, lambda current: _cancel_for(current, job, now))

    def done(current: Job) -> bool:
        if not current.cancels_older:
            return False
        current.cancels_older = False
        return True

    repository.update(job, done)


def newer_replacement(repository: Repository, job: Job) -> Job | None:
    """Return the job of a newer version that already replaces this one; None if there is none."""
    newest = repository.latest_job(job.drop.bucket, job.drop.key)
    other = repository.job(newest.job_id) if newest.job_id not in (None, job.id) else None
    if other is None or other.drop.version_id == job.drop.version_id or not is_older(job, other):
        return None
    waits = other.state is JobState.BUILDING or other.held_reason in APPROVABLE
    return None if waits or other.state is JobState.REJECTED else other


def _cancel_for(job: Job, newer: Job, now: int) -> bool:
    if job.state in ENDED_JOBS or job.cancel_requested:
        return False
    job.cancel_requested, job.cancel_requested_at, job.replaced_by = True, now, newer.run
    return True
