"""Some rows of a Parquet drop as a new file."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.formats.parquet.tables import (
    SCHEMAS,
    TYPES,
    answers,
    cut,
    example_table,
    failed,
    lines,
    packed,
    rows,
    same,
    unpacked,
    without_answers,
)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 63, 64, 130, 299])
def test_a_recipe_s_limit_cuts_the_table(count: int, tmp_path: Path) -> None:
    data = packed(example_table(300), row_group_size=64)
    out = cut(data, SCHEMAS, lines(answers(count)), count, tmp_path)
    assert same(without_answers(unpacked(out)), unpacked(data).slice(0, count))
    assert unpacked(out).select(list(TYPES)).to_pylist() == answers(count)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [[1], [300], [5, 64, 65, 66, 192, 193, 300], list(range(1, 301)), []])
@pytest.mark.parametrize("row_group", [10, 64, 1000])
def test_failed_rows_are_unchanged(numbers: list[int], row_group: int, tmp_path: Path) -> None:
    table = example_table(300).replace_schema_metadata({"mine": "kept"})
    data = packed(table, compression="zstd", row_group_size=row_group)
    out = failed(data, numbers, tmp_path)
    assert same(unpacked(out), unpacked(data).take(pa.array([n - 1 for n in numbers], pa.int64())))
    if numbers:
        assert len(rows(out)) == len(numbers), "it can be dropped again"


def test_large_row_groups_are_written_in_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropbatch.formats.parquet.selected_rows._ROW_GROUP_BYTES", 2_000)
    data = packed(example_table(1000))
    out = failed(data, range(1, 1001), tmp_path)
    assert pq.read_metadata(io.BytesIO(out)).num_row_groups > 3
    assert same(unpacked(out), unpacked(data))
