"""Histograms of numbers that can be merged in any order, in a fixed amount of memory and of JSON."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

MAX_BINS = 200
"""How many different numbers are counted exactly, and then how many bins have a number: some 3 KB of JSON."""

_MAX_PENDING = 1_000
"""How many different numbers wait to be put into bins: that is done for many at once."""

_MIN_STEP, _MAX_STEP = -24, 40
_LARGEST = 1e18
_ROUNDING = 1e-9


@dataclass(slots=True)
class Numbers:
    """A histogram of numbers. Up to `MAX_BINS` different ones are exact; then they are in bins of one width.

    The widths are 1, 2, 10, 20, 100 and so on, and their fractions: each is a multiple of the one before, so that bins
    can be joined. The width is the smallest with at most `MAX_BINS` bins that are not empty. It follows from the
    numbers alone, whatever the order in which they came, and a few outliers do not change it.
    """

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    step: int | None = None
    """Which of the widths it is: see `width_of`. None while all numbers are exact."""
    bins: Counter[float] = field(default_factory=Counter)
    """How many numbers are in each bin, by the number itself or by its place: the lower edge divided by the width."""
    _pending: Counter[float] = field(default_factory=Counter, repr=False)

    def add(self, values: Sequence[float]) -> None:
        """Add numbers. A number that is not finite, or larger than any measure, counts in no bin."""
        if not values:
            return
        least, most = min(values), max(values)
        if not (least > -_LARGEST and most < _LARGEST):
            values = [value for value in values if -_LARGEST < value < _LARGEST]
            self.add(values)
            return
        self.count += len(values)
        self.total += sum(values)
        self.least, self.most = min(self.least, least), max(self.most, most)
        self._pending.update(values)
        if len(self._pending) > _MAX_PENDING:
            self._sort()

    def _sort(self) -> None:
        """Sort the numbers that came into their bins."""
        pending, self._pending = self._pending, Counter()
        if self.step is None:
            self.bins.update(pending)
            self._join()
        else:
            self._put(pending)

    def _put(self, numbers: Mapping[float, int]) -> None:
        assert self.step is not None  # noqa: S101  # only its callers know; tells the type checker
        places = _places(numbers, self.step)
        for place, count in zip(places, numbers.values(), strict=True):
            self.bins[place] += count
        self._join()

    def _join(self) -> None:
        """Join bins until they are not too many."""
        if len(self.bins) <= MAX_BINS:
            return
        if self.step is None:
            numbers, self.bins = self.bins, Counter()
            least, most = _MIN_STEP, _MAX_STEP
            while least < most:  # the smallest width that will do: their bins nest, so that halving finds it
                middle = (least + most) // 2
                if len(set(_places(numbers, middle))) <= MAX_BINS:
                    most = middle
                else:
                    least = middle + 1
            self.step = least
            self._put(numbers)
            return
        while len(self.bins) > MAX_BINS:
            self._widen(self.step + 1)

    def _widen(self, step: int) -> None:
        while self.step is not None and self.step < step:
            joined: Counter[float] = Counter()
            ratio = 5 if self.step % 2 else 2
            for place, count in self.bins.items():
                joined[place // ratio] += count
            self.bins, self.step = joined, self.step + 1

    @property
    def mean(self) -> float:
        """The mean of the numbers; zero if there are none."""
        return self.total / self.count if self.count else 0.0

    def merge(self, other: "Numbers") -> None:
        """Add the numbers of another histogram."""
        self._sort()
        other._sort()
        self.count += other.count
        self.total += other.total
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        if other.step is None:
            if self.step is None:
                self.bins.update(other.bins)
                self._join()
            else:
                self._put(other.bins)
            return
        theirs = Numbers(step=other.step, bins=Counter(other.bins))
        if self.step is None:
            numbers, self.bins, self.step = self.bins, Counter(), other.step
            self._put(numbers)
        theirs._widen(self.step)
        self._widen(other.step)
        self.bins.update(theirs.bins)
        self._join()

    def edges(self) -> tuple[float, list[tuple[float, int]]]:
        """Return the width of a bin, zero if the numbers are exact, and the lower edge of each with its count."""
        self._sort()
        width = 0.0 if self.step is None else width_of(self.step)
        return width, sorted((place * width if width else place, count) for place, count in self.bins.items())

    def to_json(self) -> dict[str, Any]:
        """Return the histogram as JSON members."""
        self._sort()
        if not self.count:
            return {}
        return {
            "count": self.count,
            "total": self.total,
            "least": self.least,
            "most": self.most,
            "step": self.step,
            "bins": {str(place): count for place, count in self.bins.items()},
        }

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Return the histogram of JSON members."""
        if not members:
            return cls()
        read = float if members["step"] is None else int
        bins = Counter({read(place): count for place, count in members["bins"].items()})
        count, total, least, most, step = (members[name] for name in ("count", "total", "least", "most", "step"))
        return cls(count, total, least, most, step, bins)


def width_of(step: int) -> float:
    """Return a width of bins: 1 for the step 0, then 2, 10, 20, 100; 0.2 for the step -1, then 0.1, 0.02."""
    power, factor = step // 2, 2 if step % 2 else 1
    return float(factor * 10**power) if power >= 0 else factor / 10**-power


def _places(numbers: Iterable[float], step: int) -> list[int]:
    """Return the bins of numbers. What is just below an edge, because it has no exact form, is on the edge."""
    power, factor = step // 2, 2 if step % 2 else 1
    floor = math.floor
    if power >= 0:
        width = float(factor * 10**power)
        return [floor(number / width + _ROUNDING) for number in numbers]
    scale = 10**-power
    return [floor(number * scale / factor + _ROUNDING) for number in numbers]
