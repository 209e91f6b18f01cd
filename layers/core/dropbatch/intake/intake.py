"""Takes in what lands in the inbox: a drop becomes a job, a recipe is checked, a marker is obeyed.

A drop is validated as a whole before anything is spent: one pass reads every row, builds its request to know its size,
and writes the rows, verbatim, into shards. The shards mean nothing until the job is running; a rejected job's are
deleted. Every step may be repeated: ids and keys follow from the drop, the recipe is kept by the process that came
first, and what was written before is written again with the same bytes.

What is not due yet, or failed, waits in the table, and the poller sends it again: a drop in its job, anything else as a
`Pending`. "Older" and "newer" go by the times and sequencers of S3's events.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop, ObjectKind, meaning_of
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError, StaleItemError
from dropbatch.domain.jobs import KEPT_SECONDS, Job, Limited, Shard, reportable_names
from dropbatch.domain.markers import MAX_MARKER_BYTES, Marker, MarkerKind, NearMarker, name_of
from dropbatch.domain.problems import Problem, Problems
from dropbatch.domain.runs import Claim
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.states import ANSWERED_JOBS, ENDED_JOBS, HeldReason, JobState
from dropbatch.formats.file_types import file_type
from dropbatch.intake import markers
from dropbatch.intake.recipe_check import check_recipe, recipe_elsewhere
from dropbatch.intake.recipe_parts import check_recipes_of_part, is_part, may_be_part
from dropbatch.intake.retry_job import Former, carry_over
from dropbatch.intake.retry_recipe import choose_recipe
from dropbatch.intake.sharding import batches_of
from dropbatch.intake.validation import build
from dropbatch.intake.waiting_files import file_to_take_up, waits_from_now_on
from dropbatch.jobs import outbox
from dropbatch.jobs.deduplication import (
    begin_run,
    claim_job,
    claimed_job,
    digest_of,
    leave_to,
    replace_older,
    replacing,
    set_latest,
)
from dropbatch.jobs.give_up import (
    KILLS,
    NOT_READABLE,
    end_duplicate,
    end_silently,
    refuse_unseen,
    reject,
)
from dropbatch.jobs.lease import give_back, kept, put_off, take, update_own
from dropbatch.jobs.pending import LOOK_AGAIN_SECONDS, MAX_PENDING_SECONDS, may_come, pending_for, wait_for
from dropbatch.jobs.waiting import wait_for_recipe, waits_for_recipe, waits_no_more
from dropbatch.messages import IntakeMessage, intake_message_for, message_for
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.file_values import file_values
from dropbatch.recipes.keys import DEADLINE_SECONDS
from dropbatch.recipes.understood import understood
from dropbatch.reporting import held_notices, result_files, start_notices
from dropbatch.reporting.details import UsedRecipe
from dropbatch.reporting.runs import open_runs
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import decision_of
from dropbatch.storage.job_files import JobFiles, RecipeText
from dropbatch.storage.mirror_keys import mirror_key
from dropbatch.storage.repository import Repository
from dropbatch.submission.admission import dispatch_first

CARRY_SECONDS = 60
"""With less time left no further shard of a job is carried over into another: one takes seconds."""

MAX_UNPACKED_FACTOR = 50
"""A drop that unpacks to more than this many times its size is held for an approval: text rarely packs by twenty."""

MIN_BOMB_ROWS = 1_000
"""Fewer rows cost cents, whatever they unpack to."""

MAX_KILLS = 2
"""How often reading a drop may kill the function before the drop is rejected."""

_ALL_IS_DONE = Problem(
    "nothing_to_retry",
    "No row of the former job can be sent again as it is: all are answered or left out, would fail again, or may be "
    "paid already; if there is a failed file, correct the rows in it, and drop it; a .rerun beside the drop asks all "
    "rows.",
)

SETTLED = (
    "notify", "digest", "attempts", "retry_invalid", "deadline_at", "recipe_path", "recipe_sha256", "rows", "shards",
    "claim", "run", "models", "endpoints", "content", "cancels_older", "limited", "mirror",
)  # fmt: skip  # a list of names reads best as lines of text
"""What building a job finds out about it."""


def take_in(context: Context, look: IntakeMessage) -> None:
    """Look at one version of one object of the inbox and do what its key asks for."""
    try:
        is_done = _take_in(context, look)
    except Exception:  # noqa: BLE001 - logged, counted, and tried again for a day
        context.observer.exception("an object of the inbox could not be looked at", version_id=look.version_id)
        wait_for(context, look, failed=True)
        return
    if is_done:
        _forget(context, look)


def _forget(context: Context, look: IntakeMessage) -> None:
    """Delete the item of an object that waited and is done, unless something is still to be told of it."""
    try:
        pending = context.repository.reload(pending_for(context, look))
        if pending is not None and not pending.outbox and not pending.is_kept:
            context.repository.remove(pending)
    except Exception:  # noqa: BLE001 - what it waited for is done: it must not be done again because of this
        context.observer.exception("a pending object could not be forgotten yet", version_id=look.version_id)


def _take_in(context: Context, look: IntakeMessage) -> bool:
    """Return whether all is done; else the object is looked at again later."""
    meaning = meaning_of(look.key)
    if meaning is ObjectKind.IGNORED and not may_be_part(look.key):
        return True
    try:
        info = context.objects.head(look.bucket, look.key, look.version_id)
    except ObjectNotFoundError:
        context.observer.info("the object is gone; nothing to do")
        return True
    except ObjectForbiddenError:
        if isinstance(meaning, Marker) and look.version_id and look.event_at is not None:
            return _obey(context, meaning, look, look.event_at)  # whatever it contains
        refuse_unseen(context, wait_for(context, look, failed=False), NOT_READABLE)
        return True
    arrived = look.event_at or info.modified
    if isinstance(meaning, Marker) or (isinstance(meaning, NearMarker) and info.size <= MAX_MARKER_BYTES):
        return _obey(context, meaning, replace(look, version_id=info.version_id), arrived)
    if meaning is ObjectKind.RECIPE:
        return check_recipe(context, look, info)
    drop = Drop(look.bucket, look.key, info.version_id, info.modified, info.size, info.labels, arrived, look.sequencer)
    if may_be_part(look.key) and not _has_job(context.repository, look, drop) and check_recipes_of_part(context, drop):
        return True
    if meaning is ObjectKind.IGNORED:
        return True
    if look.rerun_version and not _has_job(context.repository, look, drop):
        return _take_up(context, look, drop)
    _take_in_drop(context, drop, look.rerun_version, arrived)
    return True


def _obey(context: Context, marker: Marker | NearMarker, look: IntakeMessage, arrived: int) -> bool:
    """Do what a marker asks; False while what it stands beside may still come."""
    answer = markers.obey(context, marker, look, arrived)
    if isinstance(answer, bool):
        return answer
    version = look.version_id or ""
    job = _open_job(context, answer.drop, version, arrived, answer.retry_of, answer.kind, name_of(look.key))
    markers.has_acted(context, look)
    _begin_leased(context, job)
    return True


def _has_job(repository: Repository, look: IntakeMessage, drop: Drop) -> bool:
    identity = claimed_job(repository, drop, look.rerun_version)
    return identity is not None and repository.job(identity) is not None


def _take_up(context: Context, look: IntakeMessage, drop: Drop) -> bool:
    """Take a rejected drop in again, with the recipe that has come; False while the rejection is not done yet."""
    former = file_to_take_up(context, drop)
    if former is None:
        context.observer.info("the file no longer waits for a recipe; nothing to do")
        return True
    if former.state is JobState.BUILDING:
        wait_for(context, look, failed=False)
        return False
    requested_at = max(drop.arrived, former.requested_at)
    _begin_leased(context, _open_job(context, former.drop, look.rerun_version, requested_at, former.retry_of))
    return True


def _take_in_drop(context: Context, drop: Drop, rerun_version: str, requested_at: int) -> None:
    _begin_leased(context, _open_job(context, drop, rerun_version, requested_at))


def _open_job(
    context: Context,
    drop: Drop,
    rerun_version: str,
    requested_at: int,
    retry_of: str | None = None,
    marker: MarkerKind | None = None,
    marker_name: str = "",
) -> Job:
    """Return the job of a drop, or of the marker with this version."""
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


def _begin_leased(context: Context, job: Job) -> None:
    """Build a job, if that is due and no other process does."""
    if job.state is not JobState.BUILDING or job.is_leased(context.now()) or job.not_before > context.now():
        return  # taken in before, or being taken in, or not due: should that one die, it comes again
    take(context, job)
    try:
        context.repository.save(job)
    except StaleItemError:
        return
    files = JobFiles(context.objects, context.buckets.work, job.id)
    with kept(context, job):
        if job.kill_count >= MAX_KILLS:
            _reject(context, job, files, DropRejectedError.because(KILLS).problems)
            return
        try:
            _begin(context, job, files)
        except Exception:  # noqa: BLE001 - logged, counted, and tried again for a day
            context.observer.exception("a drop could not be read", job_id=job.id)
            update_own(context.repository, job, lambda current: put_off(context, current))


def _begin(context: Context, job: Job, files: JobFiles) -> None:
    """Build a job, or say why it cannot be."""
    context.observer.info("taking in", job_id=job.id, size=job.drop.size)
    if is_part(context, job.drop):  # the recipe that names it came after it
        end_silently(context, job)
        return
    set_latest(context.repository, job, context.now())
    try:
        try:
            _build(context, job, files)
        except ObjectForbiddenError:
            raise DropRejectedError.because(NOT_READABLE) from None
    except DropRejectedError as rejected:
        if not may_come(context, rejected.problems, job.created_at):
            _reject(context, job, files, rejected.problems)
        elif _is_superseded(context, job.drop):
            end_silently(context, job)
        else:
            found = files.found
            if waits_for_recipe(rejected.problems, has_recipe=found is not None):
                used = (found.path, found.sha256, found.reading) if found is not None else None
                wait_for_recipe(context, job, rejected.problems, used, is_rejected=False)
            update_own(context.repository, job, lambda current: _look_again(context, current))


def _reject(context: Context, job: Job, files: JobFiles, problems: Problems) -> None:
    """End a job whose drop cannot be used; if that is for its recipe's sake, another recipe takes its file up."""
    recipe = files.found or files.recipe()
    if recipe is not None:
        recipe.note_in(job)
        result_files.write_recipe(context, job, recipe)
    waits = waits_for_recipe(problems, has_recipe=recipe is not None)
    goes_on = waits and waits_from_now_on(context, job, problems, recipe)
    elsewhere = recipe_elsewhere(context, job) if problems.has("no_recipe") else []
    reject(context, job, problems, waits=waits, goes_on=goes_on, elsewhere=elsewhere)


