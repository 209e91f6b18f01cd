import pytest

from tests.unit.formats.reading_drops import drop, rejected, row_problem, rows


def test_each_line_is_an_object_and_blank_lines_only_count_as_lines() -> None:
    first, second = rows("r.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n \t\r\n\n  {"a": {"b": [null]}} ')
    assert (first.number, first.line, first.raw, first.values) == (1, 1, b'{"a": 1}\r\n', {"a": 1})
    assert (second.number, second.line, second.values) == (2, 4, {"a": {"b": [None]}})


def test_integers_of_forty_digits_stay_exact() -> None:
    [record] = rows("r.jsonl", b'{"n": 1234567890123456789012345678901234567890}\n')
    assert record.values == {"n": 1234567890123456789012345678901234567890}


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (b"{'a': 1}", "not_json", "column 2"),
        (b'{"a": 1} x', "not_json", "column 10"),
        (b'{"a": 1,}', "not_json", "column"),
        (b"[1, 2]", "not_an_object", "not an object"),
        (b"null", "not_an_object", "not an object"),
        (b'"text"', "not_an_object", "not an object"),
        (b'{"a": NaN}', "not_json", "NaN"),
        (b'{"a": -Infinity}', "not_json", "Infinity"),
        (b'{"a": "\\ud83d"}', "not_json", "surrogate"),
        (b'{"a": "\\ud83dabcdef"}', "not_json", "surrogate"),
        (b'{"\\ude00": 1}', "not_json", "surrogate"),
        (b'{"a": 1e400}', "not_json", "too large"),
        (b'{"a": "\x01"}', "not_json", "control character"),
        (b'{"a": 01}', "not_json", "column"),
        (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "not_json", "nested too deeply"),
        (b'{"a": "\xff"}', "invalid_utf8", "byte 8 (0xff)"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8", "byte 8 (0xed)"),
        (b'{"a": 1, "b": 2, "a": 3}', "duplicate_key", "“a”"),
        (b'{"a":1,"\\u0061":3}', "duplicate_key", "“a”"),
        (b'{"a" \t: 1, "a"\r:3}', "duplicate_key", "“a”"),
        (b'{"a": [{"b": {"c": 1, "c": 2}}]}', "duplicate_key", "more than once"),
        (b'{"": 1, "": 1}', "duplicate_key", "more than once"),
    ],
)
def test_each_fault_of_a_line_is_named(line: bytes, code: str, words: str) -> None:
    problem = row_problem("r.jsonl", b'{"ok": true}\n' + line + b'\n{"ok": true}\n')
    assert (problem.code, problem.line) == (code, 2)
    assert problem.message.startswith("Line 2")
    assert words in problem.message


@pytest.mark.parametrize("line", [b'{"a": "\\": 1, \\"a\\": 2"}', b'{"x": "a : b", "y": [{"x": 1}, {"x": 1}]}', b"{}"])
def test_text_that_only_looks_like_a_repeated_key_is_accepted(line: bytes) -> None:
    [record] = rows("r.jsonl", line)
    assert record.problem is None


@pytest.mark.parametrize("line", [b"[]", b"[1, 2]", b'[{"a": 1}]', b"null"])
def test_a_first_line_that_is_not_an_object_is_a_bad_row_if_lines_follow(line: bytes) -> None:
    bad, good = rows("r.jsonl", line + b'\n{"a": 2}\n')
    assert bad.problem is not None
    assert (bad.problem.code, bad.problem.line) == ("not_an_object", 1)
    assert good.values == {"a": 2}


def test_a_problem_never_quotes_the_row() -> None:
    assert "secret" not in row_problem("r.jsonl", b'{"secret": "secret" "secret"}').message


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf\n", b" \n\t\r\n"])
def test_a_file_of_white_space_is_empty(data: bytes) -> None:
    assert rejected("r.jsonl", data).code == "empty_file"


REQUEST = b'{"custom_id":"1","method":"POST","url":"/v1/embeddings","body":{"model":"m"}}'


def test_a_first_line_with_the_four_members_makes_a_raw_drop() -> None:
    assert drop("r.jsonl", b"\n" + REQUEST + b"\n{}\n").layout.raw
    assert drop("r.ndjson", b"\xef\xbb\xbf" + REQUEST).layout.raw
    assert drop("r.jsonl", REQUEST[:-1] + b",}").layout.raw
    assert not drop("r.jsonl", b'{"custom_id":"1","url":"u","body":{"method":"POST"}}\n' + REQUEST).layout.raw


def test_json_lines_have_no_other_encoding() -> None:
    problem = rejected("r.jsonl", b"{}\n", encoding="windows-1252")
    assert (problem.code, problem.key) == ("unknown_encoding", "encoding")
    assert len(rows("r.jsonl", b"{}\n", encoding="UTF8")) == 1
