"""How an attempt to submit a batch ends without one: the lease is given back, and the batch is due again later."""

from dropbatch.domain.batches import Batch
from dropbatch.domain.states import BatchState
from dropbatch.jobs.lease import LEASE_SECONDS, give_back, put_off, update_own
from dropbatch.storage.context import Context


def keep_in_doubt(context: Context, batch: Batch, seconds: int) -> None:
    """Give the lease back while the create stays in doubt, with what the search has found out; the next is due then."""
    known = (batch.first_not_found_at, batch.search_after, batch.secret_version)

    def keep(current: Batch) -> None:
        current.first_not_found_at, current.search_after, current.secret_version = known
        current.start_count = current.kill_count = 0
        give_back(current, context.now() + seconds)

    update_own(context.repository, batch, keep)


def return_to_waiting(context: Context, batch: Batch, seconds: int = 0, *, due: bool = False) -> None:
    """Give the batch back to be submitted later; one whose create is in doubt stays where it is.

    What failed is put off for at least `seconds`, each time for longer; what is merely not `due` for `seconds` is not.
    """
    file_id, in_doubt = batch.file_id, batch.creating_at is not None

    def back(current: Batch) -> None:
        if current.state is not BatchState.SUBMITTING:
            return
        if due:
            give_back(current, context.now() + seconds if seconds else 0)
        else:
            put_off(context, current, seconds)
        current.file_id, current.admitted_at = file_id, 0
        if in_doubt:
            current.search_after = batch.search_after
        else:
            current.creating_at = current.first_not_found_at = current.search_after = None
            current.move(BatchState.WAITING)

    update_own(context.repository, batch, back)


def renew_lease(context: Context, batch: Batch) -> None:
    """Write the lease, too, where the batch is written: the heartbeat may have carried it further than we know."""
    batch.lease_until = context.now() + LEASE_SECONDS
