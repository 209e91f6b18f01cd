"""Notifications of held jobs: why they wait, and how they continue."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from dropbatch.batch_api.model_notices import model_notices
from dropbatch.batch_api.servers import is_openai_host
from dropbatch.domain.batches import Batch
from dropbatch.domain.deadlines import MAX_HELD_DAYS
from dropbatch.domain.items import MAX_STARTS
from dropbatch.domain.jobs import Job
from dropbatch.domain.recipe_summary import Understood
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.spending import Standing
from dropbatch.domain.states import APPROVABLE, HeldReason
from dropbatch.ports import Letter, Notification
from dropbatch.reporting.approvals import (
    OLDER_VERSION,
    approval_lines,
    approval_members,
    approval_reason,
    approval_verdict,
    passed_limits,
)
from dropbatch.reporting.canary_rows import canary_lines
from dropbatch.reporting.duplicate_rows import duplicate_lines
from dropbatch.reporting.event_members import (
    APPROVAL_PAGE_NAME,
    CANARY_PAGE_NAME,
    UsedRecipe,
    is_older,
    listed_notices,
    results_prefix,
)
from dropbatch.reporting.notifications import notification_of, progress_lines, recipe_of_retry, skipped_lines
from dropbatch.reporting.phrases import (
    MAX_PROBLEMS,
    about,
    as_text,
    counted,
    dollars_or_null,
    marker_command,
    notice_lines,
    object_link,
    rows_counted,
)
from dropbatch.reporting.quote_lines import quote_lines, quoted
from dropbatch.reporting.recipe_summary import understood_line
from dropbatch.reporting.runs import NO_RUNS, OpenRuns, open_run_lines
from dropbatch.storage.context import Context


class AnsweredBefore(NamedTuple):
    """The job that has answered the same rows with the same recipe, and what it cost in dollars, if that is known."""

    job: Job
    paid: Decimal | None


def held(
    context: Context,
    job: Job,
    reason: HeldReason,
    batches: Sequence[Batch] = (),
    skipped: SkippedRows | None = None,
    recipes: Sequence[UsedRecipe] = (),
    others: OpenRuns = NO_RUNS,
    before: AnsweredBefore | None = None,
    understood: Understood | None = None,
    money: Standing | None = None,
) -> Notification:
    """Return the notification that a job waits: why, and how it continues."""
    if reason in FOR_OPERATORS:
        return _for_operators(context, job, FOR_OPERATORS[reason], reason)
    models = (batch.model for batch in batches)
    notices = model_notices(models, context.openai_host, context.now(), wait_days=MAX_HELD_DAYS)
    skipped = skipped or SkippedRows()
    match reason:
        case HeldReason.FAILING:
            verdict, text = "waits, too few rows were answered", _failing(context, job)
        case HeldReason.REPEATED:
            verdict = approval_verdict(job, reason)
            text = [
                _answered_before(job, before),
                *open_run_lines(job, others),
                *notice_lines(notices),
                *([] if money is None else passed_limits(job, reason, money)),
                *duplicate_lines(job),
                *canary_lines(job),
                *quote_lines(job.quote),
                *approval_lines(job, "answered again anyway", is_older=is_older(context, job)),
            ]
        case _:
            assert money is not None, f"no notice is written for a hold for {reason}"  # noqa: S101  # tells mypy
            verdict = approval_verdict(job, reason)
            text = [
                approval_reason(context, job, reason, money),
                *passed_limits(job, reason, money),
                *([] if money.is_sent else [*duplicate_lines(job), *canary_lines(job)]),
                *skipped_lines(context, job, skipped),
                *recipe_of_retry(recipes),
                *open_run_lines(job, others),
                *([understood_line(understood)] if understood else []),
                *notice_lines(notices),
                *quote_lines(job.quote),
                *approval_lines(job, "answered", is_older=is_older(context, job), is_sent=money.is_sent),
            ]
    if reason is not HeldReason.FAILING:  # which says it before what to do
        text += progress_lines(context, job)
    if reason in APPROVABLE:
        page = CANARY_PAGE_NAME if reason is HeldReason.CANARY else APPROVAL_PAGE_NAME
        link = object_link(context.region, context.buckets.results, results_prefix(job) + page)
        text.append(f"As a page, to decide with others: {link}")
    detail: dict[str, Any] = {"held_reason": str(reason), "notices": listed_notices(notices)}
    if money is not None:
        detail |= {"money": approval_members(money), **quoted(job.quote)}
    if skipped.codes:
        detail["skipped"] = skipped.to_json(MAX_PROBLEMS)
    if others.shown:
        detail["open_runs"] = [run.to_json() for run in others.shown]
    if before is not None:
        detail["answered_by"] = {"job_id": before.job.id, "paid": dollars_or_null(before.paid)}
    return notification_of(context, job, "held", "held", verdict, text, detail)


def _failing(context: Context, job: Job) -> list[str]:
    text = [
        f"{job.drop.name} waits: in two batches in a row, less than half of the rows were answered. Dropbatch holds "
        "the rows that it has not sent yet, so that no money is wasted. Batches that are at OpenAI continue.",
        *quote_lines(job.quote),
        *progress_lines(context, job),
    ]
    if is_older(context, job):
        return [*text, OLDER_VERSION, "It ends after 14 days with what it has."]
    return [
        *text,
        f"To continue anyway, with the recipe as it was: {marker_command(job.drop, 'retry')}",
        f"To end it with what it has: {marker_command(job.drop, 'cancel')}",
        "If the recipe is wrong, end the run, correct the recipe, and then ask the rows without a good "
        f"answer with it: {marker_command(job.drop, 'retry')}",
    ]


def _answered_before(job: Job, before: AnsweredBefore | None) -> str:
    """Say which run has answered the rows of a job, and what it cost."""
    former = "another run"
    if before is not None:
        former = f"run {before.job.run}" if before.job.run else f"the job {before.job.id}"
    cost = "The cost of that run is not known; another run costs as much."
    if before is not None and before.paid is not None:
        cost = f"That cost {about(before.paid)}, and another run would cost as much."
    return (
        f"{job.drop.name} waits: the same {rows_counted(job.rows)} with the same recipe were answered by {former}. "
        f"{cost} Nothing was sent to OpenAI yet, and nothing is billed."
    )


@dataclass(frozen=True, slots=True)
class _Cause:
    """A reason that only the stack's operators can remove: the words for the job's owner, and those for operators."""

    why: str  # after "waits for the stack's administrators: "
    then: str
    subject: str
    problem: str
    steps: tuple[str, ...]


_STORE = "aws secretsmanager put-secret-value --secret-id {secret} --secret-string sk-…"
_IN_CONSOLE = (
    "In the console: Secrets Manager, the secret {secret}, Retrieve secret value, Edit, and the key alone as plaintext."
)
_ENDS = "Without that it ends after 14 days with what it has."

FOR_OPERATORS = {
    HeldReason.KEY: _Cause(
        "there is no OpenAI API key, or one that OpenAI does not accept",
        f"Nothing is lost; the job continues within minutes after a good key is stored. {_ENDS}",
        "jobs wait for an OpenAI API key",
        "The stack's secret holds no OpenAI API key, or one that OpenAI does not accept. Jobs wait, nothing is lost, "
        "and they continue within minutes after a good key is stored.",
        (f"Store a key: {_STORE}", _IN_CONSOLE),
    ),
    HeldReason.PERMISSION: _Cause(
        "OpenAI does not let the API key do what the job needs",
        f"Nothing is lost; the job continues when the key has the permission. {_ENDS}",
        "jobs wait, the OpenAI API key lacks a permission",
        "OpenAI does not let the API key do what a job needs (403). Nothing is lost; Dropbatch retries the call every "
        "few minutes, and the job continues when it succeeds.",
        (
            "Give the key the permissions to read and write files and batches in its project, in OpenAI's settings.",
            f"Or store another key: {_STORE}",
        ),
    ),
    HeldReason.ACCOUNT: _Cause(
        "OpenAI takes no work from the account, because its credit or its spending limit is used up, or it is closed",
        f"Nothing is lost; the job continues when OpenAI takes work again. {_ENDS}",
        "jobs wait, OpenAI takes no work from the account",
        "OpenAI takes no work from this account, because its credit or its spending limit is used up, or it is closed. "
        "Nothing is lost; Dropbatch retries the call, and the job continues when it succeeds.",
        ("Add credit or raise the limit in OpenAI's billing settings.",),
    ),
    HeldReason.KEY_CHANGED: _Cause(
        "the OpenAI API key was changed while batches were open, and the new key cannot see them",
        f"Creating them again might pay twice, so it waits until the former key is back. {_ENDS}",
        "jobs wait, the OpenAI API key changed",
        "The API key was changed while batches were open, and the new key cannot see them, or tell whether they exist. "
        "Creating them again might pay twice.",
        (
            f"Put the former key back until the jobs have continued: {_STORE}",
            "Or have the owner of a job give up its open batches, with a folder named like its file, .cancel appended.",
        ),
    ),
    HeldReason.STUCK: _Cause(
        f"a step of it failed {MAX_STARTS} times in a row",
        "Dropbatch keeps OpenAI's answers, sends and pays nothing twice, and retries the step every hour until the "
        "job's 28 days are over.",
        "jobs wait, a step fails again and again",
        f"A step of a job failed {MAX_STARTS} times in a row. Dropbatch keeps OpenAI's answers, sends and pays "
        "nothing twice, and retries the step every hour until the job's 28 days are over.",
        ("The functions' logs say why; search them for the job's id.",),
    ),
}
"""The reasons that only the stack's operators can remove."""


