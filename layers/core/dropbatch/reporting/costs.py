"""The cost of a job, in words for people and as members of events."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dropbatch.domain.jobs import Job
from dropbatch.reporting.phrases import about, counted, dollars, money
from dropbatch.storage.context import Context

if TYPE_CHECKING:  # tallies know of recipes, which a poll does not load
    from dropbatch.answers.tally import Tally


def cost_sentence(tally: "Tally") -> str:
    """Say what was paid and saved, and which parts of the cost are not known."""
    paid, saved = tally.paid, tally.saved
    if paid is None or saved is None:
        text = "The cost is not known."
    elif saved < 0:  # some models give a discount on cached input only without the Batch API
        text = f"Paid {about(paid)}, which is {money(-saved)} more than without batching."
    elif not paid:
        text = "Nothing was paid."
    else:
        text = f"Paid {about(paid)}, and saved {money(saved)} by batching."
    if tally.fees_usd:
        calls = counted(tally.tool_calls.total() - tally.unpriced_tool_calls, "tool call")
        text += f" Of it {money(tally.fees_usd)} went to the fees of {calls}, which batching does not halve."
    if tally.unpriced_tool_calls:
        text += (
            f" The sum is without the fees of {counted(tally.unpriced_tool_calls, 'tool call')}, whose price is not "
            "known."
        )
    if tally.unpriced:
        text += (
            f" The price of {counted(tally.unpriced, 'request')} is not known, and not in any sum: the price list "
            "lacks it for the model, or the answer does not say how many tokens it took."
        )
    if tally.unread:
        text += (
            f" The answers of {counted(tally.unread, 'request')} could not be collected; OpenAI may have charged for "
            "them, which is not in any sum."
        )
    return text


def cost_members(tally: "Tally", all_rows: Decimal | None = None) -> dict[str, Any]:
    """Return the members of an event. `all_rows` is what all rows of a drop would cost, if only some were asked.

    `paid` and `saved` are null if nothing of the cost is known.
    """
    paid, saved = tally.paid, tally.saved
    return {
        "currency": "USD",
        "paid": None if paid is None else dollars(paid),
        "saved": None if saved is None else dollars(saved),
        "fees": dollars(tally.fees_usd),
        "unpriced_requests": tally.unpriced,
        "uncollected_requests": tally.unread,
        "unpriced_tool_calls": tally.unpriced_tool_calls,
        **({} if all_rows is None else {"all_rows": dollars(all_rows)}),
    }


def cost_given_up(context: Context, job: Job) -> dict[str, Any]:
    """Return the members for a job without results: the number of its requests, at an unknown price."""
    asked = sum(batch.requests for batch in context.repository.batches(job.id) if batch.openai_id)
    unknown = {"fees": 0.0, "unpriced_requests": 0, "uncollected_requests": asked, "unpriced_tool_calls": 0}
    return {"currency": "USD", "paid": None, "saved": None, **unknown}
