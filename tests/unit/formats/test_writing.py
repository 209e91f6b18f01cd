import csv
import io
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.formats.file_types import file_type
from dropbatch.formats.writing import answers_extension, answers_head, failed_head, row_writer
from tests.unit.formats.reading_drops import answered, drop, rows

NAMES = ("answer", "_status", "_error")


def answers(name: str, data: bytes, *values: object, encoding: str | None = None) -> bytes:
    """Return the answers file in which every row has the same answer."""
    reader = drop(name, data, encoding=encoding)
    layout = reader.layout
    return answers_head(layout, NAMES) + b"".join(
        answered(layout, record, NAMES, [*values, "ok", None]) for record in reader
    )


def test_a_csv_keeps_its_bytes_and_gets_columns() -> None:
    data = b'\xef\xbb\xbf"id";text\r\n 1;"a ""b""\r\nc"\r\n\r\n2;d'
    assert answers("r.csv", data, 'so; "so"\n') == (
        b'\xef\xbb\xbf"id";text;answer;_status;_error\r\n 1;"a ""b""\r\nc";"so; ""so""\n";ok;\r\n2;d;"so; ""so""\n";ok;'
    )


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, b""),
        ("text", b"text"),
        ("", b""),
        ("=1+1", b"'=1+1"),
        (True, b"true"),
        (1.5, b"1.5"),
        (10**40, str(10**40).encode()),
        ([1, "a"], b'"[1,""a""]"'),
        ({"a": None}, b'"{""a"":null}"'),
        (orjson.Fragment(b"1.10"), b"1.10"),
        (orjson.Fragment(b"[1.10, 2]"), b'"[1.10, 2]"'),
    ],
)
def test_a_value_in_a_csv_is_text_or_json(value: object, field: bytes) -> None:
    assert answers("r.csv", b"a\n1\n", value) == b"a,answer,_status,_error\n1," + field + b",ok,\n"


@pytest.mark.parametrize(
    ("value", "member"),
    [
        (None, b"null"),
        ('a"\u2028', '"a\\"\u2028"'.encode()),
        (True, b"true"),
        (10**40, str(10**40).encode()),
        (orjson.Fragment(b"1.10"), b"1.10"),
        ("\ud800", '"\ufffd"'.encode()),
    ],
)
def test_a_value_in_a_jsonl_is_json(value: object, member: bytes) -> None:
    expected = b'\xef\xbb\xbf{"a":1, "answer":' + member + b',"_status":"ok","_error":null}\n'
    assert answers("r.jsonl", b'\xef\xbb\xbf{"a":1}\n', value) == expected.replace(b"1, ", b"1,")


def test_members_are_spliced_in_before_the_closing_brace() -> None:
    added = b'"answer":1,"_status":"ok","_error":null}'
    assert answers("r.jsonl", b'{ }  \r\n{"n": 1e2 } \n{"a":{}}', 1) == (
        b"{ " + added + b'  \r\n{"n": 1e2 ,' + added + b' \n{"a":{},' + added
    )


def test_a_line_that_is_not_an_object_becomes_one() -> None:
    _, bad = rows("r.jsonl", b'{"a":1}\n[1, "\xff"] \r\n')
    layout = drop("r.jsonl", b'{"a":1}\n').layout
    line = answered(layout, bad, ["_status"], ["skipped"])
    assert line.endswith(b"} \r\n")
    assert json.loads(line) == {"_raw": '[1, "\ufffd"]', "_status": "skipped"}


def test_a_text_becomes_a_csv() -> None:
    assert answers("r.txt", b'\xef\xbb\xbfone, "two"\r\nthree', "x") == (
        b'\xef\xbb\xbftext,answer,_status,_error\r\n"one, ""two""",x,ok,\r\nthree,x,ok,'
    )


def test_invalid_bytes_are_replaced_so_that_the_answers_are_valid_text() -> None:
    assert answers("r.txt", b"a\xff\rb\n", "x") == 'text,answer,_status,_error\n"a\ufffd\rb",x,ok,\n'.encode()
    assert answers("r.csv", b'a,b\n"1\xff",2\n', "x") == "a,b,answer,_status,_error\n1\ufffd,2,x,ok,\n".encode()
    written = answers("r.csv", b"a,b\n1\x81,2\r\n", "x", encoding="windows-1252")
    assert written == b"a,b,answer,_status,_error\n1?,2,x,ok,\r\n"


def test_a_row_that_is_too_short_or_too_long_has_as_many_columns_as_the_others() -> None:
    data = b'a,b,c\n1,"x,\ny"\n1,2,3\n1,2,3,4\n"a"b,2,3\n\xff\n1,\xff,3,4\n'
    written = list(csv.reader(io.StringIO(answers("r.csv", data, "x").decode(), newline="")))
    assert written[1] == ["1", "x,\ny", "", "x", "ok", ""]
    assert written[2] == ["1", "2", "3", "x", "ok", ""]
    assert written[3] == ["1", "2", "3", "x", "ok", ""], "the failed file has the fourth value"
    assert written[4] == ['"a"b,2,3', "", "", "x", "ok", ""], "nobody can tell where its values end"
    assert written[5] == ["\ufffd", "", "", "x", "ok", ""]
    assert written[6] == ["1", "\ufffd", "3", "x", "ok", ""]


