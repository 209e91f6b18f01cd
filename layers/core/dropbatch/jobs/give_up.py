"""Gives up: ends a job that cannot be completed before its date, with a notification.

It reads no row and no recipe, so it works even if another process failed on them.
"""

from collections.abc import Callable

from dropbatch.domain.deadlines import GRACE_SECONDS
from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import Mirror
from dropbatch.domain.states import ENDED_JOBS
from dropbatch.jobs import outbox
from dropbatch.jobs.end_job import end
from dropbatch.jobs.lease import leased
from dropbatch.jobs.reject import end_building, only
from dropbatch.jobs.runs import begin_run
from dropbatch.reporting import rejection_notices, result_files
from dropbatch.reporting.mirror_lines import not_mirrored
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import decide, decision_of
from dropbatch.storage.repository import Repository


def give_up(context: Context, job: Job) -> None:
    """End a job whose drop could not be read for a day, even if S3 takes none of its files."""
    _attempt(context, job, lambda: begin_run(context.repository, job))
    _attempt(context, job, lambda: result_files.write_rejected(context, job, only(rejection_notices.GIVEN_UP)))
    _attempt(context, job, lambda: result_files.write_rejected_page(context, job, only(rejection_notices.GIVEN_UP)))
    _attempt(context, job, lambda: result_files.write_latest(context, job, "rejected"))
    if end_building(context, job, outbox.derived(context, job, "gave-up")):
        context.observer.job_metric("JobsRejected", 1, job.id)
        context.observer.warning("job given up", job_id=job.id)


def _attempt(context: Context, job: Job, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # noqa: BLE001 - the job ends now, with a notification, even if S3 takes nothing
        context.observer.exception("a step before the end of a job failed", job_id=job.id)


def force_end(context: Context, job: Job) -> None:
    """End a job whose results could not be assembled before its time was over; as it was decided, if S3 has a decision.

    If S3 does not answer, the job waits half a day for it, and then ends without.
    """

    with leased(context, job, lambda current: current.state not in ENDED_JOBS) as taken:
        if taken is None:
            return
        context.observer.warning("a job is ended because its time is over", job_id=job.id)
        decision = result_files.decision_to_give_up(context, taken)
        try:
            decided = decision_of(context, job.id) or decide(context, job.id, decision)
            if decided.get("mirror") and not _is_mirrored(context.repository, taken):
                decided = not_mirrored(decided)
            end(context, taken, decided)
        except Exception:
            if context.now() < taken.ends_by + GRACE_SECONDS * 3 // 2:
                raise
            end(context, taken, decision, outbox.derived(context, taken, "results-gave-up"))


def _is_mirrored(repository: Repository, job: Job) -> bool:
    """Return whether a job's mirror has its answers, or those of a newer run."""
    drop = job.drop
    found = repository.reload(Mirror(drop.bucket, drop.key, job.id, drop.sequencer, job.requested_at, job.run))
    return found is not None and (found.is_written if found.job_id == job.id else not found.is_before(job))
