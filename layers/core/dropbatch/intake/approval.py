"""The new jobs that wait for an approval: their recipe asks for it, or their price passes a limit or is not known."""

from collections.abc import Sequence

from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.spending import month_of
from dropbatch.domain.states import HeldReason
from dropbatch.formats.file_types import file_type
from dropbatch.intake.sharding import ShardPlan
from dropbatch.jobs.spending import job_limit, whole_limit
from dropbatch.storage.context import Context

MAX_UNPACKED_FACTOR = 50
"""A drop that unpacks to more than this many times its size is held for an approval. Text rarely packs by twenty."""

MIN_BOMB_ROWS = 1_000
"""Fewer rows cost cents, whatever they unpack to."""


MAX_UNPRICED_REQUESTS = 200_000
"""A job without a known price, and without a limit to compare it with, is held if it has more requests."""


def hold_reason(context: Context, job: Job, *, requests: int, asked: bool, is_bomb: bool) -> HeldReason | None:
    """Return why a new job waits for an approval; None if it needs none. `asked` says that its recipe wants one."""
    if not requests:
        return None
    if asked:
        return HeldReason.REQUESTED
    price = job.quote.price if job.quote is not None else None
    limit, of_month = whole_limit(context, job), context.max_month_usd
    if price is None:
        if job_limit(context, job) is not None or of_month is not None:
            return HeldReason.UNPRICED
        return HeldReason.SIZE if is_bomb or requests > MAX_UNPRICED_REQUESTS else None
    if limit is not None and price.likely > limit:
        return HeldReason.COST
    if of_month is not None and price.likely:  # a month that is over its limit holds no job that costs nothing
        month = context.repository.month_spending(month_of(context.now()))
        if month.used + month.committed + price.likely > of_month:
            return HeldReason.MONTH
    return HeldReason.SIZE if is_bomb else None


def is_bomb(drop: Drop, plans: Sequence[ShardPlan]) -> bool:
    """Return whether a drop was compressed suspiciously well, and would cost more than cents."""
    unpacked = sum(plan.size for plan in plans)
    requests = sum(group.requests for plan in plans for group in plan.groups)
    is_suspicious = bool(file_type(drop.key).compression) and unpacked > MAX_UNPACKED_FACTOR * drop.size
    return is_suspicious and requests >= MIN_BOMB_ROWS
