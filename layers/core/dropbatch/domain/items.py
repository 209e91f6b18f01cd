"""Items: the members that each item of the table has, and those of an item that steps work on.

Each item is written by compare-and-swap on its `rev`. Of two processes that change it at once, one loses. It reads the
item again, and finds nothing left to do.
"""

from dataclasses import dataclass, field

VERSION = 2
"""The version of items and messages, so that a newer release recognizes those of an older one."""

MAX_STARTS = 10
"""How often a step may begin without progress. Then Dropbatch holds its job, and raises an alarm."""


@dataclass(slots=True)
class Item:
    """An item of the table: its keys `pk` and `sk`, its `rev`, and its place in the sparse index while it is open."""

    rev: int = field(default=0, kw_only=True)
    expires_at: int | None = field(default=None, kw_only=True)  # when DynamoDB may delete it; None: never


@dataclass(slots=True, kw_only=True)
class WorkItem(Item):
    """An item that steps work on. Only one process at a time works on it, while it keeps its lease.

    A wait is a date (`not_before`): until then there is no message about the item, and the poller sends one when it is
    due.
    """

    lease: str | None = None  # the token of the process that works on it
    lease_until: int = 0
    sent_at: int = 0  # when the message about it was sent; 0 if there is none
    queued_since: int = 0  # when the first of several messages about it was sent, if no process has received one
    not_before: int = 0  # when it is due
    start_count: int = 0  # how often a step began since its last progress
    kill_count: int = 0  # how many of these steps never ended, because their process was killed
    deferrals: int = 0  # how often in a row it was put off because a step failed
    failed_at: int = 0  # when a step last failed

    def is_leased(self, now: int) -> bool:
        return self.lease is not None and self.lease_until > now

    def came_further(self) -> None:
        """Reset the counts of failures after progress: the next step has its own tries."""
        self.start_count = self.kill_count = self.deferrals = self.failed_at = self.not_before = 0
