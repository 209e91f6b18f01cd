"""The money of a recipe's `try`: reserved before its requests are sent, and settled once their answers are there.

A trial has no job. Its price counts in the month, as that of a batch does, and its recipe's item holds the reservation.
So money is counted once, even if the process is killed while it waits for an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import TriedRecipe
from dropbatch.domain.quotes import Dollars
from dropbatch.domain.spending import NOTHING, Fit, MonthTotal, fit, month_of
from dropbatch.storage.context import Context

MAX_DIGESTS = 100
"""How many requests of a recipe are remembered: those of its last ten versions, if each has others."""


@dataclass(slots=True)
class Spent:
    """The cost of requests to one model."""

    requests: int = 0
    paid: Decimal = NOTHING
    unpriced: int = 0

    def count(self, usd: Decimal | None) -> None:
        """Count a request that cost this; None if that is not known."""
        self.requests += 1
        self.paid += usd or NOTHING
        self.unpriced += usd is None


@dataclass(slots=True)
class TrialSpending:
    """The cost of a trial, by model. `assumed` is what requests may have cost whose answers were lost."""

    models: dict[str, Spent] = field(default_factory=dict)
    assumed: Decimal = NOTHING

    def of(self, model: str) -> Spent:
        return self.models.setdefault(model, Spent())

    @property
    def paid(self) -> Decimal:
        return sum((spent.paid for spent in self.models.values()), NOTHING)

    @property
    def unpriced(self) -> int:
        return sum(spent.unpriced for spent in self.models.values())


def reserve(context: Context, item: TriedRecipe, price: Dollars, digests: Sequence[str]) -> bool:
    """Reserve the price of a trial's requests in the month, and record them; False if the month has no room for them.

    Raise StaleItemError if another process has taken the item over.
    """
    while True:
        month = context.repository.month_spending(month_of(context.now()))
        if fit(month, context.max_month_usd, price.likely, price.high) is not Fit.FITS:
            return False
        month.commit(price.high)
        item.sent, item.pending = item.sent + len(digests), list(digests)
        item.reserved_usd, item.reserved_month = price.high, month.month
        try:
            context.repository.save_all([item, month])
        except StaleItemError:
            item.sent, item.pending = item.sent - len(digests), []
            item.reserved_usd, item.reserved_month = None, ""
            _check_own(context, item)
        else:
            return True


def settle(
    context: Context, item: TriedRecipe, drop: Drop, spent: TrialSpending, answered: Sequence[str], unsent: int = 0
) -> None:
    """Replace the reservation of a trial by what its requests cost. `answered` are the digests that got an answer.

    `unsent` of its requests were not sent. Raise StaleItemError if another process has taken the item over.
    """
    reserved, name = item.reserved_usd or NOTHING, item.reserved_month
    item.digests = [*item.digests, *answered][-MAX_DIGESTS:]
    item.sent, item.pending = item.sent - unsent, []
    item.reserved_usd, item.reserved_month = None, ""
    while True:
        month = context.repository.month_spending(name)
        month.settle(reserved, spent.paid, spent.assumed)
        month.standard += spent.paid  # nothing is saved without a batch
        month.unpriced += spent.unpriced
        totals = _totals(context, name, drop, spent.models)
        try:
            context.repository.save_all([item, month, *totals])
        except StaleItemError:
            _check_own(context, item)
        else:
            break
    if spent.paid:
        context.observer.job_metric("CostUSD", float(spent.paid))


def _totals(context: Context, month: str, drop: Drop, models: Mapping[str, Spent]) -> list[MonthTotal]:
    """Return the month's totals of folder, recipe and models, with this cost."""
    places = [("folder", drop.folder, list(models.values())), ("recipe", drop.key, list(models.values()))]
    places += [("model", model, [spent]) for model, spent in models.items()]
    totals = []
    for kind, name, parts in places if models else ():
        total = context.repository.month_total(month, kind, name)
        for part in parts:
            total.requests += part.requests
            total.paid += part.paid
            total.standard += part.paid
            total.unpriced += part.unpriced
        totals.append(total)
    return totals


def _check_own(context: Context, item: TriedRecipe) -> None:
    """Raise StaleItemError if another process has moved the item: then it was not the month that others changed."""
    current = context.repository.reload(item)
    if (current.rev if current is not None else 0) != item.rev:
        raise StaleItemError
