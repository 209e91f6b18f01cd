"""Splits a batch that is too large for a limit into child batches, before anything of it is sent."""

from contextlib import ExitStack

from dropbatch.domain.batches import Batch, FollowUp
from dropbatch.domain.jobs import Shard
from dropbatch.domain.states import BatchState
from dropbatch.jobs.lease import release
from dropbatch.ports import BYTES, Writer
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.submission.token_limits import token_limit

MAX_PARTS = 500
"""Into how many parts a batch is split at most: its item records them."""

SPLIT_FILL = 0.9
"""How much of a limit one part may take: estimates may be too low."""


def split_if_needed(context: Context, rows: JobRows, batch: Batch, shard: Shard) -> bool:
    """Split a batch if it must be split, or exceeds its model's limit; False if it stays whole."""
    if batch.must_split and _split(context, rows, batch, shard, batch.tokens // 2 + 1):
        return True
    limit = token_limit(context, batch.model)
    return limit is not None and batch.tokens > limit and _split(context, rows, batch, shard, int(limit * SPLIT_FILL))


def _split(context: Context, rows: JobRows, batch: Batch, shard: Shard, room: int) -> bool:
    """Split a batch into parts of at most `room` tokens; False if it is one row."""
    batch.results = batch.lease
    parts: list[FollowUp] = []
    most = max(room, batch.tokens // MAX_PARTS + 1)
    with ExitStack() as writing:
        out: Writer | None = None
        for row, request in rows.requests(shard, batch):
            tokens = request.estimated_input_tokens
            if out is None or parts[-1].tokens + tokens > most:
                writing.close()  # the part before is whole
                key = f"{rows.files.results_key(batch)}.rows.{len(parts)}"
                out = writing.enter_context(context.objects.writing(context.buckets.work, key, BYTES))
                parts.append(
                    FollowUp(
                        0,
                        0,
                        created_at=batch.created_at,
                        requeues=batch.requeues,
                        failed_attempts=batch.failed_attempts,
                    )
                )
            out.write(row.to_line())
            part = parts[-1]
            part.requests, part.tokens = part.requests + 1, part.tokens + tokens
            part.inputs += request.embedding_inputs
    if len(parts) < 2:
        batch.results = None
        return False
    batch.follow_ups = parts
    release(batch)
    batch.move(BatchState.SPLIT)
    context.repository.save(batch)
    for part_batch in batch.follow_up_batches():
        context.repository.add(part_batch)
    context.observer.info("batch split", parts=len(parts), room=room, **batch.ids)
    return True
