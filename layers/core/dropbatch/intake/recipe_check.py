"""Checks a recipe that was dropped, has the files go on that waited for it, and tells its owner."""

from dropbatch.batch_api.deprecations import notices_about
from dropbatch.domain.drops import Drop, ObjectKind, meaning_of
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.inbox import KnownRecipe, Pending
from dropbatch.domain.jobs import RETENTION_SECONDS, Job
from dropbatch.domain.problems import Problems
from dropbatch.domain.states import JobState
from dropbatch.intake.waiting_files import MAX_LOOKED_THROUGH, Arrival, current_job, take_up, takes_up_rejected
from dropbatch.jobs.give_up import NOT_READABLE, tell_pending
from dropbatch.jobs.lease import give_back
from dropbatch.jobs.pending import LOOK_AGAIN_SECONDS, may_come, pending_for, wait_for
from dropbatch.messages import IntakeMessage
from dropbatch.ports import ObjectInfo
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.understood import understood
from dropbatch.reporting import recipe_notices
from dropbatch.reporting.recipe_notices import MAX_FILES, FilesFound
from dropbatch.storage.context import Context
from dropbatch.storage.item_keys import key_of
from dropbatch.storage.job_files import RecipeText, beside, read_recipe, with_files
from dropbatch.storage.repository import Repository

MAX_RECIPE_KEY_BYTES = 1_000
"""Of a recipe whose key is longer nothing is kept: it can lie beside no drop."""

LATELY_SECONDS = 86_400
"""For how long a recipe that was dropped is named to a file that has none."""


def check_recipe(context: Context, look: IntakeMessage, info: ObjectInfo) -> bool:
    """Say whether a recipe that was dropped can be used; False while there is more to wait for, or to do.

    `look.rerun_version` is that of a file which the recipe names, if that has come and not the recipe itself.
    """
    pending = context.repository.reload(pending_for(context, look))
    if pending is not None and pending.is_done:
        return True  # said before
    drop = Drop(look.bucket, look.key, info.version_id, info.modified, info.size, info.labels)
    recipe: RecipeText | None = None
    try:
        try:
            text = read_recipe(context.objects, look.bucket, look.key, info.version_id)
            recipe = with_files(context.objects, look.bucket, look.key, text)
            compiled = recipe.compiled()
        except ObjectForbiddenError:
            raise DropRejectedError.because(NOT_READABLE) from None
    except DropRejectedError as rejected:
        return _tell_broken(context, look, drop, pending, recipe, rejected.problems)
    arrival = Arrival(recipe, look.bucket, look.rerun_version or info.version_id, look.event_at or info.modified)
    return _tell_usable(context, look, drop, pending, arrival, compiled)


def _tell_broken(
    context: Context,
    look: IntakeMessage,
    drop: Drop,
    pending: Pending | None,
    recipe: RecipeText | None,
    problems: Problems,
) -> bool:
    """Say what is wrong, ten seconds after the recipe came: a file beside it may have said so to people by then."""
    since = pending.created_at if pending else context.now()
    known = context.repository.known_recipe(drop.bucket, drop.key)
    if _is_same(known, drop, recipe, is_usable=False) and _is_old_news(context, known, look, drop, pending):
        _keep_known(context, drop)
        return True
    if may_come(context, problems, since) or context.now() - since < LOOK_AGAIN_SECONDS:
        wait_for(context, look, failed=False)
        return False
    # What is said of the version that has replaced it is all that its owner needs to know.
    is_told = _is_replaced(context, drop) or (
        recipe is not None and _is_told_by_file(context.repository, drop, recipe.sha256, since)
    )
    waiting = wait_for(context, look, failed=False)  # should this be cut short now, it is known not to be told
    _remember(context, look, drop, recipe, is_usable=False)
    told = recipe_notices.broken(drop, problems)
    tell_pending(context, waiting, told, people=not is_told)
    return True


