"""Files that wait for a recipe, or were rejected because of theirs: they resume when another recipe comes.

Nothing was paid for them. Each file resumes with a message of its own. The id of its job follows from the version of
the recipe (or of the file that the recipe names), so a message that comes twice changes nothing. The decision is made
when the message is handled: a file that was replaced, deleted or answered meanwhile stays as it is.

No recipe is missed between a rejection and the item that records it: the item is written first, and then the recipe is
read again. If it has changed, the file resumes with it as soon as the rejection is done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from dropbatch.domain.drops import Drop, recipe_keys
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.inbox import WaitingFile
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Problems
from dropbatch.domain.states import JobState
from dropbatch.intake.retry_recipe import means_the_same
from dropbatch.jobs.waiting import wait_for_recipe
from dropbatch.messages import IntakeMessage, intake_message_for
from dropbatch.storage.context import Context
from dropbatch.storage.recipe_text import RecipeText, beside, find_recipe
from dropbatch.storage.repository import Repository

HANDOVER_SECONDS = 30
"""With less time left, the next invocation resumes the other files."""

MAX_EXAMINED = 1_000
"""How many recipes or waiting files are examined to find one."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A recipe that came, or that changed with a file that it names: `version` is that of the object that came."""

    recipe: RecipeText
    bucket: str
    version: str
    arrived_at: int


class NearestRecipe:
    """The files for which a recipe counts, looked up once for each folder."""

    def __init__(self, context: Context, bucket: str, path: str) -> None:
        self._context, self._bucket, self._path = context, bucket, path
        self._known: dict[str, bool] = {}

    def is_for(self, key: str) -> bool:
        """Return whether the recipe is the nearest one of the file under this key."""
        folder = key.rpartition("/")[0]
        if folder not in self._known:
            self._known[folder] = self._is_nearest(key)
        return self._known[folder]

    def _is_nearest(self, key: str) -> bool:
        for candidate in recipe_keys(key):
            if candidate == self._path:
                return True
            try:
                self._context.objects.head(self._bucket, candidate)
            except ObjectNotFoundError:
                continue
            except ObjectForbiddenError:
                return False
            return False
        return False


def resume_files(context: Context, arrival: Arrival, after: str, on_file: Callable[[str, Job | None], object]) -> bool:
    """Send a message for each file that resumes with a recipe; False if time runs out before the last file.

    The files begin after the key `after`. `on_file` is called with each key, and with the file's job if that resumes.
    """
    path = arrival.recipe.path
    folder = path[: path.rfind("/") + 1]
    nearest = NearestRecipe(context, arrival.bucket, path)
    parts = {beside(path, name) for name in arrival.recipe.names}
    for waiting in context.repository.waiting_files(arrival.bucket, folder):
        if waiting.key <= after:
            continue
        if context.seconds_left() < HANDOVER_SECONDS:
            return False
        is_for_it = waiting.key not in parts and nearest.is_for(waiting.key)
        on_file(waiting.key, _resume(context, arrival, waiting) if is_for_it else None)
    return True


def may_resume_rejected(context: Context, arrival: Arrival) -> bool:
    """Return whether a rejected file may resume with a recipe, by the first of the files that wait."""
    folder = arrival.recipe.path[: arrival.recipe.path.rfind("/") + 1]
    first = islice(context.repository.waiting_files(arrival.bucket, folder), MAX_EXAMINED)
    return any(waiting.is_rejected and _may_help(context, arrival.recipe, waiting) for waiting in first)


def _resume(context: Context, arrival: Arrival, waiting: WaitingFile) -> Job | None:
    """Resume a file if the recipe may cure it, and return its job; None if not."""
    job = current_job(context.repository, waiting)
    if job is None:
        return None
    if job.state is JobState.BUILDING and not waiting.is_rejected:
        return job if _hurry(context, job) else None
    drop = job.drop
    if not _may_help(context, arrival.recipe, waiting) or current_version(context, drop) != drop.version_id:
        return None  # a file that was replaced or deleted stays as it is
    message = IntakeMessage(drop.bucket, drop.key, drop.version_id, arrival.version, arrival.arrived_at)
    context.intake.send(message.to_json())
    return job


