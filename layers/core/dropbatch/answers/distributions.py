"""The distributions of the answers' columns: what the report draws, added up where rows are collected.

They take a fixed amount of memory and of JSON, for any number of rows: at most `MAX_COLUMNS` columns, each with a
histogram of its numbers, one of the lengths of its texts, and at most `MAX_VALUES` values. They can be merged in any
order, as the sums of batches, shards and jobs are. Columns that have only the values that the recipe's schema allows
are not here: `Tally.categories` counts these.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from dropbatch.answers.histogram import Numbers
from dropbatch.batch_api.endpoints import endpoint_at
from dropbatch.json_encoding import to_json
from dropbatch.recipes.compiled_recipe import CompiledRecipe

MAX_COLUMNS = 50
"""How many columns are counted: the first ones. With 200 bins of 15 bytes for each they take 150 KB of JSON."""

MAX_VALUES = 100
"""How many different short texts of a column are counted, and how many values of lists."""

MAX_VALUE_CHARACTERS = 60
"""The length of a value that is counted as such. Of a column with a longer text only the lengths are counted."""

MAX_ITEMS = 100
"""How many items of each list are counted."""


@dataclass(slots=True)
class Frequent:
    """The most frequent values of many, by the algorithm of Misra and Gries: at most `MAX_VALUES` are kept.

    A value occurs at least as often as `counts` says, and at most `missed` times more.
    """

    counts: Counter[str] = field(default_factory=Counter)
    missed: int = 0

    def add(self, values: Iterable[str]) -> None:
        """Add values, each as often as it occurs."""
        self.counts.update(values)
        if len(self.counts) > 2 * MAX_VALUES:
            self._shrink()

    def _shrink(self) -> None:
        if len(self.counts) <= MAX_VALUES:
            return
        least = self.counts.most_common(MAX_VALUES + 1)[-1][1]
        self.counts = Counter({value: count - least for value, count in self.counts.items() if count > least})
        self.missed += least

    def merge(self, other: "Frequent") -> None:
        """Add other values."""
        self.counts.update(other.counts)
        self.missed += other.missed
        self._shrink()

    def to_json(self) -> list[Any]:
        """Return the values as JSON."""
        self._shrink()
        return [self.missed, dict(self.counts)]

    @classmethod
    def from_json(cls, members: Sequence[Any]) -> Self:
        """Return the values of JSON."""
        return cls(Counter(members[1]), members[0])


@dataclass(slots=True)
class Texts:
    """Texts: their lengths in characters, of which zero says that a text is empty.

    `values` counts the texts themselves while all are short and they are few; then it is None, in any order.
    """

    lengths: Numbers = field(default_factory=Numbers)
    empty: int = 0
    values: Counter[str] | None = field(default_factory=Counter)

    def add(self, texts: Sequence[str]) -> None:
        """Add texts."""
        lengths = list(map(len, texts))
        self.lengths.add(lengths)
        self.empty += lengths.count(0)
        if self.values is not None:
            if max(lengths) <= MAX_VALUE_CHARACTERS:
                self.values.update(texts)
            self._forget(is_long=max(lengths) > MAX_VALUE_CHARACTERS)

    def _forget(self, *, is_long: bool = False) -> None:
        if is_long or (self.values is not None and len(self.values) > MAX_VALUES):
            self.values = None

    def merge(self, other: "Texts") -> None:
        """Add other texts."""
        self.lengths.merge(other.lengths)
        self.empty += other.empty
        if self.values is None or other.values is None:
            self.values = None
        else:
            self.values.update(other.values)
            self._forget()

    def to_json(self) -> list[Any]:
        """Return the texts' sums as JSON."""
        return [self.lengths.to_json(), self.empty, None if self.values is None else dict(self.values)]

    @classmethod
    def from_json(cls, members: Sequence[Any]) -> Self:
        """Return the texts' sums of JSON."""
        lengths, empty, values = members
        return cls(Numbers.from_json(lengths), empty, None if values is None else Counter(values))


