"""The states of jobs, batches and shards, and the closed set of steps between them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar


class JobState(StrEnum):
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
    WAITING = "waiting"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    ENDED = "ended"  # at OpenAI
    COLLECTED = "collected"
    ABANDONED = "abandoned"  # never submitted, and never to be; or never to be collected
    SPLIT = "split"  # too large at once: its rows wait in its children


class ShardState(StrEnum):
    OPEN = "open"
    RENDERED = "rendered"  # its pieces of the results are written


class HeldReason(StrEnum):
    """Why a job is held."""

    SIZE = "needs_approval"  # more rows than the stack's owner lets pass without a question
    REPEATED = "answered_before"  # a `.rerun` asks the same rows with the same recipe that another run answered
    PERMISSION = "openai_permission"  # the key may not do what was asked (403)
    ACCOUNT = "openai_billing"  # OpenAI takes no work from this account
    STUCK = "stuck"  # a step of it failed again and again; what is paid is kept, and tried again every hour
    KEY = "openai_key"  # no API key, or one that OpenAI does not accept
    KEY_CHANGED = "openai_key_changed"  # a batch is in doubt, and the key that made it is gone
    FAILING = "too_few_answers"  # two batches in a row were answered by less than half


class OpenAIStatus(StrEnum):
    """A batch's own status at OpenAI, kept beside ours and never mixed with it."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"  # a word that this release does not know; the batch stays where it is, loudly


CLOSED = frozenset({BatchState.COLLECTED, BatchState.ABANDONED, BatchState.SPLIT})
"""The states in which a batch asks for nothing more."""


APPROVABLE = frozenset({HeldReason.SIZE, HeldReason.REPEATED})
"""The reasons that an `.approve` answers: nothing was sent yet."""


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


def follow(current: S, state: S) -> S:
    """`state`, if the closed set of transitions knows the step from `current`; an AssertionError otherwise."""
    if state not in _FOLLOWS.get(current, frozenset()):
        raise AssertionError(f"{type(current).__name__} cannot go from {current} to {state}")
    return state