def _is_told_by_file(repository: Repository, recipe: Drop, sha256: str, since: int) -> bool:
    """Whether the rejection of a file has told, just now, what is wrong with this very recipe."""
    folder = recipe.key[: recipe.key.rfind("/") + 1]
    for waiting in repository.waiting_files(recipe.bucket, folder):
        is_same = waiting.recipe_path == recipe.key and waiting.recipe_sha256 == sha256 and waiting.blames_recipe
        if is_same and waiting.is_rejected and waiting.recorded_at >= since - LOOK_AGAIN_SECONDS:
            job = current_job(repository, waiting)
            if job is not None and job.state is JobState.REJECTED:
                return True
    return False


def _tell_usable(
    context: Context,
    look: IntakeMessage,
    drop: Drop,
    pending: Pending | None,
    arrival: Arrival,
    compiled: CompiledRecipe,
) -> bool:
    """Have the files go on that waited for a recipe, however many invocations that takes, and then tell."""
    reached = pending or pending_for(context, look)

    def on_look(key: str, job: Job | None) -> None:
        reached.after = key
        if job is None:
            return
        reached.resumed_count += 1
        reached.has_retries = reached.has_retries or job.retry_of is not None
        if len(reached.first_resumed) < MAX_FILES:
            reached.first_resumed.append(key)

    # Where this version is not the newest, the newer one's own event takes the files up.
    is_latest = _is_latest(context, drop)
    if is_latest and not reached.after and takes_up_rejected(context, arrival):
        if context.now() - reached.created_at < LOOK_AGAIN_SECONDS:
            wait_for(context, look, failed=False)  # the upload may have more that belongs together
            return False
        if _waits_for_younger(context.repository, reached):
            return True
    if is_latest and not take_up(context, arrival, reached.after, on_look):
        _go_on_later(context, look, reached)
        return False
    known = context.repository.known_recipe(drop.bucket, drop.key)
    if not reached.resumed_count and _is_same(known, drop, arrival.recipe, is_usable=True):
        if _is_old_news(context, known, look, drop, pending):
            _keep_known(context, drop)
            return True
        if _is_told_by_other(context, known, arrival):
            return True
    waiting = wait_for(context, look, failed=False)  # should this be cut short now, it is known not to be told
    if is_latest:
        _remember(context, look, drop, arrival.recipe, is_usable=True)
    notices = notices_about([compiled.model or ""], context.now())
    files = _files_found(context, drop, arrival, reached)
    told = recipe_notices.usable(drop, understood(compiled), notices, files)
    tell_pending(context, waiting, told, people=is_latest)
    return True


def _waits_for_younger(repository: Repository, mine: Pending) -> bool:
    """Whether another file that the same recipe names has come since: with it, all that was uploaded is taken up."""
    return any(
        each.version_id == mine.version_id
        and not each.is_done
        and (each.created_at, key_of(each)) > (mine.created_at, key_of(mine))
        for each in repository.pendings(mine.bucket, mine.key)
    )


def _go_on_later(context: Context, look: IntakeMessage, reached: Pending) -> None:
    """Write down how far taking up has come, and have the next invocation go on."""

    def keep(current: Pending) -> bool:
        if current.after >= reached.after:
            return False  # another process has come further
        current.after, current.resumed_count, current.first_resumed = (
            reached.after,
            reached.resumed_count,
            reached.first_resumed,
        )
        current.has_retries = reached.has_retries
        give_back(current)
        current.sent_at = context.now()
        return True

    wait_for(context, look, failed=False)
    if context.repository.update(reached, keep) is not None:
        context.intake.send(look.to_json())


def _is_same(known: KnownRecipe, drop: Drop, recipe: RecipeText | None, *, is_usable: bool) -> bool:
    """Whether the recipe was told of last just as it is now, with the files that it names."""
    now = (drop.version_id, recipe.sha256 if recipe else "", is_usable)
    return (known.version_id, known.sha256, known.is_usable) == now


