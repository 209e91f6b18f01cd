"""Words about duplicates: rows with the request of an earlier row, which is sent once for all of them."""

from typing import TYPE_CHECKING, Any

from dropbatch.domain.jobs import Job
from dropbatch.reporting.phrases import about, dollars_or_null, rows_counted

if TYPE_CHECKING:  # tallies know of recipes, which a poll does not load
    from dropbatch.answers.duplicates import Duplicates


def duplicate_lines(job: Job) -> list[str]:
    """Say how many rows of a new job are duplicates; return no line if there are none."""
    if not job.duplicates:
        return []
    has = "has" if job.duplicates == 1 else "have"
    return [
        f"{rows_counted(job.duplicates)} {has} the same request as an earlier row, which is sent once for all of them."
    ]


def saved_lines(duplicates: "Duplicates") -> list[str]:
    """Say how many rows of an ended job were duplicates, and what that saved; return no line if there were none."""
    if not duplicates.rows:
        return []
    share = "shares" if duplicates.rows == 1 else "share"
    line = f"{rows_counted(duplicates.rows)} {share} the answer of an earlier row with the same request"
    saved = duplicates.saved
    return [f"{line}, which saved {about(saved)}." if saved else f"{line}."]


def saved_members(duplicates: "Duplicates") -> dict[str, Any]:
    """Return the members of an event about a job with duplicates. Without duplicates there are none."""
    if not duplicates.rows:
        return {}
    return {
        "duplicates": {
            "saved": dollars_or_null(duplicates.saved),
            "unpriced": duplicates.unpriced,
            "tokens": dict(duplicates.tokens),
        }
    }
