"""The charts of a report: which bars there are, how long, and in which words."""

import random
from collections import Counter

import pytest

from dropbatch.answers.distributions import Column
from dropbatch.answers.histogram import Numbers
from dropbatch.answers.tally import Tally
from dropbatch.reporting.charts import (
    MAX_BARS,
    MAX_CHARTS,
    MAX_HISTOGRAM_BARS,
    answer_charts,
    compact,
    histogram,
    more_columns,
    number,
    share,
)


def numbers(*values: float) -> Numbers:
    found = Numbers()
    found.add(values)
    return found


def column(*values: object) -> Column:
    found = Column()
    found.add(values)
    return found


def test_a_category_has_a_bar_for_each_value_the_most_frequent_first() -> None:
    tally = Tally(categories={"mood": Counter(bad=1, good=3)})
    (chart,) = answer_charts(tally, ["mood"], 5)
    assert [(bar.label, bar.times, bar.size, bar.share) for bar in chart.bars] == [
        ("good", 3, 100.0, "60.0 %"),
        ("bad", 1, 33.33, "20.0 %"),
    ]
    assert chart.about == "2 values in 4 answers; 1 without"


def test_values_beyond_the_bars_are_counted() -> None:
    tally = Tally(categories={"mood": Counter({f"v{place}": 2 for place in range(MAX_BARS + 3)})})
    (chart,) = answer_charts(tally, [], 100)
    assert len(chart.bars) == MAX_BARS
    assert chart.more == "3 more values, 6 times"


def test_charts_come_in_the_order_of_the_columns_and_their_number_is_bounded() -> None:
    tally = Tally(categories={"b": Counter(x=1), **{f"c{place}": Counter(x=1) for place in range(100)}})
    tally.distributions.columns["a"] = column(1, 2)
    order = ["a", "b", *(f"c{place}" for place in range(100))]
    charts = answer_charts(tally, order, 2)
    assert [chart.name for chart in charts[:3]] == ["a", "b", "c0"]
    assert len(charts) == MAX_CHARTS
    assert more_columns(tally, order) == 102 - MAX_CHARTS


def test_whole_numbers_have_a_bar_each_with_none_left_out_between() -> None:
    bars = histogram(numbers(1, 1, 2, 5))
    assert [(bar.label, bar.times, bar.words) for bar in bars] == [
        ("1", "2", "1: 2"),
        ("2", "1", "2: 1"),
        ("3", "", "3: 0"),
        ("4", "", "4: 0"),
        ("5", "1", "5: 1"),
    ]
    assert bars[0].height == 96


@pytest.mark.parametrize("spread", [0.001, 1, 7, 1_000, 123_456_789])
@pytest.mark.parametrize("count", [3, 5_000])
def test_any_numbers_have_a_few_bars_of_round_width_and_none_is_lost(spread: float, count: int) -> None:
    dice = random.Random(1)
    found = numbers(*(dice.uniform(-spread, spread) for _ in range(count)))
    bars = histogram(found)
    assert 1 < len(bars) <= MAX_HISTOGRAM_BARS
    assert sum(int(bar.words.rpartition(": ")[2].replace(",", "")) for bar in bars) == count
    assert all(len(bar.label) <= 9 for bar in bars)
    assert bars[-1].left + bars[-1].width <= 100


def test_an_outlier_shares_the_last_bar() -> None:
    bars = histogram(numbers(*range(100), *range(100), 1e12))
    assert bars[-1].label == "90+"
    assert bars[-1].words == "90 and more: 21"
    bars = histogram(numbers(*range(100), *range(100), -1e12))
    assert bars[0].words == "under 10: 21"


def test_one_number_has_one_bar() -> None:
    assert [bar.words for bar in histogram(numbers(7, 7))] == ["7: 2"]
    assert len(histogram(numbers(0.5))) == 1


def test_counts_have_commas_and_years_have_none() -> None:
    (bar,) = histogram(numbers(*[2024] * 1_221))
    assert (bar.label, bar.times, bar.words) == ("2024", "1,221", "2,024: 1,221")


def test_each_type_of_value_has_its_chart() -> None:
    tally = Tally()
    tally.distributions.columns = {
        "flag": column(True, False, True),
        "score": column(1.5, 2, None),
        "colour": column("red", "red", ""),
        "why": column("a", "b", "c" * 80),
        "tags": column(["x", "y"], ["x"], []),
        "address": column({"city": "Bonn"}),
        "nothing": column(None, None),
    }
    charts = {chart.name: chart for chart in answer_charts(tally, [], 3)}
    assert [bar.label for bar in charts["flag"].bars] == ["true", "false"]
    assert charts["score"].about == "lowest 1.5, mean 1.75, highest 2; 1 without"
    assert [(bar.label, bar.times) for bar in charts["colour"].bars] == [("red", 2), ("(empty)", 1)]
    assert charts["why"].about == "characters: 1 to 80, 27 on average"
    assert charts["why"].histogram
    assert [(bar.label, bar.share) for bar in charts["tags"].bars] == [("x", "66.7 %"), ("y", "33.3 %")]
    assert charts["address"].about == "1 object"
    assert charts["nothing"].about == "no value in 2 answers"


def test_inexact_counts_of_items_are_said_to_be_lower_bounds() -> None:
    tally = Tally()
    tally.distributions.columns["tags"] = column(*([f"tag {place}"] for place in range(500)))
    (chart,) = answer_charts(tally, [], 500)
    assert chart.about.endswith("each value occurs at least as often as shown")


@pytest.mark.parametrize(
    ("part", "said"), [(0, "0 %"), (1, "< 0.1 %"), (9_999, "> 99.9 %"), (10_000, "100 %"), (1_234, "12.3 %")]
)
def test_some_are_never_none_and_not_all_are_never_all(part: int, said: str) -> None:
    assert share(part, 10_000) == said


@pytest.mark.parametrize(
    ("value", "said", "short"),
    [
        (0, "0", "0"),
        (950, "950", "950"),
        (12_345, "12,345", "12k"),
        (1_234_567, "1,234,567", "1.2M"),
        (999_999, "999,999", "1M"),
        (0.30000000000000004, "0.3", "0.3"),
        (4.6123, "4.61", "4.61"),
        (1234.5, "1,234", "1.2k"),
        (1e-9, "1e-09", "1e-09"),
        (2e17, "2e+17", "200P"),
    ],
)
def test_numbers_are_short(value: float, said: str, short: str) -> None:
    assert (number(value), compact(value)) == (said, short)
