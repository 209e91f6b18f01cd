"""Carries a finished job's answers over into one that asks its failed rows again.

What was answered stays, and is not paid again. With the same recipe, so does what was truncated or refused: the same
request would be so again. With another one, every row without a good answer is asked, but for those that OpenAI may
have answered already.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dropbatch.answers.tally import Tally
from dropbatch.batch_api.request import Request
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import MAY_BE_PAID, RETRYABLE, RETRYABLE_WITH_CHANGES
from dropbatch.domain.problems import Problem, Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.states import BatchState
from dropbatch.intake.sharding import Group
from dropbatch.ports import BYTES, JSON, Writer
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.rows.job_rows import JobRows
from dropbatch.rows.request_builder import RequestBuilder, find_size_problems
from dropbatch.storage.batch_results import Result, read_responses, read_results, writing_results
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import whole
from dropbatch.storage.job_files import BatchRow, JobFiles
from dropbatch.storage.repository import from_item, to_item
from dropbatch.storage.shard_index import ShardIndex

KEPT = "kept"
KEPT_GROUP = 999
"""The batch that stands for what was answered before: it never goes to OpenAI. Of those that were answered with the
recipes that came after the first, the groups go down from here."""

MAX_RECIPES = 400
"""How many recipes the rows of one job are told apart by."""


class Carried(NamedTuple):
    """What a shard was carried over into: batches of what stays, batches to be asked, rows newly skipped."""

    stays: list[Batch]
    asked: list[Batch]
    skipped: SkippedRows


@dataclass(slots=True)
class Former:
    """The job whose rows are asked again.

    `recipes` is how many recipes its rows were asked with. `today` is the recipe that they are asked with now, None if
    it is the same.
    """

    files: JobFiles
    rows: JobRows
    recipes: int
    today: CompiledRecipe | None


def carry_over(context: Context, batches: Sequence[Batch], former: Former, rows: JobRows, shard: Shard) -> Carried:
    """Take over one shard and its answers. `batches` are the former job's, `rows` those of the new one.

    What was made is noted once all is there, so that a shard which has been carried over before is only looked up:
    an invocation that runs out of time begins again, and comes further. DropRejectedError if rows cannot be asked
    with today's recipe.
    """
    carried = rows.files.carried(shard.number)
    if carried is not None:
        return _noted(carried)
    rows.files.copy_shard(shard.number, former.files)
    closed = [batch for batch in batches if batch.state is not BatchState.SPLIT]
    index = rows.index(shard) if former.today is None else former.rows.index(shard)
    with ExitStack() as stack:
        kept = _Kept(context, former, rows, shard, stack)
        kept.take_over(closed)
        asks: _Same | _Anew = (
            _Same(context, rows, shard, index, stack)
            if former.today is None
            else _Anew(context, rows, shard, index, stack, former.today)
        )
        streams = [_results(context, former.files, batch) for batch in closed]
        for result, response, batch in heapq.merge(*streams, key=lambda found: found[0].row):
            may_be_paid = result.code in MAY_BE_PAID
            if result.outcome in asks.outcomes and not may_be_paid:
                asks.add(result.row, batch)
            else:
                kept.add(result, response, batch, may_be_paid=may_be_paid)
        asks.finish()
    stays = kept.finish()
    made = Carried(stays, list(asks.batches), asks.skipped)
    rows.files.keep_carried(
        shard.number,
        {"batches": [to_item(batch) for batch in (*stays, *made.asked)], "skipped": made.skipped.to_json()},
    )
    return made


def _noted(carried: Mapping[str, Any]) -> Carried:
    made = [from_item(item, Batch) for item in carried["batches"]]
    skipped = SkippedRows.from_json(carried["skipped"]) if carried["skipped"] else SkippedRows()
    return Carried([batch for batch in made if batch.attempt == KEPT], [b for b in made if b.attempt != KEPT], skipped)


def recipe_of(batch: Batch, recipes: int) -> int:
    """Return with which of so many recipes, from 0, a batch's rows were asked."""
    return KEPT_GROUP - batch.model_group if batch.attempt == KEPT else recipes - 1


