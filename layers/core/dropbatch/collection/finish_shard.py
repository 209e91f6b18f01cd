"""The end of a shard: its batches' children are created, and once all batches are closed, its results are rendered."""

from dropbatch.collection.handover import in_time
from dropbatch.collection.result_writer import meter_of, write_results
from dropbatch.collection.verdict import Judge, Unanswered
from dropbatch.delivery.render_shard import render
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import MAY_BE_PAID
from dropbatch.domain.states import CLOSED, BatchState, ShardState
from dropbatch.rows.job_rows import JobRows
from dropbatch.rows.original_results import has_all_originals
from dropbatch.storage.context import Context


def finish_shard(context: Context, rows: JobRows, number: int) -> bool:
    """Create the children that a shard's batches left behind, and render the shard if all its batches are closed.

    Return whether all that is possible now is done; False if time ran out before.
    """
    shard = context.repository.shard(rows.job.id, number)
    if shard is None or shard.state is ShardState.RENDERED:
        return True
    batches = context.repository.batches(rows.job.id, number)
    known = {batch.sort_key for batch in batches}
    missing = [child for batch in batches for child in batch.follow_up_batches() if child.sort_key not in known]
    for child in missing:
        context.repository.add(child)  # the poller admits it
    if missing or any(batch.state not in CLOSED for batch in batches):
        return True
    if not has_all_originals(context, shard, rows.index(shard)):
        return True
    closed = [batch for batch in batches if batch.state is not BatchState.SPLIT]
    for batch in closed:
        if batch.state is BatchState.ABANDONED:
            _write_abandoned(context, rows, shard, batch)
    if not render(context, rows, shard, closed, lambda: in_time(context)):
        return False

    def finish(current: Shard) -> bool:
        if current.state is ShardState.RENDERED:
            return False
        current.move(ShardState.RENDERED)
        return True

    context.repository.update(shard, finish)
    return True


def _write_abandoned(context: Context, rows: JobRows, shard: Shard, batch: Batch) -> None:
    """Write the outcomes of the rows of a batch that ended without answers."""
    bill = meter_of(context, rows, batch)
    if batch.refusal in MAY_BE_PAID:
        bill.add_unread(batch.requests)
    judge = Judge(rows.job, batch, Unanswered(None, refusal=batch.refusal))
    write_results(context, rows, shard, batch, None, judge, bill)
