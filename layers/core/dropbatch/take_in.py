"""Takes in what lands in the inbox: a drop becomes a job, a recipe is checked, a marker is obeyed.

A drop is validated as a whole before anything is spent: one pass reads every row, builds its request to know its size,
and writes the rows, verbatim, into shards. The shards mean nothing until the job is running; a rejected job's are
deleted. Every step may be repeated: ids and keys follow from the drop, the recipe is kept by whoever came first, and
what was written before is written again with the same bytes.
"""

from typing import NamedTuple

from dropbatch import telling
from dropbatch.admission import place
from dropbatch.asking import JobRows
from dropbatch.building import build
from dropbatch.carrying import carry_over
from dropbatch.claims import cancel_where_asked, digest_of, point_at, version_claim
from dropbatch.domain.drops import Drop, Marker, MarkerKind, Meaning, job_id, meaning_of
from dropbatch.domain.errors import ConditionFailed, ObjectForbidden, ObjectMissing, Rejected
from dropbatch.domain.jobs import ENDED_JOBS, Batch, Claim, HeldReason, Job, JobState, Newest, Shard
from dropbatch.domain.problems import MAY_COME, Problem, Problems
from dropbatch.giving_up import NOT_READABLE, end_rejected, refuse_unseen
from dropbatch.jobfiles import JobFiles, RecipeText, beside, find_recipe, read_recipe, with_files
from dropbatch.ledger import Ledger
from dropbatch.messages import Look, look_again, work_on
from dropbatch.ports import ObjectInfo, World
from dropbatch.recipes.compiling import CompiledRecipe
from dropbatch.recipes.parsing import DEADLINE_SECONDS
from dropbatch.sharding import batches_of

LOOK_AGAIN_SECONDS = 10
"""How soon a drop that has no recipe yet, or is empty, is looked at again."""

LEASE_MARGIN_SECONDS = 10
"""How much longer than its function a lease lives."""

CARRY_SECONDS = 60
"""With less time left no further shard of a job is carried over into another: one takes seconds."""

SETTLED = ("notify", "attempts", "retry_invalid", "deadline_at", "recipe_sha256", "rows", "shards", "claim")
"""What building a job finds out about it."""


def take_in(world: World, look: Look) -> None:
    """Looks at one version of one object of the inbox and does what its key asks for."""
    try:
        info = world.objects.head(look.bucket, look.key, look.version_id)
    except ObjectMissing:
        world.observer.note("the object is gone; nothing to do")
        return
    except ObjectForbidden:
        refuse_unseen(world, look, NOT_READABLE)
        return
    meaning = meaning_of(look.key)
    if isinstance(meaning, Marker):
        _obey(world, meaning, look, info)
    elif meaning is Meaning.RECIPE:
        _check_recipe(world, look, info)
    elif meaning is Meaning.DROP:
        drop = Drop(look.bucket, look.key, info.version_id, info.modified, info.size, info.labels)
        _take_in_drop(world, drop, look.rerun_version, info.modified)


def _obey(world: World, marker: Marker, look: Look, info: ObjectInfo) -> None:
    ledger = Ledger(world.table)
    if marker.kind is MarkerKind.CANCEL:

        def remember(newest: Newest) -> bool:
            newest.cancel_modified = max(newest.cancel_modified, info.modified)
            return True

        newest = ledger.change(lambda: ledger.newest(look.bucket, marker.drop_key), remember)
        if newest is not None:
            cancel_where_asked(ledger, newest)
        return
    newest = ledger.newest(look.bucket, marker.drop_key)
    job = ledger.job(newest.job_id) if newest.job_id else None
    if job is None or (info.modified < newest.modified and job.rerun_version != info.version_id):
        # A drop that has no job yet gets one by its own event, with today's recipe; a marker older than the newest
        # job never acts.
        return
    if marker.kind is MarkerKind.RERUN:
        _take_in_drop(world, job.drop, info.version_id, info.modified)
    elif job.state is JobState.HELD and job.held_reason is HeldReason.FAILING:
        _go_on(world, ledger, job)
    elif job.rerun_version == info.version_id or job.state in ENDED_JOBS - {JobState.REJECTED}:
        _take_in_drop(world, job.drop, info.version_id, info.modified, retry_of=job.id)


