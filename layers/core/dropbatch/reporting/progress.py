"""The progress of a job, as `status.json` has it: its phase, its rows so far, its open batches, and when it may end.

The estimate of its end comes from how long batches took before: those of the model in the account's latest jobs, and
the job's own. It is a range, from the quartile of the quick ones to that of the slow ones. It knows nothing of retries
that are still to come.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from dropbatch.batch_api.limits import COMPLETION_WINDOW_SECONDS
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import CLOSED, ENDED_JOBS, BatchState, JobState
from dropbatch.reporting.phrases import iso

MAX_OPEN_BATCHES = 100
"""How many open batches are listed, the oldest first."""

COLLECT_SECONDS = 120
"""How long it takes to collect a batch and to write the results: a poll or two."""

_AT_OPENAI = frozenset({BatchState.SUBMITTED, BatchState.ENDED})

Times = Callable[[Batch], Sequence[int]]
"""A function that returns how many seconds batches like this one took."""


class Estimate(NamedTuple):
    """The range in which a job may end, in seconds since 1970."""

    earliest: int
    latest: int

    def to_json(self) -> dict[str, str]:
        return {"earliest": iso(self.earliest), "latest": iso(self.latest)}


def phase(job: Job, open_batches: Sequence[Batch]) -> str:
    """Return the phase of a job: what is done for it now, or for what it waits."""
    if job.state in ENDED_JOBS:
        return "ended"
    if job.state is not JobState.RUNNING:
        return {JobState.BUILDING: "reading", JobState.HELD: "held"}.get(job.state, "assembling")
    if not open_batches:
        return "assembling"
    if all("." in batch.attempt for batch in open_batches):
        return "retrying"
    if any(batch.state in _AT_OPENAI for batch in open_batches):
        return "at_openai"
    return "waiting_for_money" if job.awaits_money else "waiting_for_tokens"


def state_digest(job: Job, open_batches: Sequence[Batch]) -> tuple[object, ...]:
    """Return all that decides whether the progress has changed. Only open batches can change."""
    return (
        str(job.state), job.held_reason, job.awaits_money, job.awaits_canary,
        *((b.key, b.state, b.openai_id, b.completed, b.failed) for b in open_batches),
    )  # fmt: skip  # members read best as lines of text


def outcomes_so_far(batches: Sequence[Batch]) -> dict[str, int]:
    """Return the rows that are done, by outcome. Rows that are retried are not done."""
    total: Counter[str] = Counter()
    for batch in batches:
        total.update(batch.outcomes)
    return dict(sorted(total.items()))


def open_batch_members(open_batches: Sequence[Batch], now: int) -> list[dict[str, Any]]:
    """Return the members of the open batches, the oldest first. A batch is as old as its time at OpenAI."""
    oldest = sorted(open_batches, key=lambda batch: batch.submitted_at or batch.created_at)
    return [
        {
            "key": batch.key,
            "model": batch.model,
            "state": str(batch.state),
            "requests": batch.requests,
            "completed": batch.completed,
            "failed": batch.failed,
            "age_seconds": max(0, now - (batch.submitted_at or batch.created_at)),
        }
        for batch in oldest[:MAX_OPEN_BATCHES]
    ]


def seconds_taken(batch: Batch) -> int | None:
    """Return how long OpenAI took for a batch; None if it has not completed it."""
    if batch.submitted_at is None or batch.ended_at is None or batch.assumed_ended:
        return None
    return max(0, batch.ended_at - batch.submitted_at) if batch.completed else None


def estimate(job: Job, batches: Sequence[Batch], times: Times, now: int) -> Estimate | None:
    """Return when a job may end; None if nothing is known about batches like its own, or if it waits for a decision."""
    open_batches = [batch for batch in batches if batch.state not in CLOSED]
    under_way = sum(batch.state in _AT_OPENAI for batch in open_batches)
    if job.state is not JobState.RUNNING or not open_batches or (job.awaits_money and not under_way):
        return None
    # As many batches as are at OpenAI now fit into the limits. The others come in waves after these.
    waves = math.ceil(len(open_batches) / under_way) - 1 if under_way else 0
    waves += job.awaits_canary
    bounds = [_bounds(batch, sorted(times(batch)), waves, now) for batch in open_batches]
    known = [each for each in bounds if each is not None]
    if len(known) < len(bounds):
        return None
    return Estimate(
        now + max(low for low, _ in known) + COLLECT_SECONDS // 2,
        now + max(high for _, high in known) + COLLECT_SECONDS,
    )


def _bounds(batch: Batch, times: Sequence[int], waves: int, now: int) -> tuple[int, int] | None:
    """Return in how many seconds a batch may end, at the earliest and at the latest; None if that is not known."""
    if batch.state is BatchState.ENDED:
        return 0, 0
    if not times:
        return None
    if batch.state is BatchState.SUBMITTED:
        age = now - (batch.submitted_at or now)
        longer = [seconds for seconds in times if seconds > age]
        if longer:
            return _quantile(longer, 0.25) - age, _quantile(longer, 0.75) - age
        # It takes longer than any before: only OpenAI's window bounds it.
        return 0, max(COLLECT_SECONDS, COMPLETION_WINDOW_SECONDS - age)
    begins = max(0, batch.not_before - now)
    return begins + _quantile(times, 0.25), begins + _quantile(times, 0.75) * (1 + waves)


def _quantile(ordered: Sequence[int], share: float) -> int:
    """Return the value below which this share of the ordered values is, between the two nearest."""
    place = share * (len(ordered) - 1)
    below = ordered[int(place)]
    above = ordered[min(int(place) + 1, len(ordered) - 1)]
    return round(below + (above - below) * (place - int(place)))


def ended_members(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of the progress of a job that has ended."""
    return {"phase": "ended", "rows": dict(rows), "open_batches": []}
