"""The pace of each queue: how many messages may wait in it at once. The functions' own speed decides that.

A window grows while functions take the messages and succeed, and shrinks while they fail or the messages wait. So a
backlog stays in the table, where jobs take turns, and an outage causes few tries, not one for each batch.
"""

from collections.abc import Sequence

from dropbatch.domain.items import WorkItem
from dropbatch.domain.poller import Pace

MIN_WINDOW = 2
"""How many messages are sent a minute even while everything fails: the first success opens the window again."""

MAX_WINDOW = 256

MAX_WAIT_SECONDS = 120
"""A message that waits longer shows that functions do not keep up."""


def waiting(items: Sequence[WorkItem], now: int) -> list[WorkItem]:
    """Return the items about which a message waits in the queue: sent, and not taken up yet."""
    return [item for item in items if item.sent_at and not item.is_leased(now)]


def adjust(pace: Pace, items: Sequence[WorkItem], since: int, now: int) -> int:
    """Adjust the window by the results of the messages since the last poll, and return how many more may be sent."""
    queued = waiting(items, now)
    failed = sum(item.failed_at >= since > 0 for item in items)
    came_through = pace.sent - failed - len(queued)
    if failed and failed >= came_through:
        pace.window = max(MIN_WINDOW, pace.window // 4)
    elif any(item.sent_at < now - MAX_WAIT_SECONDS for item in queued):
        pace.window = max(MIN_WINDOW, pace.window // 2)
    elif 2 * pace.sent >= pace.window and 2 * len(queued) <= pace.window:
        pace.window = min(MAX_WINDOW, 2 * pace.window)
    return max(0, pace.window - len(queued))
