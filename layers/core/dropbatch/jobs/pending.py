"""Objects of the inbox that wait to be looked at, and have no job that could wait for them."""

from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import Pending
from dropbatch.domain.jobs import RETENTION_SECONDS
from dropbatch.domain.problems import MAY_COME, Problems
from dropbatch.jobs.lease import give_back, put_off
from dropbatch.messages import IntakeMessage
from dropbatch.storage.context import Context

LOOK_AGAIN_SECONDS = 10
"""How soon an object is looked at again that lacks something which may still come."""

MAX_PENDING_SECONDS = 86_400
"""How long what lands in the inbox is tried to be read without coming further."""


def may_come(context: Context, problems: Problems, since: int) -> bool:
    """Return whether what is wrong may just mean that an upload is not finished that began at `since`."""
    return context.now() - since < context.recipe_wait_seconds and any(map(problems.has, MAY_COME))


def pending_for(context: Context, look: IntakeMessage) -> Pending:
    """Return a new item for the object that a message names; it is not saved."""
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
    """Have the poller send a message about the object again: soon, or, if something failed, each time later."""
    fresh = pending_for(context, look)
    while True:
        pending = context.repository.reload(fresh) or fresh
        if failed:
            put_off(context, pending)
        else:
            give_back(pending, context.now() + LOOK_AGAIN_SECONDS)
        try:
            context.repository.save(pending)
        except StaleItemError:
            continue
        return pending
