"""Deletes the work of an ended job in S3, and closes the batches that it left open."""

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import CLOSED, ENDED_JOBS, BatchState
from dropbatch.jobs.backoff import backoff_seconds
from dropbatch.jobs.lease import release
from dropbatch.reporting import result_files
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import delete_work

MAX_CLEAN_SECONDS = 7 * 86_400
"""How long deleting is tried. Then the bucket's lifecycle rule deletes the rest."""

MAX_LATEST_TRIES = 6
"""How often `latest.json` is tried, an hour in all: deleting must not wait longer for the results bucket."""

HANDOVER_SECONDS = 20
"""With less time left deleting continues later: a page of a thousand objects takes a second or two."""


def clean_up(context: Context, job: Job) -> None:
    """Delete the work of an ended job once all its notices are sent. Work that a `.retry` needs stays.

    `latest.json` is written first, because another process may have written an older one a moment ago.

    A failure is logged, and the poller tries again.
    """
    if job.state not in ENDED_JOBS or job.outbox or job.is_clean:
        return
    try:
        _write_latest(context, job)
        close_batches(context, job)
        if not job.keeps_work and not delete_work(context, job.id, lambda: context.seconds_left() > HANDOVER_SECONDS):
            return
        context.repository.update(job, _cleaned)
    except Exception:  # noqa: BLE001 - the job has ended: the poller deletes the rest
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
    """Close the batches that an ended job left open: no step would move them."""
    for batch in context.repository.batches(job.id):
        close_batch(context, batch)


def close_batch(context: Context, batch: Batch) -> None:
    """Close a batch whose job has ended or is unknown, if it is open."""
    if batch.state in CLOSED:
        return
    context.observer.warning(
        "a batch is open though its job has ended; it is closed", state=str(batch.state), **batch.ids
    )
    release(batch)
    batch.move(BatchState.ABANDONED)
    try:
        context.repository.save(batch)
    except StaleItemError:
        return  # another process has moved it; the poller comes back to it
