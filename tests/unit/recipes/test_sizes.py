"""The weight of values."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.recipes.sizes import TooLargeError, weigh

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.slow
@settings(deadline=None)
@given(VALUES)
def test_a_value_weighs_all_its_texts_and_members(value: Any) -> None:
    weight = weigh(value)
    assert weight >= _texts(value)
    assert weigh([value, value]) >= 2 * weight
    if weight:
        with pytest.raises(TooLargeError):
            weigh(value, weight - 1)


def _texts(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_texts(key) + _texts(item) for key, item in value.items())
    return sum(map(_texts, value)) if isinstance(value, list) else 0
