"""Keeps jobs within their limits of money: prices are reserved before batches are created, and settled at their end.

The reservation of a batch is one write of the batch, its job's spending and its month's, and so is its settlement. Of
two jobs that want the last dollars of a month, one loses, and reads again. A batch that is closed and not settled stays
in the index of open batches, so that the poll settles it if the process that closed it was killed.
"""

from collections.abc import Sequence
from decimal import Decimal

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.spending import NOTHING, Fit, JobSpending, MonthSpending, MonthTotal, Standing, fit, month_of
from dropbatch.domain.states import CLOSED, HeldReason, JobState
from dropbatch.storage.context import Context

APPROVED_FACTOR = Decimal("1.2")
"""How much dearer a job may become than the amount that was approved."""


def whole_limit(context: Context, job: Job) -> Decimal | None:
    """Return how many US dollars all of a job may cost; None if nobody has set a limit."""
    if job.approved:
        return None if job.approved_usd is None else job.approved_usd * APPROVED_FACTOR
    limits = [limit for limit in (job.budget_usd, context.max_job_usd) if limit is not None]
    return min(limits, default=None)


def job_limit(context: Context, job: Job) -> Decimal | None:
    """Return how many US dollars a job may cost now: while only its canary is sent, that has a limit of its own."""
    of_canary = job.canary.max_usd if job.canary is not None and job.awaits_canary and not job.approved else None
    limits = [limit for limit in (whole_limit(context, job), of_canary) if limit is not None]
    return min(limits, default=None)


def month_limit(context: Context, job: Job) -> Decimal | None:
    """Return how many US dollars a month may cost; None if nobody has set a limit, or the job is approved anyway."""
    return None if job.approved else context.max_month_usd


def find_limit(context: Context, job: Job, batch: Batch) -> tuple[Fit, HeldReason]:
    """Return whether a batch may be created now, and the limit that it would pass if not."""
    limits = job_limit(context, job), month_limit(context, job)
    if batch.reserved_usd is not None or batch.high_usd is None or limits == (None, None):
        return Fit.FITS, HeldReason.COST
    month = context.repository.month_spending(month_of(context.now()))
    return _fit(context.repository.job_spending(job.id), month, limits, batch)


def _fit(
    spending: JobSpending, month: MonthSpending, limits: tuple[Decimal | None, Decimal | None], batch: Batch
) -> tuple[Fit, HeldReason]:
    likely, high = spending.price(batch)
    of_job = fit(spending, limits[0], likely, high)
    if of_job is not Fit.FITS:
        return of_job, HeldReason.COST
    return fit(month, limits[1], likely, high), HeldReason.MONTH


def reserve(context: Context, job: Job, batch: Batch) -> bool:
    """Save a batch whose create is about to begin, and reserve its price; False if it no longer fits its limits.

    Raise StaleItemError if another process has moved the batch.
    """
    if batch.reserved_usd is not None:  # of a create that was in doubt, and certainly does not exist
        context.repository.save(batch)
        return True
    limits = job_limit(context, job), month_limit(context, job)
    while True:
        month = context.repository.month_spending(month_of(context.now()))
        spending = context.repository.job_spending(job.id)
        if batch.high_usd is not None and _fit(spending, month, limits, batch)[0] is not Fit.FITS:
            return False
        _, price = spending.price(batch)
        spending.expires_at = batch.expires_at
        for each in (month, spending):
            each.commit(price)
        batch.reserved_usd, batch.reserved_month = price, month.month
        try:
            context.repository.save_all([batch, spending, month])
        except StaleItemError:
            batch.reserved_usd, batch.reserved_month = None, ""
            _check_unmoved(context, batch)
        else:
            return True


