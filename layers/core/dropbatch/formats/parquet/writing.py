"""A Parquet drop's rows with their answers, and those that failed.

The drop's own bytes stay as they are, its footer apart: the answers' columns are appended as further column chunks, and
a new footer names both. So types, encodings, row groups and statistics are kept to the bit, and what is written grows
with the answers alone. (A chunk may lie anywhere in a file; the footer says where.)

pyarrow writes only row groups that it holds as a whole. Therefore each batch of rows is written as a small file of its
own, and a chunk is put together from the pages of many: a chunk without a dictionary is its pages and nothing else.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice, pairwise
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from dropbatch.formats.parquet import thrift
from dropbatch.formats.parquet.files import (
    BATCH_BYTES,
    BATCH_ROWS,
    BUFFERED_BYTES,
    MAGIC,
    Source,
    batches_of_group,
    footer_of,
    opened,
)
from dropbatch.json_encoding import to_json
from dropbatch.ports import Writer

ANSWERS_AT_ONCE = 8 * BATCH_ROWS
"""The most answers that are encoded at once, if they are no more than `BATCH_BYTES`."""

_ROW_GROUP_BYTES = 32 << 20  # of a row group that is written anew

# Fields of the footer's structures: parquet.thrift of https://github.com/apache/parquet-format
_SCHEMA, _NUM_ROWS, _ROW_GROUPS, _KEY_VALUES, _COLUMN_ORDERS = 2, 3, 4, 5, 7  # FileMetaData
_NUM_CHILDREN = 5  # SchemaElement
_COLUMNS, _TOTAL_BYTES, _GROUP_ROWS, _GROUP_OFFSET, _TOTAL_COMPRESSED = 1, 2, 3, 5, 6  # RowGroup
_CHUNK_OFFSET, _META_DATA = 2, 3  # ColumnChunk
_TYPE_TO_CODEC = (1, 2, 3, 4)  # ColumnMetaData: type, encodings, path_in_schema, codec
_NUM_VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA_PAGE_OFFSET = 5, 6, 7, 9
_ARROW_SCHEMA = b"ARROW:schema"


class DoesNotFitError(Exception):
    """A column holds a value that is not of its type."""

    def __init__(self, column: str) -> None:
        super().__init__("a value is not of its column's type")
        self.column = column


def answer_type(schema: Any) -> pa.DataType:
    """The type of the column for a member with this JSON Schema; text, which can hold all, where it leaves it open."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(kind, list):
        others = [name for name in kind if name != "null"]
        kind = others[0] if len(others) == 1 else None
    match kind:
        case "integer":
            return pa.int64()
        case "number":
            return pa.float64()
        case "boolean":
            return pa.bool_()
        case "array":
            return pa.list_(answer_type(schema.get("items")))
    return pa.string()


class Segment(NamedTuple):
    """Answers to rows of one row group: for each column how many values they have, and their bytes un- and packed."""

    group: int
    columns: list[tuple[int, int, int]]


class Range(NamedTuple):
    """Bytes of a part that `write_part` wrote."""

    part: int
    start: int
    end: int


def row_count(file: Source) -> int:
    count: int = opened(file).metadata.num_rows
    return count


def write_part(
    file: Source,
    schemas: Mapping[str, Any],
    answers: Iterable[bytes],
    first_row: int,
    rows: int,
    out: Writer,
    scratch: Path,
) -> list[Segment]:
    """Writes the pages of the answers to some rows of a drop, for `joined` to say where they go.

    `answers` are JSON objects, one a row, with the members that `schemas` have (JSON Schemas by names). DoesNotFitError
    where a value is not of its column's type; a text holds any, as its JSON. Memory grows with a batch, the disk with
    the part.
    """
    table = opened(file)
    added = _columns(schemas)
    upcoming = iter(answers)
    segments = []
    with _Pages(added, _codec(table), scratch) as pages:
        for group, count in _groups(table, first_row, rows):
            for batch in _answer_batches(added, upcoming, count):
                pages.add(batch)
            segments.append(Segment(group, pages.flush(out)))
    _check_all_taken(upcoming)
    return segments


