"""The charts of a report: what each bar shows, and where it is drawn, out of the sums of a job.

The template only writes what is decided here. A chart has at most `MAX_BARS` bars.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dropbatch.reporting.phrases import counted

if TYPE_CHECKING:  # as in `event_members`
    from dropbatch.answers.distributions import Column
    from dropbatch.answers.histogram import Numbers
    from dropbatch.answers.tally import Tally

MAX_CHARTS = 60
"""How many columns have a chart: the first ones."""

MAX_BARS = 12

MAX_HISTOGRAM_BARS = 10
"""How many bars a histogram has: their labels fit into the width of a phone."""

MAX_LABEL = 60

TAIL = 0.01
"""The share of the smallest and of the largest numbers that may share a bar, if they lie far away from the others."""

_SCALES = (1, 2, 5)


class Bar(NamedTuple):
    """A bar. `size` is its length in percent of the longest, `share` the part of all rows in words."""

    label: str
    times: int
    size: float
    share: str


class Upright(NamedTuple):
    """A bar of a histogram: its left edge and its width in percent, its height in pixels, and the words for it."""

    left: float
    width: float
    height: float
    label: str
    times: str
    words: str


class Chart(NamedTuple):
    """The chart of a column: either lying bars, or a histogram. `more` says what has no bar."""

    name: str
    about: str
    bars: Sequence[Bar] = ()
    histogram: Sequence[Upright] = ()
    more: str = ""


HISTOGRAM_HEIGHT = 96
"""The height of the highest bar in pixels."""


def answer_charts(tally: "Tally", order: Sequence[str], answered: int) -> list[Chart]:
    """Return the charts of the answers' columns, in their order, for a number of good answers."""
    found = tally.distributions.columns
    names = dict.fromkeys([*(name for name in order if name in found or name in tally.categories), *tally.categories])
    charts: list[Chart] = []
    for name in [*names, *(name for name in found if name not in names)][:MAX_CHARTS]:
        if name in tally.categories:
            charts.append(_category_chart(name, tally.categories[name], answered))
        else:
            charts += _column_charts(name, found[name])
    return charts[:MAX_CHARTS]


def more_columns(tally: "Tally", order: Sequence[str]) -> int:
    """Return how many columns of the answers have no chart."""
    return max(0, len({*order, *tally.categories}) - MAX_CHARTS)


def _category_chart(name: str, counts: Counter[str], answered: int) -> Chart:
    missing = answered - counts.total()
    about = f"{counted(len(counts), 'value')} in {counted(counts.total(), 'answer')}"
    return _bar_chart(name, f"{about}; {missing:,} without" if missing > 0 else about, counts, max(1, answered))


def _bar_chart(name: str, about: str, counts: Mapping[str, int], total: int) -> Chart:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = ranked[:MAX_BARS], ranked[MAX_BARS:]
    longest = max((count for _, count in shown), default=1)
    bars = [Bar(cut(value), count, round(100 * count / longest, 2), share(count, total)) for value, count in shown]
    more = f"{counted(len(rest), 'more value')}, {counted(sum(count for _, count in rest), 'time')}" if rest else ""
    return Chart(cut(name), about, bars, more=more)


def _column_charts(name: str, column: "Column") -> Iterator[Chart]:
    missing = [f"{column.missing:,} without"] if column.missing else []
    if column.booleans:
        about = counted(column.booleans.total(), "answer")
        yield _bar_chart(name, "; ".join([about, *missing]), column.booleans, max(1, column.rows))
        missing = []
    if column.numbers.count:
        numbers = column.numbers
        facts = [f"lowest {number(numbers.least)}", f"mean {number(numbers.mean)}", f"highest {number(numbers.most)}"]
        yield Chart(cut(name), "; ".join([", ".join(facts), *missing]), histogram=histogram(numbers))
        missing = []
    if column.texts.lengths.count:
        yield _text_chart(name, column, missing)
        missing = []
    if column.lists:
        empty = [f"{column.empty_lists:,} empty"] if column.empty_lists else []
        least = ["each value occurs at least as often as shown"] if column.items.missed else []
        about = "; ".join([counted(column.lists, "list"), *empty, *missing, *least])
        yield _bar_chart(name, about, column.items.counts, max(1, column.lists))
        missing = []
    if column.objects:
        yield Chart(cut(name), "; ".join([counted(column.objects, "object"), *missing]))
    elif missing:
        yield Chart(cut(name), f"no value in {counted(column.missing, 'answer')}")