def release(context: Context, batch: Batch) -> None:
    """Give the reserved price of a batch back, which OpenAI has refused, and save the batch.

    Raise StaleItemError if another process has moved the batch.
    """
    while batch.reserved_usd is not None:
        reserved, name = batch.reserved_usd, batch.reserved_month
        month, spending = context.repository.month_spending(name), context.repository.job_spending(batch.job_id)
        for each in (month, spending):
            each.settle(reserved, NOTHING)
        batch.reserved_usd, batch.reserved_month = None, ""
        try:
            context.repository.save_all([batch, spending, month])
        except StaleItemError:
            batch.reserved_usd, batch.reserved_month = reserved, name
            _check_unmoved(context, batch)


def settle(context: Context, batch: Batch, job: Job | None = None) -> None:
    """Count what a closed batch has cost, once, among what its job, its month and the month's totals have spent."""
    current: Batch | None = batch
    while current is not None and current.owes_settlement:
        job = job or context.repository.job(current.job_id)
        name = current.reserved_month or month_of(context.now())
        month, spending = context.repository.month_spending(name), context.repository.job_spending(current.job_id)
        reserved, paid = current.reserved_usd or NOTHING, current.paid
        standard = current.standard
        for each in (month, spending):
            each.settle(reserved, paid, current.assumed)
        if paid:  # one that was never at work says nothing about its quote
            spending.compare(current)
        month.standard += standard
        month.unpriced += current.unpriced
        spending.expires_at = current.expires_at
        totals = [context.repository.month_total(name, *place) for place in _places(job, current)]
        for total in totals:
            _add(total, current)
        current.is_settled = True
        try:
            context.repository.save_all([current, spending, month, *totals])
        except StaleItemError:
            current = context.repository.reload(current)
            continue
        if paid or standard:
            context.observer.job_metric("CostUSD", float(paid), current.job_id)
            context.observer.job_metric("SavedUSD", float(standard - paid), current.job_id)


def settle_all(context: Context, job: Job, batches: Sequence[Batch]) -> None:
    """Settle the closed batches among these, which are the job's."""
    for batch in batches:
        settle(context, batch, job)


def standing(context: Context, job: Job, *, at_work: bool = False) -> Standing:
    """Return the spending of a job beside its limits: before its first batch as it is quoted, later as it has come.

    The limit of the job is that of all its rows, or `at_work` that which applies to its next batch.
    """
    spending = context.repository.job_spending(job.id)
    is_sent = False
    if job.state is JobState.BUILDING:
        likely = job.quote.price.likely if job.quote is not None and job.quote.price is not None else None
    else:
        batches = context.repository.batches(job.id)
        is_sent = any(batch.openai_id is not None for batch in batches)
        waiting = [batch for batch in batches if batch.state not in CLOSED]
        is_known = all(batch.likely_usd is not None for batch in waiting)
        likely = sum((spending.price(batch)[0] for batch in waiting), spending.used) if is_known else None
    month = context.repository.month_spending(month_of(context.now()))
    return Standing(
        spent=spending.used,
        likely=likely,
        limit=(job_limit if at_work else whole_limit)(context, job),
        month=month.month,
        month_spent=month.used + month.committed,
        month_limit=context.max_month_usd,
        is_sent=is_sent,
        month_reserved=month.committed,
    )


def _check_unmoved(context: Context, batch: Batch) -> None:
    """Raise StaleItemError if another process has moved a batch: then it was not the money that others changed."""
    current = context.repository.reload(batch)
    if current is None or current.rev != batch.rev:
        raise StaleItemError


def _places(job: Job | None, batch: Batch) -> list[tuple[str, str]]:
    """Return the kind and the name of each total that a batch belongs to."""
    places = [("model", batch.model)]
    if job is not None:
        places.append(("folder", job.drop.folder))
        places += [("recipe", job.recipe_path)] if job.recipe_path is not None else []
    return places


def _add(total: MonthTotal, batch: Batch) -> None:
    total.requests += batch.requests
    total.paid += batch.paid
    total.standard += batch.standard
    total.unpriced += batch.unpriced
