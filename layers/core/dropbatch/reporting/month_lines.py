"""The money of the month in the messages about ended jobs: what all jobs have spent so far."""

from decimal import Decimal
from typing import Any

from dropbatch.domain.spending import month_of
from dropbatch.reporting.phrases import dollars, money
from dropbatch.storage.context import Context


def month_line(context: Context, now: int) -> str:
    """Say what all jobs of this month, in UTC, have cost so far, and what they may cost."""
    spent = context.repository.month_spending(month_of(now)).spent
    limit = context.max_month_usd
    return f"This month: {money(spent)}." if limit is None else f"This month: {money(spent)} of {_limit(limit)}."


def month_members(context: Context, now: int) -> dict[str, Any]:
    """Return the same as members of an event."""
    month = context.repository.month_spending(month_of(now))
    limit = context.max_month_usd
    return {"name": month.month, "spent": dollars(month.spent), "limit": None if limit is None else dollars(limit)}


def _limit(usd: Decimal) -> str:
    return f"${usd:,.0f}" if usd == usd.to_integral_value() else money(usd)