def _is_old_news(
    context: Context, known: KnownRecipe, look: IntakeMessage, drop: Drop, pending: Pending | None
) -> bool:
    """Whether what is looked at was there when the recipe was told of: the sweep looks at it, or its event came twice.

    What was told since this look began was told by this look, and may have been cut short.
    """
    came, began = look.event_at or drop.modified, pending.created_at if pending else context.now() + 1
    return came <= known.notified_at < began


def _is_told_by_other(context: Context, known: KnownRecipe, arrival: Arrival) -> bool:
    """Whether another event had the same told a moment ago: a recipe and the files that it names came together."""
    return known.notified_for != arrival.by and context.now() - known.notified_at < context.recipe_wait_seconds


def _keep_known(context: Context, drop: Drop) -> None:
    """Keep what is known of a recipe for as long as something of it lies there to be looked at."""

    def keep(known: KnownRecipe) -> bool:
        known.expires_at = context.now() + RETENTION_SECONDS
        return bool(known.version_id)

    context.repository.change(lambda: context.repository.known_recipe(drop.bucket, drop.key), keep)


def _remember(context: Context, look: IntakeMessage, drop: Drop, recipe: RecipeText | None, *, is_usable: bool) -> None:
    if len(drop.key.encode()) > MAX_RECIPE_KEY_BYTES:
        return

    def remember(known: KnownRecipe) -> bool:
        known.arrived_at = max(known.arrived_at, look.event_at or drop.modified)
        known.sha256, known.is_usable = recipe.sha256 if recipe else "", is_usable
        known.version_id, known.notified_for = drop.version_id, look.rerun_version or drop.version_id
        known.notified_at = context.now()
        known.expires_at = context.now() + RETENTION_SECONDS
        return True

    context.repository.change(lambda: context.repository.known_recipe(drop.bucket, drop.key), remember)


def _is_replaced(context: Context, drop: Drop) -> bool:
    try:
        return context.objects.head(drop.bucket, drop.key).version_id != drop.version_id
    except (ObjectNotFoundError, ObjectForbiddenError):
        return False


def _is_latest(context: Context, drop: Drop) -> bool:
    try:
        return context.objects.head(drop.bucket, drop.key).version_id == drop.version_id
    except (ObjectNotFoundError, ObjectForbiddenError):
        return False


def _files_found(context: Context, drop: Drop, arrival: Arrival, reached: Pending) -> FilesFound:
    """What to say of files: those that go on; else whether any lies there, and if not, which waits elsewhere."""
    if reached.resumed_count:
        return FilesFound(reached.resumed_count, reached.first_resumed, has_retries=reached.has_retries)
    folder = drop.key[: drop.key.rfind("/") + 1]
    parts = {beside(drop.key, name) for name in arrival.recipe.names}
    page = context.objects.names(drop.bucket, folder)
    if any(key.startswith(folder) and meaning_of(key) is ObjectKind.DROP and key not in parts for key, _ in page):
        return FilesFound()
    return FilesFound(is_empty=True, elsewhere=_waits_elsewhere(context, drop), parts=arrival.recipe.names)


def _waits_elsewhere(context: Context, drop: Drop) -> str | None:
    """A file of another folder that waits because it has no recipe, the one that came last."""
    newest = None
    for number, waiting in enumerate(context.repository.waiting_files(drop.bucket)):
        if number >= MAX_LOOKED_THROUGH:
            break
        is_open = "no_recipe" in waiting.codes and waiting.still_waits(context.now())
        if is_open and (newest is None or waiting.recorded_at > newest.recorded_at):
            newest = waiting
    return newest.key if newest is not None and current_job(context.repository, newest) is not None else None


def recipe_elsewhere(context: Context, job: Job) -> list[str]:
    """What to say to the owner of a file without a recipe about one that was dropped lately into another folder."""
    latest: KnownRecipe | None = None
    for number, known in enumerate(context.repository.known_recipes(job.drop.bucket)):
        if number >= MAX_LOOKED_THROUGH:
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
