"""The outbox of an item: the names of the notices that are not sent yet, and those that wait for a digest."""

from dataclasses import dataclass, field

from dropbatch.domain.items import Item, WorkItem


@dataclass(slots=True)
class DigestReason:
    """A reason that a digest lists: of rows without a good answer, of a rejection, or a notice; with its count.

    `outcome` is that of the rows; empty if the reason is not about rows.
    """

    outcome: str
    code: str
    count: int


@dataclass(slots=True)
class DigestEntry:
    """A notice of a job that waits for the digest of its folder, and the figures of the job in that digest.

    `reasons` are the most common ones. `paid`, `saved` and `all_rows` are in millionths of a dollar; `paid` is None if
    none of the cost is known.
    """

    event: str
    since: int
    status: str
    verdict: str
    rows: int = 0  # rows to answer
    answered: int = 0
    paid: int | None = None
    saved: int = 0
    all_rows: int | None = None  # the known cost of all rows of the drop, if a `limit` took some of them
    unpriced: bool = False  # some of the cost is not known
    reasons: list[DigestReason] = field(default_factory=list)
    failures: int = 0  # how often in a row publishing it failed
    notify_after: int = 0  # when Dropbatch tries again after a failure


@dataclass(slots=True, kw_only=True)
class OutboxItem(WorkItem):
    """An item with an outbox: the names of the notices that are not sent yet."""

    outbox: list[str] = field(default_factory=list)  # `<audience>:<name of a notice>`, in order
    digest_entries: dict[str, DigestEntry] = field(
        default_factory=dict
    )  # the notices among them that wait for a digest
    notify_after: int = 0  # when Dropbatch next tries to send the others
    notify_failures: int = 0

    @property
    def due_entries(self) -> list[str]:
        """The entries of the outbox that are sent one by one, as soon as possible."""
        return [entry for entry in self.outbox if entry not in self.digest_entries]


@dataclass(slots=True)
class Alert(Item):
    """The last notification of operators about a fault that only they can correct: one for all jobs, not one each."""

    reason: str
    notified_at: int = 0  # 0 if they have not been
    claimed_until: int = 0  # until then, another process is notifying them
