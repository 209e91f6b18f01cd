"""Makes the notifications: in plain words for people, as JSON for programs.

They hold names, numbers, codes and the recipe's own categories, never the text of a row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dropbatch.domain.drops import without_controls
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import next_name
from dropbatch.domain.outcomes import LEFT_OUT
from dropbatch.domain.skipped import SkippedRows
from dropbatch.ports import Letter, Notification
from dropbatch.reporting.details import SKIPPED_NAME, UsedRecipe, end_times, is_older, job_members, results_prefix
from dropbatch.reporting.limited import row_members
from dropbatch.reporting.phrases import as_text, counted, problem_lines, rows_counted, run_name, subject, unit_of
from dropbatch.reporting.runs import run_line
from dropbatch.storage.context import Context

FIRST_EVENTS = frozenset({"accepted", "held", "rejected", "duplicate"})
"""The events by which one first hears of a run."""


def recipe_of_retry(recipes: Sequence[UsedRecipe]) -> list[str]:
    """Which recipe asks failed rows again, if it is not the one they were asked with, or that one is gone."""
    if recipes and recipes[-1].is_gone:
        return [f"{recipes[-1].path} is gone: the rows are asked with the recipe that the former job kept."]
    if len(recipes) > 1:
        return [f"The rows are asked with {recipes[-1].path} as it is today; the good answers are kept."]
    return []


def skipped_lines(context: Context, job: Job, skipped: SkippedRows) -> list[str]:
    """Which rows are not asked, why and how many, but for those that the recipe's `when` leaves out."""
    lines = []
    if skipped.blank:
        lines.append(f"{rows_counted(skipped.blank)} {'was' if skipped.blank == 1 else 'were'} blank and skipped.")
    if skipped.bad:
        codes = [(code, count) for code, count in skipped.codes.most_common() if code not in LEFT_OUT]
        counts = ", ".join(f"{count:,} {code}" for code, count in codes)
        lines.append(f"{counted(skipped.bad, 'bad row')} {'was' if skipped.bad == 1 else 'were'} skipped: {counts}.")
        lines += problem_lines(skipped.problems, unit_of(job.drop))
    if skipped.needs_telling:
        lines.append(f"Skipped rows: s3://{context.buckets.results}/{results_prefix(job)}{SKIPPED_NAME}")
    return lines


def in_short(context: Context, job: Job, name: str) -> Notification:
    """What is told of a job if the notice of this name, such as `ended`, can no longer be read."""
    event = name.partition("-")[0]
    text = [
        f"{job.drop.name} is {job.state}. Dropbatch could not read the full message from S3.",
        f"Results: s3://{context.buckets.results}/{results_prefix(job)}",
    ]
    detail: dict[str, Any] = {"cut": True}
    if event == "ended":
        detail["times"] = end_times(job, job.ended_at or context.now())
    status = {"accepted": "running", "ended": str(job.state)}.get(event, event)
    return notification_of(context, job, event, status, str(job.state), text, detail)


def notification_of(
    context: Context,
    job: Job,
    event: str,
    status: str,
    verdict: str,
    text: Sequence[str],
    detail: Mapping[str, Any] | None = None,
    operators: Letter | None = None,
) -> Notification:
    members = {"rows": row_members(job), **job_members(context, job, event, status), **(detail or {})}
    if job.marker is not None:
        members["asked_by"] = {"kind": job.marker, "version_id": job.rerun_version}
    text = [*text[:1], *_asked_for_by(job, event), *text[1:]]
    if event != "duplicate":  # it is no run
        verdict += ", older version" if is_older(context, job) else ""
        text = [*text, run_line(job)]
    return Notification(
        event,
        status,
        job.drop.folder,
        subject(run_name(job), verdict),
        as_text(text),
        members,
        verdict,
        recipe_folder=job.recipe_folder,
        operators=operators,
    )


def _asked_for_by(job: Job, event: str) -> list[str]:
    """Which marker asked for a run, where one first hears of that run: the marker has no message of its own."""
    if job.marker is None or event not in FIRST_EVENTS:
        return []
    marker = without_controls(marker_name(job))
    if event != "accepted":
        return [f"Asked for by {marker}."]
    return [
        f"Asked for by {marker}, which has acted now. To ask once more, make it again: a folder of the same name, or "
        f"`{next_name(marker)}`."
    ]


def marker_name(job: Job) -> str:
    """The name of the marker that asked for a run; the release before this one kept its kind alone."""
    return job.marker_name or f"{job.drop.name}.{job.marker}"
