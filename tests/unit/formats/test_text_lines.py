"""The rows of a txt."""

from tests.unit.formats.reading_drops import drop, rows


def test_a_row_is_a_line_without_its_end() -> None:
    records = rows("r.txt", "one\r\n \n\ttwo\x85\u2028 \r \nthree\r".encode())
    assert [record.values for record in records] == [
        {"text": "one"},
        {"text": "\ttwo\x85\u2028 \r "},
        {"text": "three"},
    ]
    assert [record.line for record in records] == [1, 3, 4]


def test_a_text_has_the_one_column_text() -> None:
    layout = drop("r.txt", b"\xef\xbb\xbfone\r\n").layout
    assert (layout.columns, layout.head, layout.line_end) == (("text",), b"\xef\xbb\xbf", "\r\n")
