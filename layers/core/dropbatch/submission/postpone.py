"""Postpones a submission: the lease is released, and the batch is due again later."""

from dropbatch.domain.batches import Batch
from dropbatch.domain.states import BatchState
from dropbatch.jobs.lease import LEASE_SECONDS, defer, release, update_own
from dropbatch.storage.context import Context


def keep_in_doubt(context: Context, batch: Batch, seconds: int) -> None:
    """Release the lease while the create is in doubt, and record the search's progress; it is due again then."""
    known = (batch.first_not_found_at, batch.search_after, batch.secret_version, batch.deferrals)

    def keep(current: Batch) -> None:
        current.first_not_found_at, current.search_after, current.secret_version, current.deferrals = known
        current.start_count = current.kill_count = 0
        release(current, context.now() + seconds)

    update_own(context.repository, batch, keep)


def return_to_waiting(context: Context, batch: Batch, seconds: int = 0, *, due: bool = False) -> None:
    """Release the batch, to be submitted later. One whose create is in doubt stays in its state.

    After a failure it waits at least `seconds`, with a backoff. If it was just not `due`, it waits `seconds`.
    """
    file_id, in_doubt = batch.file_id, batch.creating_at is not None

    def back(current: Batch) -> None:
        if current.state is not BatchState.SUBMITTING:
            return
        if due:
            release(current, context.now() + seconds if seconds else 0)
        else:
            defer(context, current, seconds)
        current.file_id, current.admitted_at = file_id, 0
        if in_doubt:
            current.search_after = batch.search_after
        else:
            current.creating_at = current.first_not_found_at = current.search_after = None
            current.move(BatchState.WAITING)

    update_own(context.repository, batch, back)


def renew_lease(context: Context, batch: Batch) -> None:
    """Renew the lease in memory, before the batch is written: the heartbeat may have renewed it in the table."""
    batch.lease_until = context.now() + LEASE_SECONDS
