"""Admits waiting batches: what OpenAI enqueues for a model is limited, and jobs take turns at it.

What is in flight is the sum over the open batches that were admitted. Where no limit is known, nothing waits. Limits
are learned from OpenAI's own refusals, and tried again carefully when batches pass.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from heapq import heapify, heappop, heappush

from dropbatch.batch_api.limits import MAX_BATCHES_PER_HOUR, MAX_ENQUEUED_EMBEDDING_INPUTS
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.quotas import CreateCount, ModelLimit
from dropbatch.domain.states import BatchState, JobState
from dropbatch.messages import message_for
from dropbatch.storage.context import Context

INPUTS_AT_ONCE = 250_000
"""Embeddings of a job that go without asking what else is in flight; the rest waits for the poller, which knows."""

RAISE_SECONDS = 3600
RAISE = 1.1
"""How often, and by how much, a limit that was learned is raised while batches pass: it may have been lifted."""

MAX_FIRST_BATCHES = 4
"""How many batches of a new job go at once, before the poller knows of them: little more than functions at work."""

MAX_HALVINGS = 6
"""What is admitted shrinks to this power of a half while OpenAI refuses what, by our estimates, fits."""

TURN_SECONDS = 1800
"""After so long a batch that does not fit keeps smaller ones from going before it."""

ROOM = 0.9
"""How much of a limit one part of a batch that exceeds it may take: estimates err."""

_LIMIT = re.compile(r"limit:?\s*([\d][\d,._]*)", re.IGNORECASE)


def dispatch_first(context: Context, batches: Sequence[Batch]) -> None:
    """Admit and send the first batches of a job that runs now, as far as nothing limits them; the poller does the rest.

    A batch is admitted only once its job runs: what a job leaves behind that never ran takes no place.
    """
    inputs = 0
    for batch in batches[:MAX_FIRST_BATCHES]:
        inputs += batch.inputs
        if (
            batch.not_before > context.now()
            or inputs > INPUTS_AT_ONCE
            or token_limit_of(context, batch.model) is not None
        ):
            continue
        batch.admitted_at = batch.sent_at = context.now()
        try:
            context.repository.save(batch)
        except StaleItemError:
            continue  # the poller was quicker
        context.dispatch.send(message_for(batch))


def token_limit_of(context: Context, model: str) -> int | None:
    """How many tokens, as we estimate them, may be enqueued for a model; None where no limit is known."""
    known = context.repository.limit(model)
    given = _given(context, model)
    tokens = known.tokens if given is None else given
    return None if tokens is None else int(tokens / known.factor / 2**known.halvings)


def _given(context: Context, model: str) -> int | None:
    """The limit that the deployment's parameter gives a model."""
    return next((tokens for name, tokens in context.token_limits.items() if fnmatchcase(model, name)), None)


def admit(context: Context, jobs: Mapping[str, Job], batches: Sequence[Batch], room: int) -> list[Batch]:
    """Return the waiting batches that may go now, marked so, `room` at most; jobs take turns, each with its oldest."""
    in_flight = [batch for batch in batches if is_in_flight(batch, jobs.get(batch.job_id))]
    by_model: dict[str, list[Batch]] = {}
    for batch in in_flight:
        by_model.setdefault(batch.model, []).append(batch)
    waiting_of: dict[str, list[Batch]] = {}
    for batch in batches:
        if _waits(context, jobs.get(batch.job_id), batch):
            waiting_of.setdefault(batch.model, []).append(batch)
    admitted: list[Batch] = []
    for done, (model, waiting) in enumerate(sorted(waiting_of.items(), key=lambda item: len(item[1]))):
        # The models share what room there is; what one does not need is for those that come after it.
        share = (room - len(admitted)) // (len(waiting_of) - done)
        if share <= 0:
            continue
        try:
            limit = token_limit_of(context, model)
        except Exception:  # noqa: BLE001 - a limit that cannot be read counts as reached; the others go on
            context.observer.exception("a model's limit could not be read", model=model)
            continue
        admitted += _Turns(context, by_model.get(model, ()), limit).of(waiting, share)
    return admitted


def _waits(context: Context, job: Job | None, batch: Batch) -> bool:
    return (
        batch.state is BatchState.WAITING
        and not batch.admitted_at
        and batch.not_before <= context.now()
        and job is not None
        and job.state is JobState.RUNNING
        and not job.cancel_requested
    )


class _Turns:
    """The turns that jobs take at what is left of a model's limit."""

    def __init__(self, context: Context, batches: Iterable[Batch], limit: int | None) -> None:
        self._context = context
        self._limit = limit
        self._tokens = self._inputs = 0
        self._by_job: dict[str, int] = {}
        for batch in batches:
            self._count(batch)

    def of(self, waiting: Iterable[Batch], most: int) -> list[Batch]:
        queues: dict[str, list[Batch]] = {}
        for batch in sorted(waiting, key=lambda batch: (batch.created_at, batch.sort_key), reverse=True):
            queues.setdefault(batch.job_id, []).append(batch)
        # The job that has least in flight, and of such the one that has waited longest.
        turns = [self._turn(queue[-1]) for queue in queues.values()]
        heapify(turns)
        admitted: list[Batch] = []
        while turns and len(admitted) < most:
            *_, job_id = heappop(turns)
            batch = queues[job_id].pop()
            if self._fits(batch):
                self._count(batch)
                batch.admitted_at = self._context.now()
                admitted.append(batch)
                if queues[job_id]:
                    heappush(turns, self._turn(queues[job_id][-1]))
            elif self._context.now() - batch.created_at > self._context.scaled(TURN_SECONDS):
                break  # whatever came before it now would keep it waiting
        return admitted

    def _turn(self, batch: Batch) -> tuple[int, int, str]:
        return self._by_job.get(batch.job_id, 0), batch.created_at, batch.job_id

    def _fits(self, batch: Batch) -> bool:
        if batch.inputs and self._inputs + batch.inputs > MAX_ENQUEUED_EMBEDDING_INPUTS:
            return False
        if self._limit is None or self._is_larger(batch):
            return True
        # What is alone goes, whatever the limit: the account's own may be higher, and else the row would never be told.
        return self._tokens == 0 or self._tokens + batch.tokens <= self._limit

    def _is_larger(self, batch: Batch) -> bool:
        """Whether it exceeds the limit by itself: it will be split, and enqueues nothing."""
        return self._limit is not None and batch.tokens > self._limit and batch.requests > 1

    def _count(self, batch: Batch) -> None:
        self._by_job[batch.job_id] = self._by_job.get(batch.job_id, 0) + batch.tokens
        # One whose create has begun is not split any more.
        created = batch.creating_at is not None or batch.state in (BatchState.SUBMITTED, BatchState.ENDED)
        if created or not self._is_larger(batch):
            self._tokens += batch.tokens
            self._inputs += batch.inputs


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
        if creates.count >= MAX_BATCHES_PER_HOUR:
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
