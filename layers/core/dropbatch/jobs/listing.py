"""Lists a job on the index pages: as an item of each page, in the table. The poller writes the pages from these."""

from decimal import Decimal
from typing import Any

from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.pages import JobPage, ListedJob, folders_of_pages
from dropbatch.domain.states import ENDED_JOBS
from dropbatch.ports import Notification
from dropbatch.reporting.phrases import read_dollars
from dropbatch.storage.context import Context

LISTED_SECONDS = 400 * 86_400
"""How long a job stays listed after its last change."""

_FINAL_EVENTS = frozenset({"ended", "rejected", "duplicate"})


def list_job(context: Context, job: Job, notification: Notification | None = None) -> None:
    """List a job as the table has it now, and have the pages of its folders written.

    The notification of its end has the figures that the job's item lacks. It changes nothing to list a job twice.
    """
    current = context.repository.reload(job) or job
    for folder in folders_of_pages(job.drop.key):
        _list_on_page(context, folder, current, notification)


def _list_on_page(context: Context, folder: str, job: Job, notification: Notification | None) -> None:
    repository = context.repository
    repository.change(
        lambda: repository.listed_job(folder, job.id), lambda listed: _update(context, listed, job, notification)
    )
    repository.change(lambda: repository.job_page(folder), lambda page: _mark(context, page))


def _update(context: Context, listed: ListedJob, job: Job, notification: Notification | None) -> bool:
    """Bring a listed job up to date; False if another process did, with this state of the job or a later one."""
    if listed.job_rev > job.rev:
        return False
    before = _shown(listed)
    listed.key, listed.version_id, listed.run = job.drop.key, job.drop.version_id, job.run
    listed.dropped_at, listed.ended_at, listed.total = job.drop.modified, job.ended_at, job.rows
    listed.held_reason = str(job.held_reason or "")
    listed.quote_usd = job.quote.price if job.quote is not None else None
    if notification is not None and notification.event in _FINAL_EVENTS:
        listed.status = notification.status
        _add_figures(listed, notification.detail)
    elif job.state not in ENDED_JOBS or listed.state != str(job.state):
        listed.status = str(job.state)
    listed.state = str(job.state)
    if _shown(listed) == before:
        return False
    listed.job_rev, listed.changed_at = job.rev, context.now()
    listed.expires_at = context.now() + LISTED_SECONDS
    return True


def _shown(listed: ListedJob) -> tuple[object, ...]:
    """Return what the pages show of a job, and could have changed."""
    return (
        listed.state, listed.status, listed.held_reason, listed.run, listed.ended_at, listed.total,
        dict(listed.outcomes), listed.paid_usd, listed.saved_usd,
    )  # fmt: skip  # members read best as lines of text


def _add_figures(listed: ListedJob, detail: Any) -> None:
    rows, cost = detail.get("rows") or {}, detail.get("cost") or {}
    listed.outcomes = {name: rows[name] for name in map(str, Outcome) if rows.get(name)} or listed.outcomes
    listed.paid_usd = _sum(cost, "paid", listed.paid_usd)
    listed.saved_usd = _sum(cost, "saved", listed.saved_usd)


def _sum(cost: Any, name: str, otherwise: Decimal | None) -> Decimal | None:
    found = read_dollars(cost.get(name))
    return otherwise if found is None else found


def _mark(context: Context, page: JobPage) -> bool:
    """Have a page written; False if it waits for that already.

    The poller clears `changed_at` before it reads the listed jobs. So as long as it is set, all changes that were
    listed before will be on the page.
    """
    page.expires_at = context.now() + LISTED_SECONDS
    if page.changed_at:
        return False
    page.changed_at = context.now()
    return True
