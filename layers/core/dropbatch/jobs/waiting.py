"""Files that wait for a recipe, or were rejected for their recipe's sake: the recipe that comes finds them here."""

from contextlib import suppress

from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import WaitingFile
from dropbatch.domain.jobs import RETENTION_SECONDS, Job
from dropbatch.domain.problems import Problems
from dropbatch.storage.context import Context
from dropbatch.storage.repository import Repository

MAX_KEY_BYTES = 900
"""A longer key is no drop's: it is rejected before a recipe is looked for."""

MAX_CODES = 20
"""How many codes of problems are kept of a file."""


def waits_for_recipe(problems: Problems, *, has_recipe: bool) -> bool:
    """Return whether another recipe may be all that a file needs.

    `has_recipe` says that one was found, be it one that cannot be read: ready requests have none.
    """
    is_found = has_recipe or any(group.first.path for group in problems.groups)
    return problems.has("no_recipe") or (problems.may_be_cured_by_recipe and is_found)


def wait_for_recipe(
    context: Context,
    job: Job,
    problems: Problems,
    recipe: tuple[str, str, str] | None,
    *,
    is_rejected: bool,
) -> None:
    """Write down that a job's file waits, unless a newer job of its key does.

    `recipe` is the path, the hash and the `reading` of the one that it was found wrong with.
    """
    drop = job.drop
    if len(drop.key.encode()) > MAX_KEY_BYTES:
        return

    def write(current: WaitingFile) -> bool:
        if current.job_id != job.id and current.requested_at > job.requested_at:
            return False
        current.job_id, current.version_id = job.id, drop.version_id
        current.requested_at, current.recorded_at = job.requested_at, context.now()
        current.codes = sorted({group.first.code for group in problems.groups})[:MAX_CODES]
        current.is_rejected = is_rejected
        current.recipe_path, current.recipe_sha256, reading = recipe or (None, None, "")
        current.reading = reading if problems.may_be_cured_by_reading_alone else ""
        current.cancelled_by = ""
        current.blames_recipe = any(group.first.path for group in problems.groups)
        current.expires_at = context.now() + RETENTION_SECONDS
        return True

    def load() -> WaitingFile:
        known = context.repository.waiting_file(drop.bucket, drop.key)
        return known or WaitingFile(drop.bucket, drop.key, job.id, drop.version_id, job.requested_at, context.now())

    context.repository.change(load, write)


def cancel_waiting(repository: Repository, job: Job, version: str) -> bool:
    """Have no recipe take up the file of a rejected job any more, as the `.cancel` of this version asks.

    False if none would: also where another `.cancel` has asked before.
    """

    def cancel(current: WaitingFile) -> bool:
        if current.job_id != job.id or current.cancelled_by:
            return False
        current.cancelled_by = version
        return True

    waiting = repository.waiting_file(job.drop.bucket, job.drop.key)
    if waiting is not None:
        waiting = repository.update(waiting, cancel) or repository.reload(waiting)
    return waiting is not None and (waiting.job_id, waiting.cancelled_by) == (job.id, version)


def waits_no_more(repository: Repository, job: Job) -> None:
    """Forget that the file of a job waits: the job, or one that is newer, has got on."""
    waiting = repository.waiting_file(job.drop.bucket, job.drop.key)
    if waiting is None or (waiting.job_id != job.id and waiting.requested_at > job.requested_at):
        return
    with suppress(StaleItemError):  # somebody has written down meanwhile that it waits
        repository.remove(waiting)
