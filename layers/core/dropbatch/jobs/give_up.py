"""Ends jobs and objects that cannot be completed, with a notification: every drop ends with one.

It reads no row and no recipe, so it works even if another process failed on them.
"""

from collections.abc import Callable, Sequence

from dropbatch.domain.drops import Drop, ObjectKind, meaning_of
from dropbatch.domain.inbox import Pending
from dropbatch.domain.jobs import GRACE_SECONDS, RETENTION_SECONDS, Job
from dropbatch.domain.markers import Marker, MarkerObject, NearMarker
from dropbatch.domain.problems import Problem, Problems
from dropbatch.domain.runs import Mirror
from dropbatch.domain.states import ENDED_JOBS, JobState
from dropbatch.jobs import outbox
from dropbatch.jobs.cleanup import clean_up
from dropbatch.jobs.deduplication import claim_job, claimed_job
from dropbatch.jobs.end import end
from dropbatch.jobs.latest_job import set_latest
from dropbatch.jobs.lease import leased, release
from dropbatch.jobs.runs import begin_run
from dropbatch.jobs.waiting import stop_waiting
from dropbatch.ports import Notification
from dropbatch.reporting import marker_notices, recipe_notices, rejection_notices, result_files, start_notices
from dropbatch.reporting.mirrored import not_mirrored
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import decide, decision_of
from dropbatch.storage.repository import Repository

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
) -> None:
    """End a job whose drop cannot be used, unless another process has moved it, with a notification.

    `waits` says that another recipe takes up its file, `goes_on` that one does so now: then people get a message about
    the run that follows, and programs about both. `elsewhere` lists where recipes were dropped instead, if none was
    found.
    """
    begin_run(context.repository, job)
    result_files.write_rejected(context, job, problems)
    result_files.write_rejected_page(context, job, problems)
    result_files.write_latest(context, job, "rejected")
    notification = rejection_notices.rejected(context, job, problems, elsewhere)
    notice = outbox.write(context, job, "rejected", notification, people=not goes_on)
    if _end_building(context, job, notice, waits=waits):
        context.observer.metric("JobsRejected", 1)
        codes = sorted({problem.code for problem in problems})
        context.observer.info("job rejected", job_id=job.id, codes=codes, problems=problems.total)


def end_duplicate(context: Context, job: Job, standing: Job) -> None:
    """End a job whose work another job already does, with the same recipe, with a notification."""
    job.recipe_path, job.recipe_sha256 = standing.recipe_path, standing.recipe_sha256
    job.notify, job.digest = standing.notify, standing.digest
    notice = outbox.write(context, job, "duplicate", start_notices.duplicate(context, job, standing))
    _end_building(context, job, notice)


def end_silently(context: Context, job: Job) -> None:
    """End a job whose object is not a drop: an empty file that was replaced, or a file that a recipe names."""
    _end_building(context, job, outbox.NO_NOTICE)


def give_up(context: Context, job: Job) -> None:
    """End a job whose drop could not be read for a day, even if S3 takes none of its files."""
    _attempt(context, job, lambda: begin_run(context.repository, job))
    _attempt(context, job, lambda: result_files.write_rejected(context, job, _only(rejection_notices.GIVEN_UP)))
    _attempt(context, job, lambda: result_files.write_rejected_page(context, job, _only(rejection_notices.GIVEN_UP)))
    _attempt(context, job, lambda: result_files.write_latest(context, job, "rejected"))
    if _end_building(context, job, outbox.derived(context, job, "gave-up")):
        context.observer.metric("JobsRejected", 1)
        context.observer.warning("job given up", job_id=job.id)


def _attempt(context: Context, job: Job, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # noqa: BLE001 - the job ends now, with a notification, even if S3 takes nothing
        context.observer.exception("a step before the end of a job failed", job_id=job.id)


def reject_unread(context: Context, pending: Pending, problem: Problem) -> None:
    """Reject an object of which only the name is known. A drop that has a job is left to the job."""
    drop = Drop(pending.bucket, pending.key, pending.version_id or "null", pending.created_at)
    meaning = meaning_of(pending.key)
    if isinstance(meaning, Marker | NearMarker):
        notification = marker_notices.given_up(meaning, MarkerObject(pending.bucket, pending.key, pending.version_id))
        end_pending(context, pending, notification, stays=True)
        return
    if meaning is ObjectKind.IGNORED:
        context.repository.update(pending, _is_over)
        return
    if meaning is ObjectKind.RECIPE:
        end_pending(context, pending, recipe_notices.broken(drop, _only(problem)))
        return
    now = context.now()
    requested_at, rerun = pending.event_at or now, pending.rerun_version
    identity = claimed_job(context.repository, drop, rerun) or claim_job(
        context.repository, drop, requested_at, now, rerun
    )
    job = Job(
        id=identity, drop=drop, created_at=now, requested_at=requested_at, rerun_version=rerun or None, build_until=now
    )
    if context.repository.add(job):
        if context.repository.latest_job(drop.bucket, drop.key).job_id is None:
            set_latest(context.repository, job, now)  # else it may be older than the key's newest job
        if problem is rejection_notices.GIVEN_UP:
            give_up(context, job)
        else:
            reject(context, job, _only(problem))
    context.repository.update(pending, _is_over)


def end_pending(
    context: Context,
    pending: Pending,
    notification: Notification | None,
    *,
    stays: bool = False,
    people: bool = True,
) -> None:
    """End an object that has no job, with a notification if there is one.

    Its item is deleted once the notification is sent, unless it `stays`. Without `people`, only programs get it.
    """
    name = f"told-{context.now()}"
    notice = outbox.write(context, pending, name, notification, people=people) if notification else outbox.NO_NOTICE

    def over(current: Pending) -> bool:
        if current.is_done:
            return False
        current.is_kept = stays
        outbox.post(context, current, notice)
        return _is_over(current)

    done = context.repository.update(pending, over)
    if done is not None:
        outbox.publish_now(context, done)


def force_end(context: Context, job: Job) -> None:
    """End a job whose results could not be assembled before its time was over; as it was decided, if S3 has a decision.

    If S3 does not answer, the job waits half a day for it, and then ends without.
    """

    with leased(context, job, lambda current: current.state not in ENDED_JOBS) as taken:
        if taken is None:
            return
        context.observer.warning("a job is ended because its time is over", job_id=job.id)
        decision = result_files.decision_to_give_up(context, taken)
        try:
            decided = decision_of(context, job.id) or decide(context, job.id, decision)
            if decided.get("mirror") and not _is_mirrored(context.repository, taken):
                decided = not_mirrored(decided)
            end(context, taken, decided)
        except Exception:
            if context.now() < taken.ends_by + GRACE_SECONDS * 3 // 2:
                raise
            end(context, taken, decision, outbox.derived(context, taken, "results-gave-up"))


def _is_mirrored(repository: Repository, job: Job) -> bool:
    """Return whether a job's mirror has its answers, or those of a newer run."""
    drop = job.drop
    found = repository.reload(Mirror(drop.bucket, drop.key, job.id, drop.sequencer, job.requested_at, job.run))
    return found is not None and (found.is_written if found.job_id == job.id else not found.is_before(job))


def _is_over(pending: Pending) -> bool:
    release(pending)
    pending.is_done = True
    return True


def _only(problem: Problem) -> Problems:
    problems = Problems()
    problems.add(problem)
    return problems


def _end_building(context: Context, job: Job, notice: outbox.Notice, *, waits: bool = False) -> bool:
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
    outbox.publish_now(context, rejected)
    clean_up(context, context.repository.reload(rejected) or rejected)
    return True
