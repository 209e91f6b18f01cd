"""Makes the notifications: in plain words for people, as JSON for programs.

They hold names, numbers, codes and the recipe's own categories, never the text of a row.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dropbatch.batch_api.deprecations import notices_about
from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import RECIPE_NAMES, Drop, recipe_beside, without_controls
from dropbatch.domain.jobs import MAX_JOB_SECONDS, Job
from dropbatch.domain.markers import next_name
from dropbatch.domain.outcomes import GAVE_UP, LEFT_OUT, JobStatus, Outcome
from dropbatch.domain.problems import LOOKS_LIKE_RECIPE, Problem, Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.states import APPROVABLE, JobState
from dropbatch.domain.understood import Understood
from dropbatch.ports import Letter, Notification
from dropbatch.reporting.advice import Cure, cures
from dropbatch.reporting.details import (
    GAVE_UP_REASONS,
    SKIPPED_NAME,
    Ended,
    UsedRecipe,
    cost_given_up,
    end_members,
    end_times,
    is_older,
    job_members,
    listed_notices,
    listed_problems,
    results_prefix,
)
from dropbatch.reporting.limited import limited_lines, row_members, rows_in_short, rows_taken
from dropbatch.reporting.mirrored import mirror_lines, mirror_to_come
from dropbatch.reporting.phrases import (
    TOLD_PROBLEMS,
    about,
    as_text,
    batches_counted,
    console_link,
    counted,
    drop_command,
    end_to_come,
    local_time,
    marker_command,
    money,
    notice_lines,
    problem_lines,
    rows_counted,
    run_name,
    subject,
    unit_of,
    waits,
)
from dropbatch.reporting.runs import NO_RUNS, OpenRuns, comparison_lines, open_run_lines, run_line
from dropbatch.reporting.understanding import understood_line
from dropbatch.storage.context import Context

if TYPE_CHECKING:  # it knows of recipes, which a poll, that tells too, does not load
    from dropbatch.answers.tally import Tally

GIVEN_UP = Problem(
    GAVE_UP,
    "The file could not be read for a day, although Dropbatch tried again and again; the submit function's log says "
    "why: fix that, then drop the file again.",
)


COLUMNS_CHANGED = "columns_changed"
"""The code of a recipe that adds other columns than the one whose answers a `.retry` would keep."""


NOTHING_LEFT = frozenset({"nothing_to_retry", "rows_gone"})
"""The codes of a `.retry` that has no rows to ask. They have a path if another recipe would change that."""


FIRST_EVENTS = frozenset({"accepted", "held", "rejected", "duplicate"})
"""The events by which one first hears of a run."""


TOLD_REASONS = 3


TOLD_COLUMNS = 10
"""Of how many columns a notification tells how the answers are distributed; summary.json tells of all."""


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
    """That a job runs; `newer` is the one of a newer version that replaces it already."""
    asked = sum(batch.requests for batch in batches)
    skipped = skipped or SkippedRows()
    notices = notices_about((batch.model for batch in batches), context.now())
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
        *skipped_lines(context, job, skipped),
        *recipe_of_retry(recipes),
        *open_run_lines(job, others),
        *([understood_line(understood)] if understood else []),
        *notice_lines(notices),
        then,
        *([] if newer else mirror_to_come(context, job)),
        *([] if is_older(context, job) else [f"To stop it: {marker_command(job.drop, 'cancel')}"]),
        f"Progress: s3://{context.buckets.results}/{results_prefix(job)}status.json",
    ]
    detail: dict[str, Any] = {"notices": listed_notices(notices)}
    if skipped.codes:
        detail["skipped"] = skipped.to_json(TOLD_PROBLEMS)
    if others.told:
        detail["open_runs"] = [run.to_json() for run in others.told]
    return notification_of(context, job, "accepted", "running", f"accepted, {rows_in_short(job)}", text, detail)


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


def duplicate(context: Context, job: Job, standing: Job) -> Notification:
    if job.marker is None:
        what, again = f"{job.drop.name} was dropped again with", "drop it again"
    else:
        name = without_controls(_marker_name(job))
        what, again = f"{name} asks for", f"make a folder `{next_name(name)}` beside the file,"
    text = [
        f"{what} the same content and recipe while its job {standing.id} is still open, so nothing was sent, and "
        "nothing is billed twice.",
    ]
    if standing.state is JobState.HELD:
        text.append(f"That job waits {waits(standing)}.")
        if standing.held_reason in APPROVABLE:
            text.append(f"To have it answered: {marker_command(job.drop, 'approve')}")
        text.append(f"To end it with what it has: {marker_command(job.drop, 'cancel')}")
    text += [
        f"Its results will be in s3://{context.buckets.results}/{results_prefix(standing)}",
        f"To have it answered once more, {again} when that job has ended.",
    ]
    return notification_of(
        context, job, "duplicate", "duplicate", "already being answered", text, {"duplicate_of": standing.id}
    )


def rejected(context: Context, job: Job, problems: Problems, elsewhere: Sequence[str] = ()) -> Notification:
    """The rejection of a drop. `elsewhere` says where a recipe was dropped instead, if one was missing."""
    count = counted(problems.causes, "problem")
    is_of_recipe = all(group.first.path for group in problems.groups)
    why = "was rejected because of its recipe" if is_of_recipe else "was rejected"
    text = [f"{job.drop.name} {why}: {count}. Nothing was sent to OpenAI, and nothing is billed."]
    text += problem_lines(problems, unit_of(job.drop))
    text += [
        f"All of them: s3://{context.buckets.results}/{results_prefix(job)}report.html (rejected.json for programs)",
        f"In the console: {console_link(context.region, context.buckets.results, results_prefix(job))}",
    ]
    steps = [*elsewhere, *what_to_do(job, problems)]
    detail = {"problems": listed_problems(problems, 10)}
    told = notification_of(context, job, "rejected", "rejected", f"rejected, {count}", [*text, *steps], detail)
    return replace(told, steps=tuple(steps))


def what_to_do(job: Job, problems: Problems) -> list[str]:
    """What to do about a rejected job's problems, as lines to copy; none if nothing can be done."""
    if problems.has(COLUMNS_CHANGED):
        return [f"To ask all rows with today's recipe: {marker_command(job.drop, 'rerun')}"]
    paths = paths_to_correct(problems)
    if job.retry_of is not None:
        if any(map(problems.has, NOTHING_LEFT)) and not paths:
            return []
        return recipe_lines(job.drop, paths, "the failed rows are then retried")
    if problems.has("no_recipe"):
        recipe = replace(job.drop, key=recipe_beside(job.drop.key))
        return [f"Upload the recipe; the file is then read again automatically: {drop_command(recipe)}"]
    if problems.has(LOOKS_LIKE_RECIPE):
        return ["In the S3 console, choose the file, then *Actions*, *Rename object*, and name it `recipe.yaml`."]
    lines = recipe_lines(job.drop, paths, "the file is then read again")
    if problems.has("missing_file"):
        lines.insert(0, "Upload the missing files that the recipe names; the file is then read again automatically.")
    if all(group.first.path for group in problems.groups):
        return lines
    if job.recipe_path is not None and _is_missed_by_rows(problems):
        lines = recipe_lines(job.drop, [job.recipe_path], "the file is then read again")
        return [*lines, f"Or correct the file, then: {drop_command(job.drop)}"]
    lines.append(f"Correct the file, then: {drop_command(job.drop)}")
    if not lines[1:] and job.recipe_sha256 is not None and problems.may_be_cured_by_recipe:
        how = "have the recipe say how to read it (as `encoding`, `delimiter` or `bad_rows` do)"
        change = how if problems.may_be_cured_by_reading_alone else "change the recipe"
        lines.append(f"Or {change}; the file is then read again automatically.")
    return lines