def _go_on(world: World, ledger: Ledger, job: Job) -> None:
    """Lets a job go on that was held because too few rows were answered."""

    def go_on(current: Job) -> bool:
        if current.state is not JobState.HELD or current.held_reason is not HeldReason.FAILING:
            return False
        current.deadline_at += world.now() - current.held_at
        current.held_reason, current.judged = None, []
        current.move(JobState.RUNNING)
        return True

    if ledger.change(lambda: ledger.job(job.id), go_on):
        world.observer.note("goes on", job_id=job.id)


def _check_recipe(world: World, look: Look, info: ObjectInfo) -> None:
    """Says whether a recipe that was dropped can be used."""
    try:
        try:
            text = read_recipe(world.objects, look.bucket, look.key, info.version_id)
        except ObjectForbidden:
            raise Rejected.because(NOT_READABLE) from None
        with_files(world.objects, look.bucket, look.key, text).compiled()
        problems = Problems()
    except Rejected as rejected:
        problems = rejected.problems
        if _may_come(world, problems, info.modified):
            world.intake.send(look.to_json(), LOOK_AGAIN_SECONDS)
            return
    drop = Drop(look.bucket, look.key, info.version_id, info.modified, info.size, info.labels)
    world.topics.publish(telling.recipe_checked(drop, problems))


def _may_come(world: World, problems: Problems, modified: int) -> bool:
    return world.now() - modified < world.recipe_wait_seconds and any(p.code in MAY_COME for p in problems)


def _take_in_drop(world: World, drop: Drop, rerun_version: str, asked_at: int, retry_of: str | None = None) -> None:
    ledger = Ledger(world.table)
    identity = job_id(drop, rerun_version)
    job = ledger.job(identity)
    if job is None:
        if _is_named_by_recipe(world, drop):
            return
        job = Job(
            id=identity,
            drop=drop,
            created_at=world.now(),
            asked_at=asked_at,
            rerun_version=rerun_version or None,
            retry_of=retry_of,
        )
        ledger.add(version_claim(drop, identity))
        if not ledger.add(job):
            job = ledger.job(identity) or job
    if job.state is not JobState.BUILDING or (job.lease and job.lease_until > world.now()):
        return  # taken in before, or being taken in: should that one die, the poller sends it again
    job.lease, job.begun = world.new_token(), job.begun + 1
    job.lease_until = int(world.clock() + world.seconds_left()) + LEASE_MARGIN_SECONDS
    try:
        ledger.save(job)
    except ConditionFailed:
        return
    world.observer.note("taking in", job_id=job.id, size=drop.size)
    point_at(ledger, job)
    try:
        try:
            _build(world, ledger, job)
        except ObjectForbidden:
            raise Rejected.because(NOT_READABLE) from None
    except Rejected as rejected:
        if _may_come(world, rejected.problems, asked_at):
            if _is_superseded(world, drop):
                end_rejected(ledger, job, world.now())
                return
            _release(ledger, job, world.now() + 3 * LOOK_AGAIN_SECONDS, begun=0)
            world.intake.send(look_again(drop, rerun_version), LOOK_AGAIN_SECONDS)
        else:
            _reject(world, ledger, job, rejected.problems)
    except Exception:
        _release(ledger, job, world.now(), begun=job.begun)
        raise


def _is_named_by_recipe(world: World, drop: Drop) -> bool:
    """Whether a `.txt` is no drop but a prompt that its recipe reads."""
    if not drop.key.lower().endswith(".txt"):
        return False
    try:
        recipe = find_recipe(world.objects, drop.bucket, drop.key)
    except (Rejected, ObjectForbidden):
        return False  # whoever builds the job says so
    return recipe is not None and any(beside(recipe.path, name) == drop.key for name in recipe.names)


