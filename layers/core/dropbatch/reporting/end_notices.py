"""Notifications at the end of a job: its counts, cost, answers and reasons, and the next steps."""

import shlex
from collections.abc import Mapping
from typing import Any

from dropbatch.domain.deadlines import MAX_JOB_SECONDS
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import JobStatus, Outcome
from dropbatch.ports import Notification
from dropbatch.reporting.advice import Cure, cures
from dropbatch.reporting.agreement_lines import agreement_lines
from dropbatch.reporting.costs import cost_given_up, receipt_lines
from dropbatch.reporting.duplicate_rows import saved_lines
from dropbatch.reporting.event_members import GAVE_UP_REASONS, Ended, end_members, end_times, is_older, results_prefix
from dropbatch.reporting.mirror_lines import mirror_lines
from dropbatch.reporting.month_lines import month_line, month_members
from dropbatch.reporting.notifications import notification_of, skipped_lines
from dropbatch.reporting.phrases import (
    about,
    console_link,
    counted,
    local_time,
    marker_command,
    object_link,
    read_dollars,
    rows_counted,
)
from dropbatch.reporting.quote_lines import quoted_sentence
from dropbatch.reporting.row_limit import limited_lines
from dropbatch.reporting.runs import comparison_lines
from dropbatch.storage.context import Context

MAX_REASONS = 3
"""How many of the commonest reasons a notification lists."""


MAX_COLUMNS = 10
"""For how many columns a notification counts the answers; summary.json counts all."""


_SENTENCES = {
    JobStatus.SUCCEEDED: "Every row is done.",
    JobStatus.PARTIAL: "Some rows have no good answer.",
    JobStatus.FAILED: "No row has a good answer.",
    JobStatus.CANCELLED: "The job was cancelled; the answers that came before are kept.",
}


_BAD_SENTENCES = {
    JobStatus.SUCCEEDED: "Every row that could be asked is done; the bad ones are in the failed file.",
}
"""The same for jobs of which bad rows were skipped."""


def ended(context: Context, end: Ended) -> Notification:
    """Return the notification that a job has ended: counts, cost, answers, reasons, and what to do."""
    job, tally = end.job, end.tally
    done = tally.outcomes[Outcome.OK]
    verdict = f"{done:,} of {job.rows - tally.outcomes[Outcome.SKIPPED]:,} answered"
    sentence = _SENTENCES[end.status]
    if end.skipped.bad:
        verdict += f", {counted(end.skipped.bad, 'bad row')} skipped"
        sentence = _BAD_SENTENCES.get(end.status, sentence)
    if job.limited is not None and end.status is JobStatus.SUCCEEDED:
        sentence = f"Of the rows that `limit` took, {sentence[0].lower()}{sentence[1:]}"
    text = [f"{job.drop.name}: {verdict}. {sentence}"]
    counts = [f"{count:,} {outcome}" for outcome, count in sorted(tally.outcomes.items()) if outcome is not Outcome.OK]
    if counts:
        text.append(f"The other rows: {', '.join(counts)}.")
    if job.cancel_requested and not tally.outcomes[Outcome.CANCELLED]:
        text.append("The cancellation came too late to stop anything: all rows had come back.")
    text += skipped_lines(context, job, end.skipped)
    if len(end.recipes) > 1:
        text.append(
            "Rows by recipe: " + ", ".join(f"{r.rows:,} by {r.path} ({r.sha256[:8]})" for r in end.recipes) + "."
        )
    if job.replaced_by:
        text.append(f"Run {job.replaced_by} replaced the file, and its recipe says `replace: cancel`.")
    text += comparison_lines(end.compared)
    text += receipt_lines(tally, job, end.before)
    text += saved_lines(tally.duplicates)
    text += quoted_sentence(job.quote, tally.paid)
    text.append(month_line(context, end.ended_at, end.job.created_at))
    text += limited_lines(job, tally)
    dropped, done_at = (local_time(seconds, context.zone) for seconds in (job.drop.modified, end.ended_at))
    text.append(f"Dropped {dropped}; done {done_at}.")
    for column, answers in list(tally.categories.items())[:MAX_COLUMNS]:
        text.append(f"{column}: " + ", ".join(f"{value} {count:,}" for value, count in answers.most_common(8)))
    text += agreement_lines(tally.agreement)
    for outcome, code, reason in tally.commonest(MAX_REASONS):
        if outcome is Outcome.SKIPPED:
            continue  # is in the lines about skipped rows
        which = f"{rows_counted(reason.count)} {outcome} ({code}), the first is row {reason.row:,}"
        said = f"OpenAI says “{reason.message}”; " if reason.message else ""
        text.append(f"- {which}: {said}{end.remedy(outcome, code)}")
    bucket, prefix = context.buckets.results, results_prefix(job)
    text.append(f"Results: s3://{bucket}/{prefix}")
    text += mirror_lines(context, end)
    text.append(f"In the console: {console_link(context.region, bucket, prefix)}")
    text.append(f"The report: {object_link(context.region, bucket, prefix + 'report.html')}")
    text += _next_steps(context, end)
    members = end_members(end)
    members["cost"]["month"] = month_members(context, end.ended_at)
    return notification_of(context, job, "ended", str(end.status), verdict, text, members)


