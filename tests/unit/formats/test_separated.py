import csv
import io
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats import lines as chunked
from dropbatch.formats.csv import strict_reader
from dropbatch.formats.csv.dialect import Dialect
from dropbatch.formats.csv.fast_reader import split_cells
from dropbatch.formats.csv.reader import read_chunks
from dropbatch.formats.csv.rows import RowShape, to_record
from dropbatch.formats.lines import Lines
from tests.unit.formats.reading_drops import drop, rejected, row_problem, rows


def test_rows_keep_their_bytes_and_get_their_columns() -> None:
    first, second = rows("r.csv", b'id,text\r\n1,"a ""b"",\r\nc"\r\n\r\n2,d')
    assert (first.number, first.line, first.raw) == (1, 2, b'1,"a ""b"",\r\nc"\r\n')
    assert first.values == {"id": "1", "text": 'a "b",\r\nc'}
    assert (second.number, second.line, second.raw, second.values) == (2, 5, b"2,d", {"id": "2", "text": "d"})


def test_separators_that_are_no_line_ends_stay_in_the_text() -> None:
    text = "a\x85b\u2028c\u2029d\x0be\x0cf\x1cg\x00h😀"
    [record] = rows("r.csv", f"text,n\n{text},1\n".encode())
    assert record.values == {"text": text, "n": "1"}


def test_a_byte_order_mark_belongs_to_the_head() -> None:
    reader = drop("r.csv", b"\xef\xbb\xbfid,text\r\n1,a\r\n", block=1)
    assert reader.layout.columns == ("id", "text")
    assert reader.layout.head == b"\xef\xbb\xbfid,text\r\n"
    assert (reader.layout.bom, reader.layout.line_end) == (True, "\r\n")
    assert [record.raw for record in reader] == [b"1,a\r\n"]


def test_a_field_may_be_longer_than_csv_allows_by_default() -> None:
    [record] = rows("r.csv", b"text,n\n" + b"x" * 300_000 + b",1\n")
    assert record.values == {"text": "x" * 300_000, "n": "1"}


@pytest.mark.parametrize(
    ("name", "header", "delimiter"),
    [
        ("r.csv", b"a,b\n", ","),
        ("r.csv", b"a;b;c\n", ";"),
        ("r.csv", b"a\tb\n", "\t"),
        ("r.csv", b'"a,b,c";d\n', ";"),
        ("r.csv", b'"a\n,,,""b,";d\n', ";"),
        ("r.csv", b"alone\n", ","),
        ("r.tsv", b"a,b,c\td\n", "\t"),
    ],
)
def test_the_delimiter_is_read_off_the_header(name: str, header: bytes, delimiter: str) -> None:
    width = drop(name, header + b"x").layout.columns
    assert drop(name, header + b"x").layout.delimiter == delimiter
    assert len(width) == header.replace(b'"a,b,c"', b"").replace(b'"a\n,,,""b,"', b"").count(delimiter.encode()) + 1


def test_a_recipe_may_name_the_delimiter() -> None:
    [record] = rows("r.csv", b"a,b|c\n1,2|3\n", delimiter="|")
    assert record.values == {"a,b": "1,2", "c": "3"}


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_a_delimiter_has_to_be_one_character(delimiter: str) -> None:
    problem = rejected("r.csv", b"a,b\n1,2\n", delimiter=delimiter)
    assert (problem.code, problem.key) == ("invalid_delimiter", "delimiter")


def test_a_ragged_row_is_named_with_its_line_and_reading_goes_on() -> None:
    short, good, long = rows("r.csv", b"a,b\n1\n2,3\n4,5,6\n")
    assert short.problem is not None
    assert short.problem.line == 2
    assert short.problem.message.startswith("Line 2 has 1 value where the header has 2 columns; add ")
    assert good.values == {"a": "2", "b": "3"}
    assert long.problem is not None
    assert long.problem.code == "ragged_row"
    assert long.problem.message == (
        "Line 4 has 3 values where the header has 2 columns; put values that hold a comma into double quotes."
    )


