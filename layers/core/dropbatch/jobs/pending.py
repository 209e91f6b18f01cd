"""The objects of the inbox that wait to be read, and have no job yet that could wait for them."""

from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import Pending
from dropbatch.domain.jobs import RETENTION_SECONDS
from dropbatch.domain.problems import MAY_COME, Problems
from dropbatch.jobs.lease import defer, release
from dropbatch.messages import IntakeMessage
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
