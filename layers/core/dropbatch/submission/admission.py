"""Admits waiting batches, within OpenAI's limits of enqueued tokens for each model. Jobs take turns.

The admitted batches that are open are in flight. Their sum must stay within the limit. Without a known limit, nothing
waits. `token_limits.py` has the limits.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

from dropbatch.batch_api.limits import MAX_ENQUEUED_EMBEDDING_INPUTS
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState, JobState
from dropbatch.storage.context import Context
from dropbatch.submission.token_limits import is_in_flight, token_limit

TURN_SECONDS = 1800
"""How long smaller batches may go before one that does not fit. Then they wait for it."""


def admit(context: Context, jobs: Mapping[str, Job], batches: Sequence[Batch], room: int) -> list[Batch]:
    """Mark and return the waiting batches that may go now, `room` at most. Jobs take turns, each with its oldest."""
    in_flight = [batch for batch in batches if is_in_flight(batch, jobs.get(batch.job_id))]
    by_model: dict[str, list[Batch]] = {}
    for batch in in_flight:
        by_model.setdefault(batch.model, []).append(batch)
    waiting_by_model: dict[str, list[Batch]] = {}
    for batch in batches:
        if _waits(context, jobs.get(batch.job_id), batch):
            waiting_by_model.setdefault(batch.model, []).append(batch)
    admitted: list[Batch] = []
    for done, (model, waiting) in enumerate(sorted(waiting_by_model.items(), key=lambda item: len(item[1]))):
        # The models share the room. The next ones get the room that a model does not need.
        share = (room - len(admitted)) // (len(waiting_by_model) - done)
        if share <= 0:
            continue
        try:
            limit = token_limit(context, model)
        except Exception:  # noqa: BLE001 - a limit that cannot be read counts as reached; the other models continue
            context.observer.exception("a model's limit could not be read", model=model)
            continue
        admitted += _Turns(context, by_model.get(model, ()), limit).admit(waiting, share)
    return admitted


def _waits(context: Context, job: Job | None, batch: Batch) -> bool:
    return (
        batch.state is BatchState.WAITING
        and not batch.admitted_at
        and batch.not_before <= context.now()
        and job is not None
        and job.state is JobState.RUNNING
        and not job.cancel_requested
        and job.may_send(batch)
    )


class _Turns:
    """The turns that jobs take at a model's limit."""

    def __init__(self, context: Context, batches: Iterable[Batch], limit: int | None) -> None:
        self._context = context
        self._limit = limit
        self._tokens = self._inputs = 0
        self._by_job: dict[str, int] = {}
        for batch in batches:
            self._count(batch)

    def admit(self, waiting: Iterable[Batch], most: int) -> list[Batch]:
        """Return the waiting batches that fit, `most` at most, and mark and count them."""
        queues: dict[str, list[Batch]] = {}
        for batch in sorted(waiting, key=lambda batch: (batch.created_at, batch.sort_key), reverse=True):
            queues.setdefault(batch.job_id, []).append(batch)
        # First the job with the least in flight, and of several the one that has waited longest.
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
                break  # every smaller batch that went before it would keep it waiting
        return admitted

    def _turn(self, batch: Batch) -> tuple[int, int, str]:
        return self._by_job.get(batch.job_id, 0), batch.created_at, batch.job_id

    def _fits(self, batch: Batch) -> bool:
        if batch.inputs and self._inputs + batch.inputs > MAX_ENQUEUED_EMBEDDING_INPUTS:
            return False
        if self._limit is None or self._is_larger(batch):
            return True
        # A lone batch goes anyway: the account's real limit may be higher, and OpenAI's refusal would give the reason.
        return self._tokens == 0 or self._tokens + batch.tokens <= self._limit

    def _is_larger(self, batch: Batch) -> bool:
        """Return whether a batch alone exceeds the limit: it will be split, and enqueues nothing."""
        return self._limit is not None and batch.tokens > self._limit and batch.requests > 1

    def _count(self, batch: Batch) -> None:
        self._by_job[batch.job_id] = self._by_job.get(batch.job_id, 0) + batch.tokens
        # A batch whose create has begun is no longer split.
        created = batch.creating_at is not None or batch.state in (BatchState.SUBMITTED, BatchState.ENDED)
        if created or not self._is_larger(batch):
            self._tokens += batch.tokens
            self._inputs += batch.inputs
