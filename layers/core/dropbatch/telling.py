"""Tells what happens: the notifications, and the small files in the results bucket that say the same.

A notification goes out in plain words for people and as JSON for programs. It holds names, numbers, codes and the
recipe's own categories, never the text of a row.
"""

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from dropbatch.batch_api.models import notices_about
from dropbatch.domain.drops import Drop, results_root, without_controls
from dropbatch.domain.errors import ConditionFailed
from dropbatch.domain.jobs import MAX_JOB_SECONDS, MAX_STARTS, Batch, HeldReason, Job
from dropbatch.domain.outcomes import GAVE_UP, LEFT_OUT, JobStatus, Outcome
from dropbatch.domain.problems import Notice, Problem, Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.ledger import Ledger
from dropbatch.ports import JSON, Notification, World
from dropbatch.reporting.advice import Cure, can_be_retried, cures, remedy

if TYPE_CHECKING:  # it knows of recipes, which a poll, that tells too, does not load
    from dropbatch.tallies import Tally

SCHEMA_VERSION = 1

GIVEN_UP = Problem(
    GAVE_UP,
    "The file could not be read for a day, although it was tried again and again; the submit function's log says why: "
    "fix that, then drop the file again.",
)

_GAVE_UP_REASONS = [{"outcome": str(Outcome.ERROR), "code": GAVE_UP}]

COLUMNS_CHANGED = "columns_changed"
"""The code of a recipe that adds other columns than the one whose answers a `.retry` would keep."""

NOTHING_LEFT = frozenset({"nothing_to_retry", "rows_gone"})
"""The codes of a `.retry` that has no rows to ask. They have a path if another recipe would change that."""

SUBJECT_CHARACTERS = 99
"""SNS takes subjects of less than 100 characters."""

TOLD_PROBLEMS = 5
"""How many problems a notification lists; rejected.json has more."""

TOLD_REASONS = 3

SKIPPED_NAME = "skipped.json"
"""Which rows were not asked, and why, among a job's results."""

TOLD_COLUMNS = 10
"""Of how many columns a notification tells how the answers are distributed; summary.json tells of all."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A job at its end. `objects` are the keys of its results by what they are: answers, responses, failed, skipped.

    `recipes` are those that its rows were asked with, the last of them its own: several after a `.retry`.
    """

    job: Job
    status: JobStatus
    tally: "Tally"
    objects: Mapping[str, str]
    ended_at: int
    skipped: SkippedRows = field(default_factory=SkippedRows)
    recipes: Sequence["UsedRecipe"] = ()

    @property
    def reasons(self) -> list[tuple[Outcome, str]]:
        return list(self.tally.reasons)

    @property
    def has_recipe(self) -> bool:
        return self.job.recipe_sha256 is not None


@dataclass(frozen=True, slots=True)
class UsedRecipe:
    """A recipe, and how many of a job's rows were asked with it; None before that is known.

    `is_gone` says that the file was not there any more when its job began.
    """

    path: str
    sha256: str
    rows: int | None = None
    is_gone: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "sha256": self.sha256, "rows": self.rows}


def results_prefix(job: Job) -> str:
    return f"{results_root(job.drop.key)}{job.id}/"


def accepted(
    world: World,
    job: Job,
    batches: Sequence[Batch],
    skipped: SkippedRows | None = None,
    recipes: Sequence[UsedRecipe] = (),
) -> Notification:
    asked = sum(batch.requests for batch in batches)
    skipped = skipped or SkippedRows()
    notices = notices_about((batch.model for batch in batches), world.now())
    text = [
        f"{job.drop.name} was accepted: {_rows(job.rows)}, of which {asked:,} go to OpenAI "
        f"in {_batches(len(batches))}.",
        *_skipped_lines(world, job, skipped),
        *_recipe_of_retry(recipes),
        *_notice_lines(notices),
        "OpenAI answers within 24 hours; another message follows when all is done.",
        f"To stop it: {_put_marker(job.drop, 'cancel')}",
        f"Progress: s3://{world.buckets.results}/{results_prefix(job)}status.json",
    ]
    detail: dict[str, Any] = {"notices": _notices(notices)}
    if skipped.codes:
        detail["skipped"] = skipped.to_json(TOLD_PROBLEMS)
    return _notification(world, job, "accepted", "running", f"accepted, {_rows(job.rows)}", text, detail)


