"""The states of jobs, batches and shards, and the closed set of transitions between them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar


class JobState(StrEnum):
    """The state of a job."""

    BUILDING = "building"
    RUNNING = "running"
    HELD = "held"
    ASSEMBLING = "assembling"
    REJECTED = "rejected"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BatchState(StrEnum):
    """The state of a batch in Dropbatch, which is not its status at OpenAI."""

    WAITING = "waiting"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    ENDED = "ended"  # at OpenAI
    COLLECTED = "collected"
    ABANDONED = "abandoned"  # it is never submitted, or never collected
    SPLIT = "split"  # too large at once: its rows are in its follow-ups


class ShardState(StrEnum):
    """The state of a shard."""

    OPEN = "open"
    RENDERED = "rendered"  # its pieces of the results are written


class HeldReason(StrEnum):
    """The reason why a job is held."""

    REQUESTED = "requested"  # its recipe says `hold: true`
    COST = "cost"  # it would cost more than its recipe, or the stack's owner, allows for a job
    MONTH = "month"  # it would cost more than the stack's owner allows for the rest of the month
    UNPRICED = "no_price"  # there is a limit, and no price is known to compare with it
    SIZE = "needs_approval"  # neither a price nor a limit is known, and it has very many rows
    CANARY = "canary"  # the rows that were sent first were not answered well enough, or cost too much
    REPEATED = "answered_before"  # a `.rerun` has the rows and the recipe of a run that was answered
    PERMISSION = "openai_permission"  # the key may not make this call (403)
    ACCOUNT = "openai_billing"  # OpenAI takes no work from this account
    STUCK = "stuck"  # a step of it failed again and again; paid answers are kept, and it is retried every hour
    KEY = "openai_key"  # no API key, or one that OpenAI does not accept
    KEY_CHANGED = "openai_key_changed"  # a batch is in doubt, and the key that made it is gone
    FAILING = "too_few_answers"  # two batches in a row have answers for less than half of their rows


class OpenAIStatus(StrEnum):
    """The status of a batch at OpenAI, stored beside its state and never mixed with it."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"  # a status that this release does not know: the batch stays as it is, with a warning


CLOSED = frozenset({BatchState.COLLECTED, BatchState.ABANDONED, BatchState.SPLIT})
"""The final states of a batch."""

APPROVABLE = frozenset(
    {
        HeldReason.REQUESTED,
        HeldReason.COST,
        HeldReason.MONTH,
        HeldReason.UNPRICED,
        HeldReason.SIZE,
        HeldReason.CANARY,
        HeldReason.REPEATED,
    }
)
"""The reasons that an `.approve` ends."""

WORKING_JOBS = frozenset({JobState.RUNNING, JobState.HELD, JobState.ASSEMBLING})
"""The states in which a job has batches to submit and collect, or results to assemble."""


ENDED_JOBS = frozenset({JobState.REJECTED, JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED})

ANSWERED_JOBS = frozenset({JobState.SUCCEEDED, JobState.PARTIAL})
"""The states in which an ended job has answered rows, and was not stopped."""


TERMINAL = frozenset({OpenAIStatus.COMPLETED, OpenAIStatus.FAILED, OpenAIStatus.EXPIRED, OpenAIStatus.CANCELLED})


_FOLLOWS: Mapping[JobState | BatchState | ShardState, frozenset[Any]] = {
    JobState.BUILDING: frozenset({JobState.RUNNING, JobState.HELD, JobState.REJECTED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.HELD, JobState.ASSEMBLING, JobState.FAILED}),
    JobState.HELD: frozenset({JobState.RUNNING, JobState.ASSEMBLING, JobState.FAILED}),
    JobState.ASSEMBLING: frozenset(
        {JobState.HELD, JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED}
    ),
    BatchState.WAITING: frozenset({BatchState.SUBMITTING, BatchState.ABANDONED}),
    BatchState.SUBMITTING: frozenset(
        {BatchState.WAITING, BatchState.SUBMITTED, BatchState.ABANDONED, BatchState.SPLIT}
    ),
    BatchState.SUBMITTED: frozenset({BatchState.ENDED, BatchState.ABANDONED}),
    BatchState.ENDED: frozenset({BatchState.COLLECTED, BatchState.ABANDONED}),
    ShardState.OPEN: frozenset({ShardState.RENDERED}),
}


S = TypeVar("S", JobState, BatchState, ShardState)


def checked_transition(current: S, state: S) -> S:
    """Return `state` if it may follow `current`. Raise AssertionError if not."""
    if state not in _FOLLOWS.get(current, frozenset()):
        raise AssertionError(f"{type(current).__name__} cannot go from {current} to {state}")
    return state
