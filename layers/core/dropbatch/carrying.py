"""Carries a finished job's answers over into one that asks its failed rows again.

What was answered stays, and is not paid again. So does what was truncated or refused: the same request would be so
again.
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from dropbatch.asking import JobRows
from dropbatch.domain.jobs import Batch, BatchState, Shard
from dropbatch.domain.outcomes import MAY_BE_PAID, RETRIED
from dropbatch.jobfiles import AskedRow, JobFiles
from dropbatch.ledger import from_item, to_item
from dropbatch.ports import BYTES, JSON, World, Writer
from dropbatch.results import Result, read_responses, read_results, writing_results
from dropbatch.storage.job_ends import whole
from dropbatch.tallies import Tally

KEPT = "kept"
KEPT_GROUP = 999
"""The batch that stands for what was answered before: it never goes to OpenAI."""


def carry_over(
    world: World, batches: Sequence[Batch], old: JobFiles, rows: JobRows, shard: Shard
) -> tuple[list[Batch], list[Batch]]:
    """For one shard: the batch of what stays (where there is any), and the batches of what is asked again.

    The shard itself is taken over too. What was made is noted once all is there, so that a shard which has been carried
    over before is only looked up: whoever runs out of time begins again, and comes further.
    """
    carried = rows.files.carried(shard.number)
    if carried is not None:
        made = [from_item(item, Batch) for item in carried]
        return [batch for batch in made if batch.attempt == KEPT], [b for b in made if b.attempt != KEPT]
    rows.files.copy_shard(shard.number, old)
    work, now = world.buckets.work, world.now()
    closed = [batch for batch in batches if batch.state is not BatchState.SPLIT]
    streams = [_results(world, old, batch) for batch in closed]
    kept = Batch(
        job_id=rows.job.id, shard=shard.number, group=KEPT_GROUP, endpoint="", model="", requests=0, tokens=0,
        created_at=now, attempt=KEPT, results=KEPT, state=BatchState.COLLECTED, expires_at=shard.expires_at,
    )  # fmt: skip  # a batch in a line or two
    index = rows.index(shard)
    asked: dict[int, Batch] = {}
    lists: dict[int, Writer] = {}
    tally = Tally()
    for batch in closed:
        before = json.loads(whole(world.objects, work, old.results_key(batch) + ".tally"))
        tally.take_over(Tally.from_json(before))
    with ExitStack() as stack:
        out = stack.enter_context(writing_results(world, rows.files.results_key(kept)))
        for result, response, batch in heapq.merge(*streams, key=lambda found: found[0].row):
            may_be_paid = result.code in MAY_BE_PAID
            if result.outcome not in RETRIED or may_be_paid:
                out.add([result], [response])
                kept.requests += 1
                if may_be_paid:  # the former job's sums count it among those that are asked again
                    tally.count(result.row, result.outcome, result.code)
                continue
            if batch.group not in asked:
                name = f"{shard.number:06d}.{batch.group:03d}.again"
                asked[batch.group] = Batch(
                    job_id=rows.job.id, shard=shard.number, group=batch.group, endpoint=batch.endpoint,
                    model=batch.model, requests=0, tokens=0, created_at=now, rows=name, expires_at=shard.expires_at,
                )  # fmt: skip  # as above
                lists[batch.group] = stack.enter_context(world.objects.writing(work, rows.files.rows_key(name), BYTES))
            lists[batch.group].write(AskedRow(result.row, 0).to_line())
            place, again = result.row - shard.first_row, asked[batch.group]
            again.requests += 1
            again.tokens += index.tokens[place]
            again.inputs += index.inputs[place]
    world.objects.put(work, rows.files.results_key(kept) + ".tally", json.dumps(tally.to_json()).encode(), JSON)
    stays = [kept] if kept.requests else []
    rows.files.keep_carried(shard.number, [to_item(batch) for batch in (*stays, *asked.values())])
    return stays, list(asked.values())


def _results(world: World, files: JobFiles, batch: Batch) -> Iterator[tuple[Result, bytes, Batch]]:
    key = files.results_key(batch)
    found = zip(read_results(world, key), read_responses(world, key), strict=True)
    return ((result, response, batch) for result, response in found)
