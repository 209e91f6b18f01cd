"""Stops a job at its limits of money: it waits for the money of batches at OpenAI, or is held for an approval."""

from collections.abc import Sequence
from functools import partial

from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.spending import Fit
from dropbatch.domain.states import BatchState, HeldReason, JobState
from dropbatch.jobs.hold import hold
from dropbatch.jobs.spending import find_limit
from dropbatch.storage.context import Context
from dropbatch.submission.postpone import return_to_waiting

MAX_WAIT_SECONDS = 25 * 3600
"""How long a job waits for money. What was at OpenAI when it began to wait has come back by then."""

DEADLINE_MARGIN_SECONDS = 3600
"""How long before its deadline a job waits for money no more. Its rows would expire, and nobody would be asked."""


def within_limits(context: Context, job: Job, batch: Batch) -> bool:
    """Return whether a batch may be created now. If not, it returns to waiting, and its job waits or is held."""
    found, reason = find_limit(context, job, batch)
    if found is Fit.FITS:
        return True
    return_to_waiting(context, batch, due=True)
    if found is Fit.WAITS:
        context.repository.update(job, partial(_await_money, since=context.now()))
    else:
        hold(context, job, reason, str(reason))
    return False


def look_for_money(context: Context, job: Job, batches: Sequence[Batch]) -> Job:
    """Let a job that waits for money try again, once its next batch fits or no other can give any back.

    A job that has waited too long is held: others take the month's money again and again, and its owner shall know.
    Return the job as it is then.
    """
    waiting = [
        batch for batch in batches if batch.state is BatchState.WAITING and (batch.is_canary or not job.awaits_canary)
    ]
    following = min(waiting, key=lambda batch: (batch.created_at, batch.sort_key), default=None)
    found, reason = (Fit.FITS, HeldReason.COST) if following is None else find_limit(context, job, following)
    if found is Fit.WAITS:
        until = min(job.awaits_money_since + MAX_WAIT_SECONDS, job.deadline_at - DEADLINE_MARGIN_SECONDS)
        if context.now() < until:
            return job
        hold(context, job, reason, str(reason))
        return context.repository.job(job.id) or job
    return context.repository.update(job, _try_again) or job


def _try_again(job: Job) -> bool:
    was_waiting, job.awaits_money = job.awaits_money, False
    return was_waiting


def _await_money(job: Job, since: int) -> bool:
    if job.state is not JobState.RUNNING or job.awaits_money:
        return False
    job.awaits_money, job.awaits_money_since = True, since
    return True