def _recipe_of_retry(recipes: Sequence[UsedRecipe]) -> list[str]:
    """Which recipe asks failed rows again, if it is not the one they were asked with, or that one is gone."""
    if recipes and recipes[-1].is_gone:
        return [f"{recipes[-1].path} is gone: the rows are asked with the recipe that the former job kept."]
    if len(recipes) > 1:
        return [f"The rows are asked with {recipes[-1].path} as it is today; the good answers are kept."]
    return []


def _skipped_lines(world: World, job: Job, skipped: SkippedRows) -> list[str]:
    """Which rows are not asked, why and how many, but for those that the recipe's `when` leaves out."""
    lines = []
    if skipped.blank:
        lines.append(f"{_rows(skipped.blank)} {'was' if skipped.blank == 1 else 'were'} blank and skipped.")
    if skipped.bad:
        codes = [(code, count) for code, count in skipped.codes.most_common() if code not in LEFT_OUT]
        counts = ", ".join(f"{count:,} {code}" for code, count in codes)
        lines.append(f"{_count(skipped.bad, 'bad row')} {'was' if skipped.bad == 1 else 'were'} skipped: {counts}.")
        lines += _problem_lines(skipped.problems)
    if skipped.needs_telling:
        lines.append(f"Skipped rows: s3://{world.buckets.results}/{results_prefix(job)}{SKIPPED_NAME}")
    return lines


def duplicate(world: World, job: Job, standing: Job) -> Notification:
    text = [
        f"{job.drop.name} was dropped again with the same content and recipe while its job {standing.id} is still "
        "open, so nothing was sent, and nothing is billed twice.",
        f"Its results will be in s3://{world.buckets.results}/{results_prefix(standing)}",
        "To have it answered once more, drop it again when that job has ended.",
    ]
    return _notification(
        world, job, "duplicate", "duplicate", "already being answered", text, {"duplicate_of": standing.id}
    )


def held(
    world: World,
    job: Job,
    reason: HeldReason,
    batches: Sequence[Batch] = (),
    skipped: SkippedRows | None = None,
    recipes: Sequence[UsedRecipe] = (),
) -> Notification:
    name, notices = job.drop.name, notices_about((batch.model for batch in batches), world.now())
    skipped = skipped or SkippedRows()
    cancel = f"To end it with what it has: {_put_marker(job.drop, 'cancel')}"
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
                f"To go on all the same, with the recipe as it was: {_put_marker(job.drop, 'retry')}",
                cancel,
                "If the recipe is why, end it so, mend the recipe, and then ask the rows without a good answer with "
                f"it: {_put_marker(job.drop, 'retry')}",
            ]
        case HeldReason.SIZE:
            what = f"waits for your approval, {_rows(job.rows)}"
            text = [
                f"{name} waits: it has {_rows(job.rows)}, and more than {world.hold_above_rows:,} need an approval "
                "(the stack's parameter HoldAboveRows). Nothing was sent to OpenAI, and nothing is billed.",
                *_skipped_lines(world, job, skipped),
                *_recipe_of_retry(recipes),
                *_notice_lines(notices),
                f"To have it answered: {_put_marker(job.drop, 'approve')}",
                f"To drop it: {_put_marker(job.drop, 'cancel')}",
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
                f"{_put_marker(job.drop, 'cancel')}",
            ]
    detail: dict[str, Any] = {"held_reason": str(reason), "notices": _notices(notices)}
    if skipped.codes:
        detail["skipped"] = skipped.to_json(TOLD_PROBLEMS)
    return _notification(world, job, "held", "held", what, text, detail)