def _look_again(context: Context, job: Job) -> None:
    """Give a job back whose recipe may still come: the poller sends it when it is due."""
    job.came_further()
    give_back(job, context.now() + LOOK_AGAIN_SECONDS)


def _is_superseded(context: Context, drop: Drop) -> bool:
    """Whether an empty file was a placeholder, and the upload proper has come in its place."""
    if drop.size:
        return False
    try:
        return context.objects.head(drop.bucket, drop.key).version_id != drop.version_id
    except ObjectNotFoundError:
        return False


class _Ready(NamedTuple):
    """A job that is ready to run: its rows are in shards, and its batches known."""

    rows: int
    shards: list[Shard]
    batches: list[Batch]  # to be asked
    kept: list[Batch]  # answered before
    recipe: RecipeText | None
    compiled: CompiledRecipe | None
    claim: str
    skipped: SkippedRows
    content: str | None  # hash of the drop's content
    limited: Limited | None
    is_bomb: bool = False  # it was packed suspiciously well
    former: Job | None = None  # whose rows are asked again
    answered_by: str | None = None  # the job that answered the same rows with the same recipe before
    recipes: Sequence[UsedRecipe] = ()  # that the rows of a `.retry` were asked with, its own the last


def _build(context: Context, job: Job, files: JobFiles) -> None:
    built = None
    if job.retry_of is None:
        built = build(context, job, files, lambda name: _pass_on(context, job, name))
        if built is None:
            return
    if built is not None:
        digest = digest_of(job.drop.bucket, job.drop.key, built.content, built.recipe.sha256 if built.recipe else "raw")
    else:
        digest = digest_of(job.drop.bucket, job.drop.key, "retry", job.retry_of or "")
    standing, answered_by = _claim(context.repository, digest, job)
    if standing is not None:
        leave_to(context.repository, job, standing, context.now())
        end_duplicate(context, job, standing)
        return
    if built is None:
        ready = _ready_again(context, job, files, digest)
        if ready is not None:
            _run(context, job, ready)
        return
    files.keep_layout(built.layout)
    if built.sampled is not None:
        files.keep_sampled(built.sampled)
    batches = [
        Batch(
            job_id=job.id,
            shard=plan.number,
            model_group=number,
            endpoint=group.endpoint,
            model=group.model,
            requests=group.requests,
            tokens=group.tokens,
            inputs=group.embedding_inputs,
            created_at=context.now(),
            expires_at=job.created_at + KEPT_SECONDS,
        )
        for plan, number, group in batches_of(built.plans)
    ]
    expires_at = job.created_at + KEPT_SECONDS
    shards = [
        Shard(job.id, plan.number, plan.first_row, plan.first_line, plan.rows, expires_at=expires_at)
        for plan in built.plans
    ]
    unpacked = sum(plan.size for plan in built.plans)
    is_bomb = bool(file_type(job.drop.key).compression) and unpacked > MAX_UNPACKED_FACTOR * job.drop.size
    ready = _Ready(
        built.rows, shards, batches, [], built.recipe, built.compiled, digest, built.skipped, built.content,
        built.limited, is_bomb, answered_by=answered_by,
    )  # fmt: skip  # what a job is made of in a line or two
    _run(context, job, ready)


