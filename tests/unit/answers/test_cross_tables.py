"""Cross-tables: which columns have one, that merging keeps only complete ones, and their bounds."""

import json
from collections import Counter

from dropbatch.answers.cross_tables import MAX_DROP_COLUMNS, MAX_DROP_VALUES, CrossTables

MOODS = {"mood": ["good", "bad", "good", "bad"]}


def tables(**dropped: list[str]) -> CrossTables:
    found = CrossTables()
    found.add(dropped, MOODS)
    return found


def test_rows_are_counted_by_both_values() -> None:
    found = tables(shop=["a", "a", "a", "b"])
    assert found.tables == {"shop": {"mood": {"a": Counter(good=2, bad=1), "b": Counter(bad=1)}}}
    assert found.rows == 4


def test_an_id_has_no_table() -> None:
    assert not tables(id=["1", "2", "3", "4"]).tables
    assert not tables(text=["x" * 41] * 4).tables


def test_a_column_is_left_out_as_soon_as_it_has_too_many_values() -> None:
    found = CrossTables()
    answers = {"mood": ["good"] * 2 * MAX_DROP_VALUES}
    found.add({"shop": [str(place // 2) for place in range(2 * MAX_DROP_VALUES)]}, answers)
    assert "shop" in found.tables
    found.add({"shop": ["one more"]}, {"mood": ["good"]})
    assert not found.tables
    assert not found.is_open


def test_merging_keeps_the_columns_that_both_have_counted() -> None:
    one, other = tables(shop=["a"] * 4, size=["s"] * 4), tables(shop=["a"] * 4, colour=["red"] * 4)
    one.merge(CrossTables.from_json(json.loads(json.dumps(other.to_json()))))
    assert one.tables == {"shop": {"mood": {"a": Counter(good=4, bad=4)}}}
    assert one.rows == 8


def test_rows_that_nobody_counted_close_the_tables_of_all() -> None:
    closed = CrossTables()
    closed.close()
    one = tables(shop=["a"] * 4)
    one.merge(closed)
    assert not one.tables
    empty = CrossTables()
    empty.merge(tables(shop=["a"] * 4))
    assert empty.tables, "no rows at all change nothing"


def test_merging_does_not_exceed_the_number_of_values() -> None:
    half = MAX_DROP_VALUES // 2 + 1
    parts = []
    for part in range(2):
        found = CrossTables()
        found.add({"shop": [f"{part} {place // 2}" for place in range(2 * half)]}, {"mood": ["good"] * 2 * half})
        parts.append(found)
    parts[0].merge(parts[1])
    assert not parts[0].tables


def test_only_the_first_columns_have_tables() -> None:
    assert len(tables(**{f"c{place}": ["a"] * 4 for place in range(50)}).tables) == MAX_DROP_COLUMNS
