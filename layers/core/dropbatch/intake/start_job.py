"""The start of a job: it is opened for a drop, and when it is built, it is accepted and runs, or is held."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job, Limited, Shard, reportable_names
from dropbatch.domain.markers import MarkerKind
from dropbatch.domain.quotes import Quote
from dropbatch.domain.recipe_summary import Understood
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.states import HeldReason, JobState
from dropbatch.intake.approval import hold_reason
from dropbatch.jobs import outbox
from dropbatch.jobs.deduplication import claim_job, claimed_job
from dropbatch.jobs.lease import release
from dropbatch.jobs.pending import MAX_PENDING_SECONDS
from dropbatch.jobs.runs import begin_run, newer_replacement, replace_older
from dropbatch.jobs.spending import standing
from dropbatch.jobs.waiting import stop_waiting
from dropbatch.messages import message_for
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.keys import DEADLINE_SECONDS
from dropbatch.recipes.summary import understood
from dropbatch.reporting import held_notices, result_files, start_notices
from dropbatch.reporting.event_members import UsedRecipe
from dropbatch.reporting.phrases import read_dollars
from dropbatch.reporting.runs import OpenRuns, open_runs
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import decision_of
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.mirror_keys import mirror_key
from dropbatch.storage.recipe_text import RecipeText
from dropbatch.storage.repository import Repository
from dropbatch.submission.first_batches import dispatch_first

_BUILT_MEMBERS = (
    "notify", "digest", "attempts", "retry_invalid", "deadline_at", "recipe_path", "recipe_sha256", "rows", "shards",
    "claim", "run", "models", "endpoints", "content", "cancels_older", "limited", "mirror", "quote", "budget_usd",
    "asked_usd", "canary", "duplicates",
)  # fmt: skip  # a list of names reads best as lines of text
"""The members of a job that building it sets."""


class ReadyJob(NamedTuple):
    """A job that is ready to start: its rows are in shards, and its batches are known."""

    rows: int
    shards: list[Shard]
    batches: list[Batch]  # batches to send
    kept: list[Batch]  # batches with the answers of a former job
    recipe: RecipeText | None
    compiled: CompiledRecipe | None
    claim: str
    skipped: SkippedRows
    content: str | None  # hash of the drop's content
    limited: Limited | None
    is_bomb: bool = False  # the drop was compressed suspiciously well
    former: Job | None = None  # the job whose rows it retries
    answered_by: str | None = None  # the job that answered the same rows with the same recipe before
    duplicates: int = 0  # rows that share the answer of another row
    recipes: Sequence[UsedRecipe] = ()  # the recipes that the rows of a `.retry` were sent with, its own the last
    quote: Quote | None = None

    @property
    def requests(self) -> int:
        """The number of requests to send."""
        return sum(batch.requests for batch in self.batches)


@dataclass(frozen=True, slots=True)
class _Hold:
    """The hold with which a job starts."""

    reason: HeldReason
    notice: outbox.Notice


def open_job(
    context: Context,
    drop: Drop,
    rerun_version: str,
    requested_at: int,
    retry_of: str | None = None,
    marker: MarkerKind | None = None,
    marker_name: str = "",
) -> Job:
    """Return the job of a drop, or of the marker with this version; a new one if it has none yet."""
    identity = claimed_job(context.repository, drop, rerun_version)
    job = context.repository.job(identity) if identity is not None else None
    if job is not None:
        return job
    now = context.now()
    job = Job(
        id=identity or claim_job(context.repository, drop, requested_at, now, rerun_version),
        drop=drop,
        created_at=now,
        requested_at=requested_at,
        rerun_version=rerun_version or None,
        marker=marker,
        marker_name=marker_name,
        retry_of=retry_of,
        build_until=now + MAX_PENDING_SECONDS,
        sent_at=now,
    )
    return job if context.repository.add(job) else context.repository.job(job.id) or job


def start_job(context: Context, job: Job, ready: ReadyJob) -> None:
    """Write the items and files of a job, have it run or hold it, and notify its owner."""
    for item in (*ready.shards, *ready.kept, *ready.batches):
        context.repository.add(item)
    _describe(context, job, ready)
    if ready.recipe:
        result_files.write_recipe(context, job, ready.recipe)
    older = open_runs(context.repository, begin_run(context.repository, job))
    newer = newer_replacement(context.repository, job) if job.cancels_older else None
    JobFiles(context.objects, context.buckets.work, job.id).keep_skipped(ready.skipped)
    result_files.write_skipped(context, job, ready.skipped)
    result_files.write_quote(context, job)
    result_files.write_latest(context, job)
    said = understood(ready.compiled) if ready.compiled else None
    notice = start_notices.accepted(context, job, ready.batches, ready.skipped, ready.recipes, older, said, newer)
    accepted = outbox.write(context, job, "accepted", notice)
    hold = _hold(context, job, ready, older, said) if newer is None else None
    started = _move_on(context, job, ready, accepted, hold, newer)
    if started is None:
        return  # the lease ran out, and another process took over
    context.observer.job_metric("JobsAccepted", 1, job.id)
    context.observer.info(
        "accepted", job_id=job.id, rows=job.rows, batches=len(ready.batches), state=str(started.state)
    )
    if started.state is JobState.RUNNING and not started.cancel_requested:
        dispatch_first(context, started, ready.batches)
    if started.sent_at:
        context.collect.send(message_for(started))
    if started.cancels_older and started.state is JobState.RUNNING:
        replace_older(context.repository, started, context.now())
    outbox.publish_now(context, started)
    if job.retry_of:
        _release_work(context.repository, job.retry_of)
    stop_waiting(context.repository, job)


def _describe(context: Context, job: Job, ready: ReadyJob) -> None:
    """Set the members of a job that follow from its rows and its recipe."""
    if ready.compiled:
        recipe = ready.compiled.recipe
        job.attempts, job.retry_invalid = recipe.attempts, recipe.retry_invalid
        job.budget_usd = recipe.budget_usd
        # A `.retry` of a limited run keeps to its rows, whatever today's recipe says. They are not a whole table.
        job.mirror = mirror_key(job.drop.key) if recipe.mirror and ready.limited is None else None
    if ready.recipe:
        ready.recipe.note_in(job)
    job.deadline_at = context.now() + (ready.compiled.recipe.deadline if ready.compiled else DEADLINE_SECONDS)
    job.rows, job.shards, job.claim, job.content = ready.rows, len(ready.shards), ready.claim, ready.content
    job.limited, job.quote, job.duplicates = ready.limited, ready.quote, ready.duplicates
    former_models = (ready.former.models, ready.former.endpoints) if ready.former else ([], [])
    job.models = reportable_names([*(batch.model for batch in ready.batches), *former_models[0]])
    job.endpoints = reportable_names([*(batch.endpoint for batch in ready.batches), *former_models[1]])
    job.cancels_older = ready.compiled is not None and ready.compiled.recipe.replace == "cancel"


def _hold(context: Context, job: Job, ready: ReadyJob, older: OpenRuns, said: Understood | None) -> _Hold | None:
    """Return the hold of a job that needs an approval, with its notice written; None if it needs none."""
    before = _answered_before(context, job, ready)
    asked = ready.compiled is not None and ready.compiled.recipe.hold
    reason = hold_reason(context, job, requests=ready.requests, asked=asked, is_bomb=ready.is_bomb)
    if before and ready.requests:
        reason = HeldReason.REPEATED
    if reason is None:
        return None
    money = standing(context, job)
    job.asked_usd = money.likely
    notice = held_notices.held(
        context, job, reason, ready.batches, ready.skipped, ready.recipes, older, before, said, money
    )
    result_files.write_approval_page(context, job, reason, notice)
    return _Hold(reason, outbox.write(context, job, "held", notice))


def _answered_before(context: Context, job: Job, ready: ReadyJob) -> held_notices.AnsweredBefore | None:
    """Return the run that has answered the rows that a `.rerun` sends again, if there is one."""
    if job.marker != MarkerKind.RERUN or ready.answered_by is None:
        return None
    former = context.repository.job(ready.answered_by)
    if former is None:
        return None
    decision = decision_of(context, former.id)
    return held_notices.AnsweredBefore(former, read_dollars(decision["summary"]["cost"]["paid"]) if decision else None)


def _move_on(
    context: Context, job: Job, ready: ReadyJob, accepted: outbox.Notice, hold: _Hold | None, newer: Job | None
) -> Job | None:
    """Let the job in the table run, or hold it; None if this process has lost its lease."""
    lease = job.lease
    # Some shards may have no request. The job's own step finishes these.
    has_shards_to_finish = {batch.shard for batch in ready.batches} != {shard.number for shard in ready.shards}

    def move(current: Job) -> bool:
        if current.state is not JobState.BUILDING or current.lease != lease:
            return False
        for name in _BUILT_MEMBERS:
            setattr(current, name, getattr(job, name))
        current.came_further()
        release(current)
        if newer is not None and not current.cancel_requested:
            current.cancel_requested, current.cancel_requested_at = True, context.now()
            current.replaced_by = newer.run
        if hold is not None:
            current.held_reason, current.held_at = hold.reason, context.now()
            current.holds = {**current.holds, str(hold.reason): context.now()}
            outbox.post(context, current, hold.notice)
            current.move(JobState.HELD)
            return True
        current.sent_at = context.now() if has_shards_to_finish else 0
        outbox.post(context, current, accepted)
        current.move(JobState.RUNNING)
        return True

    return context.repository.update(job, move)


def _release_work(repository: Repository, former: str) -> None:
    """Allow deleting the files of a job whose answers have been carried over into another one."""

    def release(current: Job) -> bool:
        if not current.keeps_work:
            return False
        current.keeps_work = current.is_clean = False
        return True

    repository.change(lambda: repository.job(former), release)
