"""The comparison of a run's answers with those of the run before it, by their fingerprints, in bounded memory."""

from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

from dropbatch.domain.comparisons import MAX_MOVES, ColumnChange, Comparison
from dropbatch.domain.jobs import Job
from dropbatch.jobs.runs import previous_run
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.storage.context import Context
from dropbatch.storage.fingerprints import Head, compared_columns, head_of, named, read_rows

CHUNK_ROWS = 32_768
"""How many rows are compared at once: 6 MB of each run if they have fifty columns."""

MAX_VALUES = 100
"""A column with more values is compared only by rows, not by which value became which."""


def compare(context: Context, job: Job, own: Head, in_time: Callable[[], bool]) -> Comparison | None:
    """Return the differences from the run before; None if the runs cannot be compared, or if time ran out."""
    before = previous_run(context.repository, job)
    theirs = head_of(context, before[0]) if before else None
    if before is None or theirs is None:
        return None
    found = Comparison(*before)
    is_same = own.version_id == theirs.version_id or (own.content is not None and own.content == theirs.content)
    if not is_same:
        found.same_file = False
        # With a limit, only a part of the file was read. The other part may be the same or not.
        return None if own.limit or theirs.limit else found
    if not _are_of_the_same_rows(own, theirs):
        return None
    found.new_columns = [name for name in own.columns if name not in theirs.columns]
    found.gone_columns = [name for name in theirs.columns if name not in own.columns]
    found.new_values = {
        column: new
        for column, names in ((name, named(own.values, name)) for name in own.columns if name in theirs.values)
        if (new := [value for value in names.values() if value not in named(theirs.values, column).values()])
    }
    return found if _Counter(own, theirs, found).count_all(context, in_time) else None


def _are_of_the_same_rows(own: Head, theirs: Head) -> bool:
    """Return whether the rows of two runs of a file are the same ones, as far as both go.

    Two runs with the same limit, or without one, may still split the file into other rows, because their recipes name
    different headers. With different limits, one run has the first rows of the other, unless they are a sample.
    """
    if own.limit == theirs.limit:
        return own.rows == theirs.rows
    return all(isinstance(head.limit, int | None) for head in (own, theirs))


class _Counter:
    """A counter of the rows that differ."""

    def __init__(self, own: Head, theirs: Head, found: Comparison) -> None:
        self._own, self._theirs, self._found = own, theirs, found
        self._common = [name for name in own.columns if name in theirs.columns]
        self._changes = {name: ColumnChange(name) for name in self._common}
        self._names = {name: (named(theirs.values, name), named(own.values, name)) for name in self._common}
        self._moves: dict[str, Counter[tuple[int, int]]] = {
            name: Counter() for name, (old, new) in self._names.items() if old and new
        }

    def count_all(self, context: Context, in_time: Callable[[], bool]) -> bool:
        """Count over all rows that both runs have; return False if time ran out."""
        first_row = 1
        streams = (read_rows(context, head, CHUNK_ROWS) for head in (self._theirs, self._own))
        for theirs, own in zip(*streams, strict=False):
            if not in_time():
                return False
            count = min(len(theirs[0]), len(own[0]))
            self._add([column[:count] for column in theirs], [column[:count] for column in own], first_row)
            first_row += count
        for name, counts in self._moves.items():
            old, new = self._names[name]
            self._changes[name].moves = [
                (old.get(before, "?"), new.get(after, "?"), rows)
                for (before, after), rows in counts.most_common(MAX_MOVES)
            ]
        self._found.columns = list(self._changes.values())
        return True

    def _add(self, theirs: list["array[int]"], own: list["array[int]"], first_row: int) -> None:
        found, before, after = self._found, theirs[0], own[0]
        both = len(before)
        if 0 in before or 0 in after:
            both = sum(1 for old, new in zip(before, after, strict=True) if old and new)
            found.answered += len(after) - after.count(0) - both
            found.unanswered += len(before) - before.count(0) - both
        found.rows += both
        for name in self._common:
            old, new = theirs[self._theirs.columns.index(name)], own[self._own.columns.index(name)]
            if old == new:
                continue
            pairs = enumerate(zip(old, new, strict=True), first_row)
            changed = [(row, pair) for row, pair in pairs if pair[0] != pair[1] and pair[0] and pair[1]]
            change = self._changes[name]
            change.rows += len(changed)
            if changed and change.first_row is None:
                change.first_row = changed[0][0]
            if name in self._moves:
                self._moves[name].update(pair for _, pair in changed)


def few_values(compiled: CompiledRecipe) -> dict[str, list[Any]]:
    """Return the values of the columns that have few values."""
    compared = compared_columns(compiled)
    return {
        column: list(values)
        for column, values in compiled.categories.items()
        if column in compared and len(values) <= MAX_VALUES
    }
