"""Cross-tables: how the answers of a column are distributed over the values of a column of the drop.

They take a fixed amount of memory and of JSON for any number of rows: few columns, each with few values. A column with
too many values is left out as soon as that shows, and stays left out when sums are merged.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

MAX_DROP_COLUMNS = 6
"""How many columns of the drop have tables: the first that have few values."""

MAX_ANSWER_COLUMNS = 4
"""How many columns of the answers have tables: the first whose values the recipe's schema lists."""

MAX_DROP_VALUES = 20
MAX_ANSWER_VALUES = 12
MAX_VALUE_CHARACTERS = 40

MIN_ROWS_OF_A_VALUE = 2
"""A column of the first rows that has fewer rows for a value, on average, is a name or an id."""

Table = dict[str, Counter[str]]
"""How many rows have each value of an answer, by the value of the drop's column."""


@dataclass(slots=True)
class CrossTables:
    """Tables by the drop's column and then by the answer's column, each over all `rows` with a good answer."""

    rows: int = 0
    tables: dict[str, dict[str, Table]] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """True while rows can change the tables: no rows have come yet, or some columns have few values."""
        return not self.rows or bool(self.tables)

    def close(self) -> None:
        """Give up all tables: some rows could not be counted."""
        self.rows, self.tables = max(1, self.rows), {}

    def add(self, dropped: Mapping[str, Sequence[str]], answered: Mapping[str, Sequence[str]]) -> None:
        """Add rows with good answers, column by column. The first ones decide which columns of the drop are counted."""
        count = len(next(iter(answered.values()), ()))
        if not count:
            return
        if not self.rows:
            self.tables = {name: {answer: {} for answer in answered} for name in _candidates(dropped, count)}
        self.rows += count
        for name in list(self.tables):
            known = next(iter(self.tables[name].values()))
            if name not in dropped or not _are_few({*known, *dropped[name]}):
                del self.tables[name]
        columns = [dropped[name] for name in self.tables]
        for row, times in Counter(zip(*columns, *answered.values(), strict=True)).items():
            values = dict(zip(answered, row[len(columns) :], strict=True))
            for tables, value in zip(self.tables.values(), row, strict=False):
                for answer, found in values.items():
                    tables[answer].setdefault(value, Counter())[found] += times

    def merge(self, other: Self) -> None:
        """Add the tables of other rows. Only the columns that both have counted stay."""
        if not other.rows:
            return
        if not self.rows:
            self.tables = {name: {answer: {} for answer in tables} for name, tables in other.tables.items()}
        self.rows += other.rows
        for name in list(self.tables):
            theirs = other.tables.get(name)
            own = self.tables[name]
            if theirs is None or theirs.keys() != own.keys():
                del self.tables[name]
                continue
            for answer, table in theirs.items():
                for value, counts in table.items():
                    own[answer].setdefault(value, Counter()).update(counts)
            if len(next(iter(own.values()))) > MAX_DROP_VALUES:
                del self.tables[name]

    def to_json(self) -> dict[str, Any]:
        """Return the tables as JSON members."""
        return {"rows": self.rows, "tables": self.tables}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Return the tables of JSON members."""
        return cls(
            members["rows"],
            {
                name: {
                    answer: {value: Counter(counts) for value, counts in table.items()}
                    for answer, table in tables.items()
                }
                for name, tables in members["tables"].items()
            },
        )


def _candidates(dropped: Mapping[str, Sequence[str]], rows: int) -> list[str]:
    found = []
    for name, values in dropped.items():
        different = set(values)
        if _are_few(different) and rows >= MIN_ROWS_OF_A_VALUE * len(different):
            found.append(name)
    return found[:MAX_DROP_COLUMNS]


def _are_few(values: set[str]) -> bool:
    return len(values) <= MAX_DROP_VALUES and max(map(len, values)) <= MAX_VALUE_CHARACTERS