def joined(
    file: Source, schemas: Mapping[str, Any], parts: Sequence[Sequence[Segment]]
) -> tuple[int, list[Range], bytes]:
    """How a drop and its answers become a file: how many of the drop's bytes come first, then what of the parts, in
    which order, and last the new footer."""
    table, raw = opened(file), footer_of(file)
    kept = at = file.seek(0, io.SEEK_END) - 8 - len(raw)
    added = _columns(schemas)
    patterns = _patterns(added, _codec(table))
    found: dict[int, list[tuple[Segment, list[Range]]]] = {}
    for number, part in enumerate(parts):
        start = 0
        for segment in part:
            ends = list(accumulate((size for *_, size in segment.columns), initial=start))
            ranges = [Range(number, start, end) for start, end in pairwise(ends)]
            found.setdefault(segment.group, []).append((segment, ranges))
            start = ends[-1]
    order: list[Range] = []
    groups = []
    footer = thrift.parsed(raw)
    for number, group in enumerate(map(thrift.parsed, thrift.items(footer[_ROW_GROUPS]))):
        segments = found.get(number, [])
        chunks, totals = [], (0, 0)
        for place, pattern in enumerate(patterns):
            column = [segment.columns[place] for segment, _ in segments]
            values, uncompressed, compressed = (sum(part) for part in zip((0, 0, 0), *column, strict=True))
            chunks.append(_chunk(pattern, values, uncompressed, compressed, at))
            totals = totals[0] + uncompressed, totals[1] + compressed
            at += compressed
            order += [ranges[place] for _, ranges in segments]
        group[_COLUMNS] = thrift.structs([*thrift.items(group[_COLUMNS]), *chunks])
        group[_TOTAL_BYTES] = _plus(group[_TOTAL_BYTES], totals[0])
        if _TOTAL_COMPRESSED in group:
            group[_TOTAL_COMPRESSED] = _plus(group[_TOTAL_COMPRESSED], totals[1])
        groups.append(thrift.built(group))
    footer[_ROW_GROUPS] = thrift.structs(groups)
    _add_columns(footer, table, added)
    return kept, _merged(order), _ended(footer)


def _merged(ranges: Iterable[Range]) -> list[Range]:
    """The same bytes in as few ranges as can be."""
    merged: list[Range] = []
    for each in ranges:
        if each.start == each.end:
            continue
        if merged and merged[-1].part == each.part and merged[-1].end == each.start:
            merged[-1] = merged[-1]._replace(end=each.end)
        else:
            merged.append(each)
    return merged


def write_some(
    file: Source, schemas: Mapping[str, Any], answers: Iterable[bytes], rows: Iterable[int], out: Writer, scratch: Path
) -> None:
    """Writes the rows of a drop with these numbers, in order, with their answers; see `write_part` for these."""
    table = opened(file)
    added = _columns(schemas)
    upcoming = iter(answers)
    schema = _with(table.schema_arrow, added)
    batches = _beside(chain.from_iterable(_picked(table, rows)), added, schema, upcoming)
    _write_anew(schema, [batches], _codec(table), out, scratch)
    _check_all_taken(upcoming)


def _columns(schemas: Mapping[str, Any]) -> pa.Schema:
    return pa.schema([pa.field(name, answer_type(schema)) for name, schema in schemas.items()])


def _check_all_taken(answers: Iterator[bytes]) -> None:
    if next(answers, None) is not None:
        raise AssertionError("there are more answers than rows")


def _groups(table: pq.ParquetFile, first_row: int, rows: int) -> Iterator[tuple[int, int]]:
    """The row groups that some rows lie in, and how many of them each holds."""
    start, end = 1, first_row + rows
    for group in range(table.num_row_groups):
        after = start + table.metadata.row_group(group).num_rows
        count = min(after, end) - max(start, first_row)
        if count > 0:
            yield group, count
        start = after


def write_failed(file: Source, failed: Iterable[int], out: Writer, scratch: Path) -> None:
    """Writes those rows of a drop that are named by number, in order, with their columns as they are."""
    table = opened(file)
    _write_anew(table.schema_arrow, _picked(table, failed), _codec(table), out, scratch)


def _picked(table: pq.ParquetFile, rows: Iterable[int]) -> Iterator[Iterator[pa.RecordBatch]]:
    """The rows with these numbers, in order, by the row groups that they lie in."""
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


def _codec(table: pq.ParquetFile) -> str:
    """What the drop's first chunk is compressed with."""
    if not table.num_row_groups:
        return "NONE"
    codec: str = table.metadata.row_group(0).column(0).compression
    return "NONE" if codec == "UNCOMPRESSED" else codec


def _with(schema: pa.Schema, added: pa.Schema) -> pa.Schema:
    for field in added:
        schema = schema.append(field)
    return schema