def test_a_character_that_the_encoding_lacks_becomes_a_reference() -> None:
    data = "naïve\nété\n".encode("windows-1252")
    assert answers("r.csv", data, "5 € 😀", encoding="windows-1252") == data.replace(
        b"\n", b",answer,_status,_error\n", 1
    ).replace(b"t\xe9\n", b"t\xe9,5 \x80 &#128512;,ok,\n")


@pytest.mark.parametrize("quoting", ["double", "none"])
def test_a_reference_does_not_end_a_field(quoting: str) -> None:
    reader = drop("r.csv", b"a;b\n1;2\n", encoding="windows-1252", quoting=quoting)
    names = ("😀", "_status")
    written = answers_head(reader.layout, names) + b"".join(
        answered(reader.layout, record, names, ["😀 =", "ok"]) for record in reader
    )
    read = list(csv.reader(io.StringIO(written.decode("cp1252")), delimiter=";"))
    assert list(map(len, read)) == [4, 4]
    if quoting == "double":
        assert read == [["a", "b", "&#128512;", "_status"], ["1", "2", "&#128512; =", "ok"]]


def test_the_answers_extension_is_the_drop_s_but_for_a_text() -> None:
    assert [answers_extension(file_type(name)) for name in ("r.TSV.gz", "r.ndjson", "r.txt")] == [
        "tsv",
        "ndjson",
        "csv",
    ]


def test_the_failed_file_starts_as_the_drop_did() -> None:
    assert failed_head(drop("r.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n").layout) == b"\xef\xbb\xbfa,b\r\n"


FORMULAS = ['=HYPERLINK("http://x"&A1)', "+1+1", "-1+1", "- a list", "@SUM(A1)", "\t=1", "\r=1", "=", "-", "+-1", "-1e"]
NUMBERS = ["-3.5", "+3", "-.5", "-1e10", "+1.E-3", "-1,234.50", "-3,5", "+12%"]


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.txt"])
@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_run_is_marked_as_text(name: str, text: str) -> None:
    written = list(csv.reader(io.StringIO(answers(name, b"a\n1\n", text).decode(), newline=""), delimiter=_sign(name)))
    assert written[-1] == ["1", "'" + text, "ok", ""]


@pytest.mark.parametrize("text", [*NUMBERS, "", "a=1", " =1", "1-1", "'=1"])
def test_a_plain_number_and_any_other_text_stay(text: str) -> None:
    written = list(csv.reader(io.StringIO(answers("r.csv", b"a\n1\n", text).decode(), newline="")))
    assert written[-1] == ["1", text, "ok", ""]


@pytest.mark.parametrize("value", [-3.5, -1, orjson.Fragment(b"-1.10"), True, None])
def test_numbers_stay_numbers(value: object) -> None:
    assert b"'" not in answers("r.csv", b"a\n1\n", value)


def test_dropped_bytes_are_never_changed() -> None:
    assert answers("r.csv", b"=a,b\n=1,-x\n", "x") == b"=a,b,answer,_status,_error\n=1,-x,x,ok,\n"
    assert answers("r.txt", b"=1\n", "x").endswith(b"=1,x,ok,\n")


@pytest.mark.parametrize("name", ["r.jsonl"])
def test_no_other_format_has_formulas(name: str) -> None:
    assert json.loads(answers(name, b'{"a":1}\n', "=1+1"))["answer"] == "=1+1"


def test_formulas_are_kept_if_the_recipe_says_so() -> None:
    layout = drop("r.csv", b"a\n1\n").layout
    writer = row_writer(layout, NAMES, keeps_formulas=True)
    assert writer.columns([["=1+1", "ok", None]]) == [",=1+1,ok,"]


def _sign(name: str) -> str:
    return "\t" if name.endswith("tsv") else ","


ANY = st.sampled_from([*FORMULAS, *NUMBERS, "plain", "", "a,b", 'a"b', "é\n"]) | st.text(max_size=3)


@pytest.mark.slow
@given(st.lists(st.tuples(ANY | st.none() | st.integers() | st.floats(), ANY), min_size=1, max_size=6))
def test_rows_written_together_equal_rows_written_one_by_one(rows: list[tuple[object, str]]) -> None:
    for name in ("r.csv", "r.tsv"):
        writer = row_writer(drop(name, b"a\n1\n").layout, NAMES)
        assert list(writer.columns(rows)) == [writer.columns([row])[0] for row in rows]


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_an_escaped_line_feed_at_a_row_s_end_stays_in_its_value(encoding: str, line_end: str) -> None:
    data = f"a,b{line_end}1,2\\\n{line_end}".encode()
    reader = drop("r.csv", data, quoting="none", escape="\\", encoding=encoding)
    written = [answered(reader.layout, record, NAMES, ["x", "ok", None]) for record in reader]
    assert written == [f"1,2\\\n,x,ok,{line_end}".encode()]


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.txt", "r.jsonl"])
@pytest.mark.parametrize(
    "value", ["plain", "", 'a "quote", a comma\nand a line; a\ttab', "😀 العربية", "'", "x" * 200_000]
)
def test_the_values_of_columns_can_be_read_again(name: str, value: str) -> None:
    writer = row_writer(drop(name, b"a\n1\n" if name != "r.jsonl" else b'{"a": 1}\n').layout, NAMES)
    (columns,) = writer.columns([[value, 5, None]])
    read = list(writer.values(columns))
    assert read[0] == value
    assert str(read[1]) == "5"
