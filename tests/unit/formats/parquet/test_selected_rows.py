"""Some rows of a Parquet drop as a new file."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.formats.parquet.tables import a_table, cut, failed, packed, rows, same, unpacked

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


def answers(count: int) -> list[dict[str, Any]]:
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
    return [json.dumps(value).encode() + b"\n" for value in values]


def its_own(table: Any) -> Any:
    """Without the answers' columns."""
    return table.select(range(a_table(0).num_columns))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 63, 64, 130, 299])
def test_a_recipe_s_limit_cuts_the_table(count: int, tmp_path: Path) -> None:
    data = packed(a_table(300), row_group_size=64)
    out = cut(data, SCHEMAS, lines(answers(count)), count, tmp_path)
    assert same(its_own(unpacked(out)), unpacked(data).slice(0, count))
    assert unpacked(out).select(list(TYPES)).to_pylist() == answers(count)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [[1], [300], [5, 64, 65, 66, 192, 193, 300], list(range(1, 301)), []])
@pytest.mark.parametrize("row_group", [10, 64, 1000])
def test_failed_rows_are_unchanged(numbers: list[int], row_group: int, tmp_path: Path) -> None:
    table = a_table(300).replace_schema_metadata({"mine": "kept"})
    data = packed(table, compression="zstd", row_group_size=row_group)
    out = failed(data, numbers, tmp_path)
    assert same(unpacked(out), unpacked(data).take(pa.array([n - 1 for n in numbers], pa.int64())))
    if numbers:
        assert len(rows(out)) == len(numbers), "it can be dropped again"


def test_large_row_groups_are_written_in_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropbatch.formats.parquet.selected_rows._ROW_GROUP_BYTES", 2_000)
    data = packed(a_table(1000))
    out = failed(data, range(1, 1001), tmp_path)
    assert pq.read_metadata(io.BytesIO(out)).num_row_groups > 3
    assert same(unpacked(out), unpacked(data))
