"""Carrying an ended job over into one that retries its failed rows, shard by shard.

Good answers are kept, and not paid again. With the same recipe, truncated and refused answers are kept, too: the same
request would have the same outcome. With another recipe, each row without a good answer is sent, except rows that
OpenAI may have answered.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

from dropbatch.answers.tally import Tally
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import MAY_BE_PAID, RETRYABLE, RETRYABLE_WITH_CHANGES
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.states import BatchState
from dropbatch.intake.repeated_requests import RepeatedRequests
from dropbatch.intake.retry_requests import ChangedRequests, SameRequests
from dropbatch.ports import JSON
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.rows.job_rows import JobRows
from dropbatch.rows.original_results import Original, OriginalResults
from dropbatch.storage.batch_results import Result, read_responses, read_results, writing_results
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.objects import read_object
from dropbatch.storage.repository import from_item, to_item
from dropbatch.storage.shard_index import ShardIndex

KEPT = "kept"
"""The attempt of a batch that holds kept answers. It never goes to OpenAI."""

KEPT_GROUP = 999
"""The group of kept answers to the first recipe. The groups for later recipes count down from here."""

MAX_RECIPES = 400
"""How many recipes of the rows of one job have a group of their own."""


class Carried(NamedTuple):
    """The result of carrying a shard over: batches of kept answers, batches to send, and newly skipped rows."""

    kept: list[Batch]
    to_send: list[Batch]
    skipped: SkippedRows
    duplicates: int = 0  # rows that share the answer of another row


@dataclass(slots=True)
class Former:
    """The job whose rows are retried.

    `recipes` is how many recipes its rows were sent with. `today` is the recipe with which they are sent now, None if
    it is the same. `repeats` are the requests of that recipe so far, None if each row is asked.
    """

    files: JobFiles
    rows: JobRows
    recipes: int
    today: CompiledRecipe | None
    repeats: RepeatedRequests | None = None


def carry_over(context: Context, batches: Sequence[Batch], former: Former, rows: JobRows, shard: Shard) -> Carried:
    """Carry over one shard and its answers. `batches` are the former job's, `rows` those of the new one.

    The result is stored once all is done, so a shard that was carried over before is only looked up: the next
    invocation starts again, and makes progress. Raise DropRejectedError if rows cannot be sent with today's recipe.
    """
    stored = rows.files.carried(shard.number)
    if stored is not None:
        return _from_json(stored)
    rows.files.copy_shard(shard.number, former.files)
    closed = [batch for batch in batches if batch.state is not BatchState.SPLIT]
    index = rows.index(shard) if former.today is None else former.rows.index(shard)
    with ExitStack() as stack:
        kept = _KeptAnswers(context, former, rows, shard, stack)
        kept.add_sums(closed)
        retried: SameRequests | ChangedRequests = (
            SameRequests(context, rows, shard, index, stack)
            if former.today is None
            else ChangedRequests(context, rows, shard, index, stack, former.today, former.repeats)
        )
        streams = [_results(context, former.files, batch) for batch in closed]
        for result, response, batch in heapq.merge(*streams, key=lambda found: found[0].row):
            may_be_paid = result.code in MAY_BE_PAID
            if result.outcome in retried.outcomes and not may_be_paid:
                retried.add(result.row, batch)
            else:
                kept.add(result, response, batch, may_be_paid=may_be_paid)
        if former.today is not None:
            for row, original in _duplicates(context, former, shard, index):
                if original.result.outcome in retried.outcomes and original.result.code not in MAY_BE_PAID:
                    retried.add(row, original.batch)
        retried.finish()
    carried = Carried(kept.finish(), list(retried.batches), retried.skipped, index.duplicates)
    rows.files.keep_carried(shard.number, _to_json(carried))
    return carried


def _duplicates(context: Context, former: Former, shard: Shard, index: ShardIndex) -> Iterator[tuple[int, Original]]:
    """Yield the duplicates of a shard of the former job, each with the result that it shared."""
    if not index.duplicates:
        return
    originals = OriginalResults(context, former.files, former.rows.job.id, index, with_responses=False)
    for place in range(len(index)):
        row = index.original(place)
        if row is not None:
            yield shard.first_row + place, originals.load(place, 1)[row]


def _to_json(carried: Carried) -> dict[str, Any]:
    batches = [to_item(batch) for batch in (*carried.kept, *carried.to_send)]
    return {"batches": batches, "skipped": carried.skipped.to_json(), "duplicates": carried.duplicates}


def _from_json(members: Mapping[str, Any]) -> Carried:
    batches = [from_item(item, Batch) for item in members["batches"]]
    skipped = SkippedRows.from_json(members["skipped"]) if members["skipped"] else SkippedRows()
    kept = [batch for batch in batches if batch.attempt == KEPT]
    to_send = [batch for batch in batches if batch.attempt != KEPT]
    return Carried(kept, to_send, skipped, members.get("duplicates", 0))


def recipe_of(batch: Batch, recipes: int) -> int:
    """Return the number, from 0, of the recipe with which a batch's rows were sent; the job has `recipes` of them."""
    return KEPT_GROUP - batch.model_group if batch.attempt == KEPT else recipes - 1