def _for_operators(context: Context, job: Job, cause: _Cause, reason: HeldReason) -> Notification:
    """Return the notification of a hold that its owner cannot end, with a letter to the operators, who can."""
    kept = _kept_for(context, reason)
    text = [
        f"{job.drop.name} waits for the stack's administrators, who were notified: {cause.why}.",
        cause.then,
        *kept,
        f"To end it with what it has: {marker_command(job.drop, 'cancel')}",
        *progress_lines(context, job),
    ]
    steps = [step.format(secret=shlex.quote(context.secret_name)) for step in cause.steps]
    letter = [
        cause.problem,
        *steps,
        *kept,
        f"The first job that waits is {job.id}, of s3://{job.drop.bucket}/{job.drop.key}; others may wait, too.",
        "While the problem lasts, you are notified of it once a day, however many jobs wait.",
    ]
    operators = Letter(f"Dropbatch: {cause.subject}", as_text(letter))
    detail = {"held_reason": str(reason), "notices": []}
    what = "waits for its administrators"
    return notification_of(context, job, "held", "held", what, text, detail, operators)


def _kept_for(context: Context, reason: HeldReason) -> list[str]:
    """Say how long answers can wait at OpenAI. If a step is stuck, Dropbatch keeps a copy of them."""
    if reason is HeldReason.STUCK or not is_openai_host(context.openai_host):
        return []
    days = counted(context.openai_file_days, "day")
    return [f"OpenAI keeps the answers of a batch for {days} after its end: those not collected by then are lost."]
