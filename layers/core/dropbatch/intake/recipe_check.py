"""The check of a dropped recipe: files that waited for it resume, and its owner is notified."""

from dropbatch.batch_api.deprecations import notices_about
from dropbatch.domain.deadlines import RETENTION_SECONDS
from dropbatch.domain.drops import Drop, ObjectKind, kind_of_object
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.inbox import KnownRecipe, Pending
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Problems
from dropbatch.domain.states import JobState
from dropbatch.intake.try_recipe import try_rows
from dropbatch.intake.waiting_files import (
    MAX_EXAMINED,
    Arrival,
    current_job,
    current_version,
    may_resume_rejected,
    resume_files,
)
from dropbatch.jobs.lease import release
from dropbatch.jobs.pending import LOOK_AGAIN_SECONDS, end_pending, may_come, pending_for, wait_for
from dropbatch.jobs.reject import NOT_READABLE
from dropbatch.messages import IntakeMessage
from dropbatch.ports import ObjectInfo
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.summary import understood
from dropbatch.reporting import recipe_notices
from dropbatch.reporting.recipe_notices import MAX_FILES, FilesFound
from dropbatch.storage.context import Context
from dropbatch.storage.item_keys import key_of
from dropbatch.storage.recipe_text import RecipeText, beside, read_recipe, with_files
from dropbatch.storage.repository import Repository

MAX_RECIPE_KEY_BYTES = 1_000
"""A recipe with a longer key is not recorded: it can be beside no drop."""

LATELY_SECONDS = 86_400
"""How long messages about a file without a recipe name a recipe that was dropped elsewhere."""


def check_recipe(context: Context, message: IntakeMessage, info: ObjectInfo) -> bool:
    """Check a dropped recipe, and report whether it can be used. Return False if the check must continue later.

    `message.rerun_version` is the version of a file that the recipe names, if that file came and not the recipe.
    """
    pending = context.repository.reload(pending_for(context, message))
    if pending is not None and pending.is_done:
        return True  # reported before
    drop = Drop(message.bucket, message.key, info.version_id, info.modified, info.size, info.labels)
    recipe: RecipeText | None = None
    try:
        try:
            text = read_recipe(context.objects, message.bucket, message.key, info.version_id)
            recipe = with_files(context.objects, message.bucket, message.key, text)
            compiled = recipe.compiled()
        except ObjectForbiddenError:
            raise DropRejectedError.because(NOT_READABLE) from None
    except DropRejectedError as rejected:
        return _report_broken(context, message, drop, pending, recipe, rejected.problems)
    arrived_at = message.event_at or info.modified
    arrival = Arrival(recipe, message.bucket, message.rerun_version or info.version_id, arrived_at)
    return _report_usable(context, message, drop, pending, arrival, compiled)


def _report_broken(
    context: Context,
    message: IntakeMessage,
    drop: Drop,
    pending: Pending | None,
    recipe: RecipeText | None,
    problems: Problems,
) -> bool:
    """Report the problems ten seconds after the recipe came, unless the rejection of a file beside it has done so."""
    since = pending.created_at if pending else context.now()
    known = context.repository.known_recipe(drop.bucket, drop.key)
    if _is_same(known, drop, recipe, is_usable=False) and _is_old_news(context, known, message, drop, pending):
        _keep_known(context, drop)
        return True
    if may_come(context, problems, since) or context.now() - since < LOOK_AGAIN_SECONDS:
        wait_for(context, message, failed=False)
        return False
    # Its owner needs only the message about the version that has replaced it.
    is_reported = current_version(context, drop) not in (drop.version_id, None) or (
        recipe is not None and _is_reported_by_file(context.repository, drop, recipe.sha256, since)
    )
    waiting = wait_for(context, message, failed=False)  # if the process dies now, there was no message
    _remember(context, message, drop, recipe, is_usable=False)
    notification = recipe_notices.broken(drop, problems)
    end_pending(context, waiting, notification, people=not is_reported)
    return True


