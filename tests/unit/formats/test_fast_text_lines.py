"""The rows of a txt are the same, decoded together or line by line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.formats import fast_text_lines
from dropbatch.formats.records import Cells
from tests.both_ways import both_ways
from tests.unit.formats.reading_drops import drop, rows

LINES = st.sampled_from([b"one", b"", b" ", "é".encode(), b"\xff", b"a\rb", b"\x00", b'"'])


@pytest.mark.slow
@given(st.lists(LINES, min_size=1, max_size=5), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
def test_the_rows_are_the_same(lines: list[bytes], line_end: bytes, ends: bool) -> None:
    data = b"long enough for five zeros" + line_end + line_end.join(lines) + line_end * ends
    fast, strict = both_ways(lambda: rows("r.txt", data))
    assert fast == strict


def test_lines_that_are_all_rows_are_one_column() -> None:
    layout = drop("r.txt", b"a\n").layout
    assert isinstance(fast_text_lines.read_cells([b"a\n", b"b\n"], layout, 1, 1), Cells)
    assert fast_text_lines.read_cells([b"a\n", b"\n"], layout, 1, 1) is None
