"""Which requests a job's rows become: a function of rows and recipe alone, so that they can be built at any time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from dropbatch import fast_paths
from dropbatch.batch_api.fast_requests import RequestChunk
from dropbatch.batch_api.limits import Limits
from dropbatch.batch_api.request import Request
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outcomes import BLANK_ROW, WHEN
from dropbatch.domain.problems import Problem
from dropbatch.formats.file_types import file_type
from dropbatch.formats.jsonl.raw_request import raw_custom_id, raw_request
from dropbatch.formats.layout import Layout
from dropbatch.formats.records import Chunk, Record
from dropbatch.formats.writing import RowWriter, row_writer
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.file_values import file_values
from dropbatch.rows.blank_values import is_empty
from dropbatch.rows.fast_custom_ids import read_custom_ids
from dropbatch.rows.fast_requests import chunk_requests
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import BatchRow, JobFiles
from dropbatch.storage.shard_index import ShardIndex


class RequestBuilder:
    """Turns rows into requests by a recipe, or, without one, takes them as the ready requests of a raw drop.

    `is_decided` says that it is known already which rows are asked: none of them is held again to what they must say,
    for an earlier release may have asked it.
    """

    def __init__(self, recipe: CompiledRecipe | None, unit: str = "Line", *, is_decided: bool = False) -> None:
        self._recipe = recipe
        self._unit = unit
        self._is_decided = is_decided
        self._skips_blank = recipe is not None and recipe.recipe.blank_rows == "skip" and not is_decided
        self._is_fast = fast_paths.enabled()
        self._added = frozenset(recipe.all_columns if recipe else ())

    def limited(self) -> AbstractContextManager[None]:
        """Bound the time that the requests of a chunk's rows take, which are asked for within the block."""
        return nullcontext() if self._recipe is None else self._recipe.limited()

    def request(self, record: Record) -> Request | None:
        """The row's request, or None where it is left out; RowRejectedError, with the row's line, where it is bad."""
        if record.problem is not None:
            raise RowRejectedError(record.problem)
        if self._skips_blank and self._is_blank(record.values or {}):
            return None
        try:
            if self._recipe is None:
                return raw_request(record, is_decided=self._is_decided).request
            return self._recipe.request(record.values or {})
        except RowRejectedError as rejected:
            raise RowRejectedError(
                *(_in_line(self._unit, record.line, problem) for problem in rejected.problems)
            ) from rejected

    def why_left_out(self, record: Record) -> str:
        """The code of a row that has no request and is not bad."""
        return BLANK_ROW if self._skips_blank and self._is_blank(record.values or {}) else WHEN

    def _is_blank(self, values: Mapping[str, Any]) -> bool:
        # With a name that the answers add the drop is rejected, whatever stands under it.
        return all(map(is_empty, values.values())) and self._added.isdisjoint(values)

    def requests(self, chunk: Chunk) -> RequestChunk | None:
        """Return the requests of all the chunk's rows by the fast path; None if `request` has to build each."""
        return chunk_requests(chunk, self._recipe, skips_blank=self._skips_blank) if self._is_fast else None


def size_problems(unit: str, line: int, request: Request, size: int, limits: Limits) -> list[Problem]:
    """What is wrong with the size of a row's request, which takes `size` bytes as a line."""
    most = min(limits.line_bytes, limits.batch_bytes)
    if size > most:
        sentence = f"The request of {unit.lower()} {line} is {size:,} bytes long, and {most:,} is the maximum; "
        return [Problem("line_too_long", sentence + "shorten the row.", line=line)]
    most = limits.batch_embedding_inputs
    if request.embedding_inputs > most:
        sentence = f"{unit} {line} asks for {request.embedding_inputs:,} embeddings, and {most:,} is the maximum; "
        return [Problem("too_many_inputs", sentence + "spread them over several lines.", line=line)]
    return []


def _in_line(unit: str, line: int, problem: Problem) -> Problem:
    if problem.line is not None:
        return problem
    message = f"{unit} {line}, {problem.message[0].lower()}{problem.message[1:]}"
    return replace(problem, line=line, message=message)


