"""Notifications at the start of a run: it was accepted, or another run does its work."""

from collections.abc import Sequence
from typing import Any

from dropbatch.batch_api.model_notices import model_notices
from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import without_controls
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import next_name
from dropbatch.domain.recipe_summary import Understood
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.states import APPROVABLE, JobState
from dropbatch.ports import Notification
from dropbatch.reporting.canary_rows import canary_lines
from dropbatch.reporting.duplicate_rows import duplicate_lines
from dropbatch.reporting.event_members import UsedRecipe, is_older, listed_notices, results_prefix
from dropbatch.reporting.mirror_lines import mirror_to_come
from dropbatch.reporting.notifications import (
    marker_name,
    notification_of,
    progress_lines,
    recipe_of_retry,
    skipped_lines,
)
from dropbatch.reporting.phrases import (
    MAX_PROBLEMS,
    batches_counted,
    end_to_come,
    marker_command,
    notice_lines,
    waits,
)
from dropbatch.reporting.quote_lines import quote_lines, quoted
from dropbatch.reporting.recipe_summary import understood_line
from dropbatch.reporting.row_limit import rows_in_short, rows_taken
from dropbatch.reporting.runs import NO_RUNS, OpenRuns, open_run_lines
from dropbatch.storage.context import Context


def accepted(
    context: Context,
    job: Job,
    batches: Sequence[Batch],
    skipped: SkippedRows | None = None,
    recipes: Sequence[UsedRecipe] = (),
    others: OpenRuns = NO_RUNS,
    understood: Understood | None = None,
    newer: Job | None = None,
) -> Notification:
    """Return the notification that a job runs. `newer` is the job of a newer version that replaces it already."""
    asked = sum(batch.requests for batch in batches)
    skipped = skipped or SkippedRows()
    notices = model_notices((batch.model for batch in batches), context.openai_host, context.now())
    if newer is None:
        what = (
            f"{rows_taken(job)}, of which {asked:,} {'goes' if asked == 1 else 'go'} to OpenAI in "
            f"{batches_counted(len(batches))}."
        )
        then = end_to_come([job], "all is done")
    else:
        what = (
            f"{rows_taken(job)}. Run {newer.run} has replaced the file already, and its recipe says `replace: cancel`: "
            "nothing is sent to OpenAI, and nothing is billed."
        )
        follows = not {"ended", "problems"}.isdisjoint(job.notify)
        then = "It is being cancelled" + ("; another message follows when it has ended." if follows else ".")
    text = [
        f"{job.drop.name} was accepted: {what}",
        *duplicate_lines(job),
        *([] if newer else canary_lines(job)),
        *skipped_lines(context, job, skipped),
        *recipe_of_retry(recipes),
        *open_run_lines(job, others),
        *([understood_line(understood)] if understood else []),
        *([] if newer else quote_lines(job.quote)),
        *notice_lines(notices),
        then,
        *([] if newer else mirror_to_come(context, job)),
        *([] if is_older(context, job) else [f"To stop it: {marker_command(job.drop, 'cancel')}"]),
        *progress_lines(context, job),
    ]
    detail: dict[str, Any] = {"notices": listed_notices(notices), **quoted(job.quote)}
    if skipped.codes:
        detail["skipped"] = skipped.to_json(MAX_PROBLEMS)
    if others.shown:
        detail["open_runs"] = [run.to_json() for run in others.shown]
    return notification_of(context, job, "accepted", "running", f"accepted, {rows_in_short(job)}", text, detail)


def duplicate(context: Context, job: Job, open_job: Job) -> Notification:
    """Return the notification that an open job does the same work already."""
    if job.marker is None:
        what, again = f"{job.drop.name} was dropped again with", "drop it again"
    else:
        name = without_controls(marker_name(job))
        what, again = f"{name} asks for", f"make a folder `{next_name(name)}` beside the file,"
    text = [
        f"{what} the same content and recipe while its job {open_job.id} is still open, so nothing was sent, and "
        "nothing is billed twice.",
    ]
    if open_job.state is JobState.HELD:
        text.append(f"That job waits {waits(open_job)}.")
        if open_job.held_reason in APPROVABLE:
            text.append(f"To have it answered: {marker_command(job.drop, 'approve')}")
        text.append(f"To end it with what it has: {marker_command(job.drop, 'cancel')}")
    text += [
        f"Its results will be in s3://{context.buckets.results}/{results_prefix(open_job)}",
        f"To have it answered once more, {again} when that job has ended.",
    ]
    return notification_of(
        context, job, "duplicate", "duplicate", "already being answered", text, {"duplicate_of": open_job.id}
    )
