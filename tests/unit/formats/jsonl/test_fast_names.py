"""A name that an object has twice is found, with or without jiter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.formats.jsonl.fast_names import has_unique_names
from dropbatch.formats.jsonl.reader import parse_object
from tests.both_ways import both_ways

MEMBERS = st.sampled_from(
    ['"a": 1', '"b": 2', '"\\u0061": 3', '"c": {"a": 1}', '"c": {"a": 1, "a": 2}', '"d": [{}, {}]']
)


@pytest.mark.slow
@given(st.lists(MEMBERS, max_size=4))
def test_the_object_or_its_problem_is_the_same(members: list[str]) -> None:
    raw = f"{{{', '.join(members)}}}".encode()
    fast, strict = both_ways(lambda: parse_object(raw, 1))
    assert fast == strict


@pytest.mark.parametrize(("raw", "unique"), [(b'{"a":1,"b":{"a":2}}', True), (b'{"a":1,"\\u0061":2}', False)])
def test_jiter_sees_names_that_are_written_in_two_ways(raw: bytes, unique: bool) -> None:
    assert has_unique_names(raw) is unique
