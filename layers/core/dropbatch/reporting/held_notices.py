"""Makes the notifications of jobs that are held: why, and what lets them go on."""

import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from dropbatch.batch_api.models import notices_about
from dropbatch.domain.jobs import MAX_STARTS, Batch, HeldReason, Job
from dropbatch.domain.skipped import SkippedRows
from dropbatch.ports import Notification, World
from dropbatch.reporting.details import UsedRecipe, listed_notices, results_prefix
from dropbatch.reporting.limited import rows_in_short, rows_taken
from dropbatch.reporting.notifications import notification_of, recipe_of_retry, skipped_lines
from dropbatch.reporting.phrases import TOLD_PROBLEMS, about, marker_command, notice_lines, rows_counted
from dropbatch.reporting.runs import NO_RUNS, OpenRuns, open_run_lines


class AnsweredBefore(NamedTuple):
    """The job that has answered the same rows with the same recipe, and what it cost in dollars, if that is known."""

    job: Job
    paid: float | None


def held(
    world: World,
    job: Job,
    reason: HeldReason,
    batches: Sequence[Batch] = (),
    skipped: SkippedRows | None = None,
    recipes: Sequence[UsedRecipe] = (),
    others: OpenRuns = NO_RUNS,
    before: AnsweredBefore | None = None,
) -> Notification:
    name, notices = job.drop.name, notices_about((batch.model for batch in batches), world.now())
    skipped = skipped or SkippedRows()
    cancel = f"To end it with what it has: {marker_command(job.drop, 'cancel')}"
    store = f"aws secretsmanager put-secret-value --secret-id {shlex.quote(world.secret_name)} --secret-string sk-…"
    match reason:
        case HeldReason.KEY:
            what = "waits for an OpenAI API key"
            text = [
                f"{name} waits: the stack's secret holds no OpenAI API key, or one that OpenAI does not accept. "
                "Nothing is lost; it goes on within minutes of the key being there.",
                f"Store a key: {store}",
            ]
        case HeldReason.PERMISSION:
            what = "waits, the API key lacks a permission"
            text = [
                f"{name} waits: OpenAI does not let the API key do what the job needs (403). Nothing is lost; the call "
                "is tried again every few minutes, and the job goes on when it succeeds.",
                "Give the key the permissions to read and write files and batches in its project, or store another: "
                + store,
                cancel,
            ]
        case HeldReason.ACCOUNT:
            what = "waits, OpenAI takes no work from the account"
            text = [
                f"{name} waits: OpenAI takes no work from this account, because its credit or its spending limit is "
                "used up, or it is closed. Nothing is lost; the call is tried again, and the job goes on when it "
                "succeeds.",
                "Add credit or raise the limit in OpenAI's billing settings.",
                cancel,
            ]
        case HeldReason.FAILING:
            what = "waits, too few rows were answered"
            text = [
                f"{name} waits: of two batches in a row less than half of the rows were answered. What has not "
                "been sent yet is held, so that no money is wasted; what is at OpenAI goes on.",
                f"See what came back: s3://{world.buckets.results}/{results_prefix(job)}status.json",
                f"To go on all the same, with the recipe as it was: {marker_command(job.drop, 'retry')}",
                cancel,
                "If the recipe is why, end it so, mend the recipe, and then ask the rows without a good answer with "
                f"it: {marker_command(job.drop, 'retry')}",
            ]
        case HeldReason.SIZE:
            what = f"waits for your approval, {rows_in_short(job)}"
            text = [
                f"{name} waits: it asks {rows_taken(job)}, and more than {world.hold_above_rows:,} need an "
                "approval (the stack's parameter HoldAboveRows). Nothing was sent to OpenAI, and nothing is billed.",
                *skipped_lines(world, job, skipped),
                *recipe_of_retry(recipes),
                *open_run_lines(job, others),
                *notice_lines(notices),
                f"To have it answered: {marker_command(job.drop, 'approve')}",
                f"To drop it: {marker_command(job.drop, 'cancel')}",
                "Without an approval it is cancelled after 14 days.",
            ]
        case HeldReason.REPEATED:
            what = "waits for your approval, answered before"
            text = [
                f"{name} waits: the same {rows_counted(job.rows)} with the same recipe were answered by "
                f"{_named(before)}. {_cost_again(before)} Nothing was sent to OpenAI yet, and nothing is billed.",
                *open_run_lines(job, others),
                *notice_lines(notices),
                f"To have it answered again all the same: {marker_command(job.drop, 'approve')}",
                f"To drop it: {marker_command(job.drop, 'cancel')}",
                "Without an approval it is cancelled after 14 days.",
            ]
        case HeldReason.STUCK:
            what = "waits, a step of it fails again and again"
            text = [
                f"{name} waits: a step of it failed {MAX_STARTS} times in a row. What OpenAI answered is kept, nothing "
                "is asked or paid again, and the step is tried every hour until the job's 28 days are over.",
                f"The functions' logs say why; search them for {job.id}.",
            ]
        case HeldReason.KEY_CHANGED:
            what = "waits, the API key changed"
            text = [
                f"{name} waits: the API key was changed while batches were open, and the new key cannot see them, or "
                "tell whether they exist. Creating them again might pay twice.",
                "Put the former key back until the job has gone on, or give the open batches up: "
                f"{marker_command(job.drop, 'cancel')}",
            ]
    detail: dict[str, Any] = {"held_reason": str(reason), "notices": listed_notices(notices)}
    if skipped.codes:
        detail["skipped"] = skipped.to_json(TOLD_PROBLEMS)
    if others.told:
        detail["open_runs"] = [run.to_json() for run in others.told]
    if before is not None:
        detail["answered_by"] = {"job_id": before.job.id, "paid": before.paid}
    return notification_of(world, job, "held", "held", what, text, detail)


def _named(before: AnsweredBefore | None) -> str:
    if before is None:
        return "another run"
    return f"run {before.job.run}" if before.job.run else f"the job {before.job.id}"


def _cost_again(before: AnsweredBefore | None) -> str:
    if before is None or before.paid is None:
        return "What that cost is not known; asking again costs as much."
    return f"That cost {about(before.paid)}, and asking again would cost as much."
