"""The end of a job: its shards are finished, and once all are rendered, its results are assembled."""

from dropbatch.collection.canary import judge_canary
from dropbatch.collection.finish_shard import finish_shard
from dropbatch.collection.handover import continue_later, in_time
from dropbatch.delivery.assemble_job import assemble
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.items import MAX_STARTS
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import WORKING_JOBS, HeldReason, JobState, ShardState
from dropbatch.jobs.hold import hold
from dropbatch.jobs.lease import defer, leased, release, update_own
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context


def finish_job(context: Context, job: Job) -> None:
    """Under the job's lease: finish the shards that are due, and once all are rendered, assemble the results."""
    now = context.now()
    with leased(context, job, lambda it: it.state in WORKING_JOBS and it.not_before <= now) as taken:
        if taken is None:
            return
        try:
            judge_canary(context, taken)
            is_done = _finish(context, taken)
        except StaleItemError:
            context.observer.info("another process has moved the job on", job_id=job.id)
        except Exception:  # noqa: BLE001 - the answers are paid and kept: it is tried again for as long as the job lasts
            context.observer.exception("a job could not be finished", job_id=job.id)
            failed = update_own(context.repository, taken, lambda current: defer(context, current))
            if failed is not None and failed.deferrals >= MAX_STARTS:
                hold(context, failed, HeldReason.STUCK, "failed", states=(JobState.RUNNING, JobState.ASSEMBLING))
        else:
            if not is_done:
                continue_later(context, taken)


def _finish(context: Context, job: Job) -> bool:
    """Return whether all that is possible now is done; False if time ran out."""
    if job.state is not JobState.ASSEMBLING:
        rows = JobRows(context, job)
        for shard in context.repository.shards(job.id):
            if shard.state is ShardState.RENDERED:
                continue
            if not finish_shard(context, rows, shard.number) or not in_time(context):
                return False
        if any(shard.state is not ShardState.RENDERED for shard in context.repository.shards(job.id)):
            update_own(context.repository, job, _wait_for_batches)
            return True
        assembling = update_own(context.repository, job, lambda current: _assemble(context, current))
        if assembling is None:
            raise StaleItemError
        job = assembling
    return assemble(context, job)


def _assemble(context: Context, job: Job) -> None:
    job.end_hold(context.now())
    job.move(JobState.ASSEMBLING)


def _wait_for_batches(job: Job) -> None:
    job.came_further()
    release(job)
