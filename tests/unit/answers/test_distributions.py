"""The distributions of columns: each type of value, merging, bounds, and sums of older releases."""

import json
import random
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import orjson

from dropbatch.answers.distributions import (
    MAX_COLUMNS,
    MAX_VALUES,
    Column,
    Distributions,
    Frequent,
    counted_places,
)
from dropbatch.answers.tally import Tally
from dropbatch.recipes.compiled_recipe import CompiledRecipe

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"


def compiled(*columns: str, categories: tuple[str, ...] = (), endpoint: str = CHAT) -> CompiledRecipe:
    values = {"columns": columns, "categories": dict.fromkeys(categories, ("a", "b")), "endpoint": endpoint}
    return cast("CompiledRecipe", SimpleNamespace(**values))


def column(*values: Any) -> Column:
    found = Column()
    found.add(values)
    return found


def again(found: Column) -> Column:
    """Return the column as a later step reads it."""
    return Column.from_json(json.loads(json.dumps(found.to_json())))


def test_texts_are_counted_while_they_are_short_and_few() -> None:
    found = column("red", "blue", "red", "")
    assert found.texts.values == Counter(red=2, blue=1, **{"": 1})
    assert found.texts.empty == 1
    assert found.texts.lengths.most == 4


def test_of_long_or_many_texts_only_the_lengths_are_counted() -> None:
    assert column("red", "x" * 61).texts.values is None
    assert column(*map(str, range(MAX_VALUES))).texts.values is not None
    many = column(*map(str, range(MAX_VALUES + 1)))
    assert many.texts.values is None
    assert many.texts.lengths.count == MAX_VALUES + 1


def test_numbers_booleans_nothing_and_objects_are_told_apart() -> None:
    found = column(1, True, 2.5, None, "a", {"b": 1}, [1])
    assert found.numbers.edges()[1] == [(1, 1), (2.5, 1)], "true is no number"
    assert found.booleans == Counter(true=1)
    assert (found.missing, found.objects, found.lists, found.rows) == (1, 1, 1, 7)


def test_values_that_are_handed_on_as_json_are_read() -> None:
    found = column(orjson.Fragment(b"2.50"), orjson.Fragment(b'["a", "b"]'), orjson.Fragment(b"{}"), 3)
    assert found.numbers.edges()[1] == [(2.5, 1), (3, 1)]
    assert found.items.counts == Counter(a=1, b=1)
    assert found.objects == 1


def test_the_items_of_lists_are_counted_as_often_as_they_occur() -> None:
    found = column(["a", "b"], ["a"], [], [1, None])
    assert found.items.counts == Counter({"a": 2, "b": 1, "1": 1, "null": 1})
    assert (found.lists, found.empty_lists, found.items.missed) == (4, 1, 0)


def test_a_frequent_item_is_never_lost_and_its_count_is_a_lower_bound() -> None:
    dice = random.Random(3)
    true: Counter[str] = Counter()
    parts = [Frequent() for _ in range(4)]
    for number in range(20_000):
        item = "often" if dice.random() < 0.05 else f"rare {dice.randint(1, 5_000)}"
        true[item] += 1
        parts[number % 4].add([item])
    whole = Frequent()
    for part in parts:
        whole.merge(Frequent.from_json(json.loads(json.dumps(part.to_json()))))
    assert len(whole.counts) <= MAX_VALUES
    assert whole.missed
    assert all(count <= true[item] <= count + whole.missed for item, count in whole.counts.items())
    assert whole.counts.most_common(1)[0][0] == "often"


def test_parts_add_up_to_the_whole() -> None:
    values = [1, 2.5, None, "a", "bb", True, ["x"], {"y": 1}] * 5
    whole, left, right = column(*values), column(*values[:17]), column(*values[17:])
    merged = again(right)
    merged.merge(again(left))
    assert merged.to_json() == again(whole).to_json()


def test_categories_and_vectors_are_not_counted_and_columns_are_bounded() -> None:
    assert counted_places(compiled("mood", "why", categories=("mood",))) == [(1, "why")]
    assert counted_places(compiled("embedding", endpoint=EMBEDDINGS)) == ()
    assert len(counted_places(compiled(*(f"c{place}" for place in range(3_000))))) == MAX_COLUMNS


def test_the_size_of_thousands_of_columns_is_bounded() -> None:
    dice = random.Random(5)
    recipe = compiled(*(f"column {place}" for place in range(2_000)))
    found = Distributions()
    for _ in range(5):
        found.add(recipe, [[dice.random() for _ in range(2_000)] for _ in range(128)])
    assert len(json.dumps(found.to_json())) < 400_000


def test_a_tally_adds_them_up_and_reads_those_of_older_releases() -> None:
    recipe = compiled("why", "score")
    tally, other = Tally(), Tally()
    tally.categorise(recipe, [("a", 1)])
    other.categorise(recipe, [("b", 2)])
    tally.merge(Tally.from_json(json.loads(json.dumps(other.to_json()))))
    assert tally.distributions.columns["score"].numbers.total == 3
    former = Tally()
    former.carry_over(tally)
    assert former.distributions.columns["why"].texts.values == Counter(a=1, b=1)
    older = {name: value for name, value in tally.to_json().items() if name not in ("distributions", "cross_tables")}
    assert Tally.from_json(older).distributions == Distributions()
