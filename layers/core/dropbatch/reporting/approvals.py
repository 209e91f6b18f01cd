"""The question for an approval: why a job waits for one, what it would cost, and which marker answers it."""

from typing import Any

from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import MarkerKind
from dropbatch.domain.spending import NOTHING, Standing
from dropbatch.domain.states import HeldReason
from dropbatch.reporting.event_members import CANARY_PAGE_NAME, results_prefix
from dropbatch.reporting.phrases import (
    about,
    counted,
    dollars,
    dollars_or_null,
    marker_command,
    money,
    money_limit,
    percent,
)
from dropbatch.reporting.row_limit import rows_in_short, rows_taken
from dropbatch.storage.context import Context

OLDER_VERSION = (
    "Another version of the file has come since, and a marker beside the file is for that one. To have this version's "
    "rows answered, drop them under another name."
)

_NOTHING_SENT = "Nothing was sent to OpenAI, and nothing is billed."


def approval_verdict(job: Job, reason: HeldReason) -> str:
    """Return the end of the subject."""
    if reason is HeldReason.CANARY:
        return "waits for your approval, see the first answers"
    if reason is HeldReason.REPEATED:
        return "waits for your approval, answered before"
    return f"waits for your approval, {rows_in_short(job)}"


def approval_reason(context: Context, job: Job, reason: HeldReason, standing: Standing) -> str:
    """Say why a job waits for an approval, and what of it was sent."""
    name = job.drop.name
    match reason:
        case HeldReason.CANARY:
            return _canary(context, job, standing)
        case HeldReason.REQUESTED:
            return f"{name} waits: it asks {rows_taken(job)}, and its recipe says `hold: true`. {_NOTHING_SENT}"
        case HeldReason.COST:
            return f"{name} waits: {_cost(job, standing)}, and more than {_limit(job, standing)} {_sent(standing)}"
        case HeldReason.MONTH:
            return f"{name} waits: {_cost(job, standing)}, and {_left(standing)} {_sent(standing)}"
        case HeldReason.UNPRICED:
            models = job.quote.unpriced_models if job.quote is not None else []
            unknown = f"the model {', '.join(models)}" if models else "its model"
            return (
                f"{name} waits: no price is known for {unknown}, and {_any_limit(job, standing)} limits what a job may "
                f"cost. {_give_prices(job)}{_NOTHING_SENT}"
            )
        case HeldReason.SIZE:
            return f"{name} waits: it asks {rows_taken(job)}, {_size(job)} {_NOTHING_SENT}"
    raise AssertionError(f"no approval ends a hold for {reason}")


def passed_limits(job: Job, reason: HeldReason, standing: Standing) -> list[str]:
    """Say which limits an approval lets a job pass, besides the one that is the reason of its hold."""
    if standing.likely is None:
        return []
    text = []
    if reason is not HeldReason.COST and standing.limit is not None and standing.likely > standing.limit:
        text.append(f"It will likely cost {about(standing.likely)}, and more than {_limit(job, standing)}")
    rest = standing.likely - standing.spent
    is_over = standing.month_limit is not None and standing.month_spent + rest > standing.month_limit
    if reason is not HeldReason.MONTH and is_over and rest and not job.approved:
        text.append(f"It will likely pass the limit of the month: {_left(standing)}")
    return text


def approval_lines(job: Job, what: str, *, is_older: bool, is_sent: bool = False) -> list[str]:
    """Say how to approve a job, or to drop it; for an older version of a file, no marker can."""
    end = "To end it with what it has" if is_sent else "To drop it"
    commands = [
        f"To have it {what}: {marker_command(job.drop, 'approve')}",
        f"{end}: {marker_command(job.drop, 'cancel')}",
    ]
    then = "it ends after 14 days with what it has" if is_sent else "it is cancelled after 14 days"
    return [*([OLDER_VERSION] if is_older else commands), f"Without an approval {then}."]


