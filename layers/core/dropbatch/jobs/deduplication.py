"""Deduplication: the claims that say which job a version of a drop, or a marker, has."""

import hashlib

from dropbatch.domain.drops import Drop, job_id
from dropbatch.domain.jobs import KEPT_SECONDS
from dropbatch.domain.runs import Claim
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
    """Return the name of a claim."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
