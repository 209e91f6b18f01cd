"""Rejects drops, and ends jobs that are not needed: none of them has sent anything."""

from collections.abc import Sequence

from dropbatch.domain.deadlines import RETENTION_SECONDS
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Problem, Problems
from dropbatch.domain.states import JobState
from dropbatch.jobs import outbox
from dropbatch.jobs.cleanup import clean_up
from dropbatch.jobs.latest_job import leave_key
from dropbatch.jobs.lease import release
from dropbatch.jobs.runs import begin_run
from dropbatch.jobs.waiting import stop_waiting
from dropbatch.reporting import rejection_notices, result_files, start_notices
from dropbatch.storage.context import Context

KILLS = Problem(
    "kills_function",
    "Reading the file stopped the function twice: it ran out of memory or of time; make its rows or its recipe's "
    "templates smaller, or drop it as several files.",
)

NOT_READABLE = Problem(
    "not_readable",
    "S3 does not let the submit function read the file or its recipe; if they are encrypted with a KMS key of your "
    "own, let the function's role decrypt with it, or upload them without it; restore what is archived in a Glacier "
    "class; then drop the file again.",
)


def reject(
    context: Context,
    job: Job,
    problems: Problems,
    *,
    waits: bool = False,
    goes_on: bool = False,
    elsewhere: Sequence[str] = (),
    draft: str | None = None,
) -> None:
    """End a job whose drop cannot be used, unless another process has moved it, with a notification.

    `waits` says that another recipe takes up its file, `goes_on` that one does so now: then people get a message about
    the run that follows, and programs about both. `elsewhere` lists where recipes were dropped instead, if none was
    found, and `draft` is then the key of one that was drafted.
    """
    begin_run(context.repository, job)
    result_files.write_rejected(context, job, problems, draft)
    result_files.write_rejected_page(context, job, problems, draft)
    result_files.write_latest(context, job, "rejected")
    notification = rejection_notices.rejected(context, job, problems, elsewhere, draft)
    notice = outbox.write(context, job, "rejected", notification, people=not goes_on)
    if end_building(context, job, notice, waits=waits):
        context.observer.job_metric("JobsRejected", 1, job.id)
        codes = sorted({problem.code for problem in problems})
        context.observer.info("job rejected", job_id=job.id, codes=codes, problems=problems.total)


def end_duplicate(context: Context, job: Job, standing: Job) -> None:
    """End a job whose work another job already does, with the same recipe, with a notification."""
    job.recipe_path, job.recipe_sha256 = standing.recipe_path, standing.recipe_sha256
    job.notify, job.digest = standing.notify, standing.digest
    notice = outbox.write(context, job, "duplicate", start_notices.duplicate(context, job, standing))
    end_building(context, job, notice)


def end_silently(context: Context, job: Job) -> bool:
    """End a job whose object is not a drop: an empty file that was replaced, or a file that a recipe names.

    Return False if its owner has heard of the job, from a marker that acted on it: then its end is no secret.
    """
    leave_key(context.repository, job)
    current = context.repository.reload(job)
    if current is not None and current.cancel_requested:
        return False
    end_building(context, job, outbox.NO_NOTICE)
    return True


def end_building(context: Context, job: Job, notice: outbox.Notice, *, waits: bool = False) -> bool:
    """End a job that is being built, unless another process has taken it over; then send the notice."""
    lease = job.lease

    def ended(current: Job) -> bool:
        if current.state is not JobState.BUILDING or current.lease != lease:
            return False
        release(current)
        current.ended_at, current.expires_at = context.now(), context.now() + RETENTION_SECONDS
        current.run, current.recipe_path, current.recipe_sha256 = job.run, job.recipe_path, job.recipe_sha256
        current.notify, current.digest = job.notify, job.digest
        outbox.post(context, current, notice)
        current.move(JobState.REJECTED)
        return True

    rejected = context.repository.update(job, ended)
    if rejected is None:
        return False
    if not waits:
        stop_waiting(context.repository, rejected)
    result_files.correct_status(context, rejected)
    outbox.publish_now(context, rejected)
    clean_up(context, context.repository.reload(rejected) or rejected)
    return True


def only(problem: Problem) -> Problems:
    """Return the problems of a drop that has just one."""
    problems = Problems()
    problems.add(problem)
    return problems