class _Kept:
    """Keeps what stays, by the recipe that it was asked with."""

    def __init__(self, context: Context, former: Former, rows: JobRows, shard: Shard, stack: ExitStack) -> None:
        self._context, self._former, self._rows, self._shard, self._stack = context, former, rows, shard, stack
        self._batches: dict[int, Batch] = {}
        self._writers: dict[int, Any] = {}
        self._tallies: dict[int, Tally] = {}
        self._again = RETRYABLE if former.today is None else RETRYABLE_WITH_CHANGES

    def _of(self, batch: Batch) -> int:
        """Where the rows go that stay of a batch; a batch is made when there is a first one."""
        place = min(recipe_of(batch, self._former.recipes), MAX_RECIPES - 1)
        if place not in self._batches:
            self._batches[place] = Batch(
                job_id=self._rows.job.id, shard=self._shard.number, model_group=KEPT_GROUP - place, endpoint="",
                model="", requests=0, tokens=0, created_at=self._context.now(), attempt=KEPT, results=KEPT,
                state=BatchState.COLLECTED, expires_at=self._shard.expires_at,
            )  # fmt: skip  # a batch in a line or two
            self._tallies[place] = Tally()
        return place

    def take_over(self, batches: Sequence[Batch]) -> None:
        """Take over the sums of what stays."""
        for batch in batches:
            key = self._former.files.results_key(batch) + ".tally"
            before = Tally.from_json(json.loads(whole(self._context.objects, self._context.buckets.work, key)))
            self._tallies[self._of(batch)].carry_over(before, self._again)

    def add(self, result: Result, response: bytes, batch: Batch, *, may_be_paid: bool) -> None:
        place = self._of(batch)
        if place not in self._writers:
            key = self._rows.files.results_key(self._batches[place])
            self._writers[place] = self._stack.enter_context(writing_results(self._context, key))
        self._writers[place].add([result], [response])
        self._batches[place].requests += 1
        if may_be_paid and result.outcome in self._again:
            # The former job's sums count it among those that are asked again.
            self._tallies[place].count(result.row, result.outcome, result.code)

    def finish(self) -> list[Batch]:
        """Keep the sums; returns the batches that have rows."""
        found = [(place, batch) for place, batch in sorted(self._batches.items()) if batch.requests]
        for place, batch in found:
            tally = json.dumps(self._tallies[place].to_json()).encode()
            key = self._rows.files.results_key(batch) + ".tally"
            self._context.objects.put(self._context.buckets.work, key, tally, JSON)
        return [batch for _, batch in found]


@dataclass(slots=True)
class _Lists:
    """The rows of the batches to be asked, listed one after another."""

    context: Context
    rows: JobRows
    shard: Shard
    stack: ExitStack
    batches: dict[int, Batch] = field(default_factory=dict)
    writers: dict[int, Writer] = field(default_factory=dict)

    def add(self, group: int, endpoint: str, model: str, row: int, tokens: int, inputs: int) -> None:
        if group not in self.batches:
            name = f"{self.shard.number:06d}.{group:03d}.again"
            self.batches[group] = Batch(
                job_id=self.rows.job.id, shard=self.shard.number, model_group=group, endpoint=endpoint, model=model,
                requests=0, tokens=0, created_at=self.context.now(), rows=name, expires_at=self.shard.expires_at,
            )  # fmt: skip  # a batch in a line or two
            key = self.rows.files.rows_key(name)
            writing = self.context.objects.writing(self.context.buckets.work, key, BYTES)
            self.writers[group] = self.stack.enter_context(writing)
        self.writers[group].write(BatchRow(row, 0).to_line())
        batch = self.batches[group]
        batch.requests += 1
        batch.tokens += tokens
        batch.inputs += inputs


