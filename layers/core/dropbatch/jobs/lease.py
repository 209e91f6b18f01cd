"""Leases: one process at a time works on an item, and another takes over soon after that process was killed.

A lease is short. While its step runs, a heartbeat renews it (`Context.keeping`), and with it the time for which the
step's message stays hidden. Each step has the same three parts:

1. `leased` acquires the lease by compare-and-swap, and keeps it while its block runs.
2. `update_own` writes the step's results, if the lease is still the step's own.
3. In that write, `release` releases the lease. After a failure, `defer` does so with a backoff.

Only a process that is killed leaves its lease behind. The next one counts the kill when it acquires the lease.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import Pending, TriedRecipe
from dropbatch.domain.items import WorkItem
from dropbatch.domain.jobs import Job
from dropbatch.domain.poller import Poller
from dropbatch.jobs.backoff import backoff_seconds
from dropbatch.storage.context import Context
from dropbatch.storage.item_keys import key_of
from dropbatch.storage.repository import Repository

Leased = TypeVar("Leased", Job, Batch, Pending, Poller, TriedRecipe)

LEASE_SECONDS = 40
"""How long a lease lasts unless it is renewed: longer than the create of a batch (25 s) and a difference of clocks."""

BEAT_SECONDS = 10
"""How often a heartbeat renews: three may fail before the lease ends."""


@contextmanager
def leased(context: Context, item: Leased, begin: Callable[[Leased], bool]) -> Iterator[Leased | None]:
    """Acquire the lease of an item, and keep it while the block runs; None if `acquire` gives none."""
    acquired = acquire(context, item, begin)
    if acquired is None:
        yield None
        return
    with context.keeping(*key_of(acquired), acquired.lease or ""):
        yield acquired


def acquire(context: Context, item: Leased, begin: Callable[[Leased], bool]) -> Leased | None:
    """Acquire the lease of an item for a step; None if another process has it, or the step is not to begin.

    `begin` returns whether the step may begin with the item as it is. It may also change the item: that and the lease
    are one write. If another process was quicker, the item is read, and judged, again.
    """
    current: Leased | None = item
    while current is not None and not current.is_leased(context.now()) and begin(current):
        _take(context, current)
        try:
            context.repository.save(current)
        except StaleItemError:
            current = context.repository.reload(current)
        else:
            return current
    return None


def _take(context: Context, item: WorkItem) -> None:
    """Put a new lease into an item, and count the start, and the kill of a process that left a lease behind."""
    if item.lease is not None:
        item.kill_count += 1
    item.lease, item.lease_until = context.new_token(), context.now() + LEASE_SECONDS
    item.start_count += 1
    item.queued_since = 0


def release(item: WorkItem, not_before: int = 0) -> None:
    """Release the lease: the step has ended, and its message is done. The item is due again at `not_before`."""
    item.lease, item.lease_until, item.not_before = None, 0, not_before
    item.sent_at = item.queued_since = 0


def defer(context: Context, item: WorkItem, seconds: int = 0) -> None:
    """Release the lease after a failure: the item is due again after a backoff, and after `seconds` at the earliest."""
    item.deferrals += 1
    item.failed_at = context.now()
    release(item, context.now() + max(seconds, context.scaled(backoff_seconds(item.deferrals))))


def update_own(repository: Repository, item: Leased, change: Callable[[Leased], None]) -> Leased | None:
    """Change the item in the table if its lease is still ours; None if another process has taken over."""
    lease = item.lease

    def changed(current: Leased) -> bool:
        if current.lease != lease:
            return False
        change(current)
        return True

    return repository.update(item, changed)
