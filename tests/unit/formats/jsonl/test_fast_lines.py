"""Lines that are decoded at once give the same records as line by line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.formats.jsonl.fast_lines import ObjectRows, read_objects
from dropbatch.formats.jsonl.reader import read_records
from dropbatch.formats.records import Record
from tests.both_ways import both_ways

VALUES = [
    *(
        '"x"',
        '"a:b"',
        '"\\u00e9\\u003a"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"\\u0000"',
        '"é"',
        '"\t"',
        '"\\x"',
        '"',
        "",
    ),
    *("0", "-0", "1.0", "-0.0", "1e400", "1e-400", "NaN", "Infinity", "01", "1.", "1e5", "9" * 40, "1" * 400),
    *(str(2**63), str(-(2**63)), "true", "null", '{"b": 1}', '{"b": 1, "b": 2}', "[1, [2]]", "{", "["),
]
MEMBERS = st.builds(
    lambda name, value: f"{name}: {value}", st.sampled_from(['"a"', '"b"', '"\\u0061"', "c"]), st.sampled_from(VALUES)
)
OBJECTS = st.lists(MEMBERS, max_size=3).map(lambda members: f"{{{', '.join(members)}}}")
PIECES = st.sampled_from(["{", "}", "[", "]", "],[", ",", '"a":1', '{"a":1}', '{"a":', "1}", '"', " ", "\r", "\ufeff"])
LINES = st.one_of(OBJECTS, st.lists(PIECES, max_size=5).map("".join))


def records_of(lines: list[str]) -> list[str]:
    """Return the records of lines, with the types of their values."""
    found = read_records([line.encode() for line in lines], 1, 1)
    return [] if found is None else list(map(repr, found.records()))


@pytest.mark.slow
@given(st.lists(LINES, min_size=1, max_size=4))
def test_the_records_are_the_same(lines: list[str]) -> None:
    fast, strict = both_ways(lambda: records_of([f"{line}\n" for line in lines]))
    assert fast == strict


@pytest.mark.parametrize(
    "lines",
    [
        ['{"a":1},{"a":', "2}"],
        ['{"a":1}],[{"a":2}', ""],
        ['{"a":1}],[{"a":2}', '{"a":3}'],
        ['{"a":[1', "2]}"],
        ['{"a":1}]', '[{"a":1}'],
        ["[1", "2]"],
        ['{"a":1,"a":2}'],
        ['{"a":1}', '{"b":{"c":1,"\\u0063":2}}'],
        ['{"a":1e400}'],
        ['{"a":NaN}'],
        ["[]"],
        ['"a"'],
        ["", '{"a":1}'],
        ['{"a":1}],[{"a":2}', '{"a":[[{}', "{}]]}"],
        ['{"a":1}],0,[{"a":2}', '{"a":[[{}', "{}]]}"],
        ['{"a":1} ] , [ {"a":2}', '{"a":"', '"}'],
    ],
)
def test_lines_that_only_look_like_one_object_each_are_left_to_the_slow_path(lines: list[str]) -> None:
    assert read_objects([f"{line}\n".encode() for line in lines], 1, 1) is None


@pytest.mark.parametrize("rows", [[{"a": "x", "b": 1}] * 3, [{"a": 1.5, "b": {"c": [None, True]}}] * 2, [{"a": 9**50}]])
def test_rows_of_the_same_names_have_columns(rows: list[dict[str, object]]) -> None:
    found = read_objects([json.dumps(row).encode() + b"\n" for row in rows], 5, 7)
    assert isinstance(found, ObjectRows)
    assert found.values() == {name: tuple(row[name] for row in rows) for name in rows[0]}
    raws = found.raws
    assert found.records() == [
        Record(5 + n, 7 + n, raw, row) for n, (raw, row) in enumerate(zip(raws, rows, strict=True))
    ]


@pytest.mark.parametrize("rows", [[{"a": 1}, {"b": 1}], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], [{}]])
def test_rows_of_other_names_have_none(rows: list[dict[str, object]]) -> None:
    found = read_objects([json.dumps(row).encode() for row in rows], 1, 1)
    assert isinstance(found, ObjectRows)
    assert found.values() is None
    assert [record.values for record in found.records()] == rows