def rejected(world: World, job: Job, problems: Problems) -> Notification:
    count = _count(problems.total, "problem")
    text = [f"{job.drop.name} was rejected: {count}. Nothing was sent to OpenAI, and nothing is billed."]
    text += _problem_lines(problems)
    text += [
        f"All of them: s3://{world.buckets.results}/{results_prefix(job)}rejected.json",
        f"In the console: {console_link(world.region, world.buckets.results, results_prefix(job))}",
        *_mend_lines(job, problems),
    ]
    detail = {"problems": _problems(problems, 10)}
    return _notification(world, job, "rejected", "rejected", f"rejected, {count}", text, detail)


def _mend_lines(job: Job, problems: Problems) -> list[str]:
    """What to do once a rejected job's problems are mended, as a line to copy; none if nothing can be mended."""
    codes = {problem.code for problem in problems}
    of_recipe = all(problem.path is not None for problem in problems)
    if COLUMNS_CHANGED in codes:
        return [f"To ask all rows with today's recipe: {_put_marker(job.drop, 'rerun')}"]
    if job.retry_of is not None:
        if codes & NOTHING_LEFT and not of_recipe:
            return []
        return [f"Once the recipe is mended: {_put_marker(job.drop, 'retry')}"]
    if of_recipe:
        return [f"Mend the recipe, then: {_put_marker(job.drop, 'rerun')}"]
    return [f"Mend the file, then: {_drop_again(job.drop)}"]


def recipe_checked(drop: Drop, problems: Problems, notices: Sequence[Notice] = ()) -> Notification:
    """Whether a recipe that was dropped can be used, and what to know about it all the same."""
    usable, verdict = not problems, "usable"
    if usable and notices:
        verdict = "usable, but see the notice"
        text = [f"{drop.key} can be used, but:", *_notice_lines(notices)]
        text.append("Files dropped into its folder are answered by it.")
    elif usable:
        text = [f"{drop.key} can be used: files dropped into its folder are answered by it."]
    else:
        verdict = f"cannot be used, {_count(problems.total, 'problem')}"
        text = [f"{drop.key} cannot be used: {_count(problems.total, 'problem')}.", *_problem_lines(problems)]
        text.append(f"Mend it, then: {_drop_again(drop)}")
    status = "usable" if usable else "invalid"
    detail = {
        "schema_version": SCHEMA_VERSION,
        "event": "recipe",
        "status": status,
        "drop": _drop(drop),
        "problems": _problems(problems, 10),
        "notices": _notices(notices),
        "labels": dict(drop.labels),
    }
    return Notification("recipe", status, drop.folder, subject(drop.name, verdict), _text(text), detail)


def ended(world: World, end: Ended) -> Notification:
    job, tally = end.job, end.tally
    done = tally.outcomes[Outcome.OK]
    verdict = f"{done:,} of {job.rows - tally.outcomes[Outcome.SKIPPED]:,} answered"
    sentence = _SENTENCES[end.status]
    if end.skipped.bad:
        verdict += f", {_count(end.skipped.bad, 'bad row')} skipped"
        sentence = _BAD_SENTENCES.get(end.status, sentence)
    text = [f"{job.drop.name}: {verdict}. {sentence}"]
    counts = [f"{count:,} {outcome}" for outcome, count in sorted(tally.outcomes.items()) if outcome is not Outcome.OK]
    if counts:
        text.append(f"The other rows: {', '.join(counts)}.")
    text += _skipped_lines(world, job, end.skipped)
    if len(end.recipes) > 1:
        text.append(
            "Rows by recipe: " + ", ".join(f"{r.rows:,} by {r.path} ({r.sha256[:8]})" for r in end.recipes) + "."
        )
    text.append(_paid(tally))
    for column, answers in list(tally.categories.items())[:TOLD_COLUMNS]:
        text.append(f"{column}: " + ", ".join(f"{value} {count:,}" for value, count in answers.most_common(8)))
    for outcome, code, reason in tally.commonest(TOLD_REASONS):
        if outcome is Outcome.SKIPPED:
            continue  # said above
        which = f"{_rows(reason.count)} {outcome} ({code}), the first is row {reason.row:,}"
        said = f"OpenAI says “{reason.message}”; " if reason.message else ""
        text.append(f"- {which}: {said}{remedy(outcome, code, has_recipe=end.has_recipe)}")
    bucket, prefix = world.buckets.results, results_prefix(job)
    text.append(f"Results: s3://{bucket}/{prefix}")
    text.append(f"In the console: {console_link(world.region, bucket, prefix)}")
    text += _next_steps(world, end)
    return _notification(world, job, "ended", str(end.status), verdict, text, _ending(end))