def _is_superseded(world: World, drop: Drop) -> bool:
    """Whether an empty file was a placeholder, and the upload proper has come in its place."""
    if drop.size:
        return False
    try:
        return world.objects.head(drop.bucket, drop.key).version_id != drop.version_id
    except ObjectMissing:
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


def _build(world: World, ledger: Ledger, job: Job) -> None:
    files = JobFiles(world.objects, world.buckets.work, job.id)
    built = None
    if job.retry_of is None:
        built = build(world, job, files, lambda name: _pass_on(world, ledger, job, name))
        if built is None:
            return
    if built is not None:
        digest = digest_of(job.drop.bucket, job.drop.key, built.content, built.recipe.sha256 if built.recipe else "raw")
    else:
        digest = digest_of(job.drop.bucket, job.drop.key, "retry", job.retry_of or "")
    standing = _claim(ledger, digest, job)
    if standing is not None:
        _end_duplicate(world, ledger, job, files, standing)
        return
    if built is None:
        ready = _ready_again(world, ledger, job, files, digest)
        if ready is not None:
            _run(world, ledger, job, ready)
        return
    files.keep_layout(built.layout)
    batches = [
        Batch(
            job_id=job.id,
            shard=plan.number,
            group=number,
            endpoint=group.endpoint,
            model=group.model,
            requests=group.requests,
            tokens=group.tokens,
            inputs=group.embedding_inputs,
            created_at=world.now(),
        )
        for plan, number, group in batches_of(built.plans)
    ]
    shards = [Shard(job.id, plan.number, plan.first_row, plan.first_line, plan.rows) for plan in built.plans]
    _run(world, ledger, job, _Ready(built.rows, shards, batches, [], built.recipe, built.compiled, digest))


def _pass_on(world: World, ledger: Ledger, job: Job, name: str) -> None:
    """Gives a job back with how far it came, and has the next invocation go on."""

    def keep(current: Job) -> bool:
        if current.state is not JobState.BUILDING or current.lease != job.lease:
            return False
        current.progress, current.lease, current.lease_until = name, None, 0
        current.begun, current.sends, current.sent_at = 0, 0, world.now()
        return True

    if ledger.change(lambda: ledger.job(job.id), keep):
        world.observer.note("goes on in the next invocation", job_id=job.id)
        # Should this be cut short, the poller sends it again.
        world.intake.send(look_again(job.drop, job.rerun_version))


def _ready_again(world: World, ledger: Ledger, job: Job, files: JobFiles, digest: str) -> _Ready | None:
    """The job that asks another's failed rows again, and keeps what it answered. Its rows and recipe are the same.

    None where time has run out: the next invocation comes further.
    """
    former = ledger.job(job.retry_of or "")
    old = JobFiles(world.objects, world.buckets.work, former.id) if former else None
    try:
        layout = old.layout() if old else None
    except ObjectMissing:
        layout = None
    if former is None or old is None or layout is None:
        raise Rejected.because(
            Problem(
                "rows_gone",
                "The rows of the former job are no longer kept, and cannot be asked again; drop its failed file.",
            )
        )
    recipe = old.recipe()
    if recipe is not None:
        recipe = files.keep_recipe(recipe)
    files.keep_layout(layout)
    rows = JobRows(world, job)
    carried = int(job.progress or 0)  # shards, by the invocations before
    batches: list[Batch] = []
    kept: list[Batch] = []
    shards = []
    for shard in ledger.shards(former.id):
        copy = Shard(job.id, shard.number, shard.first_row, shard.first_line, shard.rows)
        shards.append(copy)
        stays, asked = carry_over(world, ledger.batches(former.id, shard.number), old, rows, copy)
        kept += stays
        batches += asked
        if len(shards) > carried and world.seconds_left() < CARRY_SECONDS:
            _pass_on(world, ledger, job, str(len(shards)))
            return None
    if not batches:
        raise Rejected.because(
            Problem(
                "nothing_to_retry",
                "No row of the former job can be asked again: all are answered, truncated or refused, and would be so "
                "again; change the recipe, and drop the failed file if there is one.",
            )
        )
    return _Ready(former.rows, shards, batches, kept, recipe, rows.compiled, digest)


