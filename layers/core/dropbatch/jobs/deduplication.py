"""Which job stands for a drop: for its key the newest and the open ones, for a version the first, for content the open.

The jobs of a key are its runs. They are numbered as they are accepted or rejected; a number is never given twice, and a
job that is numbered again keeps its own.
"""

import hashlib
from collections.abc import Callable

from dropbatch.domain.drops import Drop, is_later, job_id
from dropbatch.domain.jobs import KEPT_SECONDS, Job
from dropbatch.domain.runs import MAX_FINISHED_RUNS, MAX_OPEN_RUNS, Claim, LatestJob
from dropbatch.domain.states import APPROVABLE, ENDED_JOBS, JobState
from dropbatch.storage.repository import Repository


def act_on_markers(repository: Repository, newest: LatestJob, now: int) -> None:
    """Cancel the key's open jobs, and approve the newest, if such a marker came that is not older than they are."""
    if newest.job_id is None:
        return

    def cancel(job: Job) -> bool:
        if job.state in ENDED_JOBS or job.cancel_requested or newest.cancel_modified < job.requested_at:
            return False
        job.cancel_requested, job.cancel_requested_at = True, now
        return True

    def approve(job: Job) -> bool:
        if job.state in ENDED_JOBS or job.approved:
            return False
        job.approved = True
        return True

    if newest.cancel_modified >= 0:
        for open_job in {**newest.open_jobs, newest.job_id: 0}:
            _change(repository, open_job, cancel)
    if newest.approve_modified >= newest.modified:
        _change(repository, newest.job_id, approve)


def _change(repository: Repository, job: str, change: Callable[[Job], bool]) -> Job | None:
    return repository.change(lambda: repository.job(job), change)


def set_latest(repository: Repository, job: Job, now: int) -> None:
    """Note an open job of its key, the newest unless a newer one is, and let markers that wait for it act."""

    found: list[LatestJob] = []

    def point(newest: LatestJob) -> bool:
        found[:] = [newest]
        before = newest.job_id, newest.open_jobs
        if job.id not in newest.open_jobs:
            latest = sorted(newest.open_jobs)[1 - MAX_OPEN_RUNS :]  # ids sort by time
            newest.open_jobs = {**{each: newest.open_jobs[each] for each in latest}, job.id: job.run}
        if newest.job_id != job.id and _is_newer(job, newest.job_id, newest.modified, newest.sequencer):
            newest.job_id, newest.modified, newest.sequencer = job.id, job.requested_at, job.drop.sequencer
        return before != (newest.job_id, newest.open_jobs)

    repository.change(lambda: repository.latest_job(job.drop.bucket, job.drop.key), point)
    act_on_markers(repository, found[0], now)  # a marker that came since acts by itself


def leave_to(repository: Repository, job: Job, standing: Job, now: int) -> None:
    """Leave the key to the job that does the work of this one already."""

    def point(newest: LatestJob) -> bool:
        if newest.job_id != job.id and job.id not in newest.open_jobs:
            return False
        newest.open_jobs = {each: run for each, run in newest.open_jobs.items() if each != job.id}
        newest.open_jobs.setdefault(standing.id, standing.run)
        newest.job_id = standing.id if newest.job_id == job.id else newest.job_id
        return True

    newest = repository.change(lambda: repository.latest_job(job.drop.bucket, job.drop.key), point)
    if newest is not None:
        act_on_markers(repository, newest, now)


def begin_run(repository: Repository, job: Job) -> list[Job]:
    """Number a job that is accepted or rejected, in memory; the caller saves it. Returns the key's older open jobs."""
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
    """Take a job that ends out of its key's open ones; the next one is compared with it if it has answers."""

    def finish(newest: LatestJob) -> bool:
        before = newest.open_jobs, newest.finished
        newest.open_jobs = {each: run for each, run in newest.open_jobs.items() if each != job.id}
        if is_answered and job.run:
            runs = sorted({**newest.finished, job.id: job.run}.items(), key=lambda item: item[1])
            newest.finished = dict(runs[-MAX_FINISHED_RUNS:])
        return before != (newest.open_jobs, newest.finished)

    repository.change(lambda: repository.latest_job(job.drop.bucket, job.drop.key), finish)


