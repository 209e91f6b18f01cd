"""The lines about the mirror of a run's answers."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import JobStatus
from dropbatch.reporting.event_members import Ended
from dropbatch.storage.context import Context

_MIRRORED = "Answers of the newest run: "
_NOT_MIRRORED = "The mirror could not be written, so it stays as it was: "


def mirror_to_come(context: Context, job: Job) -> list[str]:
    """Return the line about the mirror for a run that begins; none without a mirror."""
    if job.mirror is None:
        return []
    where = f"s3://{context.buckets.results}/{job.mirror}"
    return [f"The answers will also be in {where}, which always holds those of the newest run."]


def mirror_lines(context: Context, end: Ended) -> list[str]:
    """Return the line about the mirror for a run that ended; none without a mirror."""
    if end.job.mirror is None:
        return []
    where = f"s3://{context.buckets.results}/{end.job.mirror}"
    if "mirror" in end.objects:
        return [_MIRRORED + where]
    why = "was cancelled" if end.status is JobStatus.CANCELLED else "has no good answer"
    return [f"This run {why}, so the mirror stays as it was: {where}"]


def not_mirrored(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return the decision of a job, changed to say that its mirror could not be written before its time was over."""
    found: dict[str, Any] = deepcopy(dict(decision))
    notification = found["notification"]
    for members in (found["summary"], notification["detail"]):
        members["objects"].pop("mirror", None)
    notification["text"] = notification["text"].replace(_MIRRORED, _NOT_MIRRORED)
    return found
