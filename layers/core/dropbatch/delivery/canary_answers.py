"""The answers to the rows that a job sends first, as files to look at while its other rows wait."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from dropbatch.delivery.report_rows import RowCollector
from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import results_name
from dropbatch.domain.states import BatchState
from dropbatch.formats.compression import compress
from dropbatch.formats.file_types import Kind, file_type
from dropbatch.formats.writing import answers_extension, answers_head, file_tail, rows_separator
from dropbatch.ports import BYTES, HTML
from dropbatch.reporting.event_members import CANARY_PAGE_NAME, results_prefix
from dropbatch.reporting.report_facts import ColumnNames, ReportFacts, ReportRows
from dropbatch.reporting.report_page import canary_page
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import Result, read_results
from dropbatch.storage.context import Context


class CanaryAnswer(NamedTuple):
    """A row as it was dropped, and its result."""

    raw: bytes
    result: Result


def read_answers(context: Context, rows: JobRows, batches: Sequence[Batch]) -> list[CanaryAnswer]:
    """Return the rows of the collected batches among these, in order, with their results."""
    found: list[CanaryAnswer] = []
    for number in sorted({batch.shard for batch in batches}):
        shard = context.repository.shard(rows.job.id, number)
        if shard is None:
            raise AssertionError(f"{rows.job.id} has no shard {number}")
        own = [batch for batch in batches if batch.shard == number and batch.state is BatchState.COLLECTED]
        keys = [rows.files.results_key(batch) for batch in own]
        results = list(heapq.merge(*(read_results(context, key) for key in keys), key=lambda result: result.row))
        raws = _raws(rows, number, [result.row - shard.first_row for result in results])
        found += [CanaryAnswer(raw, result) for raw, result in zip(raws, results, strict=True)]
    return found


def _raws(rows: JobRows, shard: int, places: Sequence[int]) -> Iterator[bytes]:
    """Yield the records at these places of a shard, in order. Only the part of the shard that has them is read."""
    index = rows.files.index(shard)
    if index is None:
        raise AssertionError(f"shard {shard} has no index")
    starts = [0, *accumulate(index.sizes)]
    held, begin = b"", 0
    blocks: Iterator[bytes] = iter(())
    for place in places:
        start, end = starts[place], starts[place + 1]
        if start > begin + len(held):  # rows lie between: reading begins again
            held, begin = b"", start
            blocks = rows.files.shard_blocks(shard, start)
        elif not held and not begin:
            blocks = rows.files.shard_blocks(shard)
        while begin + len(held) < end:
            held += next(blocks)
        yield held[start - begin : end - begin]
        held, begin = held[start - begin :], start


def write_answers(context: Context, rows: JobRows, answers: Sequence[CanaryAnswer]) -> None:
    """Write the rows with their answers beside the results: as a page, and in the drop's format if it is text."""
    job = rows.job
    prefix, kind = results_prefix(job), file_type(job.drop.key)
    columns = rows.compiled.all_columns if rows.compiled is not None else ()
    page = canary_page(context, job, _facts(rows, answers))
    context.objects.put(context.buckets.results, prefix + CANARY_PAGE_NAME, page, HTML)
    writer = rows.writer()
    if writer is None or kind.kind is Kind.PARQUET:
        return
    layout = rows.layout
    written = writer.rows([each.raw for each in answers], [each.result.columns or "" for each in answers])
    body = layout.storage.stored(answers_head(layout, columns) + rows_separator(layout).join(written))
    data = compress(body + file_tail(layout), kind.compression)
    key = results_name(prefix, kind.stem, f".canary.{answers_extension(kind)}{kind.compression}")
    context.objects.put(context.buckets.results, key, data, BYTES)


def _facts(rows: JobRows, answers: Sequence[CanaryAnswer]) -> ReportFacts:
    """Return the rows with their answers, column by column, as the page shows them."""
    collector = RowCollector(rows, {})
    shown = [collector.shown(each.raw, each.result) for each in answers]
    numbered = [[rows.number_in_file(row[0]), *row[1:]] for row in shown]
    names = ColumnNames(rows.layout.columns, rows.compiled.columns if rows.compiled is not None else ())
    return ReportFacts(ReportRows(numbered), names)
