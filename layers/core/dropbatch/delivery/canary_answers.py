"""The answers to the rows that a job sends first, as files to look at while its other rows wait."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import results_name
from dropbatch.domain.states import BatchState
from dropbatch.formats.compression import compress
from dropbatch.formats.file_types import Kind, file_type
from dropbatch.formats.writing import answers_extension, answers_head, file_tail, rows_separator
from dropbatch.json_encoding import to_json
from dropbatch.ports import BYTES, HTML
from dropbatch.reporting.event_members import CANARY_PAGE_NAME, results_prefix
from dropbatch.reporting.report_page import ShownRow, canary_page
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import Result, read_results
from dropbatch.storage.context import Context

MAX_SHOWN_BYTES = 300
"""How much of a row the page shows."""


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
    page = canary_page(context, job, [_shown(rows, answer) for answer in answers])
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


def _shown(rows: JobRows, answer: CanaryAnswer) -> ShownRow:
    result = answer.result
    text = answer.raw[:MAX_SHOWN_BYTES].decode(errors="replace").strip()
    shown = result.shown or _answer(rows, result.columns or "")
    return ShownRow(rows.number_in_file(result.row), text, shown, result.outcome, result.code)


def _answer(rows: JobRows, columns: str) -> str:
    """Return the values of an answer, without its outcome, which has a column of its own."""
    writer, compiled = rows.writer(), rows.compiled
    if not columns or writer is None or compiled is None:
        return ""
    values = writer.values(columns)[: len(compiled.columns)]
    return " · ".join(
        value if isinstance(value, str) else to_json(value).decode() for value in values if value not in (None, "")
    )
