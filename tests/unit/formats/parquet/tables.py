"""Parquet files for tests."""

import io
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.parquet.appended_columns import join_parts, write_part
from dropbatch.formats.parquet.reading import read_parquet
from dropbatch.formats.parquet.selected_rows import write_failed, write_some
from dropbatch.formats.reading import Position, Record

TYPES = {
    "a_answer": pa.string(),
    "a_score": pa.int64(),
    "a_sure": pa.float64(),
    "a_good": pa.bool_(),
    "a_tags": pa.list_(pa.string()),
    "a_embedding": pa.list_(pa.float64()),
    "a_status": pa.string(),
}

SCHEMAS = {
    "a_answer": None,
    "a_score": {"type": "integer"},
    "a_sure": {"type": "number"},
    "a_good": {"type": "boolean"},
    "a_tags": {"type": "array", "items": {"type": "string"}},
    "a_embedding": {"type": "array", "items": {"type": "number"}},
    "a_status": None,
}


def packed(table: Any, **options: Any) -> bytes:
    """Return a table as a file."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def unpacked(data: bytes) -> Any:
    return pq.read_table(io.BytesIO(data))


def content(table: Any) -> list[dict[str, Any]]:
    """Return the rows of a table, with times as numbers, because Python's times have no nanoseconds."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.int64()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def same(one: Any, other: Any) -> bool:
    """Return whether two tables have the same rows, columns, types and metadata. Values under a null do not count."""
    return bool(one.schema.equals(other.schema, check_metadata=True)) and content(one) == content(other)


def rows(data: bytes, first_row: int = 1, **limits: int) -> list[Record]:
    return list(read_parquet(io.BytesIO(data), Limits(**limits), Position(0, first_row, first_row)))


def rejected(data: bytes, **limits: int) -> Problem:
    """Return the one problem for which a file is refused."""
    with pytest.raises(DropRejectedError) as caught:
        rows(data, **limits)
    [problem] = caught.value.problems
    return problem


def answered(data: bytes, schemas: dict[str, Any], lines: Iterable[bytes], scratch: Path, *cuts: int) -> bytes:
    """Return the file with answers to all rows, made in several parts that end after the rows `cuts`."""
    upcoming = iter(lines)
    count = pq.read_metadata(io.BytesIO(data)).num_rows
    parts, pages = [], []
    first = 1
    for end in (*cuts, count):
        out = io.BytesIO()
        some = islice(upcoming, end + 1 - first) if end < count else upcoming
        parts.append(write_part(io.BytesIO(data), schemas, some, first, end + 1 - first, out, scratch))
        pages.append(out.getvalue())
        first = end + 1
    before, ranges, footer = join_parts(io.BytesIO(data), schemas, parts)
    return data[:before] + b"".join(pages[part][start:end] for part, start, end in ranges) + footer


def cut(data: bytes, schemas: dict[str, Any], lines: Iterable[bytes], rows: int, scratch: Path) -> bytes:
    """Return the first rows of the file with their answers."""
    out = io.BytesIO()
    write_some(io.BytesIO(data), schemas, lines, range(1, rows + 1), out, scratch)
    return out.getvalue()


def failed(data: bytes, numbers: Iterable[int], scratch: Path) -> bytes:
    out = io.BytesIO()
    write_failed(io.BytesIO(data), numbers, out, scratch)
    return out.getvalue()


def example_table(count: int) -> Any:
    """Return a table of this number of rows, with a column of each common kind."""
    numbers = range(count)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "text": pa.array([f"row {n} “é”" if n % 5 else None for n in numbers]),
            "kind": pa.array([("good", "bad", None)[n % 3] for n in numbers]).dictionary_encode(),
            "at": pa.array([n * 10**9 + 7 if n % 4 else None for n in numbers], pa.timestamp("ns", "Europe/Berlin")),
            "tags": pa.array([[f"t{m}" for m in range(n % 3)] if n % 7 else None for n in numbers]),
            "who": pa.array([{"name": f"n{n}", "ages": [n, None]} if n % 6 else None for n in numbers]),
            "pairs": pa.array([[("k", n)] for n in numbers], pa.map_(pa.string(), pa.int32())),
        }
    )


def without_answers(table: Any) -> Any:
    """Return an example table without the columns of its answers."""
    return table.select(range(example_table(0).num_columns))


def answers(count: int) -> list[dict[str, Any]]:
    """Return answers of each type, for this number of rows; every few rows have none."""
    return [
        {
            "a_answer": f"é “{n}”" if n % 3 else None,
            "a_score": 2**62 + n if n % 4 else None,
            "a_sure": n / 7,
            "a_good": bool(n % 2),
            "a_tags": ["x"] * (n % 3) if n % 5 else None,
            "a_embedding": [n + 0.5, 1e-300] if n % 6 else None,
            "a_status": "ok",
        }
        for n in range(count)
    ]


def lines(values: list[dict[str, Any]]) -> list[bytes]:
    """Return the values as lines of JSON."""
    return [json.dumps(value).encode() + b"\n" for value in values]
