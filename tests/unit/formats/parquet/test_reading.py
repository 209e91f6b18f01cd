"""Reading Parquet: every type as JSON, from any row on; an unreadable file is refused in one sentence."""

import io
import json
import math
import uuid
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats.file_types import Kind
from dropbatch.formats.parquet.files import footer_of
from dropbatch.formats.parquet.reading import read_parquet
from dropbatch.formats.reading import Position, read_rows
from tests.unit.formats.parquet.tables import example_table, packed, rejected, rows

NEW_YEAR = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "values", "shown"),
    [
        (pa.bool_(), [True, False], [True, False]),
        (pa.int8(), [-128], [-128]),
        (pa.int64(), [2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)]),
        (pa.uint64(), [2**64 - 1], [2**64 - 1]),
        (pa.float64(), [0.1, 1e300, math.nan, math.inf], [0.1, 1e300, None, None]),
        (pa.float32(), [0.1, 1e20, math.nan], [0.1, 1e20, None]),
        (pa.string(), ["é\x85“\n", ""], ["é\x85“\n", ""]),
        (pa.large_string(), ["a"], ["a"]),
        (pa.binary(), [b"\x00\xff"], ["AP8="]),
        (pa.binary(3), [b"abc"], ["YWJj"]),
        (pa.decimal128(20, 4), [Decimal("12.5000"), Decimal("-0.0001")], ["12.5000", "-0.0001"]),
        (pa.decimal128(20, 9), [Decimal("0.000000001")], ["0.000000001"]),
        (pa.decimal256(60, 2), [Decimal("1" * 50 + ".25")], ["1" * 50 + ".25"]),
        (pa.date32(), [date(2026, 2, 28), date(1969, 12, 31), 2932897], ["2026-02-28", "1969-12-31", "+10000-01-01"]),
        (pa.date64(), [date(2026, 2, 28)], ["2026-02-28"]),
        (pa.time32("ms"), [time(1, 2, 3, 4000)], ["01:02:03.004"]),
        (pa.time64("ns"), [1], ["00:00:00.000000001"]),
        (pa.timestamp("ms"), [0, -1], ["1970-01-01T00:00:00", "1969-12-31T23:59:59.999"]),
        (pa.timestamp("us", "UTC"), [NEW_YEAR], ["2026-01-01T12:30:00Z"]),
        (pa.timestamp("us", "Asia/Tokyo"), [NEW_YEAR], ["2026-01-01T12:30:00Z"]),
        (pa.timestamp("ns"), [1, 10**18], ["1970-01-01T00:00:00.000000001", "2001-09-09T01:46:40"]),
        (pa.timestamp("s"), [2**40], ["+36812-02-20T00:36:16"]),
        (pa.timestamp("s"), [-(2**37)], ["-2386-09-25T08:55:28"]),
        (pa.duration("ms"), [1500, -500], ["PT1.500S", "-PT0.500S"]),
        (pa.list_(pa.int64()), [[1, None], []], [[1, None], []]),
        (pa.list_(pa.timestamp("s")), [[0, None], []], [["1970-01-01T00:00:00", None], []]),
        (pa.list_(pa.float32(), 2), [[0.1, 2]], [[0.1, 2.0]]),
        (pa.large_list(pa.decimal128(4, 2)), [[Decimal("1.50")]], [["1.50"]]),
        (pa.struct({"a": pa.date32(), "b": pa.string()}), [{"a": 0, "b": "x"}], [{"a": "1970-01-01", "b": "x"}]),
        (pa.list_(pa.struct({"a": pa.list_(pa.date32())})), [[{"a": [0]}]], [[{"a": ["1970-01-01"]}]]),
        (pa.map_(pa.string(), pa.date32()), [[("k", 0), ("l", None)]], [{"k": "1970-01-01", "l": None}]),
        (pa.map_(pa.int32(), pa.int64()), [[(7, 1)]], [{"7": 1}]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"], ["a", "b", "a"]),
        (pa.uuid(), [uuid.UUID(int=5).bytes], ["00000000-0000-0000-0000-000000000005"]),
        (pa.json_(), ['{"a": 1}'], ['{"a": 1}']),
        (pa.null(), [None], [None]),
    ],
)
def test_every_type_has_its_json(kind: Any, values: list[Any], shown: list[Any]) -> None:
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    column = pa.array([*values, None], storage)
    if storage is not kind:
        column = pa.ExtensionArray.from_storage(kind, column)
    records = rows(packed(pa.table({"n": range(len(column)), "c": column})))
    assert [record.values for record in records] == [{"n": n, "c": value} for n, value in enumerate([*shown, None])]
    for record in records:
        assert json.loads(record.raw) == record.values
        assert record.raw.count(b"\n") == 1
        assert record.raw.endswith(b"\n")


@pytest.mark.slow
@given(st.dates() | st.datetimes().map(datetime.date))
def test_dates_are_those_of_the_calendar(day: date) -> None:
    [record] = rows(packed(pa.table({"d": pa.array([day], pa.date32())})))
    assert record.values == {"d": day.isoformat()}