def _is_reported_by_file(repository: Repository, recipe: Drop, sha256: str, since: int) -> bool:
    """Return whether the rejection of a file has just reported the problems of this recipe."""
    folder = recipe.key[: recipe.key.rfind("/") + 1]
    for waiting in repository.waiting_files(recipe.bucket, folder):
        is_same = waiting.recipe_path == recipe.key and waiting.recipe_sha256 == sha256 and waiting.blames_recipe
        if is_same and waiting.is_rejected and waiting.recorded_at >= since - LOOK_AGAIN_SECONDS:
            job = current_job(repository, waiting)
            if job is not None and job.state is JobState.REJECTED:
                return True
    return False


def _report_usable(
    context: Context,
    message: IntakeMessage,
    drop: Drop,
    pending: Pending | None,
    arrival: Arrival,
    compiled: CompiledRecipe,
) -> bool:
    """Resume the files that waited for a recipe, in as many invocations as it takes, and then notify."""
    reached = pending or pending_for(context, message)

    def on_file(key: str, job: Job | None) -> None:
        reached.after = key
        if job is None:
            return
        reached.resumed_count += 1
        reached.has_retries = reached.has_retries or job.retry_of is not None
        if len(reached.first_resumed) < MAX_FILES:
            reached.first_resumed.append(key)

    # If this version is not the newest, the event of the newer one resumes the files.
    is_latest = current_version(context, drop) == drop.version_id
    if is_latest and not reached.after and may_resume_rejected(context, arrival):
        if context.now() - reached.created_at < LOOK_AGAIN_SECONDS:
            wait_for(context, message, failed=False)  # the upload may have more files of the recipe
            return False
        if _waits_for_younger(context.repository, reached):
            return True
    if is_latest and not resume_files(context, arrival, reached.after, on_file):
        _hand_over(context, message, reached)
        return False
    known = context.repository.known_recipe(drop.bucket, drop.key)
    if not reached.resumed_count and _is_same(known, drop, arrival.recipe, is_usable=True):
        if _is_old_news(context, known, message, drop, pending):
            _keep_known(context, drop)
            return True
        if _is_reported_by_another(context, known, arrival):
            return True
    return _notify_usable(context, message, drop, arrival, compiled, reached, is_latest=is_latest)


def _notify_usable(
    context: Context,
    message: IntakeMessage,
    drop: Drop,
    arrival: Arrival,
    compiled: CompiledRecipe,
    reached: Pending,
    *,
    is_latest: bool,
) -> bool:
    """Have the rows of `try` answered, and then notify. Return False while another process asks them."""
    trial = None
    if is_latest and compiled.tried:
        trial = try_rows(context, drop, compiled, arrival.version)
        if trial is None:
            wait_for(context, message, failed=False)
            return False
    waiting = wait_for(context, message, failed=False)  # if the process dies now, there was no message
    if is_latest:
        _remember(context, message, drop, arrival.recipe, is_usable=True)
    notices = notices_about([compiled.model or ""], context.now())
    files = _files_found(context, drop, arrival, reached)
    page = (trial, context.buckets.results) if trial is not None else None
    notification = recipe_notices.usable(drop, understood(compiled), notices, files, page)
    end_pending(context, waiting, notification, people=is_latest)
    return True


def _waits_for_younger(repository: Repository, mine: Pending) -> bool:
    """Return whether another file of the same recipe has come since. Its message resumes the waiting files."""
    return any(
        each.version_id == mine.version_id
        and not each.is_done
        and (each.created_at, key_of(each)) > (mine.created_at, key_of(mine))
        for each in repository.pendings(mine.bucket, mine.key)
    )


def _hand_over(context: Context, message: IntakeMessage, reached: Pending) -> None:
    """Record how far resuming files has come, and have the next invocation continue."""

    def keep(current: Pending) -> bool:
        if current.after >= reached.after:
            return False  # another process has done more
        current.after, current.resumed_count, current.first_resumed = (
            reached.after,
            reached.resumed_count,
            reached.first_resumed,
        )
        current.has_retries = reached.has_retries
        release(current)
        current.sent_at = context.now()
        return True

    wait_for(context, message, failed=False)
    if context.repository.update(reached, keep) is not None:
        context.intake.send(message.to_json())


def _is_same(known: KnownRecipe, drop: Drop, recipe: RecipeText | None, *, is_usable: bool) -> bool:
    """Return whether the last message about the recipe was for its present content and files."""
    now = (drop.version_id, recipe.sha256 if recipe else "", is_usable)
    return (known.version_id, known.sha256, known.is_usable) == now


