"""The circuit breaker: it stops a job's waiting batches that would most likely fail as others did."""

from dropbatch.collection.batch_failure import BatchFailure, Failure
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState, HeldReason
from dropbatch.jobs.abandon import abandon
from dropbatch.jobs.hold import hold
from dropbatch.storage.context import Context

MAX_BAD_BATCHES = 2
"""After how many bad batches in a row, each with answers to less than half of its rows, the job is held."""


def stop_siblings(context: Context, batch: Batch, failure: BatchFailure) -> None:
    """End the job's waiting batches that would fail for the same reason: all of them, or those of the same model."""
    for waiting in context.repository.batches(batch.job_id):
        same = failure.kind is Failure.ACCOUNT or waiting.model == batch.model
        if waiting.state is BatchState.WAITING and same:
            abandon(context, waiting, failure.code)  # one that is being submitted meanwhile will fail too


def count_batch(context: Context, job: Job, batch: Batch, *, ok: int) -> None:
    """Count a completed batch with `ok` good answers; hold the job if too many batches in a row were bad.

    Only first tries count: rows that failed before say nothing about the rows that still wait.
    """
    if batch.failed_attempts:
        return
    is_bad = 2 * ok < batch.requests

    def count(current: Job) -> bool:
        if not is_bad and not current.recent_bad_batches:
            return False
        if is_bad and batch.key in current.recent_bad_batches:
            return False
        recent = [*current.recent_bad_batches, batch.key][-MAX_BAD_BATCHES:]
        current.recent_bad_batches = recent if is_bad else []
        return True

    counted = context.repository.update(job, count)
    if counted is not None and len(counted.recent_bad_batches) >= MAX_BAD_BATCHES:
        waiting = [other for other in context.repository.batches(job.id) if other.state is BatchState.WAITING]
        if any(other.failed_attempts == 0 for other in waiting):
            hold(context, counted, HeldReason.FAILING, "too_few_answers")
