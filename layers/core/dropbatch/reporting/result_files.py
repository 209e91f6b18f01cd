"""The small files of the results bucket about a job's progress and its end: status, summary, latest and others."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import msgspec

from dropbatch.answers.agreement import to_members as agreement_members
from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import RECIPE_NAMES, results_path, results_root
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.states import APPROVABLE, ENDED_JOBS, HeldReason, JobState
from dropbatch.ports import HTML, JSON, Notification
from dropbatch.reporting.advice import can_be_retried
from dropbatch.reporting.approvals import approval_verdict
from dropbatch.reporting.costs import cost_given_up
from dropbatch.reporting.end_notices import ended, results_given_up
from dropbatch.reporting.event_members import (
    APPROVAL_PAGE_NAME,
    GAVE_UP_REASONS,
    QUOTE_NAME,
    SCHEMA_VERSION,
    SKIPPED_NAME,
    Ended,
    draft_members,
    end_members,
    job_members,
    listed_problems,
    named_drop,
    named_results,
    recipe_prefix,
    results_prefix,
)
from dropbatch.reporting.notifications import PROGRESS
from dropbatch.reporting.phrases import iso
from dropbatch.reporting.progress import (
    Times,
    ended_members,
    estimate,
    open_batch_members,
    outcomes_so_far,
    phase,
    seconds_taken,
    state_digest,
)
from dropbatch.reporting.quote_lines import quote_members, quoted
from dropbatch.reporting.rejection_advice import draft_steps, what_to_do
from dropbatch.reporting.row_limit import row_members
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import decision_of

TEXT = "text/plain"

if TYPE_CHECKING:  # a poll writes results too, and does not load recipes
    from dropbatch.storage.recipe_text import RecipeText


def decision(context: Context, end: Ended) -> dict[str, Any]:
    """Return the decision of how a job ended, with all files and messages about it. It is made once, by one process."""
    about = job_members(context, end.job, "ended", str(end.status))
    summary = {**about, **end_members(end)}
    summary["tokens"] = dict(end.tally.tokens)
    summary["tool_calls"] = dict(end.tally.tool_calls)
    summary["compared_with"] = end.compared.to_json() if end.compared else None
    summary["categories"] = {column: dict(counts) for column, counts in end.tally.categories.items()}
    if end.tally.agreement:
        summary["agreement"] = agreement_members(end.tally.agreement)
    notification = ended(context, end)
    retryable = "failed" in end.objects and can_be_retried(end.reasons, has_recipe=end.has_recipe)
    retryable = retryable and not end.job.is_unapproved_repeat  # a `.retry` would ask all rows without a question
    return {
        "status": str(end.status),
        "ended_at": end.ended_at,
        "rows": {str(outcome): count for outcome, count in end.tally.outcomes.items()},
        "summary": summary,
        "notification": msgspec.to_builtins(notification),
        "can_be_retried": retryable,
    }


def decision_to_give_up(context: Context, job: Job) -> dict[str, Any]:
    """Return the decision of a job whose results could not be written before its time was over."""
    about = job_members(context, job, "ended", "failed")
    return {
        "status": "failed",
        "ended_at": context.now(),
        "rows": {},
        "summary": {
            **about,
            "rows": row_members(job),
            "cost": cost_given_up(context, job),
            **quoted(job.quote),
            "reasons": GAVE_UP_REASONS,
        },
        "notification": msgspec.to_builtins(results_given_up(context, job)),
        "can_be_retried": True,
    }


def decided_notification(decided: Mapping[str, Any]) -> Notification:
    """Return the notification of a decision."""
    return msgspec.convert(decided["notification"], Notification)


def write_decided(context: Context, job: Job, decided: Mapping[str, Any]) -> None:
    """Write `status.json` and then `summary.json`, whose presence says that the job is done."""
    write_ended_status(context, job, decided["status"], decided["summary"]["rows"], decided["ended_at"])
    _put(context, job, "summary.json", decided["summary"])


def write_ended_status(context: Context, job: Job, status: str, rows: Mapping[str, Any], ended_at: int) -> None:
    """Write `status.json` of a job that has ended."""
    about = job_members(context, job, "status", status)
    members = {**about, **ended_members(rows), **quoted(job.quote), "updated_at": iso(ended_at)}
    _put(context, job, "status.json", members)


def write_rejected(context: Context, job: Job, problems: Problems, draft: str | None = None) -> None:
    """Write `rejected.json`: the first hundred problems, and how many there are, and the key of the draft."""
    members = {**job_members(context, job, "rejected", "rejected"), **draft_members(draft)}
    _put(context, job, "rejected.json", {**members, "problems": listed_problems(problems, len(problems.kept))})


def write_rejected_page(context: Context, job: Job, problems: Problems, draft: str | None = None) -> None:
    """Write `report.html`: the same for people."""
    from dropbatch.reporting.report_page import rejected_page  # jinja2, which a poll does not load

    html = rejected_page(context, job, problems, what_to_do(job, problems, draft_steps(context, draft)))
    context.objects.put(context.buckets.results, results_prefix(job) + "report.html", html, HTML)


def write_approval_page(context: Context, job: Job, reason: HeldReason, notice: Notification) -> None:
    """Write `approval.html`: what a job will cost that waits for an approval, and its notice. A canary has its own."""
    if reason not in APPROVABLE or reason is HeldReason.CANARY:
        return
    from dropbatch.reporting.report_page import approval_page  # jinja2, which a poll does not load

    lines = takewhile(lambda line: not line.startswith(PROGRESS), notice.text.splitlines())
    paragraphs = "\n".join(lines).replace("\n  ", " ").split("\n")  # an indented line continues the one before it
    html = approval_page(context, job, approval_verdict(job, reason), paragraphs)
    context.objects.put(context.buckets.results, results_prefix(job) + APPROVAL_PAGE_NAME, html, HTML)


def write_draft(context: Context, job: Job, text: str) -> str:
    """Write `recipe.yaml`: the draft of a recipe for a file that has none. Return its key."""
    key = results_prefix(job) + RECIPE_NAMES[0]
    context.objects.put(context.buckets.results, key, text.encode(), TEXT)
    return key


def write_skipped(context: Context, job: Job, skipped: SkippedRows) -> None:
    """Write `skipped.json`: which rows are not sent, and why. If only the recipe's `when` skips rows, write none."""
    if skipped.must_be_reported:
        about = {"schema_version": SCHEMA_VERSION, "job_id": job.id, "drop": named_drop(job.drop)}
        _put(context, job, SKIPPED_NAME, {**about, **skipped.to_json()})