def _pass_on(context: Context, job: Job, name: str) -> None:
    """Give a job back with how far it came, and have the next invocation go on."""

    def keep(current: Job) -> None:
        if current.state is not JobState.BUILDING:
            return
        current.came_further()
        give_back(current)
        current.progress, current.sent_at = name, context.now()
        current.build_until = context.now() + MAX_PENDING_SECONDS

    if update_own(context.repository, job, keep):
        context.observer.info("the job continues in the next invocation", job_id=job.id)
        # Should this be cut short, the poller sends it again.
        context.intake.send(intake_message_for(job.drop, job.rerun_version))


def _ready_again(context: Context, job: Job, files: JobFiles, digest: str) -> _Ready | None:
    """The job that asks another's failed rows again, and keeps what it answered.

    Its rows are the same. Its recipe is today's, chosen once: by the first process that comes so far. None where time
    has run out: the next invocation comes further.
    """
    former = context.repository.job(job.retry_of or "")
    if former is not None and former.is_clean and not former.keeps_work:
        raise DropRejectedError.because(_ALL_IS_DONE)  # so nothing of it was kept
    old = JobFiles(context.objects, context.buckets.work, former.id) if former else None
    try:
        layout = old.layout() if old else None
    except ObjectNotFoundError:
        layout = None
    if former is None or old is None or layout is None:
        raise DropRejectedError.because(
            Problem(
                "rows_gone",
                "The rows of the former job are no longer kept, and cannot be sent again; drop its failed file.",
            )
        )
    recipe, used = choose_recipe(context, job, files, old, layout)
    files.keep_layout(layout)
    job.limited = former.limited
    sampled = old.sampled() if former.limited is not None and former.limited.seed is not None else None
    if sampled is not None:
        files.keep_sampled(sampled)
    rows = JobRows(context, job)
    former_recipes = max(1, len(old.recipes()))
    today = None
    if recipe is not None and len(used) > former_recipes:
        today = recipe.compiled(file=file_values(job.drop.key, layout.columns))
    origin = Former(old, rows if today is None else JobRows(context, former), former_recipes, today)
    carried = int(job.progress or 0)  # shards, by the invocations before
    batches: list[Batch] = []
    kept: list[Batch] = []
    shards = []
    skipped, newly_skipped = old.skipped(), SkippedRows()
    for shard in context.repository.shards(former.id):
        copy = Shard(
            job.id,
            shard.number,
            shard.first_row,
            shard.first_line,
            shard.rows,
            expires_at=job.created_at + KEPT_SECONDS,
        )
        shards.append(copy)
        found = carry_over(context, context.repository.batches(former.id, shard.number), origin, rows, copy)
        kept += found.stays
        batches += found.asked
        newly_skipped.merge(found.skipped)
        if len(shards) > carried and context.seconds_left() < CARRY_SECONDS:
            _pass_on(context, job, str(len(shards)))
            return None
    if not batches and not newly_skipped.codes:
        raise DropRejectedError.because(_nothing_to_retry(recipe))
    skipped.merge(newly_skipped)
    return _Ready(
        former.rows, shards, batches, kept, recipe, rows.compiled, digest, skipped, former.content,
        former.limited, former=former, recipes=used,
    )  # fmt: skip  # what a job is made of in a line or two


