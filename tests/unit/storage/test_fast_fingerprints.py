"""The fingerprints of many texts are those of each text."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dropbatch.storage import fingerprints
from dropbatch.storage.fast_fingerprints import text_fingerprints


@given(st.lists(st.text(max_size=3) | st.sampled_from(["\ud800", None, 5, 5.0, True]), max_size=4))
def test_a_column_has_the_fingerprints_of_its_values(values: list[Any]) -> None:
    found = text_fingerprints(values)
    assert found is None or found == list(map(fingerprints._fingerprint, values))


def test_only_texts_have_them() -> None:
    assert text_fingerprints(["a", "é"]) is not None
    assert text_fingerprints(["a", None]) is None
