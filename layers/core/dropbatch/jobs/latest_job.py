"""The latest job of a key, on which markers act, and the open jobs of the key."""

from collections.abc import Callable

from dropbatch.domain.drops import is_later
from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import MAX_OPEN_RUNS, LatestJob
from dropbatch.domain.states import ENDED_JOBS
from dropbatch.storage.repository import Repository


def apply_markers(repository: Repository, newest: LatestJob, now: int) -> None:
    """Cancel the key's open jobs, if a marker that is not older than they are asks for it."""
    if newest.job_id is None:
        return

    def cancel(job: Job) -> bool:
        if job.state in ENDED_JOBS or job.cancel_requested or newest.cancel_modified < job.requested_at:
            return False
        job.cancel_requested, job.cancel_requested_at = True, now
        return True

    if newest.cancel_modified >= 0:
        for open_job in {**newest.open_jobs, newest.job_id: 0}:
            _change(repository, open_job, cancel)


def _change(repository: Repository, job: str, change: Callable[[Job], bool]) -> Job | None:
    return repository.change(lambda: repository.job(job), change)


def set_latest(repository: Repository, job: Job, now: int) -> None:
    """Record a job among the open ones of its key, as the newest if it is, and apply the markers that wait for it."""
    found: list[LatestJob] = []

    def record(newest: LatestJob) -> bool:
        found[:] = [newest]
        before = newest.job_id, newest.open_jobs
        if job.id not in newest.open_jobs:
            latest = sorted(newest.open_jobs)[1 - MAX_OPEN_RUNS :]  # ids sort by time
            newest.open_jobs = {**{each: newest.open_jobs[each] for each in latest}, job.id: job.run}
        if newest.job_id != job.id and _is_newer(job, newest.job_id, newest.modified, newest.sequencer):
            newest.job_id, newest.modified, newest.sequencer = job.id, job.requested_at, job.drop.sequencer
        return before != (newest.job_id, newest.open_jobs)

    repository.change(lambda: repository.latest_job(job.drop.bucket, job.drop.key), record)
    apply_markers(repository, found[0], now)  # a marker that came since applies itself


def leave_key_to(repository: Repository, job: Job, standing: Job, now: int) -> None:
    """Leave the key to the job that already does the work of this one."""

    def record(newest: LatestJob) -> bool:
        if newest.job_id != job.id and job.id not in newest.open_jobs:
            return False
        newest.open_jobs = {each: run for each, run in newest.open_jobs.items() if each != job.id}
        newest.open_jobs.setdefault(standing.id, standing.run)
        newest.job_id = standing.id if newest.job_id == job.id else newest.job_id
        return True

    newest = repository.change(lambda: repository.latest_job(job.drop.bucket, job.drop.key), record)
    if newest is not None:
        apply_markers(repository, newest, now)


def leave_key(repository: Repository, job: Job) -> None:
    """Have markers act as if the key never had this job. That of a newer version may still come."""

    def record(newest: LatestJob) -> bool:
        if newest.job_id != job.id and job.id not in newest.open_jobs:
            return False
        newest.open_jobs = {each: run for each, run in newest.open_jobs.items() if each != job.id}
        if newest.job_id == job.id:
            newest.job_id, newest.modified, newest.sequencer = None, 0, ""
        return True

    repository.change(lambda: repository.latest_job(job.drop.bucket, job.drop.key), record)


def is_older(job: Job, other: Job) -> bool:
    """Return whether a job belongs to an older version or marker than another job of its key."""
    return not _is_newer(job, other.id, other.requested_at, other.drop.sequencer)


def _is_newer(job: Job, other: str | None, requested_at: int, sequencer: str) -> bool:
    """Return whether a job belongs to a newer version or marker than another job of its key.

    Two versions of a drop have S3's own order if both have a sequencer. Otherwise, and for markers, the times of their
    events decide. Of two with the same time, the one that is seen later is newer.
    """
    if other is None:
        return True
    ordered = job.rerun_version is None and job.drop.sequencer and sequencer
    if ordered and job.drop.sequencer != sequencer:
        return is_later(job.drop.sequencer, sequencer)
    return job.requested_at >= requested_at