class JobRows:
    """What is read of a job's files to understand its rows."""

    def __init__(self, context: Context, job: Job) -> None:
        self.job = job
        self.files = JobFiles(context.objects, context.buckets.work, job.id)
        recipe = self.files.recipe()
        self.layout: Layout = self.files.layout()
        self.compiled: CompiledRecipe | None = None
        if recipe is not None:
            self.compiled = recipe.compiled(checked=True, file=file_values(job.drop.key, self.layout.columns))
        self.asker = RequestBuilder(self.compiled, is_decided=True)  # by the index
        self._sampled = self.files.sampled() if job.limited is not None and job.limited.seed is not None else None
        self.compression = file_type(job.drop.key).compression

    def number_in_file(self, row: int) -> int:
        """The number that a row of the job has in the drop: another one only in a sample."""
        return row if self._sampled is None else self._sampled[row - 1]

    def writer(self) -> RowWriter | None:
        """What writes answered rows; None for a raw drop."""
        if self.compiled is None:
            return None
        keeps_formulas = self.compiled.recipe.formulas == "keep"
        return row_writer(self.layout, self.compiled.all_columns, keeps_formulas=keeps_formulas)

    def asked(self, shard: Shard, batch: Batch) -> Iterator[tuple[BatchRow, Request]]:
        """The rows that the batch asks, in order, with their requests."""
        rows = map(BatchRow, *self.asked_rows(shard, batch, self.index(shard)))
        upcoming = next(rows, None)
        for chunk in self.files.records(shard, self.layout).chunks():
            if upcoming is None:
                return
            if upcoming.number >= chunk.number + len(chunk.raws):
                continue
            for record in chunk.records():
                if upcoming is not None and record.number == upcoming.number:
                    yield upcoming, self._request(record)
                    upcoming = next(rows, None)

    def lines(self, shard: Shard, batch: Batch) -> Iterator[bytes]:
        """The lines of the batch's file, in blocks."""
        if batch.rows is not None:
            for row, request in self.asked(shard, batch):
                yield request.line(str(row.number))
            return
        index = self.index(shard)
        for chunk in self.files.records(shard, self.layout).chunks():
            start = chunk.number - shard.first_row
            groups = index.groups[start : start + len(chunk.raws)]
            count = groups.count(batch.model_group)
            requests = self.asker.requests(chunk) if count == len(groups) else None
            if requests is not None:
                yield requests.lines()
            elif count:
                records = zip(chunk.records(), groups, strict=True)
                asked = [record for record, group in records if group == batch.model_group]
                yield b"".join([self._request(record).line(str(record.number)) for record in asked])

    def _request(self, record: Record) -> Request:
        request = self.asker.request(record)
        if request is None:
            raise AssertionError(f"row {record.number} had a request, and has none any more")
        return request

    def index(self, shard: Shard) -> ShardIndex:
        """What is known of a shard's rows; made out of its records, and kept, where that has not been done yet."""
        kept = self.files.index(shard.number)
        if kept is not None:
            return kept
        made = ShardIndex()
        asker = RequestBuilder(self.compiled)
        groups: dict[tuple[str, str], int] = {}
        for record in self.files.records(shard, self.layout):
            size = len(record.raw)
            try:
                request = asker.request(record)
            except RowRejectedError as rejected:
                made.add_skipped(size, rejected.problems[0].code)
                continue
            if request is None:
                made.add_skipped(size, asker.why_left_out(record))
                continue
            group = groups.setdefault((request.endpoint, request.model), len(groups))
            tokens, inputs = request.estimated_input_tokens, request.embedding_inputs
            made.add(size, group, tokens, inputs, is_list=request.asks_for_list)
        self.files.keep_index(shard.number, made)
        return made

    def asked_rows(self, shard: Shard, batch: Batch, index: ShardIndex) -> tuple[Sequence[int], Sequence[int]]:
        """The rows that the batch asks, in order, and how often each failed before."""
        listed = self.files.rows(batch)
        if listed is None:
            rows = index.rows(shard.first_row, batch.model_group)
            return rows, bytes(len(rows))
        asked = list(listed)
        return [row.number for row in asked], [row.tries for row in asked]

    def custom_ids(self, shard: Shard, index: ShardIndex) -> Iterator[str] | None:
        """The ids that stand in responses.jsonl, row by row; None where each row's is its number."""
        if self.compiled is None:
            if fast_paths.enabled():
                return read_custom_ids(index.records(self.files.shard_blocks(shard.number)))
        elif self.compiled.recipe.id is None and self._sampled is None:
            return None
        return map(self.custom_id, self.files.records(shard, self.layout))

    def custom_id(self, record: Record) -> str:
        """What stands as `custom_id` in responses.jsonl: the user's own, the row's label, or its number."""
        if self.compiled is None:
            return raw_custom_id(record) or str(record.number)
        label = self.compiled.label(record.values) if record.values else None
        return label or str(self.number_in_file(record.number))