def approval_members(standing: Standing) -> dict[str, Any]:
    """Return the members of the event: dollars spent, asked for, and allowed; null if not known, or not limited."""
    return {
        "spent": dollars(standing.spent),
        "asked": dollars_or_null(standing.likely),
        "limit": dollars_or_null(standing.limit),
        "month": {
            "name": standing.month,
            "spent": dollars(standing.month_spent),
            "limit": dollars_or_null(standing.month_limit),
        },
    }


def _cost(job: Job, standing: Standing) -> str:
    likely = "an unknown amount" if standing.likely is None else about(standing.likely)
    if not standing.is_sent:
        return f"it asks {rows_taken(job)}, which will likely cost {likely}"
    return f"it has cost {about(standing.spent)} so far, and all of it will likely cost {likely}"


def _limit(job: Job, standing: Standing) -> str:
    limit = money_limit(standing.limit or NOTHING)
    if job.approved:
        approved = money_limit(job.approved_usd or NOTHING)
        return f"{limit} needs another approval (a fifth above the approved {approved})."
    if job.budget_usd is not None and standing.limit == job.budget_usd:
        return f"{limit} needs an approval (the recipe's `budget_usd`)."
    if job.awaits_canary and job.canary is not None and standing.limit == job.canary.max_usd:
        return f"{limit} for its first rows needs an approval (the `max_usd` of the recipe's `canary`)."
    return f"{limit} needs an approval (the stack's parameter MaxJobCost)."


def _left(standing: Standing) -> str:
    limit = standing.month_limit or NOTHING
    left = max(NOTHING, limit - standing.month_spent)
    text = (
        f"{money_limit(left)} is left for {standing.month} of the {money_limit(limit)} that all jobs may cost in a "
        "month (the stack's parameter MaxMonthlyCost)."
    )
    if standing.month_reserved:
        text += f" Open batches have reserved {money(standing.month_reserved)}: more is left once they have cost less."
    return text


def _size(job: Job) -> str:
    if job.quote is not None and job.quote.price is not None:
        return "which were packed into a far smaller file than usual. That may be a mistake."
    return "no price is known, and so large a file may be a mistake."


def _give_prices(job: Job) -> str:
    """Say how a job's limit can be compared with a price. Ready requests have no recipe that could name one.

    A `.retry` is asked for again, because a `.rerun` would also pay for the rows that are answered.
    """
    if job.recipe_path is None:
        return ""
    again = MarkerKind.RERUN if job.retry_of is None else MarkerKind.RETRY
    return (
        f"To have that compared with its price, drop this run, write the key `prices` into {job.recipe_path}, and then "
        f"make a folder `{job.drop.name}.{again}` beside the file. "
    )


def _any_limit(job: Job, standing: Standing) -> str:
    if job.budget_usd is not None:
        return "the recipe's `budget_usd`"
    if standing.limit is None and standing.month_limit is None:
        return "the `max_usd` of the recipe's `canary`"
    parameter = "MaxMonthlyCost" if standing.limit is None else "MaxJobCost"
    return f"the stack's parameter {parameter}"


def _sent(standing: Standing) -> str:
    if not standing.is_sent:
        return _NOTHING_SENT
    return "The rows that were not sent yet wait, and the answers so far are kept."


def _canary(context: Context, job: Job, standing: Standing) -> str:
    canary = job.canary
    if canary is None:
        raise AssertionError(f"{job.id} has no canary")
    page = f"s3://{context.buckets.results}/{results_prefix(job)}{CANARY_PAGE_NAME}"
    text = (
        f"{job.drop.name} waits: of the {counted(canary.asked, 'row')} that were sent first, {canary.ok:,} have a good "
        f"answer, and they cost {about(standing.spent)}. "
    )
    if canary.ok < canary.min_ok * canary.asked:
        text += f"The recipe's `canary` asks for at least {percent(canary.min_ok)} good answers."
    elif canary.max_usd is not None and standing.spent > canary.max_usd:
        text += f"The recipe's `canary` allows {money_limit(canary.max_usd)} for them."
    else:
        text += "That is more for a row than was quoted at most."
    if standing.likely is not None:
        text += f" All rows will likely cost {about(standing.likely)}."
    return f"{text} The other rows were not sent. See the answers: {page}"
