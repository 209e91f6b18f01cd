import pytest

from tests.unit.formats.reading_drops import drop, rejected, row_problem, rows


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.txt"])
def test_a_byte_that_is_not_utf_8_is_named_with_its_line(name: str) -> None:
    problem = row_problem(name, b"text\none\ncaf\xe9\ntwo\n")
    assert (problem.code, problem.line) == ("invalid_utf8", 3)
    assert problem.message == (
        "Line 3, byte 4 (0xe9) is not UTF-8; save the file as UTF-8, or set `encoding: windows-1252` in the recipe, "
        "or windows-1251 or windows-1253: too few of its bytes tell which."
    )


def test_a_bad_byte_within_quotes_is_named_with_its_own_line() -> None:
    bad, good = rows("r.csv", b'text\n"one\nit\x92s\n"\ntwo\n')
    assert bad.problem is not None
    assert (bad.problem.line, bad.raw) == (3, b'"one\nit\x92s\n"\n')
    assert good.values == {"text": "two"}


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("windows-1252", "it’s 5 €"),
        ("cp1252", "é"),
        ("Latin-1", "é"),
        ("windows_1251", "привет"),
        ("koi8-r", "привет"),
        ("mac-roman", "é"),
        ("shift_jis", "表示①"),
        ("euc-jp", "日本"),
        ("gb18030", "中文😀"),
        ("gbk", "中文"),
        ("big5", "功能"),
        ("EUC-KR", "한국"),
    ],
)
def test_a_recipe_may_name_the_encoding(encoding: str, text: str) -> None:
    codec = {"shift_jis": "cp932", "windows_1251": "cp1251"}.get(encoding, encoding)
    [record] = rows("r.csv", f"text,n\n{text},1\n".encode(codec), encoding=encoding)
    assert record.values == {"text": text, "n": "1"}


def test_a_byte_that_an_encoding_lacks_is_named() -> None:
    problem = row_problem("r.txt", b"a\nb\x81\n", encoding="windows-1252")
    assert (problem.code, problem.line) == ("invalid_encoding", 2)
    assert "byte 2 (0x81) is not windows-1252" in problem.message


@pytest.mark.parametrize(
    ("encoding", "advice"),
    [
        ("windows-1253x", "did you mean windows-1253?"),
        ("iso 8859 15", "iso-8859-15"),
        ("utf-16", "save the file as UTF-8"),
        ("rot13", "known are"),
        ("idna\x00", "known are"),
        ("base64", "known are"),
    ],
)
def test_an_encoding_is_one_of_a_closed_list(encoding: str, advice: str) -> None:
    if encoding == "iso 8859 15":
        assert drop("r.txt", b"a", encoding=encoding).layout.encoding == "iso8859-15"
        return
    problem = rejected("r.txt", b"a\n", encoding=encoding)
    assert (problem.code, problem.key) == ("unknown_encoding", "encoding")
    assert advice in problem.message


def test_a_byte_order_mark_says_utf_8_whatever_the_recipe_says() -> None:
    [record] = rows("r.txt", "\ufeffé\n".encode(), encoding="windows-1252")
    assert record.values == {"text": "é"}


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_wide_encoding_is_recognised(codec: str) -> None:
    problem = rejected("r.csv", "id,text\n1,hello\n".encode(codec))
    assert problem.code == "not_utf8"
    assert "UTF-" in problem.message
    assert "save it as UTF-8" in problem.message


@pytest.mark.parametrize(
    ("start", "advice"),
    [(b"\x1f\x8b\x08\x00", ".gz"), (b"PK\x03\x04\x14", "spreadsheet"), (b"\x28\xb5\x2f\xfd", ".zst")],
)
def test_an_archive_under_a_text_name_is_recognised(start: bytes, advice: str) -> None:
    problem = rejected("r.csv", start + b"more")
    assert problem.code == "not_text"
    assert advice in problem.message
