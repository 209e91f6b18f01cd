"""Whatever is dropped: its bytes come back, a shard reads like the drop, and answers parse to what went in."""

import csv
import io
import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dropbatch.domain.errors import Rejected
from dropbatch.formats.kinds import Kind
from dropbatch.formats.reading import Record, read_rows
from dropbatch.formats.writing import answers_head
from tests.unit.formats.reading_drops import answered, drop

REVIEWS = Path(__file__).parents[3] / "examples/reviews/reviews.csv"

UGLY = st.text(alphabet=st.sampled_from('ab,;\t"\r\n\x00\x85\u2028\ufeff é😀 :{}[]\\'), max_size=12) | st.text(
    max_size=8
)
SIZES = st.integers(1, 64)


def raw_and_values(records: list[Record]) -> list[tuple[int, bytes, object]]:
    return [(record.number, record.raw, record.values) for record in records]


@given(st.lists(st.tuples(UGLY, UGLY), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]), SIZES, st.booleans())
def test_a_well_formed_csv_gives_its_bytes_its_values_and_its_shards(
    table: list[tuple[str, str]], line_end: str, size: int, ends: bool
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    data = out.getvalue().encode()
    data = data if ends else data.removesuffix(line_end.encode())
    reader = drop("r.csv", data, quoting="double", block=size)
    records = list(reader)
    assert [tuple((record.values or {}).values()) for record in records] == table
    assert reader.layout.head + b"".join(record.raw for record in records) == data
    shard = b"".join(record.raw for record in records[1:])
    again = list(read_rows([shard], reader.layout, first_number=2, first_line=records[-1].line))
    assert raw_and_values(again) == raw_and_values(records[1:])


PIECES = st.sampled_from(["a", "é", ",", '"', '"', '""', "\n", "\n", "\r\n", "\r", "\x85", " ", "x,y\n"])


@given(st.lists(PIECES, max_size=14).map("".join), SIZES)
def test_what_csv_takes_is_read_as_csv_reads_it_and_nothing_else_is(body: str, size: int) -> None:
    lines = ["a,b\n", *(line for line in re.split(r"(?<=\n)", body) if line)]
    try:
        expected = [row for row in csv.reader(lines, strict=True) if row][1:]
    except csv.Error:
        expected = None
    try:
        reader = drop("r.csv", "".join(lines).encode(), quoting="double", block=size)
        records = list(reader)
    except Rejected:
        assert not expected  # broken, or a header without rows
        return
    if expected is None:
        assert any(record.problem for record in records)
        return
    read = [list(record.values.values()) if record.values else None for record in records]
    width = 2 + reader.layout.padding  # empty values behind every row are let be
    assert read == [row[:2] if len(row) == width and not any(row[2:]) else None for row in expected]
    assert width == 2 or not any(any(row[2:]) for row in expected[:1])


@given(st.binary(max_size=60) | UGLY.map(str.encode), st.sampled_from(["r.csv", "r.tsv", "r.jsonl", "r.txt"]), SIZES)
def test_any_bytes_are_refused_or_read_the_same_again(body: bytes, name: str, size: int) -> None:
    head = b"" if name in ("r.jsonl", "r.txt") else b"a\n"
    try:
        reader = drop(name, head + body, block=size)
        records = list(reader)
    except Rejected:
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
    if layout.columns:
        start = layout.storage.stored(layout.head)
        assert start in rest
        rest = rest[rest.index(start) + len(start) :]
    between = b" \t\r\n\x0b\x0c" + (b",[]" if layout.kind is Kind.JSON else b"")
    for record in records:
        before, found, rest = rest.partition(layout.storage.stored(record.raw))
        assert found
        assert not before.removeprefix(b"\xef\xbb\xbf").strip(between)
    assert layout.storage.codec or not rest.strip(between)


@given(st.lists(st.tuples(UGLY, UGLY), min_size=1, max_size=4), UGLY, st.sampled_from(",;\t"))
def test_an_answered_csv_parses_to_what_went_in(table: list[tuple[str, str]], answer: str, delimiter: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    reader = drop("r.csv", out.getvalue().encode(), delimiter=delimiter, quoting="double")
    names = ["answer", "_status"]
    written = answers_head(reader.layout, names) + b"".join(
        answered(reader.layout, record, names, [answer, "ok"]) for record in reader
    )
    parsed = list(csv.reader(io.StringIO(written.decode(), newline=""), delimiter=delimiter, strict=True))
    if answer.startswith(("=", "+", "-", "@", "\t", "\r")) and not answer[1:].isdecimal():
        answer = "'" + answer  # or a spreadsheet would run it
    assert parsed == [["a", "b", "answer", "_status"], *([a, b, answer, "ok"] for a, b in table)]


OBJECTS = st.dictionaries(UGLY, st.recursive(st.none() | st.integers() | UGLY, st.lists, max_leaves=4), max_size=4)


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
