"""The poller: its lease, the pace of each queue, and how far the sweep of the inbox has come."""

from dataclasses import dataclass, field

from dropbatch.domain.items import Item, WorkItem


@dataclass(slots=True)
class Pace:
    """How many messages may wait in a queue: it grows while functions take them, and shrinks while they fail."""

    window: int = 4
    sent: int = 0  # by the last poll


@dataclass(slots=True)
class Poller(WorkItem):
    """The poller's lease, and how many messages each queue has lately been able to take."""

    dispatch: "Pace" = field(default_factory=lambda: Pace())
    collect: "Pace" = field(default_factory=lambda: Pace())
    last_completed_at: int = 0  # when the last poll that came to its end began


@dataclass(slots=True)
class SweepCursor(Item):
    """How far the inbox has been looked through for drops whose event was lost."""

    began_at: int = 0  # when the first poll ran; 0 before it
    due_at: int = 0
    after: str = ""  # the key to go on behind; empty where the next sweep begins