class _KeptAnswers:
    """The answers that are kept, by the recipe with which their rows were sent."""

    def __init__(self, context: Context, former: Former, rows: JobRows, shard: Shard, stack: ExitStack) -> None:
        self._context, self._former, self._rows, self._shard, self._stack = context, former, rows, shard, stack
        self._batches: dict[int, Batch] = {}
        self._writers: dict[int, Any] = {}
        self._tallies: dict[int, Tally] = {}
        self._again = RETRYABLE if former.today is None else RETRYABLE_WITH_CHANGES

    def _place(self, batch: Batch) -> int:
        """Return the place of a former batch's kept rows. The first row makes the batch of its place."""
        place = min(recipe_of(batch, self._former.recipes), MAX_RECIPES - 1)
        if place not in self._batches:
            self._batches[place] = Batch(
                job_id=self._rows.job.id, shard=self._shard.number, model_group=KEPT_GROUP - place, endpoint="",
                model="", requests=0, tokens=0, created_at=self._context.now(), attempt=KEPT, results=KEPT,
                state=BatchState.COLLECTED, is_settled=True, expires_at=self._shard.expires_at,
            )  # fmt: skip  # a batch in a line or two
            self._tallies[place] = Tally()
        return place

    def add_sums(self, batches: Sequence[Batch]) -> None:
        """Add the sums of the former batches, without the rows that are retried."""
        for batch in batches:
            key = self._former.files.results_key(batch) + ".tally"
            before = Tally.from_json(json.loads(read_object(self._context.objects, self._context.buckets.work, key)))
            self._tallies[self._place(batch)].carry_over(before, self._again)

    def add(self, result: Result, response: bytes, batch: Batch, *, may_be_paid: bool) -> None:
        place = self._place(batch)
        if place not in self._writers:
            key = self._rows.files.results_key(self._batches[place])
            self._writers[place] = self._stack.enter_context(writing_results(self._context, key))
        self._writers[place].add([result], [response])
        self._batches[place].requests += 1
        if may_be_paid and result.outcome in self._again:
            # The sums were added without rows of this outcome, because most of these are retried.
            self._tallies[place].count(result.row, result.outcome, result.code)

    def finish(self) -> list[Batch]:
        """Store the sums, and return the batches that have rows."""
        found = [(place, batch) for place, batch in sorted(self._batches.items()) if batch.requests]
        for place, batch in found:
            counts = self._tallies[place].outcomes
            batch.outcomes = {str(outcome): rows for outcome, rows in counts.items() if rows}
            tally = json.dumps(self._tallies[place].to_json()).encode()
            key = self._rows.files.results_key(batch) + ".tally"
            self._context.objects.put(self._context.buckets.work, key, tally, JSON)
        return [batch for _, batch in found]


def _results(context: Context, files: JobFiles, batch: Batch) -> Iterator[tuple[Result, bytes, Batch]]:
    key = files.results_key(batch)
    found = zip(read_results(context, key), read_responses(context, key), strict=True)
    return ((result, response, batch) for result, response in found)
