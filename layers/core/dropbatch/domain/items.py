"""What every item of the table has, and what an item has that steps work on.

Every item is written by compare-and-swap on its `rev`: of two processes that change it at once one loses, reads it
again, and finds nothing left to do.
"""

from dataclasses import dataclass, field

VERSION = 2
"""The version of items and messages, so that an upgrade can tell what an older release wrote."""


MAX_STARTS = 10
"""How often a step may begin without coming further before its job is held and an alarm raised."""


@dataclass(slots=True)
class Item:
    """An item of the table: its keys `pk` and `sk`, its `rev`, and its place in the sparse index while it is open."""

    rev: int = field(default=0, kw_only=True)
    expires_at: int | None = field(default=None, kw_only=True)  # when DynamoDB may delete it; None: it is kept


@dataclass(slots=True, kw_only=True)
class WorkItem(Item):
    """An item that steps work on. One process at a time does, for as long as it keeps its lease.

    A wait is a date (`not_before`): no message is under way meanwhile, and the poller sends one when it is due.
    """

    lease: str | None = None  # the token of the process that works on it
    lease_until: int = 0
    sent_at: int = 0  # since when a message about it is under way; 0 if none is
    not_before: int = 0  # when it is due
    start_count: int = 0  # how often a step began since it last came further
    kill_count: int = 0  # how many of these never came to an end: their process was killed
    deferrals: int = 0  # how often in a row it was put off because something failed
    failed_at: int = 0  # when it last was

    def is_leased(self, now: int) -> bool:
        return self.lease is not None and self.lease_until > now

    def came_further(self) -> None:
        """Forgets what failed before: whatever follows has its own tries."""
        self.start_count = self.kill_count = self.deferrals = self.failed_at = self.not_before = 0
