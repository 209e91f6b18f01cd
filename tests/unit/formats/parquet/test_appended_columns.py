"""Answers in Parquet: the columns of the drop, unchanged to the bit, with those of the answers beside them."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dropbatch.formats.parquet import thrift
from dropbatch.formats.parquet.appended_columns import join_parts, write_part
from dropbatch.formats.parquet.files import footer_of
from tests.unit.formats.parquet.tables import (
    SCHEMAS,
    TYPES,
    answered,
    answers,
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
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
@pytest.mark.parametrize("row_group", [8, 64, 10_000])
def test_answers_are_beside_unchanged_columns(codec: str, row_group: int, tmp_path: Path) -> None:
    table = example_table(300).replace_schema_metadata({"mine": "kept"})
    data = packed(table, compression=codec, row_group_size=row_group)
    out = answered(data, SCHEMAS, lines(answers(300)), tmp_path)
    found = unpacked(out)
    assert same(without_answers(found), unpacked(data))
    assert found.select(list(TYPES)).to_pylist() == answers(300)
    assert {name: found.schema.field(name).type for name in TYPES} == {
        name: kind if not pa.types.is_list(kind) else pa.list_(pa.field("element", kind.value_type))
        for name, kind in TYPES.items()
    }
    before, after = (thrift.parse(footer_of(io.BytesIO(file))) for file in (data, out))
    for group, other in zip(thrift.items(before[4]), thrift.items(after[4]), strict=True):
        chunks = thrift.items(thrift.parse(group)[1])
        assert thrift.items(thrift.parse(other)[1])[: len(chunks)] == chunks, "statistics, encodings and all"
        assert thrift.parse(group)[3] == thrift.parse(other)[3], "as many rows"
    metadata = pq.read_metadata(io.BytesIO(out))
    codecs = {metadata.row_group(0).column(column).compression for column in range(metadata.num_columns)}
    assert codecs == {"UNCOMPRESSED" if codec == "none" else codec.upper()}
    assert out.startswith(data[: -8 - int.from_bytes(data[-8:-4], "little")])


def test_page_indexes_and_filters_of_the_drop_still_work(tmp_path: Path) -> None:
    table = pa.table({"id": range(5000), "text": [f"row {n}" for n in range(5000)]})
    data = packed(table, write_page_index=True, data_page_size=1000, row_group_size=2000)
    out = answered(data, {"answer": None}, [b'{"answer":"a"}'] * 5000, tmp_path)
    assert pq.read_metadata(io.BytesIO(out)).row_group(0).column(0).has_offset_index
    assert pq.read_table(io.BytesIO(out), filters=[("id", "=", 4321)]).to_pylist() == [
        {"id": 4321, "text": "row 4321", "answer": "a"}
    ]


def test_a_file_that_was_not_written_by_pyarrow_keeps_to_its_own_schema(tmp_path: Path) -> None:
    data = packed(pa.table({"id": [1, 2]}), store_schema=False)
    out = answered(data, {"answer": None}, [b'{"answer":"a"}', b'{"answer":null}'], tmp_path)
    assert unpacked(out).to_pylist() == [{"id": 1, "answer": "a"}, {"id": 2, "answer": None}]
    assert unpacked(out).schema.metadata is None


def test_row_groups_without_rows_stay(tmp_path: Path) -> None:
    sink = io.BytesIO()
    table = pa.table({"id": [1, 2]})
    with pq.ParquetWriter(sink, table.schema) as writer:
        for part in (table.slice(0, 0), table.slice(0, 1), table.slice(0, 0), table.slice(1, 1)):
            writer.write_table(part)
    assert pq.read_metadata(sink).num_row_groups == 4
    out = answered(sink.getvalue(), {"answer": {"type": "integer"}}, [b'{"answer":5}', b'{"answer":6}'], tmp_path)
    assert unpacked(out).to_pylist() == [{"id": 1, "answer": 5}, {"id": 2, "answer": 6}]
    assert [record.number for record in rows(sink.getvalue())] == [1, 2]
    assert unpacked(failed(sink.getvalue(), [2], tmp_path)).to_pylist() == [{"id": 2}]


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [[150], [1], [299], [64, 128], [10, 63, 64, 65, 200]])
@pytest.mark.parametrize("row_group", [8, 64, 10_000])
def test_answers_made_part_by_part_give_the_same_file(cuts: list[int], row_group: int, tmp_path: Path) -> None:
    data = packed(example_table(300), row_group_size=row_group, compression="zstd")
    found = unpacked(answered(data, SCHEMAS, lines(answers(300)), tmp_path, *cuts))
    assert same(without_answers(found), unpacked(data))
    assert found.select(list(SCHEMAS)).to_pylist() == answers(300)


@pytest.mark.slow
def test_parts_are_joined_of_few_ranges_however_many_row_groups_there_are(tmp_path: Path) -> None:
    data = packed(example_table(300), row_group_size=3)
    parts = []
    for first in (1, 101, 201):
        some = lines(answers(100))
        parts.append(write_part(io.BytesIO(data), SCHEMAS, some, first, 100, io.BytesIO(), tmp_path))
    _, ranges, _ = join_parts(io.BytesIO(data), SCHEMAS, parts)
    assert len(ranges) <= 2 * (len(SCHEMAS) + 1) * 2 + 3


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    data = packed(example_table(300), row_group_size=64)
    once, again = (answered(data, SCHEMAS, lines(answers(300)), tmp_path) for _ in range(2))
    assert once == again
    assert list(tmp_path.iterdir()) == []
