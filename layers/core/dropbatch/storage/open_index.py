"""The sparse index `open` of the table: what the poller finds there, and in which partition."""

from dropbatch.domain.batches import Batch
from dropbatch.domain.inbox import Pending
from dropbatch.domain.items import Item
from dropbatch.domain.jobs import Job
from dropbatch.domain.pages import JobPage
from dropbatch.domain.states import CLOSED, ENDED_JOBS

OPEN_JOBS, OPEN_BATCHES, OUTBOXES, OPEN_PENDING, CHANGED_PAGES = "job", "batch", "outbox", "pending", "page"
"""The partitions of the sparse index."""


def index_of(item: Item) -> tuple[str, str] | None:
    """Return the item's keys `open` and `since` in the sparse index; None if it is not in the index."""
    match item:
        case Job(state=state) if state not in ENDED_JOBS:
            partition = OPEN_JOBS
        case Job() if item.outbox or not item.is_clean or item.remote_files is not None:
            partition = OUTBOXES
        case Batch(state=state) if state not in CLOSED or item.owes_settlement:
            partition = OPEN_BATCHES
        case Pending() if item.outbox or not (item.is_kept and item.is_done):
            partition = OPEN_PENDING
        case JobPage() if item.changed_at or item.begun_at:
            return CHANGED_PAGES, _sortable(item.changed_at or item.begun_at)
        case _:
            return None
    return partition, _sortable(item.created_at)


def _sortable(seconds: int) -> str:
    """Return a time as a text that sorts by time."""
    return f"{seconds:012d}"