def _next_steps(world: World, end: Ended) -> list[str]:
    """What to do now, as lines to copy."""
    bucket, drop = world.buckets.results, end.job.drop
    if "failed" not in end.objects:
        source = f"s3://{bucket}/{end.objects.get('answers', end.objects['responses'])}"
        return [f"To fetch them: aws s3 cp {shlex.quote(source)} ."]
    found = cures(end.reasons, has_recipe=end.has_recipe)
    key = end.objects["failed"]
    failed, name = f"s3://{bucket}/{key}", key.rpartition("/")[2]
    target = shlex.quote(f"s3://{drop.bucket}/{drop.key.removesuffix(drop.name)}{name}")
    steps = []
    if Cure.AGAIN in found:
        steps.append(f"To ask the failed ones again: {_put_marker(drop, 'retry')}")
    elif Cure.RECIPE in found and end.tally.outcomes[Outcome.OK]:
        steps.append(f"Once the recipe is changed, to ask these rows with it: {_put_marker(drop, 'retry')}")
    elif Cure.RECIPE in found:
        steps.append(f"Once the recipe is changed, to ask all rows with it: {_put_marker(drop, 'rerun')}")
    elif Cure.ROWS in found:
        fetch = f"aws s3 cp {shlex.quote(failed)} {shlex.quote(name)}"
        steps.append(f"To mend them: {fetch}, and then: aws s3 cp {shlex.quote(name)} {target}")
    elif Cure.PAY_AGAIN in found:
        steps.append(f"To ask, and perhaps pay, them again: aws s3 cp {shlex.quote(failed)} {target}")
    return [*steps, f"Those without a good answer: {failed}"]


def decision(world: World, end: Ended) -> dict[str, Any]:
    """Return how a job ended, with all that is to be written and told of it: decided once, whichever process comes."""
    about = _about(world, end.job, "ended", str(end.status))
    summary = {**about, **_ending(end)}
    summary["tokens"] = dict(end.tally.tokens)
    summary["tool_calls"] = dict(end.tally.tool_calls)
    summary["categories"] = {column: dict(counts) for column, counts in end.tally.categories.items()}
    notification = ended(world, end)
    retryable = "failed" in end.objects and can_be_retried(end.reasons, has_recipe=end.has_recipe)
    return {
        "status": str(end.status),
        "ended_at": end.ended_at,
        "rows": {str(outcome): count for outcome, count in end.tally.outcomes.items()},
        "summary": summary,
        "notification": msgspec.to_builtins(notification),
        "can_be_retried": retryable,
    }


def in_short(world: World, job: Job, name: str) -> Notification:
    """What is told of a job if the notice of this name, such as `ended`, can no longer be read."""
    event = name.partition("-")[0]
    text = [
        f"{job.drop.name} is {job.state}. S3 does not give the message that was to say more.",
        f"Results: s3://{world.buckets.results}/{results_prefix(job)}",
    ]
    return _notification(world, job, event, str(job.state), str(job.state), text)


