"""The number of rows is the same, whether they are parsed or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.both_ways import both_ways
from tests.unit.formats.reading_drops import drop

LINES = st.sampled_from([b'{"a": 1}', b"", b" ", b"\t", b"not json", b"\xff"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r.txt", "r.jsonl"])
@given(lines=st.lists(LINES, max_size=8), ends=st.booleans())
def test_the_counts_are_the_same(name: str, lines: list[bytes], ends: bool) -> None:
    data = b"\n".join([b'{"a": 0}', *lines]) + b"\n" * ends

    def count() -> tuple[int, int]:
        reader = drop(name, data)
        return sum(reader.pass_over()), reader.position.number

    fast, strict = both_ways(count)
    assert fast == strict
