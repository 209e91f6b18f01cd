"""The rows that many lines name at once are those that each line names."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.answers import output_files
from dropbatch.answers.fast_addresses import read_rows

NAMES = st.sampled_from(
    ["1", "7", "12345", "01", "-1", "+1", " 1", "1.0", "1e2", "1,2", "", "x", "\u0661", "1\n", None, 3]
)
LINES = st.one_of(
    st.integers(1, 10**6).map(lambda row: b'{"id":"a","custom_id":"%d","response":{}}' % row),
    NAMES.map(lambda name: orjson.dumps({"custom_id": name})),
    st.sampled_from(
        [
            b"",
            b" ",
            b"null",
            b"[]",
            b'{"custom_id":"1"}{"custom_id":"2"}',
            b'{"custom_id":"1"',
            b'"1"',
            b' {"custom_id":"1"}',
            b'{"custom_id":"1","x":',
            b"{}}",
        ]
    ),
)


@pytest.mark.slow
@given(st.lists(LINES, min_size=1, max_size=4))
def test_many_lines_name_the_rows_that_each_names(lines: list[bytes]) -> None:
    data = b"\n".join([*lines, b""])
    fast = read_rows(data, lines)
    assert fast is None or fast == list(map(output_files._row, lines))


def test_two_objects_in_a_line_do_not_make_up_for_one_in_two_lines() -> None:
    lines = [b'{"custom_id":"1"}{"custom_id":"2"}', b'{"custom_id":"3","x":', b"{}}"]
    assert read_rows(b"\n".join(lines), lines) is None


def test_lines_that_name_numbers_are_read_at_once() -> None:
    lines = [b'{"custom_id":"%d"}' % row for row in (3, 1, 2)]
    assert read_rows(b"\n".join(lines), lines) == [3, 1, 2]
