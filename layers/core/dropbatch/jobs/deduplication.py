"""Deduplication: the claims that say which job a version of a drop, a marker, or a content has."""

import hashlib

from dropbatch.domain.deadlines import ITEM_LIFETIME_SECONDS
from dropbatch.domain.drops import Drop, job_id
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import Claim
from dropbatch.domain.states import ANSWERED_JOBS, ENDED_JOBS
from dropbatch.storage.repository import Repository


def claimed_job(repository: Repository, drop: Drop, rerun_version: str = "") -> str | None:
    """Return the job that a version of a drop has, or a marker that asked for another run of it; None if none yet."""
    claim = repository.claim(_version_digest(drop, rerun_version))
    if claim is not None:
        return claim.job_id
    if not rerun_version:
        return None
    # The release before this one made no claim for a marker, and took the drop's own time for the id.
    former = job_id(drop, drop.modified, rerun_version)
    return former if repository.job(former) is not None else None


def claim_job(repository: Repository, drop: Drop, requested_at: int, now: int, rerun_version: str = "") -> str:
    """Record permanently which job that is. The first process counts, even if it knows only the object's name.

    For a marker, nothing looks at the record after it has acted. It expires when its job's item may.
    """
    expires_at = now + ITEM_LIFETIME_SECONDS if rerun_version else None
    claim = Claim(
        _version_digest(drop, rerun_version), job_id(drop, requested_at, rerun_version), expires_at=expires_at
    )
    if repository.add(claim):
        return claim.job_id
    return (repository.claim(claim.digest) or claim).job_id


def _version_digest(drop: Drop, rerun_version: str) -> str:
    return digest_of("version", drop.bucket, drop.key, drop.version_id, *filter(None, [rerun_version]))


def digest_of(*parts: str) -> str:
    """Return the name of a claim."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def claim_content(repository: Repository, digest: str, job: Job) -> tuple[Job | None, str | None]:
    """Claim a content with a recipe for a job, unless another open job has the claim.

    Return that other job, or None; and the id of the job that answered the same before, if there is one.
    """
    while not repository.add(Claim(digest, job.id, expires_at=job.created_at + ITEM_LIFETIME_SECONDS)):
        claim = repository.claim(digest)
        if claim is None:
            continue
        if claim.job_id == job.id:
            return None, claim.answered_by
        holder = repository.job(claim.job_id)
        if holder is not None and holder.state not in ENDED_JOBS:
            return holder, None
        if holder is not None and holder.state in ANSWERED_JOBS:
            claim.answered_by = holder.id
        claim.job_id, claim.expires_at = job.id, job.created_at + ITEM_LIFETIME_SECONDS
        try:
            repository.save(claim)
        except StaleItemError:
            continue
        return None, claim.answered_by
    return None, None