@dataclass(slots=True)
class Column:
    """The values of one column in the good answers, by their type: a column may have several types of values."""

    rows: int = 0
    missing: int = 0
    booleans: Counter[str] = field(default_factory=Counter)
    numbers: Numbers = field(default_factory=Numbers)
    texts: Texts = field(default_factory=Texts)
    lists: int = 0
    empty_lists: int = 0
    items: Frequent = field(default_factory=Frequent)
    objects: int = 0

    def add(self, values: Sequence[Any]) -> None:
        """Add the values of some answers."""
        self.rows += len(values)
        self._add(values, set(map(type, values)))

    def _add(self, values: Sequence[Any], types: set[type]) -> None:
        if types == {str}:
            self.texts.add(values)
        elif types <= {int, float}:
            self.numbers.add(values)
        elif types == {bool}:
            self.booleans.update("true" if value else "false" for value in values)
        elif types == {list}:
            self._add_lists(values)
        elif types == {type(None)}:
            self.missing += len(values)
        elif types == {dict}:
            self.objects += len(values)
        elif types - _PLAIN_TYPES:
            values = _decoded(values)
            self._add(values, set(map(type, values)))
        else:
            for one in types:
                self._add([value for value in values if type(value) is one], {one})

    def _add_lists(self, values: Sequence[Sequence[Any]]) -> None:
        self.lists += len(values)
        self.empty_lists += sum(1 for value in values if not value)
        for value in values:
            self.items.add(_named(item) for item in value[:MAX_ITEMS])

    def merge(self, other: "Column") -> None:
        """Add the values of other answers."""
        self.rows += other.rows
        self.missing += other.missing
        self.booleans.update(other.booleans)
        self.numbers.merge(other.numbers)
        self.texts.merge(other.texts)
        self.lists += other.lists
        self.empty_lists += other.empty_lists
        self.items.merge(other.items)
        self.objects += other.objects

    def to_json(self) -> list[Any]:
        """Return the column as JSON."""
        counts = [self.rows, self.missing, self.lists, self.empty_lists, self.objects]
        return [counts, dict(self.booleans), self.numbers.to_json(), self.texts.to_json(), self.items.to_json()]

    @classmethod
    def from_json(cls, members: Sequence[Any]) -> Self:
        """Return the column of JSON."""
        (rows, missing, lists, empty_lists, objects), booleans, numbers, texts, items = members
        return cls(
            rows,
            missing,
            Counter(booleans),
            Numbers.from_json(numbers),
            Texts.from_json(texts),
            lists,
            empty_lists,
            Frequent.from_json(items),
            objects,
        )


_PLAIN_TYPES = {str, int, float, bool, list, dict, type(None)}


def _decoded(values: Sequence[Any]) -> list[Any]:
    """Return values of which some are JSON that is handed on as it came; None in place of what cannot be read."""
    try:
        found: list[Any] = orjson.loads(to_json(list(values)))
    except (orjson.JSONDecodeError, TypeError, ValueError, RecursionError):
        return [None] * len(values)
    return found


def _named(item: Any) -> str:
    """Return an item of a list as a short text."""
    text = item if isinstance(item, str) else to_json(item).decode()
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"


@dataclass(slots=True)
class Distributions:
    """The distributions of the columns of good answers, by the names of the columns."""

    columns: dict[str, Column] = field(default_factory=dict)
    _places: tuple[CompiledRecipe, Sequence[tuple[int, str]]] | None = field(default=None, repr=False, compare=False)

    def add(self, compiled: CompiledRecipe, answers: Sequence[Sequence[Any]]) -> None:
        """Add good answers to rows of a recipe."""
        if not answers:
            return
        if self._places is None or self._places[0] is not compiled:
            self._places = compiled, counted_places(compiled)
        for place, name in self._places[1]:
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = Column()
            column.add([answer[place] for answer in answers])

    def merge(self, other: Self) -> None:
        """Add the distributions of other answers."""
        for name, column in other.columns.items():
            if name in self.columns:
                self.columns[name].merge(column)
            elif len(self.columns) < MAX_COLUMNS:
                self.columns[name] = Column.from_json(column.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the distributions as JSON members."""
        return {name: column.to_json() for name, column in self.columns.items()}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Return the distributions of JSON members."""
        return cls({name: Column.from_json(column) for name, column in members.items()})


def counted_places(compiled: CompiledRecipe) -> Sequence[tuple[int, str]]:
    """Return the columns that are counted, each with its place. A vector is not: it says nothing to a reader."""
    if not endpoint_at(compiled.endpoint).is_repeatable:
        return ()
    places = [(place, name) for place, name in enumerate(compiled.columns) if name not in compiled.categories]
    return places[:MAX_COLUMNS]