def test_a_quote_that_never_closes_is_named_with_the_line_it_began_in() -> None:
    problem = rejected("r.csv", b'a,b\n1,2\n3,"4\n5,6\n')
    assert (problem.code, problem.line) == ("unclosed_quote", 3)
    assert "close it" in problem.message


def test_text_after_a_closing_quote_is_a_problem_of_its_row() -> None:
    problem = row_problem("r.csv", b'a,b\n1,"2"x\n3,4\n')
    assert (problem.code, problem.line) == ("bad_quoting", 2)
    assert 'write ""' in problem.message


def test_reading_stops_where_a_broken_quote_leaves_the_next_row_in_doubt() -> None:
    assert rejected("r.csv", b'a,b\n"1,2\n3,"4"\n5,6\n').code == "bad_quoting"
    assert rejected("r.csv", b'a,b\n1,"2"x"\n5,6\n').code == "bad_quoting"


def test_a_carriage_return_outside_quotes_is_named_for_what_it_is() -> None:
    problem = row_problem("r.csv", b'a,b\n1,x\ry\n"3",4\n')
    assert (problem.code, problem.line) == ("lone_carriage_return", 2)
    assert "LF or CRLF" in problem.message
    assert row_problem("r.csv", b"a,b\n1,2\r3,4\r").code == "lone_carriage_return"


def test_column_names_are_used_once() -> None:
    with pytest.raises(DropRejectedError) as caught:
        drop("r.csv", b"a,b,a,b\n1,2,3,4\n")
    first, second = caught.value.problems
    assert (first.code, first.column, second.column, first.line) == ("duplicate_column", "a", "b", 1)
    assert "rename" in first.message


def test_a_header_that_is_really_a_row_is_not_told_at_length() -> None:
    text = "a whole review\n" * 20
    problem = rejected("r.csv", f'"{text}","{text}"\n1,2\n'.encode())
    assert problem.code == "duplicate_column"
    assert len(problem.message) < 150
    assert "\n" not in problem.message


def test_a_column_between_others_needs_a_name() -> None:
    problem = rejected("r.csv", b"a,,b\n1,2,3\n")
    assert problem.code == "empty_column"
    assert problem.message == "Column 2 of the header (line 1) has no name; give it one."


def test_the_index_of_pandas_and_the_empty_columns_of_spreadsheets_are_let_pass() -> None:
    [indexed] = rows("r.csv", b",a,b\n0,1,2\n")
    assert indexed.values == {"": "0", "a": "1", "b": "2"}
    [padded] = rows("r.csv", b"a,b,,\n1,2,,\n")
    assert padded.values is not None
    assert (padded.values["a"], padded.values["b"]) == ("1", "2")


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\r\n\n\r\n", b"a,b\n", b"\xef\xbb\xbfa,b\r\n\r\n"])
def test_a_file_without_a_row_is_empty(data: bytes) -> None:
    problem = rejected("r.csv", data)
    assert problem.code == "empty_file"
    assert "at least one row" in problem.message


def test_a_record_may_be_as_long_as_the_limit_and_no_longer() -> None:
    limits = Limits(line_bytes=10)
    assert len(rows("r.csv", b'a,b\n12,"3\n67"\n', limits=limits)) == 1
    problem = rejected("r.csv", b'a,b\n12,"3\n678"\n', limits=limits)
    assert (problem.code, problem.line) == ("line_too_long", 2)
    assert "10 bytes" in problem.message
    assert "quote that never closes" in problem.message
    assert len(rows("r.csv", b"a,b\n1234567,9\n", limits=limits)) == 1
    assert rejected("r.csv", b"a,b\n1,2\n12345678,9\n", limits=limits).line == 3


def test_a_quote_that_opens_in_the_header_is_bounded_too() -> None:
    assert rejected("r.csv", b'a,"b\n' + b"1,2\n" * 100, limits=Limits(line_bytes=50)).code == "line_too_long"
    assert rejected("r.csv", b'a,"b\n1,2\n').code == "unclosed_quote"


