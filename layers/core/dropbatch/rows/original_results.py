"""The results of originals, which their duplicates share. The original of a row may be in any earlier shard.

Results are read in the order of the originals, and needed in the order of the duplicates. Therefore as many as fit into
memory are read at once, and the next ones when they are needed.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Shard
from dropbatch.domain.states import BatchState, ShardState
from dropbatch.storage.batch_results import Result, ResultsReader, responses_key
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.shard_index import ShardIndex

MAX_BYTES = 67_108_864
"""How many bytes of results are in memory at once, if all are of average size."""

SPARE_SECONDS = 120
"""With less time left after another load, the next invocation does it."""


class Original(NamedTuple):
    """The result of an original, its line of responses.jsonl, and the batch that has them."""

    result: Result
    response: bytes
    batch: Batch


@dataclass(frozen=True, slots=True)
class _Source:
    """A shard with originals: the batches with its results, and how many bytes those of a row have on average."""

    batches: Sequence[Batch]
    average: int


def has_all_originals(context: Context, shard: Shard, index: ShardIndex) -> bool:
    """Return whether the results of all originals of a shard exist, so that it can be rendered.

    All results of a shard exist when it is rendered. An original in the shard itself needs no other one.
    """
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


class OriginalResults:
    """The results of the originals of a shard's duplicates. Without responses, these are empty."""

    def __init__(
        self, context: Context, files: JobFiles, job_id: str, index: ShardIndex, *, with_responses: bool = True
    ) -> None:
        self._context, self._files, self._job_id, self._index = context, files, job_id, index
        self._with_responses = with_responses
        self._shards = context.repository.shards(job_id)
        self._starts = [each.first_row for each in self._shards]
        self._sources: dict[int, _Source] = {}
        self._loaded: dict[int, Original] = {}
        self._load_seconds = 0.0  # how long the last load took

    def batches(self) -> Iterator[Batch]:
        """Yield the batches with results of the shards that have the originals."""
        for place in sorted({self._place(row) for row in set(self._index.originals())}):
            yield from self._source(place).batches

    def load(self, position: int, count: int) -> Mapping[int, Original]:
        """Return the results of the originals of `count` rows of the shard, from a position on, and others, by row."""
        if self._has(position, count):
            return self._loaded
        seconds_left = self._context.seconds_left()
        wanted = self._wanted(position, count)
        self._loaded = {}
        for place, rows in wanted.items():
            for batch in self._source(place).batches:
                self._loaded.update((each.result.row, each) for each in self._read(batch, rows))
        missing = sum(map(len, wanted.values())) - len(self._loaded)
        if missing:
            raise AssertionError(f"{missing} originals of {self._job_id} have no result")
        self._load_seconds = seconds_left - self._context.seconds_left()
        return self._loaded

    def can_load(self, position: int, count: int) -> bool:
        """Return whether `load` has nothing to do, or has time for it if it takes no longer than the last time."""
        return self._has(position, count) or self._context.seconds_left() > self._load_seconds + SPARE_SECONDS

    def _has(self, position: int, count: int) -> bool:
        originals = map(self._index.original, range(position, min(position + count, len(self._index))))
        return all(row is None or row in self._loaded for row in originals)

    def _wanted(self, position: int, count: int) -> Mapping[int, set[int]]:
        """Return the originals to read, by the places of their shards: those that are needed, and more if they fit."""
        wanted: dict[int, set[int]] = {}
        room = MAX_BYTES
        for place in range(position, len(self._index)):
            if room <= 0 and place >= position + count:
                break
            row = self._index.original(place)
            if row is None:
                continue
            shard = self._place(row)
            rows = wanted.setdefault(shard, set())
            if row not in rows:
                rows.add(row)
                room -= self._source(shard).average
        return wanted

    def _read(self, batch: Batch, wanted: set[int]) -> Iterator[Original]:
        last = max(wanted)
        key = self._files.results_key(batch)
        reader = ResultsReader(self._context, key, with_responses=self._with_responses)
        for result, response in reader.read(min(wanted)):
            if result.row in wanted:
                yield Original(result, response, batch)
            if result.row >= last:
                return

    def _place(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _source(self, place: int) -> _Source:
        if place not in self._sources:
            context, shard = self._context, self._shards[place]
            batches = context.repository.batches(self._job_id, shard.number)
            batches = [batch for batch in batches if batch.state is not BatchState.SPLIT]
            keys = [self._files.results_key(batch) for batch in batches]
            names = [name for key in keys for name in (key, responses_key(key))]
            size = sum(context.objects.head(context.buckets.work, name).size for name in names)
            rows = sum(batch.requests - batch.requests_moved_on for batch in batches)
            self._sources[place] = _Source(batches, size // max(1, rows) + 1)
        return self._sources[place]