def _text_chart(name: str, column: "Column", missing: Sequence[str]) -> Chart:
    texts = column.texts
    empty = [f"{texts.empty:,} empty"] if texts.empty else []
    if texts.values is not None and len(texts.values) < max(2, texts.lengths.count):
        about = f"{counted(len(texts.values), 'different text')} in {counted(texts.lengths.count, 'answer')}"
        values = {value or "(empty)": count for value, count in texts.values.items()}
        return _bar_chart(name, "; ".join([about, *empty, *missing]), values, max(1, column.rows))
    lengths = texts.lengths
    facts = f"characters: {number(lengths.least)} to {number(lengths.most)}, {round(lengths.mean):,} on average"
    return Chart(cut(name), "; ".join([facts, *empty, *missing]), histogram=histogram(lengths))


def histogram(numbers: "Numbers") -> list[Upright]:
    """Return the bars of a histogram, whose edges are round numbers."""
    width, bins = numbers.edges()
    low, high = _core(bins, numbers)
    step = _step(low, high, width, exact=all(edge == int(edge) for edge, _ in bins))
    first, last = math.floor(low / step + 1e-9), math.floor(high / step + 1e-9)
    counts = [0] * (last - first + 1)
    for edge, count in bins:
        place = math.floor(edge / step + 1e-9) - first
        counts[min(max(place, 0), last - first)] += count
    slot, most = 100 / len(counts), max(counts, default=1)
    bars = []
    for place, count in enumerate(counts):
        lower = (first + place) * step
        is_first, is_last = place == 0 and numbers.least < lower, place == last - first and numbers.most >= lower + step
        label = ("< " if is_first else "") + compact(lower + step if is_first else lower) + ("+" if is_last else "")
        single = step == 1 and width <= 1 and not is_first and not is_last
        to = "and more" if is_last else f"to under {number(lower + step)}"
        words = f"under {number(lower + step)}" if is_first else number(lower) if single else f"{number(lower)} {to}"
        height = max(1.0, round(HISTOGRAM_HEIGHT * count / most, 1)) if count else 0
        left, wide = round(place * slot + slot * 0.06, 2), round(slot * 0.88, 2)
        bars.append(Upright(left, wide, height, label, _above(count), f"{words}: {count:,}"))
    return bars


def _core(bins: Sequence[tuple[float, int]], numbers: "Numbers") -> tuple[float, float]:
    """Return the range that the bars show: of all numbers, or without a few that are far away from the others."""
    total = sum(count for _, count in bins)
    low = high = None
    before = 0
    for edge, count in bins:
        before += count
        if low is None and before > TAIL * total:
            low = edge
        if high is None and before >= (1 - TAIL) * total:
            high = edge
    if low is None or high is None:
        return numbers.least, numbers.most
    least, most = bins[0][0], bins[-1][0]
    spread = max(high - low, 1e-12)
    return (low if low - least > spread else least), (high if most - high > spread else most)


def _step(low: float, high: float, width: float, *, exact: bool) -> float:
    """Return the width of the bars: round, and a multiple of the width of the bins."""
    unit: float = width or (1.0 if exact else float(10.0 ** math.floor(math.log10(max(high - low, 1e-9)) - 2)))
    power = 0
    while True:
        for scale in _SCALES:
            step = unit * scale * float(10**power)
            if math.floor(high / step + 1e-9) - math.floor(low / step + 1e-9) < MAX_HISTOGRAM_BARS:
                return step
        power += 1


def cut(text: str) -> str:
    """Return a name or a value as a chart shows it: not longer than a line or two."""
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"


def share(count: int, total: int) -> str:
    """Say a part of a whole in percent; never 0 % for some, or 100 % for not all."""
    percent = 100 * count / total if total else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def number(value: float) -> str:
    """Return a number with its thousands separated, and one with a fraction to three digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    if not -13 < digits <= 6:
        return f"{value:.3g}"
    text = f"{value:,.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact(value: float) -> str:
    """Return a number in few characters: `950`, `12k`, `3.4M`."""
    if abs(value) < 10_000 and value == int(value):
        return f"{value:.0f}"
    if abs(value) < 1_000:
        return f"{value:.3g}"
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= 0.9995 * size:
            return _scaled(value / size) + letter
    return _scaled(value / 1e3) + "k"


def _above(count: int) -> str:
    """Return a count for above a bar, with a comma; years and the like on an axis have none."""
    return "" if not count else f"{count:,}" if count < 10_000 else compact(count)


def _scaled(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if abs(value) < 9.95 else f"{value:.0f}"
