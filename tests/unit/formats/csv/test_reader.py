from dropbatch.batch_api.limits import Limits
from tests.unit.formats.reading_drops import rejected, row_problem, rows


def test_rows_keep_their_bytes_and_get_their_columns() -> None:
    first, second = rows("r.csv", b'id,text\r\n1,"a ""b"",\r\nc"\r\n\r\n2,d')
    assert (first.number, first.line, first.raw) == (1, 2, b'1,"a ""b"",\r\nc"\r\n')
    assert first.values == {"id": "1", "text": 'a "b",\r\nc'}
    assert (second.number, second.line, second.raw, second.values) == (2, 5, b"2,d", {"id": "2", "text": "d"})


def test_separators_that_are_not_line_ends_stay_in_the_text() -> None:
    text = "a\x85b\u2028c\u2029d\x0be\x0cf\x1cg\x00h😀"
    [record] = rows("r.csv", f"text,n\n{text},1\n".encode())
    assert record.values == {"text": text, "n": "1"}


def test_a_field_may_be_longer_than_csv_allows_by_default() -> None:
    [record] = rows("r.csv", b"text,n\n" + b"x" * 300_000 + b",1\n")
    assert record.values == {"text": "x" * 300_000, "n": "1"}


def test_a_ragged_row_is_named_with_its_line_and_reading_continues() -> None:
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


def test_a_carriage_return_outside_quotes_is_named() -> None:
    problem = row_problem("r.csv", b'a,b\n1,x\ry\n"3",4\n')
    assert (problem.code, problem.line) == ("lone_carriage_return", 2)
    assert "LF or CRLF" in problem.message
    assert row_problem("r.csv", b"a,b\n1,2\r3,4\r").code == "lone_carriage_return"


def test_a_record_may_be_as_long_as_the_limit_and_no_longer() -> None:
    limits = Limits(line_bytes=10)
    assert len(rows("r.csv", b'a,b\n12,"3\n67"\n', limits=limits)) == 1
    problem = rejected("r.csv", b'a,b\n12,"3\n678"\n', limits=limits)
    assert (problem.code, problem.line) == ("line_too_long", 2)
    assert "10 bytes" in problem.message
    assert "quote that never closes" in problem.message
    assert len(rows("r.csv", b"a,b\n1234567,9\n", limits=limits)) == 1
    assert rejected("r.csv", b"a,b\n1,2\n12345678,9\n", limits=limits).line == 3