class _Same:
    """Asks rows again as they were asked before."""

    outcomes = RETRYABLE

    def __init__(self, context: Context, rows: JobRows, shard: Shard, index: ShardIndex, stack: ExitStack) -> None:
        self._lists = _Lists(context, rows, shard, stack)
        self._index, self._first = index, shard.first_row
        self.skipped = SkippedRows()

    @property
    def batches(self) -> Sequence[Batch]:
        return list(self._lists.batches.values())

    def add(self, row: int, batch: Batch) -> None:
        tokens, inputs = self._index.tokens[row - self._first], self._index.inputs[row - self._first]
        self._lists.add(batch.model_group, batch.endpoint, batch.model, row, tokens, inputs)

    def finish(self) -> None:
        """Nothing is left to be done."""


class _Anew:
    """Asks rows with another recipe: each becomes another request, or is left out, or cannot be asked."""

    outcomes = RETRYABLE_WITH_CHANGES

    def __init__(
        self, context: Context, rows: JobRows, shard: Shard, index: ShardIndex, stack: ExitStack, recipe: CompiledRecipe
    ) -> None:
        self._context, self._rows, self._shard, self._index, self._recipe = context, rows, shard, index, recipe
        self._lists = _Lists(context, rows, shard, stack)
        self._asked: set[int] = set()
        self._groups: list[Group] = []
        self._open: dict[tuple[str, str], int] = {}  # which group takes more of an (endpoint, model)
        self.skipped = SkippedRows()

    @property
    def batches(self) -> Sequence[Batch]:
        return list(self._lists.batches.values())

    def add(self, row: int, _: Batch) -> None:
        self._asked.add(row)

    def finish(self) -> None:
        """Build the requests. DropRejectedError if a row cannot become one, unless the recipe skips such rows."""
        limits = self._context.limits
        # A shard does not hold what lies between rows, so that only their numbers are known.
        asker = RequestBuilder(self._recipe, "Row")
        skips_bad_rows = self._recipe.recipe.bad_rows == "skip"
        problems = Problems()
        for chunk in self._rows.files.records(self._shard, self._rows.layout).chunks() if self._asked else ():
            if self._asked.isdisjoint(range(chunk.number, chunk.number + len(chunk.raws))):
                continue
            with asker.limited():
                for each in chunk.records():
                    if each.number not in self._asked:
                        continue
                    record = each._replace(line=self._rows.number_in_file(each.number))
                    found: list[Problem] = []
                    request: Request | None = None
                    size = 0
                    try:
                        request = asker.request(record)
                        if request is not None:
                            size = request.line_size(str(record.number))
                            found = find_size_problems("Row", record.line, request, size, limits)
                    except RowRejectedError as rejected:
                        found = list(rejected.problems)
                    if found and not skips_bad_rows:
                        problems.extend(found)
                    elif found or request is None:
                        code = found[0].code if found else asker.skip_code(record)
                        self.skipped.add(code, found)
                        self._index.skip(record.number - self._shard.first_row, code)
                    else:
                        self._ask(record.number, request, size)
        if problems:
            raise DropRejectedError(problems)
        self._rows.files.keep_index(self._shard.number, self._index)

    def _ask(self, row: int, request: Request, size: int) -> None:
        kind = request.endpoint, request.model
        inputs, output, tokens = (
            request.embedding_inputs,
            request.expected_output_bytes,
            request.estimated_input_tokens,
        )
        number = self._open.get(kind)
        if number is None or not self._groups[number].fits(1, size, inputs, output, self._context.limits):
            number = self._open[kind] = len(self._groups)
            self._groups.append(Group(*kind))
        self._groups[number].add(1, size, inputs, output, tokens)
        place = row - self._shard.first_row
        self._index.groups[place], self._index.tokens[place], self._index.inputs[place] = number, tokens, inputs
        self._index.lists[place] = request.asks_for_list
        self._lists.add(number, *kind, row, tokens, inputs)


def _results(context: Context, files: JobFiles, batch: Batch) -> Iterator[tuple[Result, bytes, Batch]]:
    key = files.results_key(batch)
    found = zip(read_results(context, key), read_responses(context, key), strict=True)
    return ((result, response, batch) for result, response in found)
