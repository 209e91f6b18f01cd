"""Requests of rows: which rows are blank, and which are built again as they were."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.domain.errors import RowRejectedError
from dropbatch.formats.records import Record
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe
from dropbatch.rows.blank_values import is_empty
from dropbatch.rows.fast_requests import has_blank_row
from dropbatch.rows.request_builder import RequestBuilder


@pytest.mark.slow
@given(st.lists(st.tuples(*[st.sampled_from(["", " ", "a", None, 0, False, [], {}, [1]])] * 3), min_size=1))
def test_a_chunk_has_a_blank_row_if_one_of_its_rows_is_blank(rows: list[tuple[Any, ...]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    assert has_blank_row(columns) == any(all(map(is_empty, row)) for row in rows)


@pytest.mark.parametrize("recipe", [b'model: m\nprompt: "{{ text }}"\n', None])
def test_a_blank_row_that_an_earlier_release_accepted_is_still_sent(recipe: bytes | None) -> None:
    """An accepted row is built again as it was, even if it would be refused now."""
    body = {"model": "m", "messages": []}
    request = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    record = Record(1, 1, json.dumps(request).encode(), {"text": " ", "id": "1"} if recipe else request)
    today, of_then = (
        compile_recipe(parse_recipe(recipe), {}, checked=checked) if recipe else None for checked in (False, True)
    )
    with pytest.raises(RowRejectedError):
        RequestBuilder(today).request(record)
    assert RequestBuilder(of_then, is_decided=True).request(record) is not None
