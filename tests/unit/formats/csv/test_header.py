"""The header of a csv or tsv."""

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import DropRejectedError
from tests.unit.formats.reading_drops import drop, rejected, rows


def test_a_byte_order_mark_belongs_to_the_head() -> None:
    reader = drop("r.csv", b"\xef\xbb\xbfid,text\r\n1,a\r\n", block=1)
    assert reader.layout.columns == ("id", "text")
    assert reader.layout.head == b"\xef\xbb\xbfid,text\r\n"
    assert (reader.layout.bom, reader.layout.line_end) == (True, "\r\n")
    assert [record.raw for record in reader] == [b"1,a\r\n"]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_a_delimiter_has_to_be_one_character(delimiter: str) -> None:
    problem = rejected("r.csv", b"a,b\n1,2\n", delimiter=delimiter)
    assert (problem.code, problem.key) == ("invalid_delimiter", "delimiter")


def test_column_names_are_used_once() -> None:
    with pytest.raises(DropRejectedError) as caught:
        drop("r.csv", b"a,b,a,b\n1,2,3,4\n")
    first, second = caught.value.problems
    assert (first.code, first.column, second.column, first.line) == ("duplicate_column", "a", "b", 1)
    assert "rename" in first.message


def test_a_header_that_is_really_a_row_is_not_quoted() -> None:
    text = "a whole review\n" * 20
    problem = rejected("r.csv", f'"{text}","{text}"\n1,2\n'.encode())
    assert problem.code == "duplicate_column"
    assert len(problem.message) < 150
    assert "\n" not in problem.message


def test_a_column_between_others_needs_a_name() -> None:
    problem = rejected("r.csv", b"a,,b\n1,2,3\n")
    assert problem.code == "empty_column"
    assert problem.message == "Column 2 of the header (line 1) has no name; give it one."


def test_the_index_of_pandas_and_the_empty_columns_of_spreadsheets_are_accepted() -> None:
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


def test_a_quote_that_opens_in_the_header_is_bounded_too() -> None:
    assert rejected("r.csv", b'a,"b\n' + b"1,2\n" * 100, limits=Limits(line_bytes=50)).code == "line_too_long"
    assert rejected("r.csv", b'a,"b\n1,2\n').code == "unclosed_quote"


def test_a_layout_survives_being_written_down() -> None:
    layout = drop("r.csv", b"\xef\xbb\xbfid;na\xc3\xafve\r\n1;2\r\n").layout
    assert type(layout).from_json(layout.to_json()) == layout
