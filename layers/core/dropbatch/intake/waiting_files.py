"""Takes up the files that were rejected for their recipe's sake, or wait for one, when another recipe has come.

Nothing was paid for them. A file is taken up by its own message, and its job's id follows from the version of the
recipe (or of the file that the recipe names), so that a message that comes twice changes nothing. What is decided is
decided when that message is worked on: a file that was replaced, deleted or answered meanwhile is left alone.

No recipe slips through between a rejection and the item that tells of it: the item is written first, and then the
recipe is looked at again. If it has changed, the file is taken up with it as soon as the rejection is done.
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
from dropbatch.storage.job_files import RecipeText, beside, find_recipe
from dropbatch.storage.repository import Repository

SPARE_SECONDS = 30
"""With less time left the files that follow are taken up by the next invocation."""


MAX_LOOKED_THROUGH = 1_000
"""How many recipes, or waiting files, are looked through for one to name, or to see whether there is any."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A recipe that has come, or has changed with a file that it names: since `at`, by the version `by`."""

    recipe: RecipeText
    bucket: str
    by: str
    at: int


class Nearest:
    """Which recipe counts for a file, by its folder: looked up once for each folder."""

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


def take_up(context: Context, arrival: Arrival, after: str, on_look: Callable[[str, Job | None], object]) -> bool:
    """Send a message for each file that goes on with a recipe; False if time runs out before all are looked at.

    It begins behind the key `after`; `on_look` is called with each key, and the job of its file if that
    goes on.
    """
    path = arrival.recipe.path
    folder = path[: path.rfind("/") + 1]
    nearest = Nearest(context, arrival.bucket, path)
    parts = {beside(path, name) for name in arrival.recipe.names}
    for waiting in context.repository.waiting_files(arrival.bucket, folder):
        if waiting.key <= after:
            continue
        if context.seconds_left() < SPARE_SECONDS:
            return False
        is_for_it = waiting.key not in parts and nearest.is_for(waiting.key)
        on_look(waiting.key, _goes_on(context, arrival, waiting) if is_for_it else None)
    return True


def takes_up_rejected(context: Context, arrival: Arrival) -> bool:
    """Whether a recipe may take up a file that was rejected, as far as the first of those that wait tell."""
    folder = arrival.recipe.path[: arrival.recipe.path.rfind("/") + 1]
    first = islice(context.repository.waiting_files(arrival.bucket, folder), MAX_LOOKED_THROUGH)
    return any(waiting.is_rejected and _may_help(context, arrival.recipe, waiting) for waiting in first)


def _goes_on(context: Context, arrival: Arrival, waiting: WaitingFile) -> Job | None:
    """Have a file looked at again, if the recipe can change what comes of it; returns its job if it is."""
    job = current_job(context.repository, waiting)
    if job is None:
        return None
    if job.state is JobState.BUILDING and not waiting.is_rejected:
        return job if _hurry(context, job) else None
    if not _may_help(context, arrival.recipe, waiting) or not _is_latest(context, job.drop):
        return None
    drop = job.drop
    context.intake.send(IntakeMessage(drop.bucket, drop.key, drop.version_id, arrival.by, arrival.at).to_json())
    return job


def _may_help(context: Context, recipe: RecipeText, waiting: WaitingFile) -> bool:
    """Whether a recipe may cure what a file was rejected for: not long ago, and not with this one, or one as good."""
    is_other = waiting.recipe_sha256 != recipe.sha256 and not (waiting.reading and waiting.reading == recipe.reading)
    return is_other and waiting.still_waits(context.now())


def current_job(repository: Repository, waiting: WaitingFile) -> Job | None:
    """Return the job of a file that waits; None if the file has a newer one, or waits no more."""
    if repository.latest_job(waiting.bucket, waiting.key).job_id != waiting.job_id:
        return None
    job = repository.job(waiting.job_id)
    return job if job is not None and job.state in (JobState.BUILDING, JobState.REJECTED) else None


def _hurry(context: Context, job: Job) -> bool:
    """Have a job looked at now that waits for its recipe; False if it is being read already, with another.

    One that is being looked at this moment comes to it by itself.
    """

    def due(current: Job) -> bool:
        if current.state is not JobState.BUILDING or current.is_leased(context.now()) or not current.not_before:
            return False
        current.not_before, current.sent_at = 0, context.now()
        return True

    if context.repository.update(job, due) is not None:
        context.intake.send(intake_message_for(job.drop, job.rerun_version))
    return job.progress is None


def _is_latest(context: Context, drop: Drop) -> bool:
    """Whether the version is still what lies under its key: one that was replaced or deleted is left alone."""
    try:
        return context.objects.head(drop.bucket, drop.key).version_id == drop.version_id
    except (ObjectNotFoundError, ObjectForbiddenError):
        return False


def file_to_take_up(context: Context, drop: Drop) -> Job | None:
    """Return the rejected job of a version of a drop that a recipe takes up; None if it no longer waits for one."""
    waiting = context.repository.waiting_file(drop.bucket, drop.key)
    if waiting is None or waiting.version_id != drop.version_id or waiting.cancelled_by:
        return None
    job = current_job(context.repository, waiting)
    return job if job is not None and (job.state is JobState.BUILDING or _is_latest(context, job.drop)) else None


def waits_from_now_on(context: Context, job: Job, problems: Problems, recipe: RecipeText | None) -> bool:
    """Write down that a job, which is about to be rejected, waits for another recipe; True if that takes it up now."""
    used = (recipe.path, recipe.sha256, recipe.reading) if recipe is not None else None
    wait_for_recipe(context, job, problems, used, is_rejected=True)
    drop = job.drop
    try:
        today = find_recipe(context.objects, drop.bucket, drop.key)
        if today is None or _is_known(job, recipe, today):
            return False
        if recipe is not None and problems.may_be_cured_by_reading_alone and today.reading == recipe.reading:
            return False
        today.compiled()
        version = context.objects.head(drop.bucket, today.path)
    except (DropRejectedError, ObjectForbiddenError, ObjectNotFoundError):
        return False  # its own event tells what is wrong
    context.observer.info("the recipe has changed meanwhile", job_id=job.id)
    by = f"{version.version_id}+{today.sha256[:16]}"  # for it may be a file that it names which has changed
    context.intake.send(
        IntakeMessage(drop.bucket, drop.key, drop.version_id, by, max(version.modified, job.requested_at)).to_json()
    )
    return True


def _is_known(job: Job, recipe: RecipeText | None, today: RecipeText) -> bool:
    """Whether today's recipe is the one that a job was rejected with; of a `.retry`, one that asks the same."""
    if recipe is None:
        return False
    return recipe.sha256 == today.sha256 or (job.retry_of is not None and means_the_same(today, recipe))
