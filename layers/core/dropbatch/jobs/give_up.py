"""Ends what comes to nothing, and tells its owner: every drop ends with a notification.

It reads no row and no recipe, so that it works where the process that failed could not.
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
from dropbatch.jobs.deduplication import begin_run, claim_job, claimed_job, set_latest
from dropbatch.jobs.end import end
from dropbatch.jobs.lease import give_back, kept, take
from dropbatch.jobs.waiting import waits_no_more
from dropbatch.ports import Notification
from dropbatch.reporting import marker_notices, recipe_notices, rejection_notices, result_files, start_notices
from dropbatch.reporting.mirror_lines import not_mirrored
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
    """End a job whose drop cannot be used, unless it has moved on meanwhile, and tell why.

    `waits` says that another recipe takes its file up, `goes_on` that one does so now: then people are told of the run
    that follows, and programs of both. `elsewhere` says where a recipe was dropped instead, if none was found.
    """
    begin_run(context.repository, job)
    result_files.write_rejected(context, job, problems)
    result_files.write_rejected_page(context, job, problems)
    result_files.write_latest(context, job, "rejected")
    told = rejection_notices.rejected(context, job, problems, elsewhere)
    notice = outbox.write(context, job, "rejected", told, people=not goes_on)
    if _end_building(context, job, notice, waits=waits):
        context.observer.metric("JobsRejected", 1)
        codes = sorted({problem.code for problem in problems})
        context.observer.info("rejected", job_id=job.id, codes=codes, problems=problems.total)


def end_duplicate(context: Context, job: Job, standing: Job) -> None:
    """End a job whose work another does already, with the same recipe, and tell so."""
    job.recipe_path, job.recipe_sha256 = standing.recipe_path, standing.recipe_sha256
    job.notify, job.digest = standing.notify, standing.digest
    notice = outbox.write(context, job, "duplicate", start_notices.duplicate(context, job, standing))
    _end_building(context, job, notice)


def end_silently(context: Context, job: Job) -> None:
    """End a job of what is no drop after all: an empty file that was replaced, a file that a recipe names."""
    _end_building(context, job, outbox.UNTOLD)


def give_up(context: Context, job: Job) -> None:
    """End a job whose drop could not be read for a day, whatever S3 takes of what is to be written."""
    _attempt(context, job, lambda: begin_run(context.repository, job))
    _attempt(context, job, lambda: result_files.write_rejected(context, job, _only(rejection_notices.GIVEN_UP)))
    _attempt(context, job, lambda: result_files.write_rejected_page(context, job, _only(rejection_notices.GIVEN_UP)))
    _attempt(context, job, lambda: result_files.write_latest(context, job, "rejected"))
    if _end_building(context, job, outbox.unwritten(context, job, "gave-up")):
        context.observer.metric("JobsRejected", 1)
        context.observer.warning("gave up", job_id=job.id)


def _attempt(context: Context, job: Job, step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # noqa: BLE001 - the job ends now, and its owner is told, even if S3 takes nothing
        context.observer.exception("what comes before a job's end could not be done", job_id=job.id)


def refuse_unseen(context: Context, pending: Pending, problem: Problem) -> None:
    """Refuse an object of which no more is known than its name; a drop that has a job is left to that."""
    drop = Drop(pending.bucket, pending.key, pending.version_id or "null", pending.created_at)
    meaning = meaning_of(pending.key)
    if isinstance(meaning, Marker | NearMarker):
        told = marker_notices.given_up(meaning, MarkerObject(pending.bucket, pending.key, pending.version_id))
        tell_pending(context, pending, told, stays=True)
        return
    if meaning is ObjectKind.IGNORED:
        context.repository.update(pending, _is_over)
        return
    if meaning is ObjectKind.RECIPE:
        tell_pending(context, pending, recipe_notices.broken(drop, _only(problem)))
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
            set_latest(context.repository, job, now)  # else it may be older than what the key's newest job belongs to
        if problem is rejection_notices.GIVEN_UP:
            give_up(context, job)
        else:
            reject(context, job, _only(problem))
    context.repository.update(pending, _is_over)


def tell_pending(
    context: Context,
    pending: Pending,
    notification: Notification | None,
    *,
    stays: bool = False,
    people: bool = True,
) -> None:
    """End an object that has no job, and tell what came of it, if anything is to be told.

    Its item is deleted once that is told, unless it `stays`. Programs alone are told unless `people` are to know, too.
    """
    name = f"told-{context.now()}"
    notice = outbox.write(context, pending, name, notification, people=people) if notification else outbox.UNTOLD

    def over(current: Pending) -> bool:
        if current.is_done:
            return False
        current.is_kept = stays
        outbox.post(context, current, notice)
        return _is_over(current)

    told = context.repository.update(pending, over)
    if told is not None:
        outbox.tell_now(context, told)


def force_end(context: Context, job: Job) -> None:
    """End a job whose results could not be put together before its time was over, as was decided if that was.

    For half a day that waits for S3 to say whether it was; then the job ends whatever S3 says.
    """

    def begin(current: Job) -> bool:
        if current.state in ENDED_JOBS or current.is_leased(context.now()):
            return False
        take(context, current)
        return True

    taken = context.repository.update(job, begin)
    if taken is None:
        return
    with kept(context, taken):
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
            end(context, taken, decision, outbox.unwritten(context, taken, "results-gave-up"))


def _is_mirrored(repository: Repository, job: Job) -> bool:
    """Return whether a job's answers, or those of a newer run, stand in its mirror."""
    drop = job.drop
    found = repository.reload(Mirror(drop.bucket, drop.key, job.id, drop.sequencer, job.requested_at, job.run))
    return found is not None and (found.is_written if found.job_id == job.id else not found.is_before(job))


def _is_over(pending: Pending) -> bool:
    give_back(pending)
    pending.is_done = True
    return True


def _only(problem: Problem) -> Problems:
    problems = Problems()
    problems.add(problem)
    return problems


def _end_building(context: Context, job: Job, notice: outbox.Notice, *, waits: bool = False) -> bool:
    """End a job that is being built, unless another process has taken it over; what is to be told is told after."""
    lease = job.lease

    def ended(current: Job) -> bool:
        if current.state is not JobState.BUILDING or current.lease != lease:
            return False
        give_back(current)
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
        waits_no_more(context.repository, rejected)
    outbox.tell_now(context, rejected)
    clean_up(context, context.repository.reload(rejected) or rejected)
    return True