def _run(world: World, ledger: Ledger, job: Job, ready: _Ready) -> None:
    """Writes what a job consists of, tells that it was accepted, and sets it going."""
    for shard in ready.shards:
        ledger.add(shard)
    for batch in ready.kept:
        ledger.add(batch)
    free = place(world, ledger, ready.batches)
    if ready.compiled:
        recipe = ready.compiled.recipe
        job.notify = list(recipe.notify)
        job.attempts, job.retry_invalid = recipe.attempts, recipe.retry_invalid
        job.recipe_sha256 = ready.recipe.sha256 if ready.recipe else None
    job.deadline_at = world.now() + (ready.compiled.recipe.deadline if ready.compiled else DEADLINE_SECONDS)
    job.rows, job.shards, job.claim = ready.rows, len(ready.shards), ready.claim
    telling.write_latest(world, job)
    if "accepted" in job.notify:
        world.topics.publish(telling.accepted(world, job, ready.batches))
    lease = job.lease

    def run(now: Job) -> bool:
        if now.state is not JobState.BUILDING or now.lease != lease:
            return False
        for name in SETTLED:
            setattr(now, name, getattr(job, name))
        now.lease, now.sent_at, now.sends = None, world.now(), 0
        now.move(JobState.RUNNING)
        return True

    running = ledger.change(lambda: ledger.job(job.id), run)
    if running is None:
        return  # the lease ran out, and another took over
    world.observer.measure("JobsAccepted", 1)
    world.observer.note("accepted", job_id=job.id, rows=job.rows, batches=len(ready.batches))
    if running.cancel_requested:
        return  # the poller abandons its batches
    for batch in free:
        world.dispatch.send(work_on(batch))
    if {batch.shard for batch in ready.batches} != {shard.number for shard in ready.shards}:
        # There are shards that nothing is asked of.
        world.collect.send(work_on(running))


def _claim(ledger: Ledger, digest: str, job: Job) -> Job | None:
    """Claims this content and recipe for the job; returns the other open job that has it, if one does."""
    while not ledger.add(Claim(digest, job.id)):
        claim = ledger.claim(digest)
        if claim is None:
            continue
        if claim.job_id == job.id:
            return None
        holder = ledger.job(claim.job_id)
        if holder is not None and holder.state not in ENDED_JOBS:
            return holder
        claim.job_id = job.id
        try:
            ledger.save(claim)
        except ConditionFailed:
            continue
        return None
    return None


def _end_duplicate(world: World, ledger: Ledger, job: Job, files: JobFiles, standing: Job) -> None:
    """Tells that the same work is under way, and leaves the key's newest job to the one that does it."""
    world.topics.publish(telling.duplicate(world, job, standing))

    def point(newest: Newest) -> bool:
        if newest.job_id != job.id:
            return False
        newest.job_id = standing.id
        return True

    newest = ledger.change(lambda: ledger.newest(job.drop.bucket, job.drop.key), point)
    if newest is not None:
        cancel_where_asked(ledger, newest)
    files.discard()
    end_rejected(ledger, job, world.now())


def _reject(world: World, ledger: Ledger, job: Job, problems: Problems) -> None:
    telling.write_rejected(world, job, problems)
    telling.write_latest(world, job)
    world.topics.publish(telling.rejected(world, job, problems))
    JobFiles(world.objects, world.buckets.work, job.id).discard()
    end_rejected(ledger, job, world.now())
    world.observer.measure("JobsRejected", 1)
    world.observer.note("rejected", job_id=job.id, codes=sorted({p.code for p in problems}), problems=problems.total)


def _release(ledger: Ledger, job: Job, until: int, *, begun: int) -> None:
    """Gives the lease back; the poller sends the job again if nobody has taken it up by `until`."""
    lease = job.lease

    def release(current: Job) -> bool:
        if current.lease != lease:
            return False
        current.lease, current.lease_until, current.begun = None, until, begun
        return True

    ledger.change(lambda: ledger.job(job.id), release)
