"""The end of an invocation's time: what a collector cannot finish now, the next invocation continues."""

from collections.abc import Callable
from typing import TypeVar

from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import WORKING_JOBS
from dropbatch.jobs.lease import release, update_own
from dropbatch.messages import message_for
from dropbatch.storage.context import Context

Collected = TypeVar("Collected", Job, Batch)
"""An item that a step of collecting works on."""

InTime = Callable[[], bool]
"""Returns whether a step has time to continue."""

HANDOVER_SECONDS = 120
"""With less time left a step hands over. It then moves its files from the disk to the work bucket, at some 50 MB/s."""


def in_time(context: Context) -> bool:
    """Return whether a step has time to continue."""
    return context.seconds_left() > HANDOVER_SECONDS


def continue_later(context: Context, item: Collected) -> None:
    """Have the next invocation continue with an item whose step, under its lease, ran out of time."""

    def keep(current: Collected) -> None:
        current.came_further()
        release(current)
        current.sent_at = context.now()

    if update_own(context.repository, item, keep):
        context.collect.send(message_for(item))


def send_job(context: Context, job: Job) -> None:
    """Have the next invocation finish a job's shards, unless a message about the job is under way already."""

    def mark_sent(current: Job) -> bool:
        if current.sent_at or current.is_leased(context.now()) or current.state not in WORKING_JOBS:
            return False
        current.sent_at = context.now()
        return True

    if context.repository.update(job, mark_sent):
        context.collect.send(message_for(job))
