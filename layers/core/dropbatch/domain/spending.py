"""Spending: the money that a job, and a month, has spent, and has committed to batches at OpenAI.

A batch reserves its price, at its high estimate, before it is created. When it is closed, the reservation becomes what
was really paid. Each of the two is one write of all items concerned, so that money is counted once, whichever process
is killed.
"""

from dataclasses import dataclass
from decimal import Decimal

from dropbatch.domain.items import Item

NOTHING = Decimal(0)


@dataclass(slots=True, kw_only=True)
class Spending(Item):
    """Money in US dollars: `spent` is what closed batches cost, `committed` what open ones may cost."""

    spent: Decimal = NOTHING
    committed: Decimal = NOTHING

    def commit(self, usd: Decimal) -> None:
        self.committed += usd

    def settle(self, reserved: Decimal, paid: Decimal) -> None:
        """Replace a reservation by what was paid."""
        self.committed = max(NOTHING, self.committed - reserved)
        self.spent += paid


@dataclass(slots=True, kw_only=True)
class JobSpending(Spending):
    """The spending of a job."""

    job_id: str


@dataclass(slots=True, kw_only=True)
class MonthSpending(Spending):
    """The spending of a month. A batch belongs to the month in which it reserved its price.

    `standard` is what the same work would have cost without the Batch API. `unpriced` requests have no known price.
    """

    month: str  # in UTC: 2026-11
    standard: Decimal = NOTHING
    unpriced: int = 0


@dataclass(slots=True, kw_only=True)
class MonthTotal(Item):
    """The sum of a month's batches of one folder, model or recipe: requests, tokens and US dollars."""

    month: str
    kind: str  # "folder", "model" or "recipe"
    name: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    paid: Decimal = NOTHING
    standard: Decimal = NOTHING
    unpriced: int = 0