def test_a_layout_survives_being_written_down() -> None:
    layout = drop("r.csv", b"\xef\xbb\xbfid;na\xc3\xafve\r\n1;2\r\n").layout
    assert type(layout).from_json(layout.to_json()) == layout


ODD = st.lists(
    st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "1,2\n", '"x\ny",2\n', "é", "\x85"]), max_size=25
)


@pytest.mark.slow
@given(ODD.map("".join), st.integers(1, 40), st.integers(5, 60), st.booleans())
def test_lines_parsed_at_once_give_what_lines_parsed_one_by_one_give(
    text: str, chunk: int, limit: int, spoilt: bool
) -> None:
    """Wherever a chunk ends: in a record, in a blank line, before or behind what is broken."""
    data = text.encode()
    if spoilt:
        data = data.replace(b"\xc3", b"\xff")  # no UTF-8 any more, where there was an é
    lines = (
        data.splitlines(keepends=True) if b"\r" not in data and b"\x85" not in data else io.BytesIO(data).readlines()
    )

    def told(records: Iterator[Any]) -> tuple[list[Any], Any]:
        found = []
        try:
            for record in records:
                found.append(record)  # noqa: PERF402  # what came before a rejection counts
        except DropRejectedError as rejected:
            return found, list(rejected.problems)
        return found, None

    shape = RowShape(["p", "q"], Dialect(","), "utf-8")

    def slowly() -> Iterator[Any]:
        rows = strict_reader.read_rows(iter(lines), Dialect(","), "utf-8", limit)
        for number, (raw, line, row, problem) in enumerate(rows, 1):
            yield to_record(number, line, raw, row, problem, shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked, "CHUNK_BYTES", chunk)
        longest = max(map(len, lines), default=0)  # a single line's length is seen to before
        found = read_chunks(Lines([data], longest), shape, limit)
        quickly = told(record for part in found for record in part.records())
    assert quickly == told(slowly())


FIELDS = st.sampled_from(['"', '""', "a", "", "1,2", '"', "é😀", "\r", "\x85", "\x00", " "])
LINE_ENDS = st.sampled_from(["\n", "\r\n"])


@pytest.mark.slow
@given(
    st.lists(
        (FIELDS | LINE_ENDS | st.just("a\nb")).map(lambda field: f'"{field}"') | FIELDS | LINE_ENDS | LINE_ENDS,
        max_size=20,
    ),
    st.sampled_from(["", ","]),
    st.integers(1, 3),
)
def test_cells_are_those_that_csv_sees(pieces: list[str], between: str, width: int) -> None:
    raws = io.BytesIO(between.join(pieces).encode()).readlines()
    found = split_cells(raws, width, ",", "utf-8")
    if found is not None:
        cells, heights = found
        reader = csv.reader([raw.decode() for raw in raws[: sum(heights)]], strict=True)
        rows = [(row, reader.line_num) for row in reader]
        assert [row for row, _ in rows] == list(map(list, zip(*cells, strict=True)))
        assert [end for _, end in rows] == list(accumulate(heights))


@pytest.mark.slow
@given(
    st.lists(st.tuples(*[st.lists(FIELDS | st.just("b\nc"), max_size=4).map("".join)] * 3), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([",", ";", "\t", " "]),
    st.booleans(),
)
def test_what_csv_writes_in_lines_is_taken_apart_at_once(
    table: list[tuple[str, str, str]], line_end: str, delimiter: str, ends: bool
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(table)  # quotes a carriage return only where it may end lines
    text = out.getvalue().replace("\r\n", line_end)
    text = text if ends else text.removesuffix(line_end)
    found = split_cells(io.BytesIO(text.encode()).readlines(), 3, delimiter, "utf-8")
    assert found is not None
    cells, heights = found
    assert cells == list(map(list, zip(*table, strict=True)))
    assert sum(heights) == len(table) + sum(field.count("\n") for row in table for field in row)
