"""Deletes what a job needed only while it was open: its work in S3, and batches that it left behind."""

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import CLOSED, ENDED_JOBS, BatchState
from dropbatch.jobs.lease import backoff_seconds, give_back
from dropbatch.reporting import result_files
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import delete_work

MAX_CLEAN_SECONDS = 7 * 86_400
"""After so long what cannot be deleted is left to the bucket's own rule."""

MAX_LATEST_TRIES = 6
"""After so many failures, an hour in all, `latest.json` is left as it is: deleting must not wait for the results."""

HANDOVER_SECONDS = 20
"""With less time left deleting goes on later: a page of a thousand objects takes a second or two."""


def clean_up(context: Context, job: Job) -> None:
    """Delete the work of an ended job, once all is told; what a `.retry` needs is kept for the bucket's own time.

    `latest.json` is written first: what another process wrote of the job a moment ago may be overtaken.

    Whatever fails is logged, and left to the poller.
    """
    if job.state not in ENDED_JOBS or job.outbox or job.is_clean:
        return
    try:
        _write_latest(context, job)
        close_batches(context, job)
        if not job.keeps_work and not delete_work(context, job.id, lambda: context.seconds_left() > HANDOVER_SECONDS):
            return
        context.repository.update(job, _cleaned)
    except Exception:  # noqa: BLE001 - the job has ended: the poller deletes what is left
        context.observer.exception("the work of an ended job could not be deleted yet", job_id=job.id)
        is_over = context.now() > (job.ended_at or 0) + MAX_CLEAN_SECONDS
        context.repository.update(job, _cleaned if is_over else lambda current: _later(context, current))


def _write_latest(context: Context, job: Job) -> None:
    try:
        result_files.write_latest(context, job)
    except Exception:
        if job.notify_failures < MAX_LATEST_TRIES:
            raise
        context.observer.exception("latest.json of an ended job could not be written", job_id=job.id)


def _later(context: Context, job: Job) -> bool:
    job.notify_failures += 1
    job.notify_after = context.now() + backoff_seconds(job.notify_failures)
    return True


def _cleaned(job: Job) -> bool:
    if job.outbox or job.is_clean:
        return False
    job.is_clean = True
    return True


def close_batches(context: Context, job: Job) -> None:
    """Close the batches that an ended job left open: nobody would look after them."""
    for batch in context.repository.batches(job.id):
        if batch.state not in CLOSED:
            close_batch(context, batch)


def close_batch(context: Context, batch: Batch) -> None:
    """Close a batch whose job has ended or is unknown."""
    context.observer.warning(
        "a batch is open though its job has ended; it is closed", state=str(batch.state), **batch.ids
    )
    give_back(batch)
    batch.move(BatchState.ABANDONED)
    try:
        context.repository.save(batch)
    except StaleItemError:
        return  # it has moved meanwhile; the poller comes back to it
