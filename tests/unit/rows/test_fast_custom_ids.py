"""The ids of a raw drop's lines are those of its records."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.formats.jsonl.raw_request import raw_custom_id
from dropbatch.formats.jsonl.reader import parse_object
from dropbatch.formats.records import Record
from dropbatch.rows.fast_custom_ids import read_custom_ids


@pytest.mark.slow
@given(st.lists(st.text(min_size=1, max_size=4), max_size=4), st.booleans())
def test_the_ids_are_the_same(ids: list[str], ascii_only: bool) -> None:
    lines = [json.dumps({"more": {"custom_id": 1}, "custom_id": each}, ensure_ascii=ascii_only) for each in ids]
    raws = [line.encode("utf-8", "replace") for line in lines]
    records = [Record(1, 1, raw, *parse_object(raw, 1)) for raw in raws]
    readable = [raw for raw, record in zip(raws, records, strict=True) if record.values is not None]
    assert list(read_custom_ids(readable)) == [raw_custom_id(record) for record in records if record.values is not None]
