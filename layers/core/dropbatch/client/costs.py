"""The cost of months, as the table has it: the sums of each month, and those by folder, model and recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from dropbatch.client.errors import WrongUseError
from dropbatch.domain.spending import KINDS, MonthTotal
from dropbatch.reporting.phrases import dollars
from dropbatch.storage.repository import Repository


@dataclass(frozen=True, slots=True)
class CostLine:
    """The part of a month's cost that one folder, model or recipe has, in US dollars."""

    name: str
    requests: int
    paid: Decimal
    saved: Decimal
    unpriced: int

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "requests": self.requests,
            "paid_usd": dollars(self.paid),
            "saved_usd": dollars(self.saved),
            "unpriced_requests": self.unpriced,
        }


@dataclass(frozen=True, slots=True)
class MonthCost:
    """The cost of a month, in UTC and US dollars.

    `paid` is that of closed batches, `committed` the most that open ones may cost. `saved` is the difference to the
    price without the Batch API. Nobody knows the price of `unpriced` requests.
    """

    month: str
    paid: Decimal
    committed: Decimal
    saved: Decimal
    unpriced: int
    parts: dict[str, Sequence[CostLine]]  # by kind, the dearest first

    def to_json(self) -> dict[str, Any]:
        return {
            "month": self.month,
            "paid_usd": dollars(self.paid),
            "committed_usd": dollars(self.committed),
            "saved_usd": dollars(self.saved),
            "unpriced_requests": self.unpriced,
            **{f"by_{kind}": [line.to_json() for line in lines] for kind, lines in self.parts.items()},
        }


def months(repository: Repository, now: float, count: int, kinds: Sequence[str]) -> list[MonthCost]:
    """Return the cost of the last `count` months, the present one first."""
    for kind in kinds:
        if kind not in KINDS:
            raise WrongUseError(f"Costs can be divided by {', '.join(KINDS)}, not by {kind}.")
    return [_month(repository, name, kinds) for name in _last_months(now, count)]


def _last_months(now: float, count: int) -> list[str]:
    today = datetime.fromtimestamp(now, UTC)
    numbers = range(today.year * 12 + today.month - 1, 0, -1)[:count]
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers]


def _month(repository: Repository, name: str, kinds: Sequence[str]) -> MonthCost:
    found = repository.month_spending(name)
    parts = {kind: [_line(total) for total in repository.month_totals(name, kind)] for kind in kinds}
    return MonthCost(
        month=name,
        paid=found.spent,
        committed=found.committed,
        saved=max(Decimal(0), found.standard - found.spent),
        unpriced=found.unpriced,
        parts={kind: sorted(lines, key=lambda line: (-line.paid, line.name)) for kind, lines in parts.items()},
    )


def _line(total: MonthTotal) -> CostLine:
    saved = max(Decimal(0), total.standard - total.paid)
    return CostLine(total.name, total.requests, total.paid, saved, total.unpriced)
