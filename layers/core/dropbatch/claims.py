"""Which job stands for a drop: for its key the newest, for a version of it the first, for its content the open one."""

import hashlib

from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import ENDED_JOBS, Claim, Job, Newest
from dropbatch.ledger import Ledger


def cancel_where_asked(ledger: Ledger, newest: Newest) -> None:
    """Marks the newest job for cancelling, if a `.cancel` came that is not older than what the job belongs to."""
    if newest.job_id is None or newest.cancel_modified < newest.modified:
        return
    wanted = newest.job_id

    def request(job: Job) -> bool:
        if job.cancel_requested or job.state in ENDED_JOBS:
            return False
        job.cancel_requested = True
        return True

    ledger.change(lambda: ledger.job(wanted), request)


def point_at(ledger: Ledger, job: Job) -> None:
    """Makes the job its key's newest, unless a newer one is, and lets a `.cancel` that waits for it act."""

    def point(newest: Newest) -> bool:
        if newest.job_id == job.id or (newest.job_id and (newest.modified, newest.job_id) > (job.asked_at, job.id)):
            return False
        newest.job_id, newest.modified = job.id, job.asked_at
        return True

    ledger.change(lambda: ledger.newest(job.drop.bucket, job.drop.key), point)
    newest = ledger.newest(job.drop.bucket, job.drop.key)
    if newest.job_id == job.id:
        cancel_where_asked(ledger, newest)


def version_claim(drop: Drop, job: str) -> Claim:
    """Says for good which job a version of a drop got first, also where no more is known of it than its name."""
    return Claim(digest_of("version", drop.bucket, drop.key, drop.version_id), job)


def digest_of(*parts: str) -> str:
    """Names what is claimed."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
