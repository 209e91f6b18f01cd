"""Leases: one process at a time works on an item, and another takes over soon after it was killed.

A lease is short. While its step runs, a heartbeat renews it (`Context.keeping`), and with it the time for which the
step's message stays hidden. A step ends in one of four ways: it came further, it was put off, it failed, or its process
was killed. Only the last leaves a lease behind, which is how a kill is known.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dropbatch.domain.batches import Batch
from dropbatch.domain.inbox import Pending
from dropbatch.domain.items import WorkItem
from dropbatch.domain.jobs import Job
from dropbatch.domain.poller import Poller
from dropbatch.storage.context import Context
from dropbatch.storage.item_keys import key_of
from dropbatch.storage.repository import Repository

Leased = TypeVar("Leased", Job, Batch, Pending, Poller)

LEASE_SECONDS = 40
"""How long a lease lasts unless it is renewed. It outlives the create of a batch (25 s) by the clocks' difference."""

BEAT_SECONDS = 10
"""How often a heartbeat renews: three may fail before the lease ends."""

MAX_BACKOFF_SECONDS = 3600


def take(context: Context, item: WorkItem) -> None:
    """Take the lease of an item that has none in force, and count the start. The caller saves the item."""
    if item.lease is not None:
        item.kill_count += 1
    item.lease, item.lease_until = context.new_token(), context.now() + LEASE_SECONDS
    item.start_count += 1


def give_back(item: WorkItem, not_before: int = 0) -> None:
    """Give the lease back: the step has ended, and its message is done."""
    item.lease, item.lease_until, item.sent_at, item.not_before = None, 0, 0, not_before


def put_off(context: Context, item: WorkItem, seconds: int = 0) -> None:
    """Give the lease back because something failed: the item is due again after a while, each time a longer one."""
    item.deferrals += 1
    item.failed_at = context.now()
    give_back(item, context.now() + max(seconds, context.scaled(backoff_seconds(item.deferrals))))


def backoff_seconds(failures: int) -> int:
    """Return how long to wait after so many failures in a row: 60 s, doubled each time, an hour at most."""
    return int(min(MAX_BACKOFF_SECONDS, 60 * 2 ** min(max(failures - 1, 0), 10)))


@contextmanager
def kept(context: Context, item: WorkItem) -> Iterator[None]:
    """Keep the item's lease while the block runs."""
    with context.keeping(*key_of(item), item.lease or ""):
        yield


def update_own(repository: Repository, item: Leased, change: Callable[[Leased], None]) -> Leased | None:
    """Change the item in the table if its lease is still ours; None if another process has taken over."""
    lease = item.lease

    def changed(current: Leased) -> bool:
        if current.lease != lease:
            return False
        change(current)
        return True

    return repository.update(item, changed)
