"""The money of the month in the messages about ended jobs: what all jobs have spent so far."""

from typing import Any

from dropbatch.domain.spending import month_of
from dropbatch.reporting.phrases import dollars, dollars_or_null, money, money_limit
from dropbatch.storage.context import Context


def month_line(context: Context, now: int) -> str:
    """Say what all jobs of this month, in UTC, have cost so far, and what they may cost."""
    spent = context.repository.month_spending(month_of(now)).spent
    limit = context.max_month_usd
    return f"This month: {money(spent)}." if limit is None else f"This month: {money(spent)} of {money_limit(limit)}."


def month_members(context: Context, now: int) -> dict[str, Any]:
    """Return the same as members of an event."""
    month = context.repository.month_spending(month_of(now))
    return {"name": month.month, "spent": dollars(month.spent), "limit": dollars_or_null(context.max_month_usd)}