def drop_given_up(world: World, job: Job) -> Notification:
    """The rejection of a drop that could not be read for a day."""
    problems = Problems()
    problems.add(GIVEN_UP)
    return rejected(world, job, problems)


def results_given_up(world: World, job: Job) -> Notification:
    """The end of a job whose results could not be put together until its time was over."""
    cost = _cost_given_up(world, job)
    asked = cost["uncollected_requests"]
    text = [
        f"{job.drop.name}: its results could not be put together in {MAX_JOB_SECONDS // 86_400} days. What OpenAI "
        f"answered is kept in s3://{world.buckets.work}/jobs/{job.id}/ for 30 days more.",
        f"OpenAI may have charged for {_count(asked, 'request')}, which is in no sum."
        if asked
        else "Nothing was paid.",
        "The collect function's log says why.",
        f"To have it answered, and paid, once more: {_put_marker(job.drop, 'rerun')}",
    ]
    detail = {"reasons": _GAVE_UP_REASONS, "cost": cost}
    return _notification(world, job, "ended", "failed", "failed, no results", text, detail)


def _cost_given_up(world: World, job: Job) -> dict[str, Any]:
    """The cost of a job without results: how many requests were made, at a price that nobody knows."""
    asked = sum(batch.requests for batch in Ledger(world.table).batches(job.id) if batch.openai_id)
    unknown = {"fees": 0.0, "unpriced_requests": 0, "uncollected_requests": asked, "unpriced_tool_calls": 0}
    return {"currency": "USD", "paid": None, "saved": None, **unknown}


def decision_to_give_up(world: World, job: Job) -> dict[str, Any]:
    """Return the end of a job whose results could not be put together until its time was over."""
    about = _about(world, job, "ended", "failed")
    return {
        "status": "failed",
        "ended_at": world.now(),
        "rows": {},
        "summary": {
            **about,
            "rows": {"total": job.rows},
            "cost": _cost_given_up(world, job),
            "reasons": _GAVE_UP_REASONS,
        },
        "notification": msgspec.to_builtins(results_given_up(world, job)),
        "can_be_retried": True,
    }


def decided_notification(decided: Mapping[str, Any]) -> Notification:
    return msgspec.convert(decided["notification"], Notification)


def write_decided(world: World, job: Job, decided: Mapping[str, Any]) -> None:
    """Write `status.json` and then `summary.json`, whose presence says that the job is done."""
    summary = decided["summary"]
    about = _about(world, job, "status", decided["status"])
    _put(world, job, "status.json", {**about, "rows": summary["rows"], "updated_at": iso(decided["ended_at"])})
    _put(world, job, "summary.json", summary)


def write_rejected(world: World, job: Job, problems: Problems) -> None:
    """`rejected.json`: the first hundred problems, and how many there are."""
    members = _about(world, job, "rejected", "rejected")
    _put(world, job, "rejected.json", {**members, "problems": _problems(problems, len(problems.kept))})


def write_skipped(world: World, job: Job, skipped: SkippedRows) -> None:
    """`skipped.json`: which rows are not asked, and why; none if the recipe's `when` alone leaves rows out."""
    if skipped.needs_telling:
        about = {"schema_version": SCHEMA_VERSION, "job_id": job.id, "drop": _drop(job.drop)}
        _put(world, job, SKIPPED_NAME, {**about, **skipped.to_json()})


def write_latest(world: World, job: Job) -> None:
    """`latest.json` beside the jobs of a key names the newest."""
    newest = Ledger(world.table).newest(job.drop.bucket, job.drop.key)
    if newest.job_id != job.id:
        return
    prefix = results_prefix(job)
    members = {"schema_version": SCHEMA_VERSION, "job_id": job.id, "results": _results(world, prefix)}
    world.objects.put(world.buckets.results, results_root(job.drop.key) + "latest.json", _json(members), JSON)


