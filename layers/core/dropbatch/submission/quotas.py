"""OpenAI's quotas: how many tokens may be enqueued for a model, and how many batches may be created in an hour.

OpenAI states no account's token limits. Dropbatch learns them from OpenAI's refusals, and raises them carefully while
batches pass. Without a known limit, nothing waits.
"""

import re
from fnmatch import fnmatchcase

from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.quotas import CreateCount, ModelLimit
from dropbatch.domain.states import BatchState, JobState
from dropbatch.storage.context import Context

CREATES_AN_HOUR = 2_000
"""So many batches may be created in an hour (Batch API guide)."""

RAISE_SECONDS = 3600
RAISE = 1.1
"""How often, and by how much, a limit that was learned is raised while batches pass: it may have been lifted."""

MAX_HALVINGS = 6
"""What is admitted shrinks to this power of a half while OpenAI refuses what, by our estimates, fits."""

_LIMIT = re.compile(r"limit:?\s*([\d][\d,._]*)", re.IGNORECASE)


def token_limit(context: Context, model: str) -> int | None:
    """How many tokens, as we estimate them, may be enqueued for a model; None where no limit is known."""
    known = context.repository.limit(model)
    given = _given(context, model)
    tokens = known.tokens if given is None else given
    return None if tokens is None else int(tokens / known.factor / 2**known.halvings)


def _given(context: Context, model: str) -> int | None:
    """The limit that the deployment's parameter gives a model."""
    return next((tokens for name, tokens in context.token_limits.items() if fnmatchcase(model, name)), None)


def is_in_flight(batch: Batch, job: Job | None) -> bool:
    """Return whether what a batch enqueues counts: from its admission until it is collected, while its job lives.

    OpenAI frees it when it ends; but only the process that reads it knows whether more of the kind should follow. A
    batch that only waits counts if its job runs: nothing is taken by what cannot go.
    """
    if job is None:
        return False
    if batch.state is BatchState.WAITING:
        return batch.admitted_at > 0 and job.state is JobState.RUNNING
    return batch.state in (BatchState.SUBMITTING, BatchState.SUBMITTED, BatchState.ENDED)


def learn_limit(context: Context, batch: Batch, message: str) -> None:
    """Takes a model's limit out of OpenAI's refusal; one that states none means that what was in flight is all.

    A refusal of what fits into the limit that is stated means that the estimates are too low, or that others use the
    account, or that the limit that a parameter gives is not the true one: half as much is admitted then, once for all
    the batches that had been admitted before.
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
        context.observer.info("a limit was learned", model=batch.model, tokens=stated, **batch.ids)


def _limit_in(message: str) -> int | None:
    """The limit that a refusal for enqueued tokens states: `Limit: 2,000,000 enqueued tokens`."""
    found = _LIMIT.search(message)
    digits = re.sub(r"\D", "", found.group(1)) if found else ""
    return int(digits) if digits and int(digits) > 0 else None


def calibrate_estimates(context: Context, batch: Batch, estimated: int, counted: int) -> None:
    """Corrects the estimates of a model's tokens by what OpenAI counted for the same rows, and raises with care what
    was learned."""

    def learn(limit: ModelLimit) -> bool:
        if counted:
            limit.estimated += estimated
            limit.counted += counted
        due = limit.tokens is not None and context.now() - limit.changed_at >= RAISE_SECONDS
        if due and limit.halvings:
            limit.halvings, limit.changed_at = limit.halvings - 1, context.now()
        elif due and limit.tokens is not None:
            limit.tokens, limit.changed_at = int(limit.tokens * RAISE) + 1, context.now()
        return bool(counted) or due

    context.repository.change(lambda: context.repository.limit(batch.model), learn)


def reserve_create(context: Context) -> int:
    """Counts a batch that is about to be created; 0, or in how many seconds this hour's creates are over."""
    hour = context.now() // 3600

    def count(creates: CreateCount) -> bool:
        if creates.hour != hour:
            creates.hour, creates.count = hour, 0
        if creates.count >= CREATES_AN_HOUR:
            return False
        creates.count += 1
        return True

    return 0 if context.repository.change(context.repository.create_count, count) else (hour + 1) * 3600 - context.now()


def give_back_create(context: Context) -> None:
    """Take back the count of a create that came to nothing: OpenAI refused it, or it was not made."""
    hour = context.now() // 3600

    def uncount(creates: CreateCount) -> bool:
        if creates.hour != hour or creates.count <= 0:
            return False
        creates.count -= 1
        return True

    context.repository.change(context.repository.create_count, uncount)
