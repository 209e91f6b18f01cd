"""The money of the month in the messages about ended jobs: what all jobs have spent so far."""

from typing import Any

from dropbatch.domain.spending import month_of
from dropbatch.reporting.phrases import counted, dollars, dollars_or_null, money, money_limit
from dropbatch.storage.context import Context


def month_line(context: Context, now: int, began: int | None = None) -> str:
    """Say what all jobs of this month, in UTC, have cost so far, and what they may cost.

    `began` is when the job did that the message is about: if it was in another month, its own cost may be in that one.
    """
    month = context.repository.month_spending(month_of(now))
    text = f"This month: {money(month.spent)}"
    if context.max_month_usd is not None:
        text += f" of {money_limit(context.max_month_usd)}"
    if month.unpriced:
        text += f", without {counted(month.unpriced, 'request')} of unknown price"
    if began is not None and month_of(began) != month.month:
        text += ", without batches that were sent in an earlier one"
    return f"{text}."


def month_members(context: Context, now: int) -> dict[str, Any]:
    """Return the same as members of an event."""
    month = context.repository.month_spending(month_of(now))
    return {
        "name": month.month,
        "spent": dollars(month.spent),
        "limit": dollars_or_null(context.max_month_usd),
        "unpriced_requests": month.unpriced,
    }