def _next_steps(context: Context, end: Ended) -> list[str]:
    """Return the next steps, as lines to copy."""
    bucket, drop = context.buckets.results, end.job.drop
    if "failed" not in end.objects:
        source = f"s3://{bucket}/{end.objects.get('answers', end.objects['responses'])}"
        return [f"To fetch them: aws s3 cp {shlex.quote(source)} ."]
    found = cures(end.reasons, has_recipe=end.has_recipe)
    key = end.objects["failed"]
    failed, name = f"s3://{bucket}/{key}", key.rpartition("/")[2]
    target = shlex.quote(f"s3://{drop.bucket}/{drop.key.removesuffix(drop.name)}{name}")
    steps = []
    if end.is_older and Cure.AGAIN in found:
        steps.append(f"To ask the failed ones again, as a file of their own: aws s3 cp {shlex.quote(failed)} {target}")
    elif end.is_older and Cure.RECIPE in found:
        copy = f"aws s3 cp {shlex.quote(failed)} {target}"
        steps.append(f"Once the recipe is changed, to ask these rows with it, as a file of their own: {copy}")
    elif end.job.is_unapproved_repeat and Cure.AGAIN in found:
        steps.append(f"To ask all rows again, once that is approved: {marker_command(drop, 'rerun')}")
    elif Cure.AGAIN in found:
        steps.append(f"To ask the failed ones again: {marker_command(drop, 'retry')}")
    elif Cure.RECIPE in found and end.tally.outcomes[Outcome.OK]:
        steps.append(f"Once the recipe is changed, to ask these rows with it: {marker_command(drop, 'retry')}")
    elif Cure.RECIPE in found:
        steps.append(f"Once the recipe is changed, to ask all rows with it: {marker_command(drop, 'rerun')}")
    elif Cure.ROWS in found:
        fetch = f"aws s3 cp {shlex.quote(failed)} {shlex.quote(name)}"
        steps.append(f"To correct them: {fetch}, and then: aws s3 cp {shlex.quote(name)} {target}")
    elif Cure.PAY_AGAIN in found:
        steps.append(f"To ask, and perhaps pay, them again: aws s3 cp {shlex.quote(failed)} {target}")
    return [*steps, f"Rows without a good answer: {failed}"]


def _cost_without_results(cost: Mapping[str, Any]) -> str:
    paid, asked = read_dollars(cost["paid"]), cost["uncollected_requests"]
    if not asked:
        return f"Paid {about(paid)}." if paid else "Nothing was paid."
    charged = f"OpenAI may have charged for {counted(asked, 'request')}; no sum includes that."
    return f"Paid {about(paid)} for the answers that came. {charged}" if paid else charged


def results_given_up(context: Context, job: Job) -> Notification:
    """Return the notification of a job whose results could not be written before its time was over."""
    cost = cost_given_up(context, job)
    text = [
        f"{job.drop.name}: Dropbatch could not write its results in {MAX_JOB_SECONDS // 86_400} days. OpenAI's "
        f"answers are kept in s3://{context.buckets.work}/jobs/{job.id}/ for 30 days more.",
        _cost_without_results(cost),
        "The collect function's log says why.",
    ]
    if not is_older(context, job):
        text.append(f"To have it answered, and paid, once more: {marker_command(job.drop, 'rerun')}")
    detail = {"reasons": GAVE_UP_REASONS, "cost": cost, "times": end_times(job, job.ended_at or context.now())}
    return notification_of(context, job, "ended", "failed", "failed, no results", text, detail)
