"""The comparison of a shard's answers with the known ones, where each row and its answer are written together."""

import json
from collections.abc import Callable, Mapping
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


class KnownAnswers:
    """Compares good answers with the columns of the drop that the recipe's `expect` names, and counts in `tally`."""

    def __init__(self, rows: JobRows, compiled: CompiledRecipe, tally: Tally) -> None:
        self._layout = rows.layout
        self._expected = compiled.expected
        self._comparers = comparers(compiled)
        self._tally = tally
        self._values = _reader_of_values(rows, compiled)

    def write(self, chunk: RowChunk) -> None:
        """Compare the answers of a chunk. A row without a known answer, or without a good one, is left out."""
        if all(result.outcome is not Outcome.OK for result, _ in chunk.found):
            return
        records = read_rows(chunk.raws, self._layout, first_number=chunk.first_row, first_line=1)
        for record, (result, _) in zip(records, chunk.found, strict=True):
            if result.outcome is not Outcome.OK or record.values is None or result.columns is None:
                continue
            answers = self._values(result.columns)
            for column, label in self._expected.items():
                comparer = self._comparers[column]
                expected = comparer.canonical(record.values.get(label))
                if expected:
                    answered = comparer.canonical(answers.get(column))
                    compare(self._tally.agreement, column, result.row, expected, answered)


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