def write_quote(context: Context, job: Job) -> None:
    """Write `quote.json`: what the job is expected to cost."""
    if job.quote is not None:
        about = {"schema_version": SCHEMA_VERSION, "job_id": job.id, "drop": named_drop(job.drop)}
        _put(context, job, QUOTE_NAME, {**about, **quote_members(job.quote)})


def write_recipe(context: Context, job: Job, recipe: "RecipeText") -> None:
    """Write `recipe/`: the run's recipe and the files that it names, byte for byte as they were dropped."""
    for path, data in recipe.originals():
        key = results_path(recipe_prefix(job), path)
        context.objects.put(context.buckets.results, key, data, TEXT)


def _is_rejected(latest: Job, job: Job, status: str | None) -> bool:
    return JobState.REJECTED in (latest.state, status if latest.id == job.id else None)


def write_latest(context: Context, job: Job, status: str | None = None) -> None:
    """Write `latest.json` beside the jobs of a key: it names the newest job, and its status.

    A rejected `.retry` has no rows: the file then names the job that it was made for.

    `job` is one of the key's jobs, as it is about to be saved. `status` is the one that was decided for it, if any.
    Several processes may write at the same time. Therefore the file is compared with the table after each write, and
    written again if the table has changed. It is also written after the end of a job, because a process that did not
    know the decision may have overwritten it.
    """
    written: tuple[object, ...] | None = None
    while True:
        newest = context.repository.latest_job(job.drop.bucket, job.drop.key)
        is_own = newest.job_id == job.id and written is None
        latest = job if is_own else context.repository.job(newest.job_id or "")
        while latest is not None and latest.retry_of and _is_rejected(latest, job, status):
            latest = context.repository.job(latest.retry_of)  # whose answers are the newest
        if latest is None or (latest.state is JobState.REJECTED and not latest.run):
            return  # there is no job, or one without notifications: an empty file that was replaced
        state = str(latest.state) if latest.state in ENDED_JOBS else "running"
        if latest.id == job.id:
            state, run = status if status and state == "running" else state, job.run or latest.run
        else:
            run = latest.run or newest.open_jobs.get(latest.id, 0)
        if written == (latest.id, state, run):
            return
        written = latest.id, state, run
        members = {
            "schema_version": SCHEMA_VERSION,
            "job_id": latest.id,
            "run": run or None,
            "status": state,
            "version_id": latest.drop.version_id,
            "dropped": iso(latest.drop.modified),
            "results": named_results(context, results_prefix(latest)),
        }
        context.objects.put(
            context.buckets.results, results_root(latest.drop.key) + "latest.json", _json(members), JSON
        )