@pytest.mark.slow
@given(st.datetimes(), st.sampled_from(["ms", "us"]))
def test_times_are_those_of_the_clock(moment: datetime, unit: str) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    [record] = rows(packed(pa.table({"t": pa.array([moment], pa.timestamp(unit))})))
    assert record.values is not None
    assert datetime.fromisoformat(record.values["t"]) == moment


def test_durations_equal_those_of_other_readers() -> None:
    [record] = rows(packed(pa.table({"d": pa.array([timedelta(hours=-1, milliseconds=1)], pa.duration("ms"))})))
    assert record.values == {"d": "-PT3599.999S"}


def test_a_table_has_columns_and_its_rows_are_kept_as_json_lines() -> None:
    data = packed(example_table(10), row_group_size=4)
    reader = read_parquet(io.BytesIO(data), Limits())
    records = list(reader)
    assert reader.layout.kind is Kind.PARQUET
    assert reader.layout.columns == ("id", "text", "kind", "at", "tags", "who", "pairs")
    assert [(record.number, record.line) for record in records] == [(n, n) for n in range(1, 11)]
    shard = b"".join(record.raw for record in records[3:])
    assert list(read_rows([shard], reader.layout, first_number=4, first_line=4)) == records[3:]
    assert reader.position == Position(sum(len(record.raw) for record in records), 11, 11)


@pytest.mark.slow
@pytest.mark.parametrize("row_group", [1, 7, 1000])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_reading_resumes_at_any_row(row_group: int, version: str) -> None:
    data = packed(example_table(300), row_group_size=row_group, data_page_version=version)
    whole = rows(data)
    for first in (1, 2, 7, 8, 128, 129, 130, 257, 300):
        assert rows(data, first) == whole[first - 1 :]
    assert rows(data, 301) == []


@pytest.mark.slow
@pytest.mark.parametrize("row_group", [50, 200, 1000])
def test_another_reader_resumes_after_any_chunk_with_the_same_rows_and_hash(row_group: int) -> None:
    data = packed(example_table(1000), row_group_size=row_group)
    whole = read_parquet(io.BytesIO(data), Limits())
    stood = [(whole.position, whole.digest())]
    chunks = []
    for chunk in whole.chunks():
        chunks.append(chunk.records())
        stood.append((whole.position, whole.digest()))
    assert len(chunks) > 7
    for place, (position, digest) in enumerate(stood):
        other = read_parquet(io.BytesIO(data), Limits(), position, digest)
        assert [chunk.records() for chunk in other.chunks()] == chunks[place:]
        assert (other.position, other.digest()) == stood[-1]
    assert len({digest for _, digest in stood}) == len(stood)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_every_codec_is_read(codec: str) -> None:
    assert len(rows(packed(example_table(9), compression=codec))) == 9


GOOD = packed(example_table(50))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1",
        b"id,text\n1,a\n" * 9,
        GOOD[:-1],
        GOOD[: len(GOOD) // 2],
        GOOD[100:],
        GOOD[:-8] + b"\xff\xff\xff\x00PAR1",
        GOOD[:-200] + bytes(192) + GOOD[-8:],
        GOOD[:4] + bytes(len(GOOD) // 4) + GOOD[4 + len(GOOD) // 4 :],
    ],
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    problem = rejected(data)
    assert problem.code == "corrupt_parquet"
    assert "drop it again" in problem.message


@pytest.mark.slow
@given(st.data())
def test_damage_is_refused_or_only_changes_values(data: st.DataObject) -> None:
    small = packed(pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}))
    place = data.draw(st.integers(0, len(small) - 1))
    broken = small[:place] + bytes([data.draw(st.integers(0, 255))]) + small[place + 1 :]
    with suppress(DropRejectedError):
        rows(broken, drop_bytes=10_000)


def test_an_encrypted_file_is_refused() -> None:
    assert rejected(GOOD[:-4] + b"PARE").code == "encrypted_parquet"


def test_a_file_without_rows_or_columns_is_refused() -> None:
    assert rejected(packed(example_table(0))).code == "empty_file"
    assert rejected(packed(pa.table({}))).code == "no_columns"


@pytest.mark.parametrize(
    ("arrays", "names", "code"),
    [
        ([[1], [2]], ["a", "a"], "duplicate_column"),
        ([[1], [2]], ["a", " "], "empty_column"),
        ([pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])], ["a"], "duplicate_column"),
        ([pa.array([[(b"k", 1)]], pa.map_(pa.binary(), pa.int8()))], ["a"], "unsupported_type"),
    ],
)
def test_columns_that_json_cannot_hold_are_refused_by_name(arrays: list[Any], names: list[str], code: str) -> None:
    table = pa.Table.from_arrays([pa.array(array) for array in arrays], names=names)
    problem = rejected(packed(table))
    assert problem.code == code
    assert "“a”" in problem.message or "Column 2" in problem.message


