"""Objects of JSON are the same, found by separators or by brackets."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats.jsonl.fast_objects import read_object
from tests.both_ways import both_ways
from tests.unit.formats.reading_drops import rows

TEXTS = st.sampled_from(["a", "},{", '"', "\\", "}\n,\n{", "]", "é", "{"])
OBJECTS = st.dictionaries(st.sampled_from(["a", "b"]), TEXTS | st.just([{}, {"c": "},{"}]), max_size=2)
BROKEN = st.sampled_from(['{"a": 1, "a": 2}', '{"a": }', '{"a"', "{}}", '{"a": NaN}'])


@pytest.mark.slow
@given(
    st.lists(OBJECTS.map(json.dumps) | BROKEN, min_size=1, max_size=5),
    st.sampled_from([",", ",\n", " , ", "\n,\n"]),
    st.sampled_from(["]", "\n]\n", ""]),
)
def test_the_rows_or_the_rejection_are_the_same(objects: list[str], separator: str, end: str) -> None:
    data = f"[{separator.join(objects)}{end}".encode()

    def read() -> Any:
        try:
            return rows("r.json", data)
        except DropRejectedError as rejected:
            return list(rejected.problems)

    fast, strict = both_ways(read)
    assert fast == strict


def test_an_object_before_a_separator_is_found() -> None:
    held = b'[{"a": 1},{"a": 2},{"a": 3}]'
    found = read_object(held, 1, b"},{", 100, 1)
    assert found is not None
    assert (found.raw, found.end) == (b'{"a": 1}', 9)
    assert read_object(held, 19, b"},{", 100, 1) is None, "no separator follows the last one"
