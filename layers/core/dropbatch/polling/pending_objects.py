"""Moves on the objects of the inbox that have no job: takes them in, refuses them after a day, deletes their items."""

from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import Pending
from dropbatch.jobs import outbox
from dropbatch.jobs.lease import defer
from dropbatch.jobs.pending import MAX_PENDING_SECONDS, reject_unread
from dropbatch.polling.resend import Messages
from dropbatch.polling.snapshot import Snapshot
from dropbatch.polling.time_shares import has_time
from dropbatch.reporting import rejection_notices
from dropbatch.storage.context import Context


def move_pending(context: Context, snapshot: Snapshot, messages: Messages) -> None:
    """Move on each pending object that is due."""
    for pending in snapshot.pending:
        if not has_time(context):
            return
        try:
            _move(context, pending, messages)
        except StaleItemError:
            continue
        except Exception:  # noqa: BLE001 - one that fails must not stop the others
            context.observer.exception("a pending object could not be moved on", version_id=pending.version_id)


def _move(context: Context, pending: Pending, messages: Messages) -> None:
    now = context.now()
    if not pending.is_done and now > pending.created_at + MAX_PENDING_SECONDS and not pending.is_leased(now):
        reject_unread(context, pending, rejection_notices.GIVEN_UP)
    elif pending.outbox and pending.notify_after <= now:
        outbox.publish(context, pending)
    elif not pending.is_done:
        if pending.not_before <= now:
            messages.add("intake", pending)
        return
    _delete_done(context, pending)


def _delete_done(context: Context, pending: Pending) -> None:
    """Delete the item of an object that is done, unless it is kept or still has notices to send."""

    def later(item: Pending) -> bool:
        defer(context, item)
        return True

    current = context.repository.reload(pending)
    if current is None or not current.is_done or current.is_kept or current.outbox:
        return
    if current.not_before > context.now():
        return
    try:
        context.repository.remove(current)
    except StaleItemError:
        return
    except Exception:
        context.repository.update(current, later)
        raise
