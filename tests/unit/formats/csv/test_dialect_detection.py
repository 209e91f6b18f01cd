"""The delimiter of a csv or tsv."""

import pytest

from tests.unit.formats.reading_drops import drop, rows


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