def _may_help(context: Context, recipe: RecipeText, waiting: WaitingFile) -> bool:
    """Return whether a recipe may cure a file that was rejected lately, with another recipe that differs enough."""
    is_other = waiting.recipe_sha256 != recipe.sha256 and not (waiting.reading and waiting.reading == recipe.reading)
    is_other = is_other and not (waiting.meaning and waiting.meaning == recipe.meaning)
    return is_other and waiting.still_waits(context.now())


def current_job(repository: Repository, waiting: WaitingFile) -> Job | None:
    """Return the job of a file that waits; None if the file has a newer one, or no longer waits."""
    if repository.latest_job(waiting.bucket, waiting.key).job_id != waiting.job_id:
        return None
    job = repository.job(waiting.job_id)
    return job if job is not None and job.state in (JobState.BUILDING, JobState.REJECTED) else None


def _hurry(context: Context, job: Job) -> bool:
    """Send the message of a job that waits for its recipe now; False if its drop is being read with another recipe.

    A job that is being built at this moment finds the recipe itself.
    """

    def due(current: Job) -> bool:
        if current.state is not JobState.BUILDING or current.is_leased(context.now()) or not current.not_before:
            return False
        current.not_before, current.sent_at = 0, context.now()
        return True

    if context.repository.update(job, due) is not None:
        context.intake.send(intake_message_for(job.drop, job.rerun_version))
    return job.progress is None


def current_version(context: Context, drop: Drop) -> str | None:
    """Return the current version of a drop's key; None if it was deleted or may not be read."""
    try:
        return context.objects.head(drop.bucket, drop.key).version_id
    except (ObjectNotFoundError, ObjectForbiddenError):
        return None


def job_to_resume(context: Context, drop: Drop) -> Job | None:
    """Return the rejected job of a version of a drop that resumes with a recipe; None if it no longer waits for one."""
    waiting = context.repository.waiting_file(drop.bucket, drop.key)
    if waiting is None or waiting.version_id != drop.version_id or waiting.cancelled_by:
        return None
    job = current_job(context.repository, waiting)
    if job is None or job.state is JobState.BUILDING:
        return job
    return job if current_version(context, job.drop) == job.drop.version_id else None


def wait_for_another_recipe(context: Context, job: Job, problems: Problems, recipe: RecipeText | None) -> bool:
    """Record that a job, which is about to be rejected, waits for another recipe. Return True if it resumes now."""
    used = (recipe.path, recipe.sha256, recipe.reading, recipe.meaning) if recipe is not None else None
    wait_for_recipe(context, job, problems, used, is_rejected=True)
    drop = job.drop
    try:
        today = find_recipe(context.objects, drop.bucket, drop.key)
        if today is None or _is_known(job, recipe, today):
            return False
        if recipe is not None and problems.may_be_cured_by_reading_alone and today.reading == recipe.reading:
            return False
        today.compiled()
        info = context.objects.head(drop.bucket, today.path)
    except (DropRejectedError, ObjectForbiddenError, ObjectNotFoundError):
        return False  # the recipe's own event reports what is wrong
    context.observer.info("the recipe has changed meanwhile", job_id=job.id)
    version = f"{info.version_id}+{today.sha256[:16]}"  # a file that the recipe names may have changed instead
    requested_at = max(info.modified, job.requested_at)
    context.intake.send(IntakeMessage(drop.bucket, drop.key, drop.version_id, version, requested_at).to_json())
    return True


def _is_known(job: Job, recipe: RecipeText | None, today: RecipeText) -> bool:
    """Return whether a job was rejected with today's recipe, or with one of the same meaning."""
    if recipe is None:
        return False
    if recipe.sha256 == today.sha256 or (recipe.meaning and recipe.meaning == today.meaning):
        return True
    return job.retry_of is not None and means_the_same(today, recipe)
