"""Spending: the money that a job, and a month, has spent, and has committed to batches at OpenAI.

A batch reserves its price, at its high estimate, before it is created. When it is closed, the reservation becomes what
was really paid. Each of the two is one write of all items concerned, so that money is counted once, whichever process
is killed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal
from enum import Enum

from dropbatch.domain.batches import Batch
from dropbatch.domain.items import Item

NOTHING = Decimal(0)

KINDS = ("folder", "model", "recipe")
"""The kinds of parts into which a month is divided."""


def month_of(now: int) -> str:
    """Return the month of a time, in UTC: `2026-11`."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


@dataclass(slots=True, kw_only=True)
class Spending(Item):
    """Money in US dollars: `spent` is what closed batches cost, `committed` what open ones may cost.

    `assumed` is the quoted price of what closed batches may have cost beyond that, and nobody knows.
    """

    spent: Decimal = NOTHING
    assumed: Decimal = NOTHING
    committed: Decimal = NOTHING

    def commit(self, usd: Decimal) -> None:
        self.committed += usd

    def settle(self, reserved: Decimal, paid: Decimal, assumed: Decimal = NOTHING) -> None:
        """Replace a reservation by what was paid."""
        self.committed = max(NOTHING, self.committed - reserved)
        self.spent += paid
        self.assumed += assumed

    @property
    def used(self) -> Decimal:
        """The cost of closed batches, as far as it is known or assumed."""
        return self.spent + self.assumed


class Fit(Enum):
    """The relation of a batch's price to a limit."""

    FITS = "fits"
    WAITS = "waits"  # other batches are at OpenAI: it may fit once they have cost less than they might
    EXCEEDS = "exceeds"


def fit(spending: Spending, limit: Decimal | None, likely: Decimal, high: Decimal) -> Fit:
    """Return how a batch of this price fits a limit.

    It fits if even the most that it may cost does. A lone batch also goes if what it likely costs fits: otherwise, an
    estimate that is careful would keep a job from starting that was accepted. So a limit is never passed by more than
    one batch. What costs nothing always fits.
    """
    if limit is None or not high or spending.used + spending.committed + high <= limit:
        return Fit.FITS
    if spending.committed:
        return Fit.WAITS
    return Fit.FITS if spending.used + likely <= limit else Fit.EXCEEDS


@dataclass(slots=True, kw_only=True)
class JobSpending(Spending):
    """The spending of a job, and what the batches that it was spent for had been quoted at."""

    job_id: str
    quoted_likely: Decimal = NOTHING
    quoted_high: Decimal = NOTHING

    def compare(self, batch: Batch) -> None:
        """Record the quoted price of a batch that is settled."""
        self.quoted_likely += batch.likely_usd or NOTHING
        self.quoted_high += batch.high_usd or NOTHING

    def price(self, batch: Batch) -> tuple[Decimal, Decimal]:
        """Return what a batch likely costs, and the most, by its quote and by how much dearer the job turned out."""
        likely, high = batch.likely_usd or NOTHING, batch.high_usd or NOTHING
        return likely * _factor(self.spent, self.quoted_likely), high * _factor(self.spent, self.quoted_high)


def _factor(spent: Decimal, quoted: Decimal) -> Decimal:
    """Return how much dearer than quoted something was, at least 1, in thousandths rounded up."""
    return max(Decimal(1), (spent / quoted).quantize(Decimal("0.001"), ROUND_UP)) if quoted else Decimal(1)


@dataclass(slots=True, kw_only=True)
class MonthSpending(Spending):
    """The spending of a month. A batch belongs to the month in which it reserved its price.

    `standard` is what the same work would have cost without the Batch API. `unpriced` requests have no known price.
    """

    month: str  # in UTC: 2026-11
    standard: Decimal = NOTHING
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """The spending of a job beside its limits, in US dollars. A limit is None if nobody has set one."""

    spent: Decimal  # by the job so far, as far as it is known or assumed
    likely: Decimal | None  # what all of it likely costs in the end; None if no price is known
    limit: Decimal | None  # of the job
    month: str
    month_spent: Decimal  # by all jobs, with what their open batches may cost
    month_limit: Decimal | None
    is_sent: bool = False  # some of the job has been sent to OpenAI
    month_reserved: Decimal = NOTHING  # the part of `month_spent` that is of open batches


@dataclass(slots=True, kw_only=True)
class MonthTotal(Item):
    """The sum of a month's batches of one folder, model or recipe: requests and US dollars."""

    month: str
    kind: str  # one of KINDS
    name: str
    requests: int = 0
    paid: Decimal = NOTHING
    standard: Decimal = NOTHING
    unpriced: int = 0