def _add_columns(footer: thrift.Struct, table: pq.ParquetFile, added: pa.Schema) -> None:
    """Names the added columns in a footer: in its schema, and in pyarrow's own if there is one."""
    theirs = _empty_footer(added)
    root, *elements = thrift.items(footer[_SCHEMA])
    fields = thrift.parsed(root)
    fields[_NUM_CHILDREN] = _plus(fields[_NUM_CHILDREN], len(added))
    footer[_SCHEMA] = thrift.structs([thrift.built(fields), *elements, *thrift.items(theirs[_SCHEMA])[1:]])
    if _COLUMN_ORDERS in footer:
        orders = thrift.items(footer[_COLUMN_ORDERS]) + thrift.items(theirs[_COLUMN_ORDERS])
        footer[_COLUMN_ORDERS] = thrift.structs(orders)
    if _KEY_VALUES in footer:
        schema = _key_values(_empty_footer(_with(table.schema_arrow, added)))[_ARROW_SCHEMA]
        footer[_KEY_VALUES] = thrift.structs(
            [schema if key == _ARROW_SCHEMA else pair for key, pair in _key_values(footer).items()]
        )


def _key_values(footer: thrift.Struct) -> dict[bytes, bytes]:
    pairs = thrift.items(footer[_KEY_VALUES])
    return {thrift.to_bytes(thrift.parsed(pair)[1].data): pair for pair in pairs}


def _empty_footer(schema: pa.Schema) -> thrift.Struct:
    """The footer of a file of this schema, without rows."""
    sink = io.BytesIO()
    pq.ParquetWriter(sink, schema).close()
    return thrift.parsed(footer_of(sink))


def _write_anew(
    schema: pa.Schema, groups: Iterable[Iterable[pa.RecordBatch]], codec: str, out: Writer, scratch: Path
) -> None:
    """Writes rows as a file of its own; a row group ends where one of `groups` does, or when it is large."""
    footer = _empty_footer(schema)
    out.write(MAGIC)
    at, total = len(MAGIC), 0
    written = []
    patterns = _patterns(schema, codec)
    with _Pages(schema, codec, scratch) as pages:
        for rows in _filled(pages, groups):
            start, uncompressed, chunks = at, 0, []
            for pattern, column in zip(patterns, pages.flush(out), strict=True):
                chunks.append(_chunk(pattern, *column, at))
                uncompressed, at = uncompressed + column[1], at + column[2]
            group = {
                _COLUMNS: thrift.structs(chunks),
                _TOTAL_BYTES: _number(uncompressed),
                _GROUP_ROWS: _number(rows),
                _GROUP_OFFSET: _number(start),
                _TOTAL_COMPRESSED: _number(at - start),
            }
            written.append(thrift.built(group))
            total += rows
    footer[_ROW_GROUPS] = thrift.structs(written)
    footer[_NUM_ROWS] = _number(total)
    out.write(_ended(footer))


def _filled(pages: "_Pages", groups: Iterable[Iterable[pa.RecordBatch]]) -> Iterator[int]:
    """Adds the rows, and gives how many there are wherever a row group is to end."""
    for batches in groups:
        for batch in batches:
            pages.add(batch)
            if pages.size >= _ROW_GROUP_BYTES:
                yield pages.rows
        if pages.rows:
            yield pages.rows


def _ended(footer: thrift.Struct) -> bytes:
    """The end of a file."""
    data = thrift.built(footer)
    return data + len(data).to_bytes(4, "little") + MAGIC


def _patterns(schema: pa.Schema, codec: str) -> list[thrift.Struct]:
    """What the columns' chunks have in common in any row group."""
    return [thrift.parsed(thrift.parsed(chunk)[_META_DATA].data) for chunk, _ in _written(schema.empty_table(), codec)]


def _chunk(pattern: thrift.Struct, values: int, uncompressed: int, compressed: int, at: int) -> bytes:
    """The footer's note of a chunk that lies at `at`."""
    meta = {identity: pattern[identity] for identity in _TYPE_TO_CODEC}
    meta[_NUM_VALUES] = _number(values)
    meta[_UNCOMPRESSED] = _number(uncompressed)
    meta[_COMPRESSED] = _number(compressed)
    meta[_DATA_PAGE_OFFSET] = _number(at)
    return thrift.built({_CHUNK_OFFSET: _number(0), _META_DATA: thrift.Field(thrift.STRUCT, thrift.built(meta))})


