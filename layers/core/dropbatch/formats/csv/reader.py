"""The rows of a csv or tsv under its header. The fast path reads most of them, the strict reader the others."""

from collections.abc import Iterator

from dropbatch import fast_paths
from dropbatch.formats import lines as formats_lines
from dropbatch.formats.csv import fast_reader, strict_reader
from dropbatch.formats.csv.merged_rows import MergedRows, Noticed, may_be_merged
from dropbatch.formats.csv.rows import RowShape, to_record
from dropbatch.formats.lines import Lines
from dropbatch.formats.records import Chunk, Records

COLUMNS_OF_A_CHUNK = 1_000
MAX_CHUNKS_AT_ONCE = 8
"""A row of 9,000 short values fills a chunk. Parsed alone, it takes three times as long as among a few others."""


def read_chunks(
    lines: Lines, shape: RowShape, limit: int, number: int = 1, noticed: Noticed | None = None
) -> Iterator[Chunk]:
    """Yield the rows of lines, of at most `limit` bytes each; `number` is the first row's.

    `noticed` counts the rows that may be several. Raise DropRejectedError if the rest cannot be read.
    """
    if shape.dialect.is_unquoted:
        return _unquoted_chunks(lines, shape, number)
    merged = MergedRows(shape, noticed) if noticed is not None and may_be_merged(shape) else None
    return _quoted_chunks(lines, shape, limit, number, merged)


def _quoted_chunks(
    lines: Lines, shape: RowShape, limit: int, number: int, merged: MergedRows | None
) -> Iterator[Chunk]:
    strict_reader.lift_field_limit()
    is_fast = fast_paths.enabled()
    size = _chunk_bytes(shape.width)
    while raws := lines.take(size):
        line, end = lines.number - len(raws), lines.offset
        read = fast_reader.read_rows(raws, shape, limit, number, line) if is_fast else fast_reader.NOTHING
        lines.give_back(raws[read.lines :])
        if read.chunk is not None:
            if merged is not None and len(read.chunk.raws) < read.lines:
                merged.look_at(read.chunk.lines, read.chunk.raws)
            yield read.chunk
            number += len(read.chunk.raws)
        if read.needs_more or read.lines == len(raws):
            continue
        rows = strict_reader.read_rows(lines, shape.dialect, shape.encoding, limit, lines.number)
        for raw, start, row, problem in rows:
            if merged is not None:
                merged.look_at([start], [raw])
            yield Records([to_record(number, start, raw, row, problem, shape)])
            number += 1
            if lines.offset >= end:
                break


def _chunk_bytes(width: int) -> int:
    """Return how many bytes of lines are parsed at once: a few wide rows, because each column of them is a list."""
    return formats_lines.CHUNK_BYTES * min(MAX_CHUNKS_AT_ONCE, 1 + width // COLUMNS_OF_A_CHUNK)


def _unquoted_chunks(lines: Lines, shape: RowShape, number: int) -> Iterator[Chunk]:
    """Yield rows without quoting: each line is one, cut at its delimiters."""
    is_fast = fast_paths.enabled()
    size = _chunk_bytes(shape.width)
    while raws := lines.take(size):
        line = lines.number - len(raws)
        chunk: Chunk | None = fast_reader.read_unquoted(raws, shape, number, line) if is_fast else None
        if chunk is None:
            records = strict_reader.read_unquoted(raws, shape, number, line)
            if not records:
                continue
            chunk = Records(records)
        yield chunk
        number += len(chunk.raws)
