"""The requests of rows: a function of row and recipe alone, so that they can be built again at any time."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from dropbatch.batch_api.limits import Limits
from dropbatch.batch_api.request import Request, RequestChunk
from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.outcomes import BLANK_ROW, WHEN
from dropbatch.domain.problems import Problem
from dropbatch.formats.jsonl.fast_raw_requests import RawChunk
from dropbatch.formats.jsonl.raw_request import raw_request
from dropbatch.formats.records import Chunk, Record
from dropbatch.recipes.compiled_recipe import CompiledRecipe


class RequestBuilder:
    """A builder of requests from rows, by a recipe. Without one, rows are the ready requests of a raw drop.

    `is_decided` says that another step has decided already which rows are sent. Their contents are not checked again,
    because an earlier release, with fewer checks, may have sent them.
    """

    def __init__(self, recipe: CompiledRecipe | None, unit: str = "Line", *, is_decided: bool = False) -> None:
        self._recipe = recipe
        self._unit = unit
        self._is_decided = is_decided
        self._skips_blank = recipe is not None and recipe.recipe.blank_rows == "skip" and not is_decided
        self._added = frozenset(recipe.all_columns if recipe else ())

    def limited(self) -> AbstractContextManager[None]:
        """Bound the time that building requests takes within the block, which is for one chunk of rows."""
        return nullcontext() if self._recipe is None else self._recipe.limited()

    def request(self, record: Record) -> Request | None:
        """Return the row's request; None if the row is left out.

        Raise RowRejectedError, with the row's line, if the row is bad.
        """
        if record.problem is not None:
            raise RowRejectedError(record.problem)
        if self._skips_blank and self._is_blank(record.values or {}):
            return None
        try:
            if self._recipe is None:
                return raw_request(record, is_decided=self._is_decided).request
            return self._recipe.request(record.values or {})
        except RowRejectedError as rejected:
            raise RowRejectedError(
                *(_in_line(self._unit, record.line, problem) for problem in rejected.problems)
            ) from rejected

    def skip_code(self, record: Record) -> str:
        """Return the code of a row that has no request and is not bad."""
        return BLANK_ROW if self._skips_blank and self._is_blank(record.values or {}) else WHEN

    def _is_blank(self, values: Mapping[str, Any]) -> bool:
        # A row with a name that the answers add rejects the drop, whatever its values are.
        return all(map(_is_empty, values.values())) and self._added.isdisjoint(values)

    def requests(self, chunk: Chunk) -> RequestChunk | None:
        """Return the requests of all the chunk's rows at once; None if they have to be built row by row."""
        if isinstance(chunk, RawChunk):
            return chunk.requests() if self._recipe is None else None
        columns = chunk.values() if self._recipe is not None else None
        if self._recipe is None or columns is None:
            return None
        if self._skips_blank and _has_blank_row(columns.values()):
            return None
        return self._recipe.requests(chunk.number, columns)


def _is_empty(value: Any) -> bool:
    """Return whether a value is empty: null, white space, an empty list or object."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, list | dict) and not value)


def _has_blank_row(columns: Collection[Sequence[Any]]) -> bool:
    """Return whether all values of some row are empty.

    One column without an empty value proves that no row is blank. Nearly always there is one: 25 ns a row.
    """
    if any(map(_is_full, columns)):
        return False
    suspects: Sequence[int] | None = None
    for cells in columns:
        places = range(len(cells)) if suspects is None else suspects
        suspects = [place for place in places if _is_empty(cells[place])]
    return bool(suspects)


def _is_full(cells: Sequence[Any]) -> bool:
    """Return whether all of a column's values are texts that are not blank."""
    try:
        return all(cells) and not any(map(str.isspace, cells))
    except TypeError:  # not all of them are texts
        return False


def find_size_problems(unit: str, line: int, request: Request, size: int, limits: Limits) -> list[Problem]:
    """Return the problems with the size of a row's request, which takes `size` bytes as a line."""
    maximum = min(limits.line_bytes, limits.batch_bytes)
    if size > maximum:
        sentence = f"The request of {unit.lower()} {line} is {size:,} bytes long, and {maximum:,} is the maximum; "
        return [Problem("line_too_long", sentence + "shorten the row.", line=line)]
    maximum = limits.batch_embedding_inputs
    if request.embedding_inputs > maximum:
        sentence = f"{unit} {line} asks for {request.embedding_inputs:,} embeddings, and {maximum:,} is the maximum; "
        return [Problem("too_many_inputs", sentence + "spread them over several lines.", line=line)]
    return []


def _in_line(unit: str, line: int, problem: Problem) -> Problem:
    if problem.line is not None:
        return problem
    message = f"{unit} {line}, {problem.message[0].lower()}{problem.message[1:]}"
    return replace(problem, line=line, message=message)