History = Callable[[str, str], Sequence[int]]
"""A function of an endpoint and a model that returns how many seconds its batches took in earlier jobs."""


def write_status(context: Context, job: Job, open_batches: Sequence[Batch], history: History) -> None:
    """Write `status.json` if its contents have changed, or if the end that it estimates has passed.

    Only open batches can change, so they show whether to read all batches and write the file. `history` says how long
    batches of an endpoint and a model took before.
    """
    now = context.now()
    digest = hashlib.sha256(repr(state_digest(job, open_batches)).encode()).hexdigest()
    if digest == job.status_digest and not 0 < job.status_until < now:
        return
    batches = context.repository.batches(job.id)
    expected = estimate(job, batches, _times_of(history, batches), now)
    progress = {
        **job_members(context, job, "status", str(job.state)),
        "phase": phase(job, open_batches),
        **({"held_reason": str(job.held_reason)} if job.held_reason else {}),
        "rows": {**row_members(job), **outcomes_so_far(batches)},
        **quoted(job.quote),
        **({"eta": expected.to_json()} if expected else {}),
        "requests": {
            # Requests that moved on to follow-up batches count there.
            "total": sum(batch.requests - batch.requests_moved_on for batch in batches),
            "completed": sum(batch.completed for batch in batches),
            "failed": sum(max(0, batch.failed - batch.requests_moved_on) for batch in batches),
        },
        "batches": dict(Counter(str(batch.state) for batch in batches)),
        "open_batches": open_batch_members(open_batches, now),
        "updated_at": iso(now),
    }
    job.status_digest, job.status_until = digest, expected.latest if expected else 0
    try:
        context.repository.save(job)
    except StaleItemError:
        return
    key = results_prefix(job) + "status.json"
    context.objects.put(context.buckets.results, key, _json(progress), JSON, is_progress=True)
    current = context.repository.reload(job)
    if (
        current is not None and current.state in ENDED_JOBS
    ):  # meanwhile, and its own status.json may have been the first
        correct_status(context, current)


def correct_status(context: Context, job: Job, decided: Mapping[str, Any] | None = None) -> None:
    """Write `status.json` of an ended job again, if a poll has written it: that may have been a moment ago.

    A failure is logged: the job has ended, and `summary.json` or `rejected.json` says so.
    """
    if job.status_digest is None:
        return
    try:
        if decided is None and job.state is not JobState.REJECTED:
            decided = decision_of(context, job.id)
        rows = decided["summary"]["rows"] if decided else row_members(job)
        write_ended_status(context, job, str(job.state), rows, job.ended_at or context.now())
    except Exception:  # noqa: BLE001 - as above
        context.observer.exception("status.json could not be written again", job_id=job.id)


def read_history(context: Context) -> History:
    """Return a function that reads once, for each endpoint and model, how long its batches took in earlier jobs."""

    @cache
    def history(endpoint: str, model: str) -> Sequence[int]:
        return context.repository.usage_history("", endpoint, model, "").seconds

    return history


def _times_of(history: History, batches: Sequence[Batch]) -> Times:
    """Return a function that says how long batches like one took: those of its model, and the job's own among these."""

    @cache
    def times(endpoint: str, model: str) -> Sequence[int]:
        own = [seconds_taken(batch) for batch in batches if (batch.endpoint, batch.model) == (endpoint, model)]
        return [*history(endpoint, model), *(seconds for seconds in own if seconds is not None)]

    return lambda batch: times(batch.endpoint, batch.model)


def _put(context: Context, job: Job, name: str, members: Mapping[str, Any]) -> None:
    context.objects.put(context.buckets.results, results_prefix(job) + name, _json(members), JSON)


def _json(members: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(members), indent=2)  # a poll writes some, and loads no orjson
