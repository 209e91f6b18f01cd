"""Token limits: how many tokens may be enqueued at OpenAI for a model.

OpenAI states no account's token limits. Dropbatch learns them from OpenAI's refusals, and raises them carefully while
batches pass. Without a known limit, nothing waits.
"""

import re
from fnmatch import fnmatchcase

from dropbatch.domain.account_items import ModelLimit
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState, JobState
from dropbatch.storage.context import Context

RAISE_SECONDS = 3600
RAISE_FACTOR = 1.1
"""How often, and by how much, a learned limit is raised while batches pass: OpenAI may have raised it."""

MAX_HALVINGS = 6
"""How often a limit is halved at most while OpenAI refuses batches that, by the estimates, fit."""

_LIMIT = re.compile(r"limit:?\s*([\d][\d,._]*)", re.IGNORECASE)


def token_limit(context: Context, model: str) -> int | None:
    """Return how many tokens, by Dropbatch's estimates, may be enqueued for a model; None if no limit is known."""
    known = context.repository.limit(model)
    given = _given(context, model)
    tokens = known.tokens if given is None else given
    return None if tokens is None else int(tokens / known.factor / 2**known.halvings)


def _given(context: Context, model: str) -> int | None:
    """Return the limit that the stack's parameter gives a model; None if it gives none."""
    return next((tokens for name, tokens in context.token_limits.items() if fnmatchcase(model, name)), None)


def is_in_flight(batch: Batch, job: Job | None) -> bool:
    """Return whether a batch counts for the limits: from its admission until it is collected, while its job lives.

    OpenAI frees its tokens when it ends. But only the process that collects it knows whether more such batches should
    follow. A batch that waits counts only if its job runs: one that cannot go takes no room.
    """
    if job is None:
        return False
    if batch.state is BatchState.WAITING:
        return batch.admitted_at > 0 and job.state is JobState.RUNNING
    return batch.state in (BatchState.SUBMITTING, BatchState.SUBMITTED, BatchState.ENDED)


def learn_limit(context: Context, batch: Batch, message: str) -> None:
    """Learn a model's limit from the message of a refusal. If it states none, the batches in flight are the limit.

    If the batch fits the stated limit, the estimates are too low, or others use the account, or the stack's parameter
    is wrong. Then the limit is halved, once for all the batches that were admitted before.
    """
    stated = _limit_in(message)
    if stated is None:
        jobs = {job.id: job for job in context.repository.open_jobs()}
        others = (
            other
            for other in context.repository.open_batches()
            if other.model == batch.model and other.key != batch.key
        )
        in_flight = sum(other.tokens for other in others if is_in_flight(other, jobs.get(other.job_id)))
        stated = in_flight or max(1, batch.tokens // 2)

    def learn(limit: ModelLimit) -> bool:
        given = _given(context, limit.model) is not None
        if given or (limit.tokens is not None and limit.tokens <= stated):
            if batch.admitted_at <= limit.changed_at or limit.halvings >= MAX_HALVINGS:
                return False
            limit.halvings += 1
        limit.tokens, limit.changed_at = stated, context.now()
        return True

    if context.repository.change(lambda: context.repository.limit(batch.model), learn):
        context.observer.info("token limit learned", model=batch.model, tokens=stated, **batch.ids)


def _limit_in(message: str) -> int | None:
    """Return the limit that a refusal states (`Limit: 2,000,000 enqueued tokens`); None if it states none."""
    found = _LIMIT.search(message)
    digits = re.sub(r"\D", "", found.group(1)) if found else ""
    return int(digits) if digits and int(digits) > 0 else None


def calibrate_estimates(context: Context, batch: Batch, estimated: int, counted: int) -> None:
    """Correct the estimates of a model's tokens by OpenAI's count for the same rows, and raise a learned limit."""

    def learn(limit: ModelLimit) -> bool:
        if counted:
            limit.estimated += estimated
            limit.counted += counted
        due = limit.tokens is not None and context.now() - limit.changed_at >= RAISE_SECONDS
        if due and limit.halvings:
            limit.halvings, limit.changed_at = limit.halvings - 1, context.now()
        elif due and limit.tokens is not None:
            limit.tokens, limit.changed_at = int(limit.tokens * RAISE_FACTOR) + 1, context.now()
        return bool(counted) or due

    context.repository.change(lambda: context.repository.limit(batch.model), learn)
