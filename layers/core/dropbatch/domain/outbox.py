"""The outbox of an item: the names of the notices that are not sent yet, and those that wait for a digest."""

from dataclasses import dataclass, field

from dropbatch.domain.items import Item, WorkItem


@dataclass(slots=True)
class DigestReason:
    """Why rows of a job have no good answer, or its drop was rejected, or what is to be known: its code, and how often.

    `outcome` is that of the rows; empty if it is not about rows.
    """

    outcome: str
    code: str
    count: int


@dataclass(slots=True)
class DigestEntry:
    """A notice of a job that waits to be told with others of its folder, and what a digest says of the job.

    `reasons` are the commonest. `paid`, `saved` and `all_rows` are in millionths of a dollar; `paid` is None if nothing
    of it is known.
    """

    event: str
    since: int
    status: str
    verdict: str
    rows: int = 0  # that are to be answered
    answered: int = 0
    paid: int | None = None
    saved: int = 0
    all_rows: int | None = None  # what all rows of a drop would cost of which a `limit` took some, if that is known
    unpriced: bool = False  # some of the cost is not known
    reasons: list[DigestReason] = field(default_factory=list)
    failures: int = 0  # how often in a row telling of it failed
    notify_after: int = 0  # when that is tried next, if it failed


@dataclass(slots=True, kw_only=True)
class OutboxItem(WorkItem):
    """An item of which there is something to tell: what has not been told yet is named in it."""

    outbox: list[str] = field(default_factory=list)  # `<audience>:<name of a notice>`, in order
    digest_entries: dict[str, DigestEntry] = field(default_factory=dict)  # those of them that wait for a digest
    notify_after: int = 0  # when the others are tried next
    notify_failures: int = 0

    @property
    def due_entries(self) -> list[str]:
        """The entries of the outbox that are told one by one, as soon as that is possible."""
        return [entry for entry in self.outbox if entry not in self.digest_entries]


@dataclass(slots=True)
class Alert(Item):
    """When the operators were last notified of what only they can correct: they hear of it once, not once a job."""

    reason: str
    notified_at: int = 0  # 0 if they have not been
    claimed_until: int = 0  # until then another process is about to notify them
