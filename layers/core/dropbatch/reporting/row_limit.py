"""The rows of a drop that a recipe's `limit` selects, and the cost of all rows."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import UNANSWERED
from dropbatch.reporting.phrases import about, rows_counted

if TYPE_CHECKING:  # tallies know of recipes, which a poll does not load
    from dropbatch.answers.tally import Tally


def rows_taken(job: Job) -> str:
    """Say how many rows a job has, and which rows of the drop they are."""
    limited = job.limited
    if limited is None:
        return rows_counted(job.rows)
    if limited.seed is not None:
        return f"{job.rows:,} of {rows_counted(limited.in_file or 0)}, drawn at random (`limit`, seed {limited.seed})"
    if limited.in_file is None:
        return f"the first {rows_counted(job.rows)} (`limit`)"
    return f"the first {job.rows:,} of {rows_counted(limited.in_file)} (`limit`)"


def rows_in_short(job: Job) -> str:
    """Say the same for a subject."""
    if job.limited is None or job.limited.in_file is None:
        return rows_counted(job.rows)
    return f"{job.rows:,} of {rows_counted(job.limited.in_file)}"


def rows_taken_together(jobs: Sequence[Job]) -> str:
    """Say how many rows several jobs have together, and out of how many."""
    rows = sum(job.rows for job in jobs)
    if not any(job.limited for job in jobs):
        return rows_counted(rows)
    in_files = [job.limited.in_file if job.limited else job.rows for job in jobs]
    if None in in_files:
        return f"{rows_counted(rows)} (`limit`)"
    return f"{rows:,} of {rows_counted(sum(filter(None, in_files)))} (`limit`)"


def row_members(job: Job) -> dict[str, Any]:
    """Return the counts of rows for events; `in_file` is null if the rows could not be counted."""
    return {"total": job.rows} if job.limited is None else {"total": job.rows, "in_file": job.limited.in_file}


def cost_of_all(job: Job, tally: "Tally") -> Decimal | None:
    """Return the cost of all rows of the drop, extrapolated from the paid ones; None if it is not known.

    It is not known after a `.retry` either, which pays only for the rows that it sends again.
    """
    if job.limited is None or job.limited.in_file is None or job.retry_of is not None or tally.paid is None:
        return None
    if tally.unpriced or tally.unread or tally.unpriced_tool_calls:
        return None
    paid = job.rows - sum(tally.outcomes[outcome] for outcome in UNANSWERED)
    return tally.paid / paid * job.limited.in_file if paid else None


def limited_lines(job: Job, tally: "Tally") -> list[str]:
    """Say which rows were sent, and what all would cost; return no line if all were sent."""
    if job.limited is None:
        return []
    cost = cost_of_all(job, tally)
    more = "" if cost is None else f"; all of them would cost {about(cost)}"
    return [f"The run asked {rows_taken(job)}{more}."]