def write_status(world: World, ledger: Ledger, job: Job, open_batches: Sequence[Batch]) -> None:
    """`status.json`, where something in it has changed since it was last written.

    The open batches tell whether it has, for nothing changes in one that is closed; only then all are read.
    """
    members = (job.state, *((b.key, b.state, b.openai_id, b.completed, b.failed) for b in open_batches))
    digest = hashlib.sha256(repr(members).encode()).hexdigest()
    if digest == job.reported:
        return
    batches = ledger.batches(job.id)
    progress = {
        **_about(world, job, "status", str(job.state)),
        "rows": {"total": job.rows},
        "requests": {
            # What a batch leaves to others counts with the others.
            "total": sum(batch.requests - batch.passed_on for batch in batches),
            "completed": sum(batch.completed for batch in batches),
            "failed": sum(max(0, batch.failed - batch.passed_on) for batch in batches),
        },
        "batches": dict(Counter(str(batch.state) for batch in batches)),
    }
    job.reported = digest
    try:
        ledger.save(job)
    except ConditionFailed:
        return
    _put(world, job, "status.json", {**progress, "updated_at": iso(world.now())})


def subject(name: str, verdict: str) -> str:
    """`<name>: <verdict>` in under 100 characters; the name is cut, the verdict never."""
    name, verdict = without_controls(name), without_controls(verdict)
    room = SUBJECT_CHARACTERS - len(verdict) - 2
    return f"{name if len(name) <= room else name[: room - 1] + '…'}: {verdict}"


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def console_link(region: str, bucket: str, prefix: str) -> str:
    host = next((host for start, host in _CONSOLES.items() if region.startswith(start)), "console.aws.amazon.com")
    return f"https://{region}.{host}/s3/buckets/{bucket}?region={region}&prefix={quote(prefix)}"


_CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
"""The console of regions that are not in AWS's main partition, by how their names begin."""


_SENTENCES = {
    JobStatus.SUCCEEDED: "Every row is done.",
    JobStatus.PARTIAL: "Some rows have no good answer.",
    JobStatus.FAILED: "No row has a good answer.",
    JobStatus.CANCELLED: "The job was cancelled; what was answered before is kept.",
}

_BAD_SENTENCES = {
    JobStatus.SUCCEEDED: "Every row that could be asked is done; the bad ones are in the failed file.",
}
"""The same where bad rows were skipped."""


def _notification(
    world: World,
    job: Job,
    event: str,
    status: str,
    verdict: str,
    text: Sequence[str],
    detail: Mapping[str, Any] | None = None,
) -> Notification:
    members = {"rows": {"total": job.rows}, **_about(world, job, event, status), **(detail or {})}
    return Notification(event, status, job.drop.folder, subject(job.drop.name, verdict), _text(text), members)


def _about(world: World, job: Job, event: str, status: str) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "event": event,
        "job_id": job.id,
        "status": status,
        "drop": _drop(job.drop),
        "results": _results(world, results_prefix(job)),
        "times": {"dropped": iso(job.drop.modified), "created": iso(job.created_at)},
        "recipe_sha256": job.recipe_sha256,
        "labels": dict(job.drop.labels),
    }


def _ending(end: Ended) -> dict[str, Any]:
    tally, job = end.tally, end.job
    return {
        "rows": {"total": job.rows, **{str(outcome): tally.outcomes[outcome] for outcome in Outcome}},
        "cost": _cost(tally),
        "times": {
            "dropped": iso(job.drop.modified),
            "created": iso(job.created_at),
            "ended": iso(end.ended_at),
            "seconds": end.ended_at - job.created_at,
        },
        "reasons": [
            {
                "outcome": str(outcome),
                "code": code,
                "rows": reason.count,
                "row": reason.row,
                **({"message": reason.message} if reason.message else {}),
                "remedy": remedy(outcome, code, has_recipe=end.has_recipe),
            }
            for outcome, code, reason in tally.commonest(10)
        ],
        "skipped": end.skipped.to_json(TOLD_PROBLEMS),
        "recipes": [recipe.to_json() for recipe in end.recipes],
        "objects": dict(end.objects),
    }


