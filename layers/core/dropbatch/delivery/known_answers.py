"""The comparison of a shard's answers with the known ones, where each row and its answer are written together."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dropbatch.answers.agreement import compare
from dropbatch.answers.tally import Tally
from dropbatch.delivery.row_results import RowChunk
from dropbatch.domain.outcomes import Outcome
from dropbatch.formats.csv.strict_reader import values_of
from dropbatch.formats.file_types import Kind
from dropbatch.formats.reading import read_rows
from dropbatch.formats.writing import without_apostrophe
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.summary import comparers
from dropbatch.rows.job_rows import JobRows

Pair = tuple[str, str, str]
"""A column, the answer that is expected there, and the one that was given, both in canonical form."""

MAX_KNOWN = 10_000
MAX_KNOWN_CHARACTERS = 500
"""How many different rows are kept at once, and the length of the answers of each: some ten megabytes."""


class KnownAnswers:
    """Compares good answers with the columns of the drop that the recipe's `expect` names, and counts in `tally`."""

    def __init__(self, rows: JobRows, compiled: CompiledRecipe, tally: Tally) -> None:
        self._layout = rows.layout
        self._expected = compiled.expected
        self._comparers = comparers(compiled)
        self._tally = tally
        self._values = _reader_of_values(rows, compiled)
        self._known: dict[tuple[tuple[Any, ...], str], Sequence[Pair]] = {}

    def write(self, chunk: RowChunk) -> None:
        """Compare the answers of a chunk. A row without a known answer, or without a good one, is left out."""
        if all(result.outcome is not Outcome.OK for result, _ in chunk.found):
            return
        records = read_rows(chunk.raws, self._layout, first_number=chunk.first_row, first_line=1)
        for record, (result, _) in zip(records, chunk.found, strict=True):
            if result.outcome is not Outcome.OK or record.values is None or result.columns is None:
                continue
            labels = tuple(map(record.values.get, self._expected.values()))
            for column, expected, answered in self._pairs(labels, result.columns):
                compare(self._tally.agreement, column, result.row, expected, answered)

    def _pairs(self, labels: tuple[Any, ...], columns: str) -> Sequence[Pair]:
        """Return the pairs of a row. Most rows have the labels and the answers of another one, so they are kept."""
        is_text = all(label is None or type(label) is str for label in labels)
        if not is_text or len(columns) > MAX_KNOWN_CHARACTERS:
            return self._compared(labels, columns)  # 1 equals true, and lists have no hash
        found = self._known.get((labels, columns))
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            found = self._known[labels, columns] = self._compared(labels, columns)
        return found

    def _compared(self, labels: tuple[Any, ...], columns: str) -> Sequence[Pair]:
        answers = self._values(columns)
        pairs = []
        for column, label in zip(self._expected, labels, strict=True):
            comparer = self._comparers[column]
            expected = comparer.canonical(label)
            if expected:
                pairs.append((column, expected, comparer.canonical(answers.get(column))))
        return pairs


def _reader_of_values(rows: JobRows, compiled: CompiledRecipe) -> Callable[[str], Mapping[str, Any]]:
    """Return the function that reads what an answer adds to its row back into values, by the names of their columns."""
    names, layout = compiled.columns, rows.layout
    if layout.kind in (Kind.JSONL, Kind.JSON, Kind.PARQUET):
        return _members
    keeps_formulas = compiled.recipe.formulas == "keep"

    def fields(text: str) -> Mapping[str, Any]:
        values = (values_of(text, layout.dialect) or [""])[1:]
        return dict(zip(names, values if keeps_formulas else map(without_apostrophe, values), strict=False))

    return fields


def _members(text: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads("{" + text.lstrip(",") + "}")
    return found
