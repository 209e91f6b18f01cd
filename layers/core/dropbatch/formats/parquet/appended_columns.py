"""A Parquet drop with its answers, as further columns.

The drop's own bytes stay as they are, its footer apart: the answers' columns are appended as further column chunks, and
a new footer names both. So types, encodings, row groups and statistics are kept to the bit, and what is written grows
with the answers alone. (A chunk may lie anywhere in a file; the footer says where.)
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from dropbatch.formats.parquet import thrift
from dropbatch.formats.parquet.answer_columns import answer_batches, check_all_taken, columns_of
from dropbatch.formats.parquet.files import Source, footer_of, open_table
from dropbatch.formats.parquet.footer import (
    COLUMNS,
    ROW_GROUPS,
    TOTAL_BYTES,
    TOTAL_COMPRESSED,
    add_columns,
    column_chunk,
    end_of_file,
    plus,
)
from dropbatch.formats.parquet.pages import Pages, chunk_patterns, codec_of
from dropbatch.ports import Writer


class Segment(NamedTuple):
    """Answers to rows of one row group: of each column the number of values, and the bytes un- and compressed."""

    group: int
    columns: list[tuple[int, int, int]]


class Range(NamedTuple):
    """Bytes of a part that `write_part` wrote."""

    part: int
    start: int
    end: int


def write_part(
    file: Source,
    schemas: Mapping[str, Any],
    answers: Iterable[bytes],
    first_row: int,
    rows: int,
    out: Writer,
    scratch: Path,
) -> list[Segment]:
    """Write the pages of the answers to some rows of a drop, for `join_parts` to say where they go.

    `answers` are JSON objects, one a row, with the members that `schemas` have (JSON Schemas by names). Raise
    DoesNotFitError if a value is not of its column's type; a text holds any, as its JSON. Memory grows with a batch,
    the disk with the part.
    """
    table = open_table(file)
    added = columns_of(schemas)
    upcoming = iter(answers)
    segments = []
    with Pages(added, codec_of(table), scratch) as pages:
        for group, count in _groups(table, first_row, rows):
            for batch in answer_batches(added, upcoming, count):
                pages.add(batch)
            segments.append(Segment(group, pages.flush(out)))
    check_all_taken(upcoming)
    return segments


def _groups(table: pq.ParquetFile, first_row: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the row groups of some rows, and how many of these rows each holds."""
    start, end = 1, first_row + rows
    for group in range(table.num_row_groups):
        after = start + table.metadata.row_group(group).num_rows
        count = min(after, end) - max(start, first_row)
        if count > 0:
            yield group, count
        start = after


def join_parts(
    file: Source, schemas: Mapping[str, Any], parts: Sequence[Sequence[Segment]]
) -> tuple[int, list[Range], bytes]:
    """Return how a drop and its answers become a file.

    That is how many of the drop's bytes come first, then what of the parts, in which order, and last the new footer.
    """
    table, raw = open_table(file), footer_of(file)
    kept = at = file.seek(0, io.SEEK_END) - 8 - len(raw)
    added = columns_of(schemas)
    patterns = chunk_patterns(added, codec_of(table))
    found = _segments_by_group(parts)
    order: list[Range] = []
    groups = []
    footer = thrift.parse(raw)
    for number, group in enumerate(map(thrift.parse, thrift.items(footer[ROW_GROUPS]))):
        segments = found.get(number, [])
        chunks, totals = [], (0, 0)
        for place, pattern in enumerate(patterns):
            column = [segment.columns[place] for segment, _ in segments]
            values, uncompressed, compressed = (sum(part) for part in zip((0, 0, 0), *column, strict=True))
            chunks.append(column_chunk(pattern, values, uncompressed, compressed, at))
            totals = totals[0] + uncompressed, totals[1] + compressed
            at += compressed
            order += [ranges[place] for _, ranges in segments]
        group[COLUMNS] = thrift.structs([*thrift.items(group[COLUMNS]), *chunks])
        group[TOTAL_BYTES] = plus(group[TOTAL_BYTES], totals[0])
        if TOTAL_COMPRESSED in group:
            group[TOTAL_COMPRESSED] = plus(group[TOTAL_COMPRESSED], totals[1])
        groups.append(thrift.build(group))
    footer[ROW_GROUPS] = thrift.structs(groups)
    add_columns(footer, table, added)
    return kept, _merge(order), end_of_file(footer)


def _segments_by_group(parts: Sequence[Sequence[Segment]]) -> dict[int, list[tuple[Segment, list[Range]]]]:
    """Return the segments of each row group, with the ranges of their columns."""
    found: dict[int, list[tuple[Segment, list[Range]]]] = {}
    for number, part in enumerate(parts):
        start = 0
        for segment in part:
            ends = list(accumulate((size for *_, size in segment.columns), initial=start))
            ranges = [Range(number, start, end) for start, end in pairwise(ends)]
            found.setdefault(segment.group, []).append((segment, ranges))
            start = ends[-1]
    return found


def _merge(ranges: Iterable[Range]) -> list[Range]:
    """Return the same bytes in as few ranges as possible."""
    merged: list[Range] = []
    for each in ranges:
        if each.start == each.end:
            continue
        if merged and merged[-1].part == each.part and merged[-1].end == each.start:
            merged[-1] = merged[-1]._replace(end=each.end)
        else:
            merged.append(each)
    return merged
