"""Histograms: what is in which bin, that order and parts make no difference, and that their size is bounded."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.answers.histogram import MAX_BINS, Numbers, width_of


def of(values: list[float]) -> Numbers:
    found = Numbers()
    for start in range(0, len(values), 128):
        found.add(values[start : start + 128])
    return found


def test_few_different_numbers_are_exact() -> None:
    found = of([3, 1, 3, 2.5])
    assert found.edges() == (0.0, [(1, 1), (2.5, 1), (3, 2)])
    assert (found.count, found.least, found.most, found.mean) == (4, 1, 3, 2.375)


def test_many_are_in_bins_of_a_round_width_that_lose_none() -> None:
    found = of([float(number) for number in range(5_000)])
    width, bins = found.edges()
    assert width == 100.0
    assert bins == [(100.0 * place, 100) for place in range(50)]


def test_at_the_bound_numbers_are_exact_and_one_more_makes_bins() -> None:
    numbers = [float(number) for number in range(MAX_BINS + 1)]
    assert of(numbers[:-1]).edges()[0] == 0.0
    assert of(numbers).edges()[0] == 2.0


def test_an_outlier_does_not_change_the_width_of_the_bins() -> None:
    numbers = [number / 10 for number in range(1_000)]
    assert of([*numbers, 1e15]).edges()[0] == of(numbers).edges()[0] == 1.0


@pytest.mark.parametrize(("step", "width"), [(0, 1), (1, 2), (2, 10), (3, 20), (-1, 0.2), (-2, 0.1), (-3, 0.02)])
def test_each_width_is_a_multiple_of_the_one_before(step: int, width: float) -> None:
    assert width_of(step) == width
    assert math.isclose(width_of(step + 1) / width_of(step), 5 if step % 2 else 2)


NUMBERS = st.lists(st.integers(-(10**9), 10**9).map(lambda number: number / 100), max_size=600)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_order_and_parts_make_no_difference(one: list[float], two: list[float], three: list[float]) -> None:
    whole = of([*one, *two, *three])
    left, right = of(three), of(two)
    right.merge(of(one))
    left.merge(Numbers.from_json(json.loads(json.dumps(right.to_json()))))
    assert left.edges() == whole.edges()
    assert (left.count, left.least, left.most) == (whole.count, whole.least, whole.most)
    assert sum(count for _, count in whole.edges()[1]) == len(one) + len(two) + len(three)


def test_the_size_is_bounded_for_any_numbers() -> None:
    dice = random.Random(1)
    found = Numbers()
    for _ in range(200):
        found.add([dice.choice((1, -1)) * 10 ** dice.uniform(-300, 300) for _ in range(128)])
    assert len(found.bins) <= MAX_BINS
    assert len(json.dumps(found.to_json())) < 10_000


def test_what_is_no_measure_counts_in_no_bin() -> None:
    found = of([1.0, math.inf, -math.inf, math.nan, 10**400, 2.0])
    assert (found.count, found.most) == (2, 2.0)
    assert Numbers.from_json(json.loads(json.dumps(of([math.inf]).to_json()))).count == 0
