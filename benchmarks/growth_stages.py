"""The stages whose growth is measured, each in a process of its own: `python -m benchmarks.growth_stages <stage> ...`.

A stage prints its seconds of the processor, its peak of memory in MiB, and its calls. The seconds are those of the
whole process, with all its threads, from the moment when it is connected and has its input. So they are without
start-up. The calls are those of S3 and the table, and for `poll` those of OpenAI.

What one stage leaves in its folder is the input of the next: `submit`, `answer` and `collect` take one drop through.
"""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson

from benchmarks.cases import memory_mb, peak_mb
from benchmarks.collecting import RECIPES, Ended, answer_lines
from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.batch_api.limits import MAX_BATCHES_PER_HOUR
from dropbatch.client.local.context import BUCKETS, MemoryQueue, MemoryTable, folder_context
from dropbatch.client.local.objects import FolderObjects
from dropbatch.collection.collect import collect
from dropbatch.domain.batches import Batch
from dropbatch.domain.items import Item
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.states import BatchState, JobState
from dropbatch.gc_tuning import tune_gc
from dropbatch.intake.intake import take_in
from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.ports import OpenAI
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.storage.repository import from_item, to_item
from dropbatch.submission.submit import submit

RECIPE = RECIPES["chat"]
DROP_ROWS = 10
"""The rows of each drop, if there are many."""

DIFFERENT_ANSWERS = 5_000
ITEMS, ANSWERS = "items.json", "answers"


class Measured(NamedTuple):
    """The seconds, the peak of memory and the calls of a stage."""

    seconds: float
    peak_mb: float
    calls: int


class Clock:
    """A clock that can be moved forward."""

    def __init__(self) -> None:
        self._ahead = 0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: int) -> None:
        self._ahead += seconds


def submit_one(openai: OpenAI, folder: Path, drop: Path) -> Measured:
    """Take in a drop and submit all its batches. The poll admits those that may not go at once."""
    context = _connected(folder, openai)
    objects = cast("FolderObjects", context.objects)
    objects.link(BUCKETS.inbox, drop.name, drop.absolute())
    message = IntakeMessage(BUCKETS.inbox, drop.name, objects.head(BUCKETS.inbox, drop.name).version_id)

    def work() -> None:
        take_in(context, message)
        [job] = context.repository.open_jobs()
        while True:
            for sent in _messages(context.dispatch):
                submit(context, BatchMessage.from_json(sent))
            if all(batch.state is not BatchState.WAITING for batch in context.repository.batches(job.id)):
                return
            poll(context)

    measured = _measured(context, work)
    [job] = context.repository.open_jobs()
    _keep_items(folder, context, job)
    return measured


