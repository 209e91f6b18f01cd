"""Round trips of any drop: its bytes come back, a shard reads like the drop, and answers parse to their values."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats.file_types import Kind
from dropbatch.formats.reading import Record, read_rows
from dropbatch.formats.writing import answers_head
from tests.unit.formats.reading_drops import answered, drop

REVIEWS = Path(__file__).parents[3] / "examples/reviews/reviews.csv"

UGLY = st.text(alphabet=st.sampled_from('ab,;\t"\r\n\x00\x85\u2028\ufeff é😀 :{}[]\\'), max_size=12) | st.text(
    max_size=8
)
SIZES = st.integers(1, 64)
NUMBER = re.compile(r"[-+](\d[\d.,]*|[.,]\d+)(e[-+]?\d+)?%?", re.ASCII | re.IGNORECASE)


def _has_few_zeros(data: bytes) -> bool:
    """Return whether a file is not refused as UTF-16."""
    return 3 * data.count(0) < len(data)


def raw_and_values(records: list[Record]) -> list[tuple[int, bytes, object]]:
    return [(record.number, record.raw, record.values) for record in records]


@pytest.mark.slow
@given(st.lists(st.tuples(UGLY, UGLY), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]), SIZES, st.booleans())
def test_a_well_formed_csv_gives_its_bytes_its_values_and_its_shards(
    table: list[tuple[str, str]], line_end: str, size: int, ends: bool
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    data = out.getvalue().encode()
    data = data if ends else data.removesuffix(line_end.encode())
    assume(_has_few_zeros(data))
    reader = drop("r.csv", data, quoting="double", block=size)
    records = list(reader)
    assert [tuple((record.values or {}).values()) for record in records] == table
    assert reader.layout.head + b"".join(record.raw for record in records) == data
    shard = b"".join(record.raw for record in records[1:])
    again = list(read_rows([shard], reader.layout, first_number=2, first_line=records[-1].line))
    assert raw_and_values(again) == raw_and_values(records[1:])


PIECES = st.sampled_from(["a", "é", ",", '"', '"', '""', "\n", "\n", "\r\n", "\r", "\x85", " ", "x,y\n"])


@pytest.mark.slow
@given(st.lists(PIECES, max_size=14).map("".join), SIZES)
def test_rows_are_accepted_and_read_exactly_as_csv_does(body: str, size: int) -> None:
    lines = ["a,b\n", *(line for line in re.split(r"(?<=\n)", body) if line)]
    try:
        expected = [row for row in csv.reader(lines, strict=True) if row][1:]
    except csv.Error:
        expected = None
    try:
        reader = drop("r.csv", "".join(lines).encode(), quoting="double", block=size)
        records = list(reader)
    except DropRejectedError:
        assert not expected  # broken, or a header without rows
        return
    if expected is None:
        assert any(record.problem for record in records)
        return
    read = [list(record.values.values()) if record.values else None for record in records]
    width = 2 + reader.layout.padding  # empty values after every row are accepted
    assert read == [row[:2] if len(row) == width and not any(row[2:]) else None for row in expected]
    assert width == 2 or not any(any(row[2:]) for row in expected[:1])


@pytest.mark.slow
@given(st.binary(max_size=60) | UGLY.map(str.encode), st.sampled_from(["r.csv", "r.tsv", "r.jsonl", "r.txt"]), SIZES)
def test_any_bytes_are_refused_or_read_the_same_again(body: bytes, name: str, size: int) -> None:
    head = b"" if name in ("r.jsonl", "r.txt") else b"a\n"
    try:
        reader = drop(name, head + body, block=size)
        records = list(reader)
    except DropRejectedError:
        return
    again = list(
        read_rows(
            [b"".join(record.raw for record in records)],
            reader.layout,
            first_number=1,
            first_line=records[0].line,
        )
    )
    assert raw_and_values(again) == raw_and_values(records)
    layout = reader.layout
    rest = head + body
    if layout.head:
        start = layout.storage.stored(layout.head)
        assert start in rest
        rest = rest[rest.index(start) + len(start) :]
    between = b" \t\r\n\x0b\x0c" + (b",[]" if layout.kind is Kind.JSON else b"")
    for record in records:
        before, found, rest = rest.partition(layout.storage.stored(record.raw))
        assert found
        assert not before.removeprefix(b"\xef\xbb\xbf").strip(between)
    assert layout.storage.codec or not rest.strip(between)


@pytest.mark.slow
@given(st.lists(st.tuples(UGLY, UGLY), min_size=1, max_size=4), UGLY, st.sampled_from(",;\t"))
def test_an_answered_csv_parses_to_what_went_in(table: list[tuple[str, str]], answer: str, delimiter: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    data = out.getvalue().encode()
    assume(_has_few_zeros(data))
    reader = drop("r.csv", data, delimiter=delimiter, quoting="double")
    names = ["answer", "_status"]
    written = answers_head(reader.layout, names) + b"".join(
        answered(reader.layout, record, names, [answer, "ok"]) for record in reader
    )
    parsed = list(csv.reader(io.StringIO(written.decode(), newline=""), delimiter=delimiter, strict=True))
    if answer.startswith(("=", "+", "-", "@", "\t", "\r")) and not NUMBER.fullmatch(answer):
        answer = "'" + answer  # or a spreadsheet would run it
    assert parsed == [["a", "b", "answer", "_status"], *([a, b, answer, "ok"] for a, b in table)]


OBJECTS = st.dictionaries(UGLY, st.recursive(st.none() | st.integers() | UGLY, st.lists, max_leaves=4), max_size=4)


@pytest.mark.slow
@given(st.lists(OBJECTS, min_size=1, max_size=4), UGLY, st.booleans(), SIZES)
def test_an_answered_jsonl_parses_to_what_went_in(
    objects: list[dict[str, object]], answer: str, spaced: bool, size: int
) -> None:
    separators = (" , ", " : ") if spaced else (",", ":")
    data = "\n".join(json.dumps(value, separators=separators) for value in objects).encode()
    reader = drop("r.jsonl", data, block=size)
    records = list(reader)
    assert [record.values for record in records] == objects
    written = b"".join(answered(reader.layout, record, ["_status"], [answer]) for record in records)
    assert [json.loads(line) for line in written.split(b"\n")] == [{**value, "_status": answer} for value in objects]


def test_the_reviews_come_back_byte_for_byte() -> None:
    data = REVIEWS.read_bytes()
    reader = drop("reviews.csv", data, block=1000)
    records = list(reader)
    assert (len(records), reader.layout.columns) == (3000, ("id", "site", "text", "label"))
    assert reader.layout.head + b"".join(record.raw for record in records) == data
    assert sum("\x85" in (record.values or {})["text"] for record in records) == 2


# Other dialects and layouts

WRITTEN = st.text(alphabet=st.sampled_from("ab,;\t\"\\\r\n é😀'="), max_size=8)


def answers_of(name: str, data: bytes, answer: str, **options: str | int) -> tuple[list[Record], bytes]:
    reader = drop(name, data, **options)  # type: ignore[arg-type]  # passed on unchanged
    records = list(reader)
    names = ["answer", "_status"]
    rows = [answered(reader.layout, record, names, [answer, "ok"]) for record in records]
    layout = reader.layout
    return records, layout.storage.stored(answers_head(layout, names) + layout.separator.join(rows) + layout.tail)


@pytest.mark.slow
@given(st.lists(st.tuples(WRITTEN, WRITTEN), min_size=1, max_size=5), WRITTEN, st.sampled_from(",\t;"), SIZES)
def test_escaped_values_read_back_unchanged(
    table: list[tuple[str, str]], answer: str, delimiter: str, size: int
) -> None:
    """With and without quotes, the rows come back, and the same reader reads the answers."""
    for quoting in ("double", "none"):
        out = io.StringIO(newline="")
        if quoting == "none":  # the writer escapes no carriage return
            table = [(a.replace("\r", ""), b.replace("\r", "")) for a, b in table]
        rows = [("id", "a", "b"), *(("x", *row) for row in table)]
        style = csv.QUOTE_ALL if quoting == "double" else csv.QUOTE_NONE
        csv.writer(
            out, delimiter=delimiter, escapechar="\\", doublequote=False, quoting=style, lineterminator="\n"
        ).writerows(rows)
        options = {"delimiter": delimiter, "escape": "\\", "quoting": quoting}
        records, written = answers_of("r.csv", out.getvalue().encode(), answer, block=size, **options)
        assert [tuple((record.values or {}).values()) for record in records] == rows[1:]
        again = list(drop("r.csv", written, **options))  # type: ignore[arg-type]  # as above
        assert [record.values for record in again] == [
            {"id": "x", "a": a, "b": b, "answer": escaped(answer), "_status": "ok"} for a, b in table
        ]


def escaped(answer: str) -> str:
    """Return the answer in a form that a spreadsheet does not run."""
    runs = answer.startswith(("=", "+", "-", "@", "\t", "\r"))
    return "'" + answer if runs else answer


LINES = st.text(alphabet=st.sampled_from("ab,;\"\\' é😀="), max_size=8)


@pytest.mark.slow
@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=6), WRITTEN, SIZES, st.sampled_from(["\n", "\r\n", "\r"]))
def test_without_quoting_each_line_is_a_row(
    table: list[tuple[str, str]], answer: str, size: int, line_end: str
) -> None:
    data = line_end.join("\t".join(row) for row in [("id", "a", "b"), *(("x", *row) for row in table)]).encode()
    records, written = answers_of("r.tsv", data, answer, block=size, quoting="none")
    assert [tuple((record.values or {}).values()) for record in records] == [("x", *row) for row in table]
    again = list(drop("r.tsv", written, quoting="none"))
    assert [(record.values or {})["a"] for record in again] == [a for a, _ in table]
    assert {len(record.values or {}) for record in again} == {5}


@pytest.mark.slow
@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=6), SIZES)
def test_no_row_of_a_tsv_without_quoting_is_ever_merged(table: list[tuple[str, str]], size: int) -> None:
    """It is read line by line, or with quotes within lines, or refused."""
    data = "\n".join("\t".join(row) for row in [("id", "a", "b"), *(("x", *row) for row in table)]).encode()
    try:
        records = list(drop("r.tsv", data, block=size))
    except DropRejectedError:
        return
    assert len(records) == len(table)


@pytest.mark.slow
@given(
    st.lists(st.tuples(UGLY, UGLY), min_size=1, max_size=5), UGLY, st.sampled_from(["utf-16-le", "utf-16-be"]), SIZES
)
def test_utf_16_is_read_like_utf_8_and_written_as_utf_16(
    table: list[tuple[str, str]], answer: str, codec: str, size: int
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    text = "\ufeff" + out.getvalue()
    records, written = answers_of("r.csv", text.encode(codec), answer, block=size, quoting="double", delimiter=",")
    eight, expected = answers_of("r.csv", text.encode(), answer, quoting="double", delimiter=",")
    assert raw_and_values(records) == raw_and_values(eight)
    assert written.decode(codec) == expected.decode()


@pytest.mark.slow
@given(
    st.lists(OBJECTS, min_size=1, max_size=5),
    UGLY,
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["array", "objects", "commas"]),
    SIZES,
)
def test_objects_of_any_layout_are_rows_and_come_back_in_it(
    objects: list[dict[str, object]], answer: str, indent: int | None, layout: str, size: int
) -> None:
    if layout == "array":
        data = json.dumps(objects, indent=indent).encode()
    else:
        between = ",\n" if layout == "commas" else "\n"
        data = between.join(json.dumps(each, indent=indent) for each in objects).encode()
    records, written = answers_of("r.json", data, answer, block=size)
    assert [record.values for record in records] == objects
    rest = data
    for record in records:
        _, found, rest = rest.partition(record.raw.rstrip())
        assert found
    expected = [{**each, "answer": answer, "_status": "ok"} for each in objects]
    if layout == "array":
        assert json.loads(written) == expected
    assert [record.values for record in drop("r.json", written)] == expected


@pytest.mark.slow
def test_the_reader_of_arrays_finds_what_json_finds_wherever_blocks_end() -> None:
    rows = [{"text": f'row {n} ]}}[{{ "q" \\ ', "more": [{"a": "}"}, [n]], "e": {}} for n in range(30)]
    for indent in (None, 1):
        data = json.dumps(rows, indent=indent).encode()
        for size in range(1, 60):
            assert [record.values for record in drop("r.json", data, block=size)] == rows
