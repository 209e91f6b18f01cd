"""The poller: its lease, the pace of each queue, and the cursor of the inbox sweep."""

from dataclasses import dataclass, field

from dropbatch.domain.items import Item, WorkItem


@dataclass(slots=True)
class Pace:
    """The number of messages that may wait in a queue. It grows while functions handle them, and shrinks on failure."""

    window: int = 4
    sent: int = 0  # by the last poll


COLLECT_WINDOW = 8
"""How many batches the first poll of a stack sends to be collected: with fewer, results of its first busy minutes would
wait for polls, and with more, slow functions would find a full queue."""


@dataclass(slots=True)
class Poller(WorkItem):
    """The poller's lease, and the pace of each queue."""

    dispatch: "Pace" = field(default_factory=lambda: Pace())
    collect: "Pace" = field(default_factory=lambda: Pace(COLLECT_WINDOW))
    last_completed_at: int = 0  # when the last completed poll began


@dataclass(slots=True)
class SweepCursor(Item):
    """The place up to which the sweep has searched the inbox for drops whose event was lost."""

    began_at: int = 0  # when the first poll ran; 0 before it
    due_at: int = 0
    after: str = ""  # the key after which the sweep continues; empty at its start
