"""Notifications about a job: in plain words for people, as JSON for programs.

They contain names, numbers, codes and the recipe's own categories, never the text of a row. Here are the parts that all
of them share. What each says is in a module for its event: `start_notices`, `held_notices`, `rejection_notices`,
`end_notices`, `marker_notices`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dropbatch.domain.drops import without_controls
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import next_name
from dropbatch.domain.outcomes import LEFT_OUT
from dropbatch.domain.pages import page_of_all
from dropbatch.domain.skipped import SkippedRows
from dropbatch.ports import Letter, Notification
from dropbatch.reporting.event_members import SKIPPED_NAME, UsedRecipe, end_times, is_older, job_members, results_prefix
from dropbatch.reporting.phrases import (
    as_text,
    counted,
    object_link,
    problem_lines,
    rows_counted,
    run_name,
    subject,
    unit_of,
)
from dropbatch.reporting.row_limit import row_members
from dropbatch.reporting.runs import run_line
from dropbatch.storage.context import Context

FIRST_EVENTS = frozenset({"accepted", "held", "rejected", "duplicate"})
"""The events that can be the first message about a run."""


PROGRESS = "Progress: "


def progress_lines(context: Context, job: Job) -> list[str]:
    """Say where the progress of a job is, and which page lists it and the others of its folder."""
    region, bucket = context.region, context.buckets.results
    status = results_prefix(job) + "status.json"
    return [
        f"{PROGRESS}s3://{bucket}/{status}",
        f"In the console: {object_link(region, bucket, status)}",
        f"All runs of the folder: {object_link(region, bucket, page_of_all([job.drop.folder]))}",
    ]


def recipe_of_retry(recipes: Sequence[UsedRecipe]) -> list[str]:
    """Name the recipe that retries failed rows, if it is not their former one, or if the former one is gone."""
    if recipes and recipes[-1].is_gone:
        return [f"{recipes[-1].path} is gone: the rows are asked with the recipe that the former job kept."]
    if len(recipes) > 1:
        return [f"The rows are asked with {recipes[-1].path} as it is today; the good answers are kept."]
    return []


def skipped_lines(context: Context, job: Job, skipped: SkippedRows) -> list[str]:
    """Say which rows are skipped, why and how many. Rows that the recipe's `when` leaves out are not mentioned."""
    lines = []
    if skipped.blank:
        lines.append(f"{rows_counted(skipped.blank)} {'was' if skipped.blank == 1 else 'were'} blank and skipped.")
    if skipped.bad:
        codes = [(code, count) for code, count in skipped.codes.most_common() if code not in LEFT_OUT]
        counts = ", ".join(f"{count:,} {code}" for code, count in codes)
        lines.append(f"{counted(skipped.bad, 'bad row')} {'was' if skipped.bad == 1 else 'were'} skipped: {counts}.")
        lines += problem_lines(skipped.problems, unit_of(job.drop))
    if skipped.must_be_reported:
        lines.append(f"Skipped rows: s3://{context.buckets.results}/{results_prefix(job)}{SKIPPED_NAME}")
    return lines


def in_short(context: Context, job: Job, name: str) -> Notification:
    """Return a short notification of a job, for a notice (such as `ended`) that can no longer be read."""
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
    """Build a notification about a job, with the parts that all of them have."""
    members = {"rows": row_members(job), **job_members(context, job, event, status), **(detail or {})}
    if job.marker is not None:
        members["asked_by"] = {"kind": job.marker, "version_id": job.rerun_version}
    text = [*text[:1], *_asked_for_by(job, event), *text[1:]]
    if event != "duplicate":  # which is not a run
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
    """Name the marker that asked for a run, in the first message about the run. The marker gets none of its own."""
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
    """Return the name of the marker that asked for a run. An earlier release stored only the marker's kind."""
    return job.marker_name or f"{job.drop.name}.{job.marker}"
