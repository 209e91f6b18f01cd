"""Objects of the inbox that wait and have no job yet: they are tried again, rejected, or end with a notification."""

from dropbatch.domain.deadlines import RETENTION_SECONDS
from dropbatch.domain.drops import Drop, ObjectKind, kind_of_object
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import Pending
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import Marker, MarkerObject, NearMarker
from dropbatch.domain.problems import MAY_COME, Problem, Problems
from dropbatch.jobs import outbox
from dropbatch.jobs.deduplication import claim_job, claimed_job
from dropbatch.jobs.give_up import give_up
from dropbatch.jobs.latest_job import set_latest
from dropbatch.jobs.lease import defer, release
from dropbatch.jobs.reject import only, reject
from dropbatch.messages import IntakeMessage
from dropbatch.ports import Notification
from dropbatch.reporting import marker_notices, recipe_notices, rejection_notices
from dropbatch.storage.context import Context

LOOK_AGAIN_SECONDS = 10
"""How soon an object is read again that lacks something which may still come."""

MAX_PENDING_SECONDS = 86_400
"""How long Dropbatch tries to read an object of the inbox without progress."""


def may_come(context: Context, problems: Problems, since: int) -> bool:
    """Return whether the problems may only mean that an upload, which began at `since`, is not finished."""
    return context.now() - since < context.recipe_wait_seconds and any(map(problems.has, MAY_COME))


def pending_for(context: Context, look: IntakeMessage) -> Pending:
    """Return a new item for the object that a message names. It is not saved."""
    return Pending(
        bucket=look.bucket,
        key=look.key,
        version_id=look.version_id or "",
        created_at=context.now(),
        rerun_version=look.rerun_version,
        event_at=look.event_at,
        sequencer=look.sequencer,
        expires_at=context.now() + RETENTION_SECONDS,
    )


def wait_for(context: Context, look: IntakeMessage, *, failed: bool) -> Pending:
    """Have the poller send the message about an object again: soon, or with a backoff if something failed."""
    fresh = pending_for(context, look)
    while True:
        pending = context.repository.reload(fresh) or fresh
        if failed:
            defer(context, pending)
        else:
            release(pending, context.now() + LOOK_AGAIN_SECONDS)
        try:
            context.repository.save(pending)
        except StaleItemError:
            continue
        return pending


def reject_unread(context: Context, pending: Pending, problem: Problem) -> None:
    """Reject an object of which only the name is known. A drop that has a job is left to the job."""
    drop = Drop(pending.bucket, pending.key, pending.version_id or "null", pending.created_at)
    kind = kind_of_object(pending.key)
    if isinstance(kind, Marker | NearMarker):
        notification = marker_notices.given_up(kind, MarkerObject(pending.bucket, pending.key, pending.version_id))
        end_pending(context, pending, notification, stays=True)
        return
    if kind is ObjectKind.IGNORED:
        context.repository.update(pending, _is_over)
        return
    if kind is ObjectKind.RECIPE:
        end_pending(context, pending, recipe_notices.broken(drop, only(problem)))
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
            reject(context, job, only(problem))
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


def _is_over(pending: Pending) -> bool:
    release(pending)
    pending.is_done = True
    return True