def _cost(tally: "Tally") -> dict[str, Any]:
    """What is known of the cost; `paid` and `saved` are None if nothing of it is."""
    paid, saved = tally.paid, tally.saved
    return {
        "currency": "USD",
        "paid": None if paid is None else round(paid, 6),
        "saved": None if saved is None else round(saved, 6),
        "fees": round(tally.fees_usd, 6),
        "unpriced_requests": tally.unpriced,
        "uncollected_requests": tally.unread,
        "unpriced_tool_calls": tally.unpriced_tool_calls,
    }


def _paid(tally: "Tally") -> str:
    paid, saved = tally.paid, tally.saved
    if paid is None or saved is None:
        text = "What it cost is not known."
    elif saved < 0:  # of cached input, for which some models have a price without the Batch API only
        text = f"Paid about ${paid:,.4f}, which is ${-saved:,.4f} more than without batching."
    else:
        text = f"Paid about ${paid:,.4f}, and saved ${saved:,.4f} by batching."
    if tally.fees_usd:
        calls = _count(tally.tool_calls.total() - tally.unpriced_tool_calls, "tool call")
        text += f" ${tally.fees_usd:,.4f} of it are the fees of {calls}, which batching does not halve."
    if tally.unpriced_tool_calls:
        text += (
            f" The sum is without the fees of {_count(tally.unpriced_tool_calls, 'tool call')}, whose price is not "
            "known."
        )
    if tally.unpriced:
        text += (
            f" The price of {_count(tally.unpriced, 'request')} is not known, and not in any sum: the price list lacks "
            "it for the model, or the answer does not say how many tokens it took."
        )
    if tally.unread:
        text += (
            f" The answers of {_count(tally.unread, 'request')} could not be collected; OpenAI may have charged for "
            "them, which is not in any sum."
        )
    return text


def _drop(drop: Drop) -> dict[str, str]:
    return {"bucket": drop.bucket, "key": drop.key, "version_id": drop.version_id}


def _results(world: World, prefix: str) -> dict[str, str]:
    return {"bucket": world.buckets.results, "prefix": prefix}


def _problems(problems: Problems, most: int) -> dict[str, Any]:
    return {"total": problems.total, "first": [problem.to_json() for problem in problems.kept[:most]]}


def _problem_lines(problems: Problems) -> list[str]:
    told = [f"- {problem.message}" for problem in problems.kept[:TOLD_PROBLEMS]]
    more = problems.total - len(told)
    return [*told, f"- and {more:,} more"] if more else told


def _notices(notices: Sequence[Notice]) -> list[dict[str, str]]:
    return [notice.to_json() for notice in notices]


def _notice_lines(notices: Sequence[Notice]) -> list[str]:
    return [f"- {notice.message}" for notice in notices]


def _put(world: World, job: Job, name: str, members: Mapping[str, Any]) -> None:
    world.objects.put(world.buckets.results, results_prefix(job) + name, _json(members), JSON)


def _json(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False, indent=2).encode()


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _rows(count: int) -> str:
    return _count(count, "row")


def _batches(count: int) -> str:
    return f"{count:,} batch{'' if count == 1 else 'es'}"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _put_marker(drop: Drop, kind: str) -> str:
    target = f"s3://{drop.bucket}/{drop.key}.{kind}"
    return f"echo | aws s3 cp - {shlex.quote(target)}"


def _drop_again(drop: Drop) -> str:
    target = f"s3://{drop.bucket}/{drop.key}"
    return f"aws s3 cp {shlex.quote(drop.name)} {shlex.quote(target)}"
