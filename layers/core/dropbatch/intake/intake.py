"""The intake of an object of the inbox: a drop becomes a job, a recipe is checked, a marker acts.

A drop is validated as a whole before any money is spent. Each step may be repeated: ids and keys follow from the drop,
the first process stores the recipe, and a repeated write writes the same bytes.

An object that is not due yet, or whose step failed, waits in the table, and the poller sends its message again. The
item of a drop is its job, that of any other object a `Pending`. "Older" and "newer" refer to the times and sequencers
of S3's events.
"""

from dataclasses import replace

from dropbatch.domain.drops import Drop, ObjectKind, kind_of_object
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import MAX_MARKER_BYTES, Marker, NearMarker, name_of
from dropbatch.domain.problems import Problems
from dropbatch.domain.states import JobState
from dropbatch.intake import markers
from dropbatch.intake.build_job import build_job
from dropbatch.intake.drafting import draft_recipe
from dropbatch.intake.recipe_check import check_recipe, recipe_elsewhere
from dropbatch.intake.recipe_parts import check_recipes_of_part, is_part, may_be_part
from dropbatch.intake.start_job import open_job
from dropbatch.intake.waiting_files import job_to_resume, wait_for_another_recipe
from dropbatch.jobs.deduplication import claimed_job
from dropbatch.jobs.latest_job import set_latest
from dropbatch.jobs.lease import defer, leased, release, update_own
from dropbatch.jobs.pending import LOOK_AGAIN_SECONDS, may_come, pending_for, reject_unread, wait_for
from dropbatch.jobs.reject import KILLS, NOT_READABLE, end_silently, reject
from dropbatch.jobs.waiting import wait_for_recipe, waits_for_recipe
from dropbatch.messages import IntakeMessage
from dropbatch.reporting import result_files
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles

MAX_KILLS = 2
"""How often reading a drop may kill the function before the drop is rejected."""


def take_in(context: Context, message: IntakeMessage) -> None:
    """Take in one version of one object of the inbox."""
    try:
        is_done = _take_in(context, message)
    except Exception:  # noqa: BLE001 - logged, counted, and retried for a day
        context.observer.exception("an object of the inbox could not be looked at", version_id=message.version_id)
        wait_for(context, message, failed=True)
        return
    if is_done:
        _forget(context, message)


def _forget(context: Context, message: IntakeMessage) -> None:
    """Delete the item of an object that is done, unless a notice of it must still be sent."""
    try:
        pending = context.repository.reload(pending_for(context, message))
        if pending is not None and not pending.outbox and not pending.is_kept:
            context.repository.remove(pending)
    except Exception:  # noqa: BLE001 - the object is done, and must not be taken in again because of this
        context.observer.exception("a pending object could not be forgotten yet", version_id=message.version_id)


def _take_in(context: Context, message: IntakeMessage) -> bool:
    """Take in an object by its kind. Return False if it must be taken in again later."""
    kind = kind_of_object(message.key)
    if kind is ObjectKind.IGNORED and not may_be_part(message.key):
        return True
    try:
        info = context.objects.head(message.bucket, message.key, message.version_id)
    except ObjectNotFoundError:
        context.observer.info("the object is gone; nothing to do")
        return True
    except ObjectForbiddenError:
        if isinstance(kind, Marker) and message.version_id and message.event_at is not None:
            return _act_on_marker(context, kind, message, message.event_at)  # its content does not matter
        reject_unread(context, wait_for(context, message, failed=False), NOT_READABLE)
        return True
    arrived = message.event_at or info.modified
    if isinstance(kind, Marker) or (isinstance(kind, NearMarker) and info.size <= MAX_MARKER_BYTES):
        return _act_on_marker(context, kind, replace(message, version_id=info.version_id), arrived)
    if kind is ObjectKind.RECIPE:
        return check_recipe(context, message, info)
    drop = Drop(
        message.bucket, message.key, info.version_id, info.modified, info.size, info.labels, arrived, message.sequencer
    )
    return _take_in_drop(context, message, drop, is_ignored=kind is ObjectKind.IGNORED)


def _act_on_marker(context: Context, marker: Marker | NearMarker, message: IntakeMessage, arrived: int) -> bool:
    """Do what a marker asks. Return False while the file beside it may still come."""
    answer = markers.act(context, marker, message, arrived)
    if isinstance(answer, bool):
        return answer
    version = message.version_id or ""
    job = open_job(context, answer.drop, version, arrived, answer.retry_of, answer.kind, name_of(message.key))
    markers.has_acted(context, message)
    _build_leased(context, job)
    return True


