"""Some rows of a Parquet drop as a new file: a sample with its answers, or the rows that failed."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dropbatch.formats.parquet import thrift
from dropbatch.formats.parquet.answer_columns import answer_batches, check_all_taken, columns_of
from dropbatch.formats.parquet.files import MAGIC, Source, batches_of_group, open_table
from dropbatch.formats.parquet.footer import (
    COLUMNS,
    GROUP_OFFSET,
    GROUP_ROWS,
    NUM_ROWS,
    ROW_GROUPS,
    TOTAL_BYTES,
    TOTAL_COMPRESSED,
    column_chunk,
    empty_footer,
    end_of_file,
    number_field,
    with_columns,
)
from dropbatch.formats.parquet.pages import Pages, chunk_patterns, codec_of
from dropbatch.ports import Writer

_ROW_GROUP_BYTES = 32 << 20
"""The size at which a new row group begins."""


def write_some(
    file: Source, schemas: Mapping[str, Any], answers: Iterable[bytes], rows: Iterable[int], out: Writer, scratch: Path
) -> None:
    """Write the rows of a drop with these numbers, in order, with their answers.

    See `appended_columns.write_part` for the answers.
    """
    table = open_table(file)
    added = columns_of(schemas)
    upcoming = iter(answers)
    schema = with_columns(table.schema_arrow, added)
    batches = _beside(chain.from_iterable(_picked(table, rows)), added, schema, upcoming)
    _write_file(schema, [batches], codec_of(table), out, scratch)
    check_all_taken(upcoming)


def write_failed(file: Source, failed: Iterable[int], out: Writer, scratch: Path) -> None:
    """Write the rows of a drop with these numbers, in order, with their columns as they are."""
    table = open_table(file)
    _write_file(table.schema_arrow, _picked(table, failed), codec_of(table), out, scratch)


def _picked(table: pq.ParquetFile, rows: Iterable[int]) -> Iterator[Iterator[pa.RecordBatch]]:
    """Yield the rows with these numbers, in order, by their row groups."""
    numbers = iter(rows)
    following = next(numbers, None)

    def kept(group: int, start: int) -> Iterator[pa.RecordBatch]:
        nonlocal following
        for batch in batches_of_group(table, group):
            places = []
            while following is not None and following < start + batch.num_rows:
                places.append(following - start)
                following = next(numbers, None)
            if places:
                yield batch.take(pa.array(places))
            start += batch.num_rows
            if following is None:
                return

    start = 1
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        if following is not None and following < start + count:
            yield kept(group, start)
        start += count


def _beside(
    batches: Iterator[pa.RecordBatch], added: pa.Schema, schema: pa.Schema, answers: Iterator[bytes]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows with their answers beside them."""
    for batch in batches:
        at = 0
        for beside in answer_batches(added, answers, batch.num_rows):
            columns = [*batch.slice(at, beside.num_rows).columns, *beside.columns]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            at += beside.num_rows


def _write_file(
    schema: pa.Schema, groups: Iterable[Iterable[pa.RecordBatch]], codec: str, out: Writer, scratch: Path
) -> None:
    """Write rows as a new file; a row group ends where one of `groups` does, or when it is large."""
    footer = empty_footer(schema)
    out.write(MAGIC)
    at, total = len(MAGIC), 0
    written = []
    patterns = chunk_patterns(schema, codec)
    with Pages(schema, codec, scratch) as pages:
        for rows in _filled(pages, groups):
            start, uncompressed, chunks = at, 0, []
            for pattern, column in zip(patterns, pages.flush(out), strict=True):
                chunks.append(column_chunk(pattern, *column, at))
                uncompressed, at = uncompressed + column[1], at + column[2]
            group = {
                COLUMNS: thrift.structs(chunks),
                TOTAL_BYTES: number_field(uncompressed),
                GROUP_ROWS: number_field(rows),
                GROUP_OFFSET: number_field(start),
                TOTAL_COMPRESSED: number_field(at - start),
            }
            written.append(thrift.build(group))
            total += rows
    footer[ROW_GROUPS] = thrift.structs(written)
    footer[NUM_ROWS] = number_field(total)
    out.write(end_of_file(footer))


def _filled(pages: "Pages", groups: Iterable[Iterable[pa.RecordBatch]]) -> Iterator[int]:
    """Add the rows, and yield how many there are wherever a row group must end."""
    for batches in groups:
        for batch in batches:
            pages.add(batch)
            if pages.size >= _ROW_GROUP_BYTES:
                yield pages.rows
        if pages.rows:
            yield pages.rows