def _nothing_to_retry(recipe: RecipeText | None) -> Problem:
    why = "all are answered or left out, may be paid already, or were truncated or refused, and would be so again"
    if recipe is None:
        sentence = f"No row of the former job can be sent again: {why}; correct them in the failed file, and drop it."
        return Problem("nothing_to_retry", sentence)
    sentence = (
        f"No row of the former job can be sent again with the same recipe: {why}; change {recipe.path}, or correct "
        "the rows in the failed file and drop it."
    )
    return Problem("nothing_to_retry", sentence, path=recipe.path)


def _run(context: Context, job: Job, ready: _Ready) -> None:
    """Write what a job consists of, set it going or hold it, and tell so."""
    for item in (*ready.shards, *ready.kept, *ready.batches):
        context.repository.add(item)
    if ready.compiled:
        recipe = ready.compiled.recipe
        job.attempts, job.retry_invalid = recipe.attempts, recipe.retry_invalid
        # A `.retry` of some rows keeps to them, whatever today's recipe says: they are no whole table.
        job.mirror = mirror_key(job.drop.key) if recipe.mirror and ready.limited is None else None
    if ready.recipe:
        ready.recipe.note_in(job)
        result_files.write_recipe(context, job, ready.recipe)
    job.deadline_at = context.now() + (ready.compiled.recipe.deadline if ready.compiled else DEADLINE_SECONDS)
    job.rows, job.shards, job.claim, job.content = ready.rows, len(ready.shards), ready.claim, ready.content
    job.limited = ready.limited
    former_models = (ready.former.models, ready.former.endpoints) if ready.former else ([], [])
    job.models = reportable_names([*(batch.model for batch in ready.batches), *former_models[0]])
    job.endpoints = reportable_names([*(batch.endpoint for batch in ready.batches), *former_models[1]])
    job.cancels_older = ready.compiled is not None and ready.compiled.recipe.replace == "cancel"
    older = open_runs(context.repository, begin_run(context.repository, job))
    newer = replacing(context.repository, job) if job.cancels_older else None
    # There may be shards that nothing is asked of: the job's own step finishes these.
    is_partly_done = {batch.shard for batch in ready.batches} != {shard.number for shard in ready.shards}
    JobFiles(context.objects, context.buckets.work, job.id).keep_skipped(ready.skipped)
    result_files.write_skipped(context, job, ready.skipped)
    result_files.write_latest(context, job)
    said = understood(ready.compiled) if ready.compiled else None
    told = start_notices.accepted(context, job, ready.batches, ready.skipped, ready.recipes, older, said, newer)
    accepted = outbox.write(context, job, "accepted", told)
    asked = sum(batch.requests for batch in ready.batches)
    waits = None
    before = _answered_before(context, job, ready)
    reason = HeldReason.REPEATED if before and asked else HeldReason.SIZE
    is_large = asked > context.hold_above_rows or (ready.is_bomb and asked >= MIN_BOMB_ROWS)
    if newer is None and (reason is HeldReason.REPEATED or is_large):
        told = held_notices.held(context, job, reason, ready.batches, ready.skipped, ready.recipes, older, before, said)
        waits = outbox.write(context, job, "held", told)
    lease = job.lease

    def run(now: Job) -> bool:
        if now.state is not JobState.BUILDING or now.lease != lease:
            return False
        for name in SETTLED:
            setattr(now, name, getattr(job, name))
        now.came_further()
        give_back(now)
        if newer is not None and not now.cancel_requested:
            now.cancel_requested, now.cancel_requested_at, now.replaced_by = True, context.now(), newer.run
        if waits is not None and not now.approved:
            now.held_reason, now.held_at = reason, context.now()
            now.holds = {**now.holds, str(reason): context.now()}
            outbox.post(context, now, waits)
            now.move(JobState.HELD)
            return True
        now.sent_at = context.now() if is_partly_done else 0
        outbox.post(context, now, accepted)
        now.move(JobState.RUNNING)
        return True

    running = context.repository.update(job, run)
    if running is None:
        return  # the lease ran out, and another took over
    context.observer.metric("JobsAccepted", 1)
    context.observer.info(
        "accepted", job_id=job.id, rows=job.rows, batches=len(ready.batches), state=str(running.state)
    )
    if running.state is JobState.RUNNING and not running.cancel_requested:
        dispatch_first(context, ready.batches)
    if running.sent_at:
        context.collect.send(message_for(running))
    if running.cancels_older and running.state is JobState.RUNNING:
        replace_older(context.repository, running, context.now())
    outbox.tell_now(context, running)
    if job.retry_of:
        _release_work(context.repository, job.retry_of)
    waits_no_more(context.repository, job)