def run_before(repository: Repository, job: Job) -> tuple[str, int] | None:
    """Return the job, and its run, that has answers and came last before this one; None if there is none."""
    newest = repository.latest_job(job.drop.bucket, job.drop.key)
    before = [(each, run) for each, run in newest.finished.items() if run < job.run]
    return max(before, key=lambda found: found[1], default=None)


def replace_older(repository: Repository, job: Job, now: int) -> None:
    """Cancel the open jobs of older versions of a job's drop, as its recipe asks, once the job itself runs.

    The open jobs are read after the job was seen to run, and an older job looks for such a one after it has been noted:
    of two that come at once one sees the other.
    """
    newest = repository.latest_job(job.drop.bucket, job.drop.key)
    for other in _open_runs(repository, newest, job):
        if other.drop.version_id != job.drop.version_id and is_older(other, job):
            _change(repository, other.id, lambda current: _replace(current, job, now))

    def done(current: Job) -> bool:
        if not current.cancels_older:
            return False
        current.cancels_older = False
        return True

    repository.update(job, done)


def replacing(repository: Repository, job: Job) -> Job | None:
    """Return the newer version's job that replaces this one already; None if none does."""
    newest = repository.latest_job(job.drop.bucket, job.drop.key)
    other = repository.job(newest.job_id) if newest.job_id not in (None, job.id) else None
    if other is None or other.drop.version_id == job.drop.version_id or not is_older(job, other):
        return None
    waits = other.state is JobState.BUILDING or other.held_reason in APPROVABLE
    return None if waits or other.state is JobState.REJECTED else other


def _replace(job: Job, newer: Job, now: int) -> bool:
    if job.state in ENDED_JOBS or job.cancel_requested:
        return False
    job.cancel_requested, job.cancel_requested_at, job.replaced_by = True, now, newer.run
    return True


def is_older(job: Job, other: Job) -> bool:
    """Return whether one job of a key belongs to something older than another does."""
    return not _is_newer(job, other.id, other.requested_at, other.drop.sequencer)


def _is_newer(job: Job, other: str | None, requested_at: int, sequencer: str) -> bool:
    """Return whether a job belongs to something newer than another job of its key does.

    Two versions of a drop are in S3's own order where both have a sequencer; else, and for markers, the times of their
    events decide, and the later of two that came at once is the one that is seen later.
    """
    if other is None:
        return True
    ordered = job.rerun_version is None and job.drop.sequencer and sequencer
    if ordered and job.drop.sequencer != sequencer:
        return is_later(job.drop.sequencer, sequencer)
    return job.requested_at >= requested_at


def claimed_job(repository: Repository, drop: Drop, rerun_version: str = "") -> str | None:
    """Return which job a version of a drop got, or a marker that asked for another run of it; None if none yet."""
    claim = repository.claim(_version_digest(drop, rerun_version))
    if claim is not None:
        return claim.job_id
    if not rerun_version:
        return None
    # The release before this one made no claim for a marker, and took the drop's own time for the id.
    former = job_id(drop, drop.modified, rerun_version)
    return former if repository.job(former) is not None else None


def claim_job(repository: Repository, drop: Drop, requested_at: int, now: int, rerun_version: str = "") -> str:
    """Say for good which job that is; the first process to say so counts, also where it knows no more than the name.

    For a marker, which is looked for no more once it has acted, that is kept as long as its job may be.
    """
    expires_at = now + KEPT_SECONDS if rerun_version else None
    claim = Claim(
        _version_digest(drop, rerun_version), job_id(drop, requested_at, rerun_version), expires_at=expires_at
    )
    if repository.add(claim):
        return claim.job_id
    return (repository.claim(claim.digest) or claim).job_id


def _version_digest(drop: Drop, rerun_version: str) -> str:
    return digest_of("version", drop.bucket, drop.key, drop.version_id, *filter(None, [rerun_version]))


def digest_of(*parts: str) -> str:
    """Names what is claimed."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