def _is_missed_by_rows(problems: Problems) -> bool:
    """Whether all that is wrong is that several rows lack what the recipe uses: then the recipe is probably wrong."""
    groups = problems.groups
    return all(
        group.first.code == "undefined_name" and group.first.path is None and group.count > 1 for group in groups
    )


def paths_to_correct(problems: Problems) -> list[str]:
    """The recipe, and the files that it names, in which something is wrong that is there."""
    return [group.first.path for group in problems.groups if group.first.path and group.first.code != "missing_file"]


def recipe_lines(drop: Drop, paths: Sequence[str], then: str) -> list[str]:
    """How to correct a recipe, or a file that it names, and what happens then without another act."""
    lines = []
    for path in list(dict.fromkeys(paths))[:TOLD_PROBLEMS]:
        which = replace(drop, key=path)
        what = "the recipe" if which.name in RECIPE_NAMES else which.name
        command = "" if path.endswith("…") else f": {drop_command(which)}"
        lines.append(f"Correct {what} and upload it; {then} automatically{command}")
    return lines


def ended(context: Context, end: Ended) -> Notification:
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
    text.append(_paid(tally))
    text += limited_lines(job, tally)
    dropped, done_at = (local_time(seconds, context.zone) for seconds in (job.drop.modified, end.ended_at))
    text.append(f"Dropped {dropped}; done {done_at}.")
    for column, answers in list(tally.categories.items())[:TOLD_COLUMNS]:
        text.append(f"{column}: " + ", ".join(f"{value} {count:,}" for value, count in answers.most_common(8)))
    for outcome, code, reason in tally.commonest(TOLD_REASONS):
        if outcome is Outcome.SKIPPED:
            continue  # said above
        which = f"{rows_counted(reason.count)} {outcome} ({code}), the first is row {reason.row:,}"
        said = f"OpenAI says “{reason.message}”; " if reason.message else ""
        text.append(f"- {which}: {said}{end.remedy(outcome, code)}")
    bucket, prefix = context.buckets.results, results_prefix(job)
    text.append(f"Results: s3://{bucket}/{prefix}")
    text += mirror_lines(context, end)
    text.append(f"In the console: {console_link(context.region, bucket, prefix)}")
    text += _next_steps(context, end)
    return notification_of(context, job, "ended", str(end.status), verdict, text, end_members(end))


