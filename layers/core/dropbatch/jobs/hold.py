"""Holds jobs and resumes them. A held job submits nothing. Its batches at OpenAI continue, and are collected."""

from dropbatch.domain.batches import Batch
from dropbatch.domain.deadlines import deadline_after_hold
from dropbatch.domain.errors import ErrorKind, OpenAIError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import APPROVABLE, HeldReason, JobState
from dropbatch.jobs import outbox
from dropbatch.jobs.spending import standing
from dropbatch.reporting import held_notices
from dropbatch.reporting.result_files import write_approval_page
from dropbatch.storage.context import Context

SAME_HOLD_SECONDS = 86_400
"""A reason that returns within a day is the same hold: its time continues to count, and there is no second notice."""

REASONS = {
    ErrorKind.KEY: HeldReason.KEY,
    ErrorKind.PERMISSION: HeldReason.PERMISSION,
    ErrorKind.ACCOUNT: HeldReason.ACCOUNT,
}
"""The reason for which an error of OpenAI holds a job, by the kind of the error."""


def hold(
    context: Context,
    job: Job,
    reason: HeldReason,
    code: str,
    call: Batch | None = None,
    states: tuple[JobState, ...] = (JobState.RUNNING,),
) -> None:
    """Hold a job that is in one of `states`, with one notice for each reason. `call` is the batch whose call failed."""
    version = _key_version(context)
    now = context.now()
    name = f"held-{reason}-{now}"
    current = context.repository.job(job.id)
    if current is None or current.state not in states:
        return
    # An approval is of what its notice asked for, so each of these holds is a new one.
    is_new = reason in APPROVABLE or now - current.hold_ends.get(reason, 0) > SAME_HOLD_SECONDS
    money = standing(context, current, at_work=reason is HeldReason.COST) if reason in APPROVABLE else None
    notice = outbox.NO_NOTICE
    if is_new:
        said = held_notices.held(context, current, reason, money=money)
        write_approval_page(context, current, reason, said)
        notice = outbox.write(context, current, name, said)

    def stop(current: Job) -> bool:
        if current.state not in states:
            return False
        current.held_reason, current.held_secret_version, current.held_batch = (
            reason,
            version,
            call.sort_key if call else None,
        )
        current.held_at = now
        current.asked_usd = money.likely if money is not None else None
        current.hold_checked_at = now
        current.hold_repeats = 0 if is_new else current.hold_repeats + 1
        if is_new:
            current.holds = {**current.holds, str(reason): now}
        current.move(JobState.HELD)
        outbox.post(context, current, notice)
        if not is_new:
            outbox.list_again(context, current)
        return True

    held = context.repository.update(job, stop)
    if held is not None:
        context.observer.warning("job held", job_id=job.id, reason=str(reason), code=code)
        outbox.publish_now(context, held)


def hold_for(context: Context, job: Job, error: OpenAIError, batch: Batch | None = None) -> bool:
    """Hold the job if an error of this kind holds jobs; return whether it does."""
    reason = REASONS.get(error.kind)
    if reason is None:
        return False
    hold(context, job, reason, error.code, batch)
    return True


def resume(context: Context, job: Job, *reasons: HeldReason, marker: str | None = None) -> Job | None:
    """Resume a job that is held for one of these reasons, and add the time that it lost to its deadline.

    `marker` is the version of the marker that asks for it, which acts once, and not if the job is being cancelled. None
    if the job is not held for them.
    """

    def change(current: Job) -> bool:
        if current.state is not JobState.HELD or current.held_reason not in reasons:
            return False
        if marker is not None and (current.resumed_by == marker or current.cancel_requested):
            return False
        if current.held_reason in APPROVABLE:
            current.approved, current.approved_usd = True, current.asked_usd
            if current.canary is not None and current.held_reason is HeldReason.CANARY:
                current.canary.is_passed = True
        now = context.now()
        current.deadline_at = deadline_after_hold(current.deadline_at, now - current.held_at, current.created_at)
        if current.held_reason is HeldReason.FAILING:
            current.recent_bad_batches = []
        current.end_hold(now)
        current.awaits_money = False
        current.resumed_by = marker or current.resumed_by
        current.start_count = current.deferrals = 0
        current.move(JobState.RUNNING)
        outbox.list_again(context, current)
        return True

    resumed = context.repository.update(job, change)
    if resumed is not None:
        context.observer.info("job resumed", job_id=job.id)
    return resumed


def _key_version(context: Context) -> str | None:
    try:
        return context.openai.key_version()
    except OpenAIError:
        return None