def _release_work(repository: Repository, former: str) -> None:
    """Let the work of a job be deleted whose answers have been carried over into another."""

    def release(current: Job) -> bool:
        if not current.keeps_work:
            return False
        current.keeps_work = current.is_clean = False
        return True

    repository.change(lambda: repository.job(former), release)


def _answered_before(context: Context, job: Job, ready: _Ready) -> held_notices.AnsweredBefore | None:
    """Return the run that has answered just what a `.rerun` asks again, if one has."""
    if job.marker != MarkerKind.RERUN or ready.answered_by is None:
        return None
    former = context.repository.job(ready.answered_by)
    if former is None:
        return None
    decision = decision_of(context, former.id)
    return held_notices.AnsweredBefore(former, decision["summary"]["cost"]["paid"] if decision else None)


def _claim(repository: Repository, digest: str, job: Job) -> tuple[Job | None, str | None]:
    """Claim this content and recipe for the job.

    Returns the other open job that has it, if one does, and the job that has answered it before.
    """
    while not repository.add(Claim(digest, job.id, expires_at=job.created_at + KEPT_SECONDS)):
        claim = repository.claim(digest)
        if claim is None:
            continue
        if claim.job_id == job.id:
            return None, claim.answered_by
        holder = repository.job(claim.job_id)
        if holder is not None and holder.state not in ENDED_JOBS:
            return holder, None
        if holder is not None and holder.state in ANSWERED_JOBS:
            claim.answered_by = holder.id
        claim.job_id, claim.expires_at = job.id, job.created_at + KEPT_SECONDS
        try:
            repository.save(claim)
        except StaleItemError:
            continue
        return None, claim.answered_by
    return None, None
