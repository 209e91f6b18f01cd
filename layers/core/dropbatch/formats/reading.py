"""Drops and their shards as rows: one pass over blocks of bytes, in bounded memory.

A record has its own bytes. A shard is the records' bytes one after another, so that reading it again gives the same
bytes and values; what is before the first row is in the layout alone.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple, Protocol

from dropbatch import fast_paths
from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats import text_lines
from dropbatch.formats.csv import header
from dropbatch.formats.csv import reader as csv_reader
from dropbatch.formats.csv.dialect import DOUBLE, NO_OPTIONS, CsvOptions
from dropbatch.formats.csv.merged_rows import Noticed, check_not_merged
from dropbatch.formats.csv.rows import RowShape
from dropbatch.formats.encodings import BYTE_ORDER_MARK, UTF_8, check_is_text, codec_of
from dropbatch.formats.fast_counting import count_rows
from dropbatch.formats.file_types import FileType, Kind
from dropbatch.formats.guessing import SAMPLE_BYTES
from dropbatch.formats.jsonl import raw_reader, raw_request
from dropbatch.formats.jsonl import reader as jsonl
from dropbatch.formats.jsonl.brackets import end_of
from dropbatch.formats.jsonl.json_layout import JsonLayout, json_layout
from dropbatch.formats.jsonl.objects import Objects
from dropbatch.formats.layout import Layout
from dropbatch.formats.likely_encodings import name_encodings, with_encodings_named
from dropbatch.formats.lines import Lines, first_line, line_end_of
from dropbatch.formats.records import Chunk, Record
from dropbatch.formats.transcoding import PLAIN, Storage

__all__ = ["DropReader", "Record", "read_drop", "read_rows"]

_START = 1024  # bytes that are looked at for a byte-order mark and for what is no text


class Position(NamedTuple):
    """The start of a row in a drop: the offset in bytes, the physical line (from 1) and the row's number (from 1).

    `swallowed` and `likely` are observations about the rows before it: see `csv.merged_rows.Noticed`.
    """

    offset: int
    line: int
    number: int
    swallowed: int = 0
    likely: tuple[str, ...] | None = None


class _Source(Protocol):
    """A source of rows, with the position that reading has reached."""

    @property
    def offset(self) -> int: ...

    @property
    def number(self) -> int: ...


class DropReader:
    """A drop with its `layout`, to be iterated once for its rows, without blank lines.

    `position` is where the next row starts: there another reader can continue. `hints` say what may be the cause if the
    drop lacks the columns that a recipe names.
    """

    def __init__(
        self,
        layout: Layout,
        source: _Source,
        chunks: Iterator[Chunk],
        number: int = 1,
        noticed: Noticed | None = None,
        hints: Sequence[Problem] = (),
    ) -> None:
        self.layout = layout
        self.hints = hints
        self._source = source
        self._number = number
        self._chunks = chunks
        self._noticed = noticed or Noticed()

    @property
    def position(self) -> Position:
        noticed = self._noticed
        return Position(self._source.offset, self._source.number, self._number, noticed.swallowed, noticed.likely)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows, many at a time. Raise DropRejectedError if the rest cannot be read."""
        for chunk in self._chunks:
            self._number = chunk.number + len(chunk.raws)
            yield chunk
        check_not_merged(self._noticed.swallowed, self._source.number - 1)

    def pass_over(self) -> Iterator[int]:
        """Skip the remaining rows, and yield how many each step has skipped.

        Problems of rows are ignored. Raise DropRejectedError if nobody can tell where the next row begins.
        """
        lines = self._source
        if fast_paths.enabled() and isinstance(lines, Lines) and self.layout.is_a_line_a_row:
            for count in count_rows(lines):
                self._number += count
                yield count
            return
        for chunk in self.chunks():
            yield len(chunk.raws)

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(chunk.records() for chunk in self.chunks())


def read_drop(
    blocks: Iterable[bytes],
    file_type: FileType,
    *,
    options: CsvOptions = NO_OPTIONS,
    encoding: str | None,
    limits: Limits,
    storage: Storage = PLAIN,
) -> DropReader:
    """Read a drop (`blocks` already unpacked) up to its first row; the others are read on demand.

    `options` and `encoding` are the recipe's. `storage` is how the drop lies in S3, from which the blocks were
    converted. Raise DropRejectedError, here or while iterating, if the rest cannot be read; what is wrong with one row
    alone is that record's problem.
    """
    blocks = iter(blocks)
    start = b""
    while len(start) < _START and (block := next(blocks, None)) is not None:
        start += block
    check_is_text(start[:_START])
    codec = UTF_8 if storage.codec else codec_of(encoding)
    mark = b""
    if start.startswith(BYTE_ORDER_MARK):
        mark, start = BYTE_ORDER_MARK, start[len(BYTE_ORDER_MARK) :]
        codec = UTF_8  # the mark is UTF-8's, whatever the recipe says
    lines = Lines(chain([start], blocks), limits.line_bytes, len(mark))
    sample = start[:SAMPLE_BYTES]
    if file_type.kind is Kind.JSONL and codec == UTF_8:
        found = json_layout(lines, limits.line_bytes)
        if found is not None:
            return _json_reader(lines, found, mark, limits.line_bytes, storage, sample)
    layout, hints = _read_layout(lines, file_type.kind, options, codec, mark, limits.line_bytes, sample)
    return _reader(replace(layout, storage=storage), lines, limits.line_bytes, hints=hints, sample=sample)