def test_a_map_with_a_key_twice_is_refused() -> None:
    table = pa.table({"m": pa.array([[("k", 1)], [("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8()))})
    assert rejected(packed(table)).code == "duplicate_key"


def test_a_row_that_is_too_long_is_refused_by_its_number() -> None:
    problem = rejected(packed(pa.table({"t": ["a", "b" * 100]})), line_bytes=50)
    assert (problem.code, problem.line) == ("line_too_long", 2)
    assert "Row 2" in problem.message


def test_a_table_that_unpacks_to_too_much_is_refused_at_once_or_while_it_is_read() -> None:
    bomb = packed(pa.table({"a": pa.array([None] * 5_000_000, pa.int8())}))
    assert len(bomb) < 100_000
    assert rejected(bomb, drop_bytes=1_000_000).code == "drop_too_large"
    wide = packed(pa.table({"a": ["x" * 10_000] * 1000}))
    reader = iter(read_parquet(io.BytesIO(wide), Limits(drop_bytes=1_000_000)))
    assert [next(reader).number for _ in range(99)] == list(range(1, 100)), "as far as it goes"
    with pytest.raises(DropRejectedError, match="drop_too_large"):
        next(reader)
    with pytest.raises(DropRejectedError, match="drop_too_large"):
        list(read_parquet(io.BytesIO(wide), Limits(drop_bytes=1_000_000), Position(998 * 10_009, 999, 999)))


def test_a_footer_that_would_take_all_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropbatch.formats.parquet.files.MAX_FOOTER_BYTES", len(footer_of(io.BytesIO(GOOD))) - 1)
    problem = rejected(GOOD)
    assert problem.code == "footer_too_large"
    assert "larger row groups" in problem.message


def test_an_error_of_s3_is_not_damage() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() < 1000:
                raise ConnectionResetError
            return super().read(size)

    with pytest.raises(ConnectionResetError):
        list(read_parquet(Broken(GOOD), Limits()))


def test_times_of_old_hadoop_files_are_read() -> None:
    out = io.BytesIO()
    moments = pa.array([0, 86_400_000_000_001], pa.timestamp("ns"))
    pq.write_table(pa.table({"t": moments}), out, use_deprecated_int96_timestamps=True)
    assert [record.values for record in rows(out.getvalue())] == [
        {"t": "1970-01-01T00:00:00"},
        {"t": "1970-01-02T00:00:00.000000001"},
    ]


def unmarked(table: Any, **options: Any) -> bytes:
    """Return a table as written by programs without Arrow: nothing marks bytes as texts."""
    return packed(table, store_schema=False, **options)


BYTES = pa.binary()


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (BYTES, "Größe".encode(), "Größe"),
        (pa.list_(BYTES), [b"a", None, b""], ["a", None, ""]),
        (pa.struct({"n": pa.int32(), "t": BYTES}), {"n": 1, "t": b"x"}, {"n": 1, "t": "x"}),
        (pa.map_(BYTES, BYTES), [(b"k", b"v")], {"k": "v"}),
        (pa.list_(pa.struct({"t": BYTES})), [{"t": "é".encode()}], [{"t": "é"}]),
        (BYTES, b"\x00\xff", "AP8="),
        (pa.struct({"t": BYTES, "b": BYTES}), {"t": b"x", "b": b"\xff"}, {"t": "x", "b": "/w=="}),
    ],
)
def test_bytes_without_a_mark_are_texts_where_they_can_be(kind: Any, value: Any, shown: Any) -> None:
    table = pa.table({"c": pa.array([None, value, value], kind)})
    for size in (1, 3):
        found = rows(unmarked(table, row_group_size=size))
        assert [record.values for record in found] == [{"c": None}, {"c": shown}, {"c": shown}]


def test_bytes_that_are_marked_as_such_stay_bytes() -> None:
    assert rows(packed(pa.table({"c": pa.array([b"abc"], BYTES)})))[0].values == {"c": "YWJj"}


def test_unmarked_texts_are_the_same_wherever_reading_begins() -> None:
    texts: list[Any] = [None] * 300 + [b"a text"] * 5
    data = unmarked(pa.table({"c": pa.array(texts, BYTES), "n": range(305)}), row_group_size=100)
    whole = rows(data)
    assert whole[-1].values == {"c": "a text", "n": 304}
    assert rows(data, 303) == whole[302:]


def test_a_column_that_begins_as_text_does_not_become_bytes() -> None:
    texts = [b"a text"] * 1500 + [b"\xff"]
    problem = rejected(unmarked(pa.table({"c": pa.array(texts, BYTES)})))
    assert problem.code == "invalid_utf8"
    assert "cast the column" in problem.message
    cast = pa.table({"c": pa.array(["a text"] * 1500 + ["ÿ"])})
    assert len(rows(unmarked(cast))) == 1501


def test_bytes_within_the_first_rows_make_a_column_of_bytes() -> None:
    found = rows(unmarked(pa.table({"c": pa.array([b"a text", b"\xff"], BYTES)})))
    assert [record.values for record in found] == [{"c": "YSB0ZXh0"}, {"c": "/w=="}]
