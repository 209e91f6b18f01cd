"""Says where a run's answers are mirrored, beside its own results."""

from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import JobStatus
from dropbatch.ports import World
from dropbatch.reporting.details import Ended


def mirror_to_come(world: World, job: Job) -> list[str]:
    """Return the line about the mirror for a run that begins; none if its recipe wants none."""
    if job.mirror is None:
        return []
    return [
        f"Its answers will also be in s3://{world.buckets.results}/{job.mirror}, which holds the newest run's alone."
    ]


def mirror_lines(world: World, end: Ended) -> list[str]:
    """Return the line about the mirror for a run that ended; none if its recipe wants none."""
    if end.job.mirror is None:
        return []
    where = f"s3://{world.buckets.results}/{end.job.mirror}"
    if "mirror" in end.objects:
        return [f"The newest run's answers alone: {where}"]
    why = "was cancelled" if end.status is JobStatus.CANCELLED else "has no good answer"
    return [f"This run {why}, so that the mirror stays as it was: {where}"]
