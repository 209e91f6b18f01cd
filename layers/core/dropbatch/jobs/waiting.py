"""The files that wait for a recipe, or were rejected because of theirs. A recipe that comes finds them here."""

from contextlib import suppress

from dropbatch.domain.deadlines import RETENTION_SECONDS
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import WaitingFile
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Problems
from dropbatch.storage.context import Context
from dropbatch.storage.repository import Repository

MAX_KEY_BYTES = 900
"""A longer key is not a drop's: it is rejected before a recipe is searched."""

MAX_CODES = 20
"""How many codes of a file's problems are stored at most."""


def waits_for_recipe(problems: Problems, *, has_recipe: bool) -> bool:
    """Return whether another recipe may be all that a file needs.

    `has_recipe` says that one was found, even an unreadable one. Ready requests have none.
    """
    is_found = has_recipe or any(group.first.path for group in problems.groups)
    return problems.has("no_recipe") or (problems.may_be_cured_by_recipe and is_found)


def wait_for_recipe(
    context: Context,
    job: Job,
    problems: Problems,
    recipe: tuple[str, str, str, str] | None,
    *,
    is_rejected: bool,
) -> None:
    """Record that a job's file waits, unless a newer job of its key does.

    `recipe` is the path, the hash, the `reading` and the `meaning` of the recipe that caused the problems.
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
        current.recipe_path, current.recipe_sha256, reading, current.meaning = recipe or (None, None, "", "")
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
    """Keep recipes from taking up the file of a rejected job, for the `.cancel` of this version.

    False if none would, or if another `.cancel` came before.
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


def stop_waiting(repository: Repository, job: Job) -> None:
    """Delete the record that a job's file waits: the job, or a newer one, has made progress."""
    waiting = repository.waiting_file(job.drop.bucket, job.drop.key)
    if waiting is None or (waiting.job_id != job.id and waiting.requested_at > job.requested_at):
        return
    with suppress(StaleItemError):  # another process has just recorded that it waits
        repository.remove(waiting)
