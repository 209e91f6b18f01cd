"""Abandons batches: they end without answers, and the collector writes why."""

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.states import BatchState
from dropbatch.jobs.lease import release
from dropbatch.messages import message_for
from dropbatch.storage.context import Context


def abandon(context: Context, batch: Batch, refusal: str | None) -> None:
    """End a batch without its answers, unless another process has moved it, and have its rows' outcomes written.

    `refusal` is the code of the reason; None means that the owner cancelled the job.
    """
    batch.refusal = refusal
    release(batch)
    batch.move(BatchState.ABANDONED)
    try:
        context.repository.save(batch)
    except StaleItemError:
        return
    context.collect.send(message_for(batch))
