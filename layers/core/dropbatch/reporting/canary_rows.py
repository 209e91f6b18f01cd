"""Words about a canary: the rows of a job that are sent before all others."""

from dropbatch.domain.jobs import Job
from dropbatch.reporting.phrases import counted, percent


def canary_lines(job: Job) -> list[str]:
    """Say which rows of a new job are sent first, and when the others follow; return no line without a canary."""
    if job.canary is None:
        return []
    rows, share = counted(job.canary.rows, "row"), percent(job.canary.min_ok)
    are = "is" if job.canary.rows == 1 else "are"
    return [f"{rows} {are} sent first. The others follow if {share} of these have a good answer, at the price quoted."]