def _take_in_drop(context: Context, message: IntakeMessage, drop: Drop, *, is_ignored: bool) -> bool:
    """Build the job of a drop, or check the recipes that name it instead. Return False if it must be done later."""
    if may_be_part(message.key) and not _has_job(context, message, drop) and check_recipes_of_part(context, drop):
        return True
    if is_ignored:
        return True
    if message.rerun_version and not _has_job(context, message, drop):
        return _resume(context, message, drop)
    _build_leased(context, open_job(context, drop, message.rerun_version, drop.arrived))
    return True


def _has_job(context: Context, message: IntakeMessage, drop: Drop) -> bool:
    identity = claimed_job(context.repository, drop, message.rerun_version)
    return identity is not None and context.repository.job(identity) is not None


def _resume(context: Context, message: IntakeMessage, drop: Drop) -> bool:
    """Build a job of a rejected drop with the recipe that came. Return False while the rejection is not done."""
    former = job_to_resume(context, drop)
    if former is None:
        context.observer.info("the file no longer waits for a recipe; nothing to do")
        return True
    if former.state is JobState.BUILDING:
        wait_for(context, message, failed=False)
        return False
    requested_at = max(drop.arrived, former.requested_at)
    _build_leased(context, open_job(context, former.drop, message.rerun_version, requested_at, former.retry_of))
    return True


def _build_leased(context: Context, job: Job) -> None:
    """Build a job under its lease, if it is due and no other process builds it."""
    now = context.now()
    with leased(context, job, lambda it: it.state is JobState.BUILDING and it.not_before <= now) as taken:
        if taken is None:
            return  # it is built, being built, or not due. If its process dies, its message comes again.
        files = JobFiles(context.objects, context.buckets.work, taken.id)
        if taken.kill_count >= MAX_KILLS:
            _reject(context, taken, files, DropRejectedError.because(KILLS).problems)
            return
        try:
            _build(context, taken, files)
        except Exception:  # noqa: BLE001 - logged, counted, and retried for a day
            context.observer.exception("a drop could not be read", job_id=taken.id)
            update_own(context.repository, taken, lambda current: defer(context, current))


def _build(context: Context, job: Job, files: JobFiles) -> None:
    """Build a job, or reject it, or have it wait for files that may still come."""
    context.observer.info("taking in", job_id=job.id, size=job.drop.size)
    if is_part(context, job.drop) and end_silently(context, job):  # the recipe that names it came after it
        return
    set_latest(context.repository, job, context.now())
    try:
        try:
            build_job(context, job, files)
        except ObjectForbiddenError:
            raise DropRejectedError.because(NOT_READABLE) from None
    except DropRejectedError as rejected:
        if not may_come(context, rejected.problems, job.created_at):
            _reject(context, job, files, rejected.problems)
        elif not _is_superseded(context, job.drop):
            _wait(context, job, files, rejected.problems)
        elif not end_silently(context, job):
            _reject(context, job, files, rejected.problems)


def _reject(context: Context, job: Job, files: JobFiles, problems: Problems) -> None:
    """End a job whose drop cannot be used. If another recipe may help, the file waits for one."""
    recipe = files.found or files.recipe()
    if recipe is not None:
        recipe.note_in(job)
        result_files.write_recipe(context, job, recipe)
    waits = waits_for_recipe(problems, has_recipe=recipe is not None)
    goes_on = waits and wait_for_another_recipe(context, job, problems, recipe)
    has_none = problems.has("no_recipe")
    elsewhere = recipe_elsewhere(context, job) if has_none else []
    draft = draft_recipe(context, job) if has_none else None
    reject(context, job, problems, waits=waits, goes_on=goes_on, elsewhere=elsewhere, draft=draft)


def _wait(context: Context, job: Job, files: JobFiles, problems: Problems) -> None:
    """Release a job whose recipe or content may still come. The poller sends its message when it is due."""
    found = files.found
    if waits_for_recipe(problems, has_recipe=found is not None):
        used = (found.path, found.sha256, found.reading, found.meaning) if found is not None else None
        wait_for_recipe(context, job, problems, used, is_rejected=False)

    def wait(current: Job) -> None:
        current.came_further()
        release(current, context.now() + LOOK_AGAIN_SECONDS)

    update_own(context.repository, job, wait)


def _is_superseded(context: Context, drop: Drop) -> bool:
    """Return whether an empty file was a placeholder, and a newer version has come."""
    if drop.size:
        return False
    try:
        return context.objects.head(drop.bucket, drop.key).version_id != drop.version_id
    except ObjectNotFoundError:
        return False
