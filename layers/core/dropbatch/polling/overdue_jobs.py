"""The dates by which batches and jobs end, whatever others answer, and the cancels that end them before."""

from collections.abc import Sequence

from dropbatch.domain.batches import Batch
from dropbatch.domain.deadlines import GRACE_SECONDS, MAX_HELD_DAYS
from dropbatch.domain.errors import OpenAIError, OpenAINotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import IN_DOUBT, NEVER_ENDED, NOT_COLLECTED, PAST_DEADLINE
from dropbatch.domain.states import CLOSED, BatchState, HeldReason, JobState, OpenAIStatus
from dropbatch.jobs.abandon import abandon
from dropbatch.jobs.give_up import force_end
from dropbatch.jobs.openai_batch import MAX_OPEN_SECONDS
from dropbatch.polling.batch_status import end_batch
from dropbatch.polling.time_shares import has_time
from dropbatch.storage.context import Context

MAX_HELD_SECONDS = MAX_HELD_DAYS * 86_400
"""How long a job is held for one reason; then it is cancelled. A stuck job is paid: it has all of its 28 days."""

NO_ACCESS = (HeldReason.KEY, HeldReason.KEY_CHANGED, HeldReason.PERMISSION, HeldReason.ACCOUNT)
"""The reasons of a hold during which nobody can ask OpenAI about the job's batches: they end with the job."""


def enforce_deadlines(context: Context, job: Job, batches: Sequence[Batch]) -> Job:
    """End the batches that have reached their date, and the job if it has; return the job as it is then."""
    now = context.now()
    held_since = job.holds.get(str(job.held_reason), job.held_at) if job.state is JobState.HELD else now
    is_held_too_long = now - held_since > MAX_HELD_SECONDS and job.held_reason is not HeldReason.STUCK
    if is_held_too_long and not job.cancel_requested:
        job.cancel_requested, job.cancel_requested_at = True, now
        context.repository.save(job)
    for batch in batches:
        is_old = now > (batch.submitted_at or now) + MAX_OPEN_SECONDS and job.held_reason not in NO_ACCESS
        if batch.state is BatchState.SUBMITTED and is_old:
            end_batch(context, batch, OpenAIStatus.EXPIRED, assumed_ended=True)
    if now <= job.ends_by:
        return job
    for batch in batches:
        if batch.state not in CLOSED and not batch.is_leased(now):
            abandon(context, batch, _last_reason(job, batch))
    if now > job.ends_by + GRACE_SECONDS and not job.is_leased(now):
        force_end(context, job)
        return context.repository.job(job.id) or job
    return job


def _last_reason(job: Job, batch: Batch) -> str | None:
    """Return why a batch ends with its job's time; None if its owner cancelled it."""
    if batch.state is BatchState.SUBMITTED:
        return NEVER_ENDED
    if batch.state is BatchState.ENDED:
        return NOT_COLLECTED
    if batch.creating_at is not None:
        return IN_DOUBT
    return None if job.cancel_requested else PAST_DEADLINE


def cancel_batches(context: Context, batches: Sequence[Batch]) -> None:
    """Cancel a job's batches: those that wait never start, and OpenAI stops its own.

    A batch that is being submitted is cancelled by the poll that finds it submitted.
    """
    for batch in batches:
        if not has_time(context):
            return
        if batch.state is BatchState.WAITING:
            abandon(context, batch, None)
        elif batch.state is BatchState.SUBMITTED and batch.openai_status is not OpenAIStatus.CANCELLING:
            try:
                context.openai.cancel(batch.openai_id or "")
            except OpenAINotFoundError:
                end_batch(context, batch, OpenAIStatus.CANCELLED)
            except OpenAIError as error:
                context.observer.warning("a batch could not be cancelled yet", code=error.code, **batch.ids)