def _is_old_news(
    context: Context, known: KnownRecipe, message: IntakeMessage, drop: Drop, pending: Pending | None
) -> bool:
    """Return whether the object was there at the last message: its event came twice, or the sweep found it.

    A message after this check began is the check's own, and may have been interrupted.
    """
    came, began = message.event_at or drop.modified, pending.created_at if pending else context.now() + 1
    return came <= known.notified_at < began


def _is_reported_by_another(context: Context, known: KnownRecipe, arrival: Arrival) -> bool:
    """Return whether another event had the same message a moment ago: a recipe and its files came together."""
    return known.notified_for != arrival.version and context.now() - known.notified_at < context.recipe_wait_seconds


def _keep_known(context: Context, drop: Drop) -> None:
    """Extend the life of a known recipe's item while its objects exist."""

    def keep(known: KnownRecipe) -> bool:
        known.expires_at = context.now() + RETENTION_SECONDS
        return bool(known.version_id)

    context.repository.change(lambda: context.repository.known_recipe(drop.bucket, drop.key), keep)


def _remember(
    context: Context, message: IntakeMessage, drop: Drop, recipe: RecipeText | None, *, is_usable: bool
) -> None:
    if len(drop.key.encode()) > MAX_RECIPE_KEY_BYTES:
        return

    def remember(known: KnownRecipe) -> bool:
        known.arrived_at = max(known.arrived_at, message.event_at or drop.modified)
        known.sha256, known.is_usable = recipe.sha256 if recipe else "", is_usable
        known.version_id, known.notified_for = drop.version_id, message.rerun_version or drop.version_id
        known.notified_at = context.now()
        known.expires_at = context.now() + RETENTION_SECONDS
        return True

    context.repository.change(lambda: context.repository.known_recipe(drop.bucket, drop.key), remember)


def _files_found(context: Context, drop: Drop, arrival: Arrival, reached: Pending) -> FilesFound:
    """Return the files to name: those that resume; if none does, whether there are any, and if not, one elsewhere."""
    if reached.resumed_count:
        return FilesFound(reached.resumed_count, reached.first_resumed, has_retries=reached.has_retries)
    folder = drop.key[: drop.key.rfind("/") + 1]
    parts = {beside(drop.key, name) for name in arrival.recipe.names}
    page = context.objects.names(drop.bucket, folder)
    if any(key.startswith(folder) and kind_of_object(key) is ObjectKind.DROP and key not in parts for key, _ in page):
        return FilesFound()
    return FilesFound(is_empty=True, elsewhere=_waits_elsewhere(context, drop), parts=arrival.recipe.names)


def _waits_elsewhere(context: Context, drop: Drop) -> str | None:
    """Return the last file of another folder that waits because it has no recipe; None if there is none."""
    newest = None
    for number, waiting in enumerate(context.repository.waiting_files(drop.bucket)):
        if number >= MAX_EXAMINED:
            break
        is_open = "no_recipe" in waiting.codes and waiting.still_waits(context.now())
        if is_open and (newest is None or waiting.recorded_at > newest.recorded_at):
            newest = waiting
    return newest.key if newest is not None and current_job(context.repository, newest) is not None else None


def recipe_elsewhere(context: Context, job: Job) -> list[str]:
    """Return sentences about a recipe that was lately dropped into another folder, for a file without a recipe."""
    latest: KnownRecipe | None = None
    for number, known in enumerate(context.repository.known_recipes(job.drop.bucket)):
        if number >= MAX_EXAMINED:
            break
        if known.is_usable and (latest is None or known.arrived_at > latest.arrived_at):
            latest = known
    age = context.now() - latest.arrived_at if latest is not None else LATELY_SECONDS
    if latest is None or age >= LATELY_SECONDS:
        return []
    try:
        recipe = RecipeText(latest.key, read_recipe(context.objects, job.drop.bucket, latest.key), {})
        return recipe_notices.dropped_elsewhere(job.drop, latest.key, age, recipe.names)
    except (ObjectNotFoundError, ObjectForbiddenError, DropRejectedError):
        return []
