"""The results of originals, which their duplicates share. The original of a row may be in any earlier shard.

A shard is rendered once the shards of its originals are, so all their results exist. These are read in the order of
the originals, and needed in the order of the duplicates. Therefore as many as fit into memory are read at once, and
the next ones when they are needed.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from dropbatch.answers.answer import Answer
from dropbatch.answers.batch_reader import AnswerReader
from dropbatch.answers.tally import Tally
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.states import BatchState, ShardState
from dropbatch.money.pricing import CostMeter
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import Found, Result, ResultsReader, responses_key
from dropbatch.storage.context import Context
from dropbatch.storage.objects import read_object
from dropbatch.storage.shard_index import ShardIndex

MAX_BYTES = 67_108_864
"""How many bytes of results are in memory at once, if all are of average size."""

SPARE_SECONDS = 120
"""With less time left after another load, the next invocation does it."""

READ_AT_ONCE = 128
"""How many answers are read at once: with embeddings they take ten megabytes."""


class Original(NamedTuple):
    """The result of a row that others share, with its line of responses.jsonl, and the batch that has it.

    `answer` is the row's answer. Its values are left out unless they are counted.
    """

    result: Result
    response: bytes
    answer: Answer
    batch: Batch


@dataclass(frozen=True, slots=True)
class _Source:
    """A shard with originals: the batches with their results, and how many bytes a row's results have on average."""

    batches: Sequence[Batch]
    average: int
    has_failed: bool


def has_all_originals(context: Context, shard: Shard, index: ShardIndex) -> bool:
    """Return whether the results of all originals of a shard exist, so that it can be rendered."""
    if not index.duplicates:
        return True
    others = [each for each in context.repository.shards(shard.job_id) if each.number != shard.number]
    missing = [each for each in others if each.state is not ShardState.RENDERED]
    starts = [each.first_row for each in missing]
    for row in set(index.originals()) if missing else ():
        place = bisect_right(starts, row) - 1
        if place >= 0 and row < starts[place] + missing[place].rows:
            return False
    return True


class Originals:
    """The originals of a shard's duplicates. What the duplicates add up to counts in `tally`."""

    def __init__(self, context: Context, rows: JobRows, index: ShardIndex, tally: Tally) -> None:
        if rows.compiled is None:
            raise AssertionError("ready requests have no duplicates")
        self._context, self._rows, self._index, self._tally = context, rows, index, tally
        self._compiled: CompiledRecipe = rows.compiled
        self._reader = AnswerReader(rows.compiled, rows.compiled.endpoint)
        self._meters: dict[str, CostMeter] = {}
        self._shards = context.repository.shards(rows.job.id)
        self._starts = [each.first_row for each in self._shards]
        self._sources: dict[int, _Source] = {}
        self._loaded: dict[int, Original] = {}
        self._load_seconds = 0.0  # how long the last load took

    @property
    def may_have_failed(self) -> bool:
        """False if all rows of the originals' shards have good answers."""
        places = {self._place(row) for row in set(self._index.originals())}
        return any(self._source(place).has_failed for place in places)

    def load(self, position: int, count: int) -> None:
        """Make sure that the originals of `count` rows of the shard, from a position on, are in memory."""
        if self._has(position, count):
            return
        seconds_left = self._context.seconds_left()
        wanted: dict[int, set[int]] = {}
        room = MAX_BYTES
        for place in range(position, len(self._index)):
            if room <= 0 and place >= position + count:
                break
            row = self._index.original(place)
            if row is not None:
                rows = wanted.setdefault(self._place(row), set())
                if row not in rows:
                    rows.add(row)
                    room -= self._source(self._place(row)).average
        self._loaded = {}
        for shard, rows in wanted.items():
            for batch in self._source(shard).batches:
                self._loaded.update(self._read(batch, rows))
        missing = sum(map(len, wanted.values())) - len(self._loaded)
        if missing:
            raise AssertionError(f"{missing} originals of {self._rows.job.id} have no result")
        self._load_seconds = seconds_left - self._context.seconds_left()

    def can_load(self, position: int, count: int) -> bool:
        """Return whether `load` has nothing to do, or has time for it if it takes no longer than the last time."""
        return self._has(position, count) or self._context.seconds_left() > self._load_seconds + SPARE_SECONDS

    def _has(self, position: int, count: int) -> bool:
        originals = map(self._index.original, range(position, min(position + count, len(self._index))))
        return all(row is None or row in self._loaded for row in originals)

    def share(self, rows: Sequence[int]) -> Sequence[Original]:
        """Return these originals, one for each of some duplicates, and count the duplicates."""
        shared = [self._loaded[row] for row in rows]
        self._tally.duplicates.rows += len(shared)
        values = [each.answer.values for each in shared if each.answer.values is not None]
        self._tally.categorise(self._compiled, values)
        by_model: dict[str, list[Answer]] = {}
        for each in shared:
            by_model.setdefault(each.batch.model, []).append(each.answer)
        for model, answers in by_model.items():
            meter = self._meters.setdefault(model, CostMeter(self._known(model), self._compiled.endpoint))
            usages = [answer.usage for answer in answers if answer.usage is not None]
            if usages:
                self._tally.duplicates.spare(meter.add(usages))
            meter.add_without_usage(answers)
        return shared

    def finish(self) -> None:
        """Count what the duplicates saved."""
        for meter in self._meters.values():
            cost = meter.total()
            self._tally.duplicates.usd += Decimal(str(cost.usd))
            self._tally.duplicates.unpriced += cost.unpriced

    def _known(self, model: str) -> str:
        """Return the model of a batch. One with kept answers does not name it, and has that of the job if it is one."""
        models = self._rows.job.models
        return model or (models[0] if len(models) == 1 else "unknown")

    def _read(self, batch: Batch, wanted: set[int]) -> Iterator[tuple[int, Original]]:
        """Yield the originals that a batch has results of, by their rows. Their answers are read again."""
        results = self._results(batch, wanted)
        while found := list(islice(results, READ_AT_ONCE)):
            answers = self._reader.read_all([response for _, response in found])
            for (result, response), answer in zip(found, answers, strict=True):
                is_counted = self._compiled.categories and result.outcome is answer.outcome is Outcome.OK
                kept = answer if is_counted else answer._replace(values=None)
                yield result.row, Original(result, response, kept, batch)

    def _results(self, batch: Batch, wanted: set[int]) -> Iterator[Found]:
        last = max(wanted)
        for found in ResultsReader(self._context, self._rows.files.results_key(batch)).read(min(wanted)):
            if found[0].row in wanted:
                yield found
            if found[0].row >= last:
                return

    def _place(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _source(self, place: int) -> _Source:
        if place not in self._sources:
            self._sources[place] = self._look_up(self._shards[place])
        return self._sources[place]

    def _look_up(self, shard: Shard) -> _Source:
        context, work = self._context, self._context.buckets.work
        batches = context.repository.batches(shard.job_id, shard.number)
        batches = [batch for batch in batches if batch.state is not BatchState.SPLIT]
        keys = [self._rows.files.results_key(batch) for batch in batches]
        tally = Tally()
        for key in keys:
            tally.merge(Tally.from_json(json.loads(read_object(context.objects, work, key + ".tally"))))
        size = sum(context.objects.head(work, name).size for key in keys for name in (key, responses_key(key)))
        return _Source(batches, size // max(1, tally.rows) + 1, bool(tally.unanswered))