def submit_many(openai: OpenAI, folder: Path, drops: int) -> Measured:
    """Take in many drops that have come at once, then submit the batch of each; one more goes before, unmeasured.

    The clock moves on by an hour when half of the creates of an hour are used up, so that no batch waits for a poll.
    The table and the objects of all drops are in this process's memory, but not in a function's. So the peak is what
    the last drop adds, while all others are open.
    """
    clock = Clock()
    context = _connected(folder, openai, clock)
    for number in range(drops + 1):
        key = f"{number:05d}.csv"
        rows = [f"product {row},What row {row} of drop {number} says.\n" for row in range(DROP_ROWS)]
        context.objects.put(BUCKETS.inbox, key, ("product,text\n" + "".join(rows)).encode(), "text/csv")
        version = context.objects.head(BUCKETS.inbox, key).version_id
        context.intake.send(IntakeMessage(BUCKETS.inbox, key, version).to_json())

    def take_one() -> None:
        take_in(context, IntakeMessage.from_json(next(_messages(context.intake))))
        submit(context, BatchMessage.from_json(next(_messages(context.dispatch))))

    take_one()  # the first use of modules and templates, which is not measured
    before = memory_mb("VmRSS")
    added: list[float] = []

    def handle(step: Callable[[], None], *, is_last: bool) -> None:
        if is_last:
            added.append(_added_mb(step))
        else:
            step()

    def work() -> None:
        for number, sent in enumerate(_messages(context.intake), 1):
            handle(partial(take_in, context, IntakeMessage.from_json(sent)), is_last=number == drops)
        for number, sent in enumerate(_messages(context.dispatch), 1):
            handle(partial(submit, context, BatchMessage.from_json(sent)), is_last=number == drops)
            if number % (MAX_BATCHES_PER_HOUR // 2) == 0:
                clock.advance(3600)

    measured = _measured(context, work)._replace(peak_mb=before + max(added))
    batches = list(context.repository.open_batches())
    assert len(batches) == drops + 1
    assert all(batch.state is BatchState.SUBMITTED for batch in batches)
    return measured


def answer(folder: Path) -> None:
    """Write the answers to a drop that was submitted, in another order. They are made from a few thousand answers."""
    (folder / ANSWERS).mkdir()
    made = answer_lines(random.Random(0), range(DIFFERENT_ANSWERS))
    parts = [line.split(b'"custom_id": "%d"' % number) for number, line in enumerate(made)]
    lines = [
        b'%b"custom_id": "%%d"%b' % (before.replace(b"%", b"%%"), after.replace(b"%", b"%%")) for before, after in parts
    ]
    job, shards, batches = _kept_items(folder)
    job_rows = JobRows(folder_context(folder, cast("OpenAI", Ended(folder))), job)
    for shard, batch in zip(shards, batches, strict=True):
        dice = random.Random(shard.number)
        rows = list(job_rows.batch_rows(shard, batch, job_rows.index(shard))[0])
        dice.shuffle(rows)
        with (folder / ANSWERS / str(batch.openai_id)).open("wb", buffering=1 << 20) as file:
            file.writelines(lines[dice.randrange(DIFFERENT_ANSWERS)] % row for row in rows)


def collect_one(folder: Path) -> Measured:
    """Collect all batches of a drop, whose answers are there, and write its results."""
    context = _connected(folder, cast("OpenAI", Ended(folder / ANSWERS)))
    job, shards, batches = _kept_items(folder)
    for item in (job, *shards, *batches):
        context.repository.add(item)

    def work() -> None:
        for batch in batches:
            collect(context, BatchMessage(job.id, batch.sort_key))

    measured = _measured(context, work)
    ended = context.repository.job(job.id)
    assert ended is not None
    assert ended.state is JobState.SUCCEEDED
    return measured


def _connected(folder: Path, openai: OpenAI, clock: Callable[[], float] = time.time) -> Context:
    """Return a context over a folder, with the recipe in its inbox."""
    context = folder_context(folder, openai, clock=clock)
    context.objects.put(BUCKETS.inbox, "recipe.yaml", RECIPE, "text/plain")
    return context


def _messages(queue: Any) -> Iterator[dict[str, Any]]:
    return iter(cast("MemoryQueue", queue).take, None)


def _measured(context: Context, work: Callable[[], None]) -> Measured:
    objects, table = cast("FolderObjects", context.objects), cast("MemoryTable", context.table)

    def calls() -> int:
        return sum(objects.calls.values()) + sum(table.calls.values())

    tune_gc()  # as every function does when it is connected
    os.sync()  # so that the input is not written to disk while the work is measured
    before, began = calls(), time.process_time()
    work()
    return Measured(time.process_time() - began, peak_mb(), calls() - before)


def _added_mb(step: Callable[[], None]) -> float:
    """Return by how much a step raises this process's memory at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the kernel forgets its record of the peak
    before = memory_mb("VmRSS")
    step()
    return peak_mb() - before


def _keep_items(folder: Path, context: Context, job: Job) -> None:
    """Keep the items of a job for the stages that follow, as they are when all batches have ended."""
    batches = context.repository.batches(job.id)
    for batch in batches:
        assert batch.state is BatchState.SUBMITTED
        batch.state, batch.openai_id, batch.ended_at = BatchState.ENDED, f"{batch.shard}-{batch.attempt}", 0
    items: dict[str, Sequence[Item]] = {"job": [job], "shards": context.repository.shards(job.id), "batches": batches}
    kept = {name: [to_item(item) for item in members] for name, members in items.items()}
    (folder / ITEMS).write_bytes(orjson.dumps(kept))


def _kept_items(folder: Path) -> tuple[Job, Sequence[Shard], Sequence[Batch]]:
    kept = orjson.loads((folder / ITEMS).read_bytes())
    [job] = [from_item(item, Job) for item in kept["job"]]
    return job, [from_item(it, Shard) for it in kept["shards"]], [from_item(it, Batch) for it in kept["batches"]]


def main(stage: str, *arguments: str) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if stage == "answer":
        answer(Path(arguments[0]))
        return
    if stage == "collect":
        measured = collect_one(Path(arguments[0]))
    else:
        base_url, folder, what = arguments
        openai = OpenAIBatches(lambda _: ("sk-x", "v"), f"{base_url}/v1")
        openai.retrieve("batch_" + "0" * 32)  # so that it is connected
        one = stage == "submit"
        measured = submit_one(openai, Path(folder), Path(what)) if one else submit_many(openai, Path(folder), int(what))
    print(*measured)


if __name__ == "__main__":
    main(*sys.argv[1:])
