"""The stored rows of a job, and the requests that its batches make of them."""

from collections.abc import Iterator, Sequence

from dropbatch import fast_paths
from dropbatch.batch_api.request import Request
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.jobs import Job, Shard
from dropbatch.formats.file_types import file_type
from dropbatch.formats.jsonl.raw_request import raw_custom_id
from dropbatch.formats.layout import Layout
from dropbatch.formats.records import Record
from dropbatch.formats.writing import RowWriter, row_writer
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.file_values import file_values
from dropbatch.rows.fast_custom_ids import read_custom_ids
from dropbatch.rows.request_builder import RequestBuilder
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import BatchRow, JobFiles
from dropbatch.storage.shard_index import DUPLICATE, ShardIndex


class JobRows:
    """A job's rows, with the parts of its files that are needed to understand them: layout, recipe, sample."""

    def __init__(self, context: Context, job: Job) -> None:
        self.job = job
        self.files = JobFiles(context.objects, context.buckets.work, job.id)
        recipe = self.files.recipe()
        self.layout: Layout = self.files.layout()
        self.compiled: CompiledRecipe | None = None
        if recipe is not None:
            self.compiled = recipe.compiled(checked=True, file=file_values(job.drop.key, self.layout.columns))
        self.builder = RequestBuilder(self.compiled, is_decided=True)  # the shard index has decided which rows are sent
        self._sampled = self.files.sampled() if job.limited is not None and job.limited.seed is not None else None
        self.compression = file_type(job.drop.key).compression

    def number_in_file(self, row: int) -> int:
        """Return the number that a row of the job has in the drop. It differs only in a sample."""
        return row if self._sampled is None else self._sampled[row - 1]

    def writer(self) -> RowWriter | None:
        """Return a writer of rows with their answers; None for a raw drop."""
        if self.compiled is None:
            return None
        keeps_formulas = self.compiled.recipe.formulas == "keep"
        return row_writer(self.layout, self.compiled.all_columns, keeps_formulas=keeps_formulas)

    def requests(self, shard: Shard, batch: Batch) -> Iterator[tuple[BatchRow, Request]]:
        """Yield the rows of the batch, in order, with their requests."""
        rows = map(BatchRow, *self.batch_rows(shard, batch, self.index(shard)))
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
        """Yield the lines of the batch's input file, in blocks."""
        if batch.rows is not None:
            for row, request in self.requests(shard, batch):
                yield request.line(str(row.number))
            return
        index = self.index(shard)
        for chunk in self.files.records(shard, self.layout).chunks():
            start = chunk.number - shard.first_row
            groups = index.groups[start : start + len(chunk.raws)]
            count = groups.count(batch.model_group)
            is_all = count == len(groups)
            has_requests = is_all or (count > 0 and count + groups.count(DUPLICATE) == len(groups))
            requests = self.builder.requests(chunk) if has_requests else None
            if requests is not None:
                yield requests.lines(None if is_all else [group == batch.model_group for group in groups])
            elif count:
                records = zip(chunk.records(), groups, strict=True)
                sent = [record for record, group in records if group == batch.model_group]
                yield b"".join([self._request(record).line(str(record.number)) for record in sent])

    def _request(self, record: Record) -> Request:
        request = self.builder.request(record)
        if request is None:
            raise AssertionError(f"row {record.number} had a request, and has none any more")
        return request

    def index(self, shard: Shard) -> ShardIndex:
        """Return the index of a shard. If there is none yet, make it out of the shard's records, and store it."""
        kept = self.files.index(shard.number)
        if kept is not None:
            return kept
        made = ShardIndex()
        builder = RequestBuilder(self.compiled)
        groups: dict[tuple[str, str], int] = {}
        for record in self.files.records(shard, self.layout):
            size = len(record.raw)
            try:
                request = builder.request(record)
            except RowRejectedError as rejected:
                made.add_skipped(size, rejected.problems[0].code)
                continue
            if request is None:
                made.add_skipped(size, builder.skip_code(record))
                continue
            group = groups.setdefault((request.endpoint, request.model), len(groups))
            tokens, inputs = request.estimated_input_tokens, request.embedding_inputs
            made.add(size, group, tokens, inputs, is_list=request.asks_for_list)
        self.files.keep_index(shard.number, made)
        return made

    def batch_rows(self, shard: Shard, batch: Batch, index: ShardIndex) -> tuple[Sequence[int], Sequence[int]]:
        """Return the numbers of the batch's rows, in order, and how often each row failed before."""
        listed = self.files.rows(batch)
        if listed is None:
            rows = index.rows(shard.first_row, batch.model_group)
            return rows, bytes(len(rows))
        found = list(listed)
        return [row.number for row in found], [row.tries for row in found]

    @property
    def numbers_are_ids(self) -> bool:
        """True if the id of each row in responses.jsonl is its number."""
        return self.compiled is not None and self.compiled.recipe.id is None and self._sampled is None

    def custom_ids(self, shard: Shard, index: ShardIndex) -> Iterator[str] | None:
        """Return the ids of responses.jsonl, row by row; None if the id of each row is its number."""
        if self.compiled is None:
            if fast_paths.enabled():
                return read_custom_ids(index.records(self.files.shard_blocks(shard.number)))
        elif self.numbers_are_ids:
            return None
        return map(self.custom_id, self.files.records(shard, self.layout))

    def custom_id(self, record: Record) -> str:
        """Return the `custom_id` of a row in responses.jsonl: the user's own, the row's label, or the row's number."""
        if self.compiled is None:
            return raw_custom_id(record) or str(record.number)
        label = self.compiled.label(record.values) if record.values else None
        return label or str(self.number_in_file(record.number))
