"""Which job stands for a drop: for its key the newest, for a version of it the first, for its content the open one."""

import hashlib

from dropbatch.domain.drops import Drop, is_later
from dropbatch.domain.jobs import ENDED_JOBS, Claim, Job, Newest
from dropbatch.ledger import Ledger


def act_on_markers(ledger: Ledger, newest: Newest, now: int) -> None:
    """Cancel or approve the newest job, if such a marker came that is not older than what the job belongs to."""
    if newest.job_id is None:
        return
    wanted = newest.job_id
    cancel, approve = newest.cancel_modified >= newest.modified, newest.approve_modified >= newest.modified

    def act(job: Job) -> bool:
        if job.state in ENDED_JOBS:
            return False
        before = job.cancel_requested, job.approved
        if cancel and not job.cancel_requested:
            job.cancel_requested, job.cancel_requested_at = True, now
        job.approved = job.approved or approve
        return before != (job.cancel_requested, job.approved)

    if cancel or approve:
        ledger.change(lambda: ledger.job(wanted), act)


def point_at(ledger: Ledger, job: Job, now: int) -> None:
    """Make the job its key's newest, unless a newer one is, and let markers that wait for it act."""

    def point(newest: Newest) -> bool:
        if newest.job_id == job.id or not _is_newer(job, newest):
            return False
        newest.job_id, newest.modified, newest.sequencer = job.id, job.asked_at, job.drop.sequencer
        return True

    ledger.change(lambda: ledger.newest(job.drop.bucket, job.drop.key), point)
    newest = ledger.newest(job.drop.bucket, job.drop.key)
    if newest.job_id == job.id:
        act_on_markers(ledger, newest, now)


def _is_newer(job: Job, newest: Newest) -> bool:
    """Return whether a job belongs to something newer than the key's newest job does.

    Two versions of a drop are in S3's own order where both have a sequencer; else, and for markers, the times of their
    events decide, and the later of two that came at once is the one that is seen later.
    """
    if newest.job_id is None:
        return True
    ordered = job.rerun_version is None and job.drop.sequencer and newest.sequencer
    if ordered and job.drop.sequencer != newest.sequencer:
        return is_later(job.drop.sequencer, newest.sequencer)
    return job.asked_at >= newest.modified


def version_claim(drop: Drop, job: str) -> Claim:
    """Says for good which job a version of a drop got first, also where no more is known of it than its name."""
    return Claim(digest_of("version", drop.bucket, drop.key, drop.version_id), job)


def digest_of(*parts: str) -> str:
    """Names what is claimed."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
