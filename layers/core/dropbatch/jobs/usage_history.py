"""The usage of earlier jobs: a few numbers for each recipe and model.

By them the next job of the same recipe is quoted, and the end of a job that runs is estimated.
"""

from collections.abc import Iterable

from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.quotes import MAX_TIMES, JobUsage, QuotePart, UsageHistory
from dropbatch.reporting.progress import seconds_taken
from dropbatch.storage.context import Context
from dropbatch.storage.repository import Repository

HISTORY_SECONDS = 400 * 86_400
"""How long a history is kept after its last job: a report that is made once a year has one."""


def history_name(job: Job, recipe_path: str | None) -> str:
    """Return the name under which the usage of a job is kept: its recipe, or the folder of its ready requests."""
    return recipe_path or f"requests of {job.drop.folder}"


def histories(
    repository: Repository, name: str, parts: Iterable[QuotePart]
) -> Iterable[tuple[QuotePart, UsageHistory, UsageHistory]]:
    """Yield for each part the history of the recipe, and that of all jobs with the model."""
    for part in parts:
        own = repository.usage_history(name, part.endpoint, part.model, part.schema)
        yield part, own, repository.usage_history("", part.endpoint, part.model, "")


def remember_usage(context: Context, job: Job, ended_at: int) -> None:
    """Add what a job came to to the histories of its recipe and its models. It counts once, however often this runs."""
    if job.quote is None or not job.quote.parts:
        return
    repository = context.repository
    batches = repository.batches(job.id)
    for part in job.quote.parts:
        own = [each for each in batches if (each.endpoint, each.model) == (part.endpoint, part.model) and each.usage]
        answers = sum(batch.answers for batch in own)
        if not answers:
            continue
        read, cached, written, output = map(sum, zip(*(batch.usage for batch in own), strict=True))
        estimated = round(part.input_tokens * answers / max(1, part.requests))
        times = _times(own)
        usage = JobUsage(ended_at, part.requests, answers, estimated, read, cached, written, output, times)
        for name, schema in ((history_name(job, job.recipe_path), part.schema), ("", "")):
            new = UsageHistory(recipe=name, endpoint=part.endpoint, model=part.model, schema=schema)
            _remember(context, new, job.id, usage)


def _times(batches: Iterable[Batch]) -> list[int]:
    """Return how long these batches took: of many the shortest, the longest, and evenly spaced ones between."""
    taken = sorted(seconds for seconds in map(seconds_taken, batches) if seconds is not None)
    if len(taken) <= MAX_TIMES:
        return taken
    return [taken[place * (len(taken) - 1) // (MAX_TIMES - 1)] for place in range(MAX_TIMES)]


def _remember(context: Context, new: UsageHistory, job_id: str, usage: JobUsage) -> None:
    def remember(current: UsageHistory) -> bool:
        if current.jobs.get(job_id) == usage:
            return False
        current.remember(job_id, usage)
        current.expires_at = usage.ended_at + HISTORY_SECONDS
        return True

    repository = context.repository
    repository.change(lambda: repository.usage_history(new.recipe, new.endpoint, new.model, new.schema), remember)