def _next_steps(context: Context, end: Ended) -> list[str]:
    """What to do now, as lines to copy."""
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


def _paid(tally: "Tally") -> str:
    paid, saved = tally.paid, tally.saved
    if paid is None or saved is None:
        text = "The cost is not known."
    elif saved < 0:  # of cached input, for which some models have a price without the Batch API only
        text = f"Paid {about(paid)}, which is {money(-saved)} more than without batching."
    elif not paid:
        text = "Nothing was paid."
    else:
        text = f"Paid {about(paid)}, and saved {money(saved)} by batching."
    if tally.fees_usd:
        calls = counted(tally.tool_calls.total() - tally.unpriced_tool_calls, "tool call")
        text += f" Of it {money(tally.fees_usd)} went to the fees of {calls}, which batching does not halve."
    if tally.unpriced_tool_calls:
        text += (
            f" The sum is without the fees of {counted(tally.unpriced_tool_calls, 'tool call')}, whose price is not "
            "known."
        )
    if tally.unpriced:
        text += (
            f" The price of {counted(tally.unpriced, 'request')} is not known, and not in any sum: the price list "
            "lacks it for the model, or the answer does not say how many tokens it took."
        )
    if tally.unread:
        text += (
            f" The answers of {counted(tally.unread, 'request')} could not be collected; OpenAI may have charged for "
            "them, which is not in any sum."
        )
    return text


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


def drop_given_up(context: Context, job: Job) -> Notification:
    """The rejection of a drop that could not be read for a day."""
    problems = Problems()
    problems.add(GIVEN_UP)
    return rejected(context, job, problems)


def results_given_up(context: Context, job: Job) -> Notification:
    """The end of a job whose results could not be put together until its time was over."""
    cost = cost_given_up(context, job)
    asked = cost["uncollected_requests"]
    text = [
        f"{job.drop.name}: Dropbatch could not write its results in {MAX_JOB_SECONDS // 86_400} days. OpenAI's "
        f"answers are kept in s3://{context.buckets.work}/jobs/{job.id}/ for 30 days more.",
        f"OpenAI may have charged for {counted(asked, 'request')}; no sum includes that."
        if asked
        else "Nothing was paid.",
        "The collect function's log says why.",
    ]
    if not is_older(context, job):
        text.append(f"To have it answered, and paid, once more: {marker_command(job.drop, 'rerun')}")
    detail = {"reasons": GAVE_UP_REASONS, "cost": cost, "times": end_times(job, job.ended_at or context.now())}
    return notification_of(context, job, "ended", "failed", "failed, no results", text, detail)


_SENTENCES = {
    JobStatus.SUCCEEDED: "Every row is done.",
    JobStatus.PARTIAL: "Some rows have no good answer.",
    JobStatus.FAILED: "No row has a good answer.",
    JobStatus.CANCELLED: "The job was cancelled; the answers that came before are kept.",
}


_BAD_SENTENCES = {
    JobStatus.SUCCEEDED: "Every row that could be asked is done; the bad ones are in the failed file.",
}
"""The same where bad rows were skipped."""


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
    marker = without_controls(_marker_name(job))
    if event != "accepted":
        return [f"Asked for by {marker}."]
    return [
        f"Asked for by {marker}, which has acted now. To ask once more, make it again: a folder of the same name, or "
        f"`{next_name(marker)}`."
    ]


def _marker_name(job: Job) -> str:
    """The name of the marker that asked for a run; the release before this one kept its kind alone."""
    return job.marker_name or f"{job.drop.name}.{job.marker}"