def _read_layout(
    lines: Lines, kind: Kind, options: CsvOptions, codec: str, mark: bytes, limit: int, sample: bytes
) -> tuple[Layout, Sequence[Problem]]:
    """Read what is before the first row. Return the layout, and the reader's hints."""
    if kind in (Kind.CSV, Kind.TSV):
        if options.header is None:
            first_line(lines, b"\r\n")
        try:
            return header.read_layout(lines, kind, options, codec, mark, limit)
        except DropRejectedError as rejected:
            raise with_encodings_named(rejected, sample) from None
    first = first_line(lines, None)
    if kind is Kind.TXT:
        return Layout(Kind.TXT, False, ("text",), None, codec, mark, line_end_of(first), bool(mark)), ()
    if codec != UTF_8:
        message = "JSON Lines are always UTF-8; remove `encoding` from the recipe, and save the file as UTF-8."
        raise DropRejectedError.because(Problem("unknown_encoding", message, key="encoding"))
    is_raw = raw_request.is_raw(first, lines.number)
    return Layout(Kind.JSONL, is_raw, (), None, UTF_8, mark, line_end_of(first), bool(mark)), ()


def read_on(blocks: Iterable[bytes], layout: Layout, position: Position, limits: Limits) -> DropReader:
    """Continue with a drop at another reader's position; `blocks` are its bytes (unpacked) from there on."""
    if layout.kind is Kind.JSON:
        objects = Objects(
            blocks,
            limits.line_bytes,
            position.offset,
            position.line,
            layout.separator,
            is_array=layout.is_array,
            is_first=False,
        )
        return _objects_reader(layout, objects, position.number, Noticed(position.swallowed, position.likely))
    lines = Lines(blocks, limits.line_bytes, position.offset, position.line)
    return _reader(layout, lines, limits.line_bytes, position.number, Noticed(position.swallowed, position.likely))


def read_rows(blocks: Iterable[bytes], layout: Layout, *, first_number: int, first_line: int) -> DropReader:
    """Read a shard. Blank lines are not in it, so that only the first record's `line` is the drop's."""
    if layout.kind is Kind.JSON:
        objects = Objects(blocks, sys.maxsize, 0, first_line, b"", is_array=False, is_first=True)
        return DropReader(layout, objects, objects.chunks(first_number), first_number)
    lines = Lines(blocks, sys.maxsize, 0, first_line)
    # Whether rows are several was asked when the drop was read.
    decided = replace(layout, quoting=DOUBLE) if layout.quoting is None else layout
    reader = _reader(decided, lines, sys.maxsize, first_number)
    reader.layout = layout
    return reader


def _reader(
    layout: Layout,
    lines: Lines,
    limit: int,
    number: int = 1,
    noticed: Noticed | None = None,
    hints: Sequence[Problem] = (),
    sample: bytes = b"",
) -> DropReader:
    noticed = noticed or Noticed()
    chunks = _chunks(lines, layout, limit, number, noticed)
    if layout.encoding == UTF_8 and not layout.raw:
        chunks = name_encodings(chunks, lambda: lines.held(SAMPLE_BYTES), sample, layout.storage, noticed)
    return DropReader(layout, lines, chunks, number, noticed, hints)


def _json_reader(
    lines: Lines, found: JsonLayout, mark: bytes, limit: int, storage: Storage, sample: bytes
) -> DropReader:
    """Read JSON that is not one object a line."""
    first_at, line = lines.offset, lines.number
    before = lines.peek(found.begin)
    end = end_of(before, found.begin)
    first = None if end is None else jsonl.parse_object(before[found.begin : end], 1)[0]
    if first is not None and raw_request.is_raw_object(first):
        how = "as `jq -c '.[]'` does" if found.is_array else "as `jq -c .` does"
        if not found.is_array and b"," in found.separator:
            how = "without commas between them"
        message = (
            "The file holds requests for OpenAI's Batch API, but not one a line; write each on a line of its own, "
            f"{how}, and drop the .jsonl."
        )
        raise DropRejectedError.because(Problem("raw_not_in_lines", message, line=line))
    blocks = lines.rest()
    skipped = next(blocks)
    objects = Objects(
        chain([skipped[found.begin :]], blocks),
        limit,
        first_at + found.begin,
        line + skipped.count(b"\n", 0, found.begin),
        found.separator,
        is_array=found.is_array,
        is_first=True,
    )
    layout = Layout(
        Kind.JSON,
        False,
        (),
        None,
        UTF_8,
        mark + found.head,
        "\n",
        bool(mark),
        separator=found.separator,
        tail=found.tail,
        storage=storage,
    )
    return _objects_reader(layout, objects, 1, Noticed(), sample)


def _objects_reader(layout: Layout, objects: Objects, number: int, noticed: Noticed, sample: bytes = b"") -> DropReader:
    chunks = name_encodings(objects.chunks(number), bytes, sample, layout.storage, noticed)
    return DropReader(layout, objects, chunks, number, noticed)


def _chunks(lines: Lines, layout: Layout, limit: int, number: int, noticed: Noticed) -> Iterator[Chunk]:
    if layout.raw:
        return raw_reader.read_chunks(lines, number)
    if layout.kind in (Kind.JSONL, Kind.PARQUET):  # a table's rows are kept as JSON
        return jsonl.read_chunks(lines, number)
    if layout.kind is Kind.TXT:
        return text_lines.read_chunks(lines, layout, number)
    shape = RowShape(layout.columns, layout.dialect, layout.encoding, layout.padding, layout.is_sure)
    return csv_reader.read_chunks(lines, shape, limit, number, noticed)
