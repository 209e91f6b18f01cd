"""The requests that a `.retry` sends: the former ones again, or changed ones with another recipe."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from dropbatch.batch_api.request import Request
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import RETRYABLE, RETRYABLE_WITH_CHANGES
from dropbatch.domain.problems import Problem, Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.formats.records import Record
from dropbatch.intake.repeated_requests import RepeatedRequests
from dropbatch.intake.row_scan import build_request
from dropbatch.intake.sharding import Group
from dropbatch.ports import BYTES, Writer
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.rows.job_rows import JobRows
from dropbatch.rows.request_builder import RequestBuilder
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import BatchRow
from dropbatch.storage.shard_index import ShardIndex

_UNIT = "Row"
"""The word for a row's place in messages."""


@dataclass(slots=True)
class _RowLists:
    """The batches to send, with lists of their rows."""

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


class SameRequests:
    """Rows that are sent again with the same requests."""

    outcomes = RETRYABLE

    def __init__(self, context: Context, rows: JobRows, shard: Shard, index: ShardIndex, stack: ExitStack) -> None:
        self._lists = _RowLists(context, rows, shard, stack)
        self._index, self._first = index, shard.first_row
        self.skipped = SkippedRows()

    @property
    def batches(self) -> Sequence[Batch]:
        return list(self._lists.batches.values())

    def add(self, row: int, batch: Batch) -> None:
        tokens, inputs = self._index.tokens[row - self._first], self._index.inputs[row - self._first]
        self._lists.add(batch.model_group, batch.endpoint, batch.model, row, tokens, inputs)

    def finish(self) -> None:
        """Do nothing: the lists of rows are complete."""


class ChangedRequests:
    """Rows that are sent with another recipe: each becomes another request, or is skipped, or has a problem."""

    outcomes = RETRYABLE_WITH_CHANGES

    def __init__(
        self,
        context: Context,
        rows: JobRows,
        shard: Shard,
        index: ShardIndex,
        stack: ExitStack,
        recipe: CompiledRecipe,
        repeats: RepeatedRequests | None = None,
    ) -> None:
        self._repeats = repeats
        self._context, self._rows, self._shard, self._index, self._recipe = context, rows, shard, index, recipe
        self._lists = _RowLists(context, rows, shard, stack)
        self._retried: set[int] = set()
        self._groups: list[Group] = []
        self._open: dict[tuple[str, str], int] = {}  # the group that takes more rows of a pair (endpoint, model)
        self.skipped = SkippedRows()

    @property
    def batches(self) -> Sequence[Batch]:
        return list(self._lists.batches.values())

    def add(self, row: int, _: Batch) -> None:
        self._retried.add(row)

    def finish(self) -> None:
        """Build the requests. Raise DropRejectedError if a row cannot become one and the recipe does not skip it."""
        # A shard does not hold the lines between rows, so messages name the numbers of rows, not of lines.
        builder = RequestBuilder(self._recipe, _UNIT)
        problems = Problems()
        for chunk in self._rows.files.records(self._shard, self._rows.layout).chunks() if self._retried else ():
            if self._retried.isdisjoint(range(chunk.number, chunk.number + len(chunk.raws))):
                continue
            with builder.limited():
                for record in chunk.records():
                    if record.number in self._retried:
                        line = self._rows.number_in_file(record.number)
                        problems.extend(self._add_request(builder, record._replace(line=line)))
        if problems:
            raise DropRejectedError(problems)
        self._rows.files.keep_index(self._shard.number, self._index)

    def _add_request(self, builder: RequestBuilder, record: Record) -> Sequence[Problem]:
        """Send a row or skip it; return its problems if it can be neither sent nor skipped."""
        request, size, code, found = build_request(builder, record, _UNIT, self._context.limits)
        if found and self._recipe.recipe.bad_rows != "skip":
            return found
        if found or request is None:
            code = found[0].code if found else code
            self.skipped.add(code, found)
            self._index.skip(record.number - self._shard.first_row, code)
        else:
            original = self._repeats.original(record, request) if self._repeats is not None else 0
            if original:
                self._index.duplicate(record.number - self._shard.first_row, original)
            else:
                self._send(record.number, request, size)
        return ()

    def _send(self, row: int, request: Request, size: int) -> None:
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
