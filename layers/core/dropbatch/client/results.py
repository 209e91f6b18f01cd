"""The rows of a run with their answers, streamed from its file of answers, whatever its format."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dropbatch.batch_api.limits import Limits
from dropbatch.client.errors import WrongUseError
from dropbatch.client.runs import Run
from dropbatch.domain.errors import DropRejectedError, ObjectNotFoundError
from dropbatch.formats.csv.dialect import DOUBLE, NONE, CsvOptions
from dropbatch.formats.file_types import FileType, Kind, file_type
from dropbatch.formats.reading import read_drop
from dropbatch.formats.resumable_stream import ResumableStream
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.keys import Recipe
from dropbatch.storage.object_lines import read_lines
from dropbatch.storage.objects import read_object
from dropbatch.storage.ranged_file import RangedFile
from dropbatch.storage.recipe_text import RecipeText, with_files

if TYPE_CHECKING:
    from dropbatch.client.stack import Stack

NO_LIMITS = Limits(line_bytes=sys.maxsize, drop_bytes=sys.maxsize)
"""An answered row may be larger than a drop's: what Dropbatch has written is read, however large it is."""


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """The columns that a run's answers have added: those of the answer, with the values of those that have few."""

    answers: tuple[str, ...]
    status: str
    error: str
    categories: frozenset[str] = frozenset()


def rows_of(stack: "Stack", run: Run) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run; see `Stack.results`."""
    key = run.objects.get("answers")
    if key is not None:
        return _answers(stack, run, key)
    if "responses" in run.objects:
        return map(json.loads, read_lines(stack.objects, stack.results_bucket, run.objects["responses"]))
    if run.is_rejected:
        raise WrongUseError(f"{run.key} was rejected, so it has no answers.")
    raise WrongUseError(f"The run of {run.key} is {run.status}, and has no answers yet: `wait` waits for them.")


def _answers(stack: "Stack", run: Run, key: str) -> Iterator[dict[str, Any]]:
    kind = file_type(key)
    if kind.kind is Kind.PARQUET:
        yield from _table_rows(stack, key)
        return
    try:
        for record in _read(stack, key, kind, _recipe(stack, run)):
            if record.values is None:
                raise WrongUseError(f"Row {record.number:,} of {key} cannot be read: {record.problem}.")
            yield record.values
    except DropRejectedError as error:
        raise WrongUseError(f"{key} cannot be read: {error.problems.kept[0].message}") from error


def _read(stack: "Stack", key: str, kind: FileType, keys: Recipe | None) -> Any:
    options = CsvOptions(keys.delimiter, keys.quoting, keys.escape, keys.header) if keys else CsvOptions()
    if options.quoting is None and kind.kind is Kind.CSV:
        # Whether a quote opens a value was decided when the drop was read: the answers were written accordingly.
        options = CsvOptions(options.delimiter, DOUBLE, options.escape, options.header)
    content = ResumableStream(
        lambda start: stack.objects.blocks(stack.results_bucket, key, start=start),
        kind.compression,
        NO_LIMITS.drop_bytes,
        storage=None,
        has_quotes=kind.kind in (Kind.CSV, Kind.TSV) and options.quoting != NONE,
    )
    encoding = keys.encoding if keys else None
    return read_drop(content, kind, options=options, encoding=encoding, limits=NO_LIMITS, storage=content.storage)


def _table_rows(stack: "Stack", key: str) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise WrongUseError("To read Parquet on this machine, install pyarrow: pip install pyarrow.") from None
    size = stack.objects.head(stack.results_bucket, key).size
    file = RangedFile(stack.objects, stack.results_bucket, key, None, size)
    for batch in pq.ParquetFile(file).iter_batches(batch_size=1_000):
        yield from batch.to_pylist()


def recipe_text(stack: "Stack", run: Run) -> RecipeText | None:
    """Return the recipe that a run used, with its files, from the copies among its results; None if it has none."""
    path = (run.members.get("recipe") or {}).get("path")
    if path is None:
        return None
    key = f"{run.prefix}recipe/{path.rpartition('/')[2]}"
    try:
        return with_files(
            stack.objects, stack.results_bucket, key, read_object(stack.objects, stack.results_bucket, key)
        )
    except ObjectNotFoundError:
        return None


def _recipe(stack: "Stack", run: Run) -> Recipe | None:
    found = recipe_text(stack, run)
    try:
        return found.parsed() if found is not None else None
    except DropRejectedError:
        return None


def answer_columns(stack: "Stack", run: Run) -> AnswerColumns:
    """Return the columns that a run's answers have added, by its recipe."""
    found = recipe_text(stack, run)
    if found is None:
        raise WrongUseError(f"The run {run.job_id} of {run.key} has no recipe among its results.")
    try:
        compiled: CompiledRecipe = found.compiled(checked=True)
    except DropRejectedError as error:
        raise WrongUseError(
            f"The recipe of the run {run.job_id} of {run.key} cannot be used by this release: "
            f"{error.problems.kept[0].message}"
        ) from error
    status, failure = compiled.all_columns[-2:]
    return AnswerColumns(compiled.columns, status, failure, frozenset(compiled.categories))