class _Pages:
    """Collects the pages of a row group's columns, batch by batch."""

    def __init__(self, schema: pa.Schema, codec: str, scratch: Path) -> None:
        self._schema = schema
        self._codec = codec
        leaves = len(_patterns(schema, codec))
        most = BUFFERED_BYTES // leaves + 1
        self._spools = [
            SpooledTemporaryFile(max_size=most, dir=str(scratch))  # noqa: SIM115  # closed with all others
            for _ in range(leaves)
        ]
        self._clear()

    def __enter__(self) -> "_Pages":
        return self

    def __exit__(self, *_error: object) -> None:
        for spool in self._spools:
            spool.close()

    def _clear(self) -> None:
        self.rows = self.size = 0
        self._values = [0] * len(self._spools)
        self._uncompressed = [0] * len(self._spools)

    def add(self, batch: pa.RecordBatch) -> None:
        for place, (chunk, pages) in enumerate(_written(pa.Table.from_batches([batch], self._schema), self._codec)):
            meta = thrift.parsed(thrift.parsed(chunk)[_META_DATA].data)
            self._values[place] += thrift.to_int(meta[_NUM_VALUES].data)
            self._uncompressed[place] += thrift.to_int(meta[_UNCOMPRESSED].data)
            self._spools[place].write(pages)
            self.size += len(pages)
        self.rows += batch.num_rows

    def flush(self, out: Writer) -> list[tuple[int, int, int]]:
        """Writes the columns one after another; how many values each has, and its size un- and compressed."""
        columns = []
        for place, spool in enumerate(self._spools):
            columns.append((self._values[place], self._uncompressed[place], spool.tell()))
            spool.seek(0)
            while block := spool.read(1 << 20):
                out.write(block)
            spool.seek(0)
            spool.truncate()
        self._clear()
        return columns


def _written(table: pa.Table, codec: str) -> Iterator[tuple[bytes, bytes]]:
    """The table as a row group: each column's chunk, as a footer has it, and its pages."""
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        row_group_size=max(1, table.num_rows),
        compression=codec,
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
    )
    data = sink.getbuffer()
    [group] = thrift.items(thrift.parsed(footer_of(sink))[_ROW_GROUPS])
    for chunk in thrift.items(thrift.parsed(group)[_COLUMNS]):
        meta = thrift.parsed(thrift.parsed(chunk)[_META_DATA].data)
        start = thrift.to_int(meta[_DATA_PAGE_OFFSET].data)
        yield chunk, bytes(data[start : start + thrift.to_int(meta[_COMPRESSED].data)])


def _number(value: int) -> thrift.Field:
    return thrift.Field(thrift.I64, thrift.from_int(value))


def _plus(field: thrift.Field, more: int) -> thrift.Field:
    return thrift.Field(field.kind, thrift.from_int(thrift.to_int(field.data) + more))


def _answer_batches(added: pa.Schema, answers: Iterator[bytes], rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of the next `rows` answers, of bounded size."""
    while rows:
        lines: list[bytes] = []
        size = 0
        for line in islice(answers, min(rows, ANSWERS_AT_ONCE)):
            lines.append(line)
            size += len(line)
            if size >= BATCH_BYTES:
                break
        if not lines:
            raise AssertionError("there are fewer answers than rows")
        yield _answer_batch(added, lines)
        rows -= len(lines)


def _answer_batch(added: pa.Schema, lines: Sequence[bytes]) -> pa.RecordBatch:
    found = [msgspec.json.decode(line) for line in lines]
    arrays = []
    for field in added:
        fit = _fit(field.type)
        try:
            values = [fit(values.get(field.name)) for values in found]
            arrays.append(pa.array(values, field.type))
        except (pa.ArrowException, OverflowError, TypeError) as error:
            raise DoesNotFitError(field.name) from error
    return pa.RecordBatch.from_arrays(arrays, schema=added)


def _fit(kind: pa.DataType) -> Callable[[Any], Any]:
    """What makes a value fit a type, where pyarrow would be too lenient; TypeError where it does not fit."""
    if pa.types.is_string(kind):
        return lambda value: value if value is None or isinstance(value, str) else to_json(value).decode()
    if pa.types.is_int64(kind):
        return _whole
    if pa.types.is_list(kind):
        fit = None if pa.types.is_float64(kind.value_type) else _fit(kind.value_type)
        return lambda value: _items(value, fit)
    return lambda value: value


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 3.0 is a whole number in JSON Schema
    if value is None or type(value) is int:
        return value
    raise TypeError


def _items(value: Any, fit: Callable[[Any], Any] | None) -> list[Any] | None:
    if value is None or (fit is None and isinstance(value, list)):
        return value
    if fit is None or not isinstance(value, list):
        raise TypeError
    return [fit(item) for item in value]


def _beside(
    batches: Iterator[pa.RecordBatch], added: pa.Schema, schema: pa.Schema, answers: Iterator[bytes]
) -> Iterator[pa.RecordBatch]:
    """The rows with their answers beside them."""
    for batch in batches:
        at = 0
        for beside in _answer_batches(added, answers, batch.num_rows):
            columns = [*batch.slice(at, beside.num_rows).columns, *beside.columns]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            at += beside.num_rows
