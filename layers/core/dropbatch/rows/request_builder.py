"""The requests of rows: a function of row and recipe alone, so that they can be built again at any time."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from dropbatch import fast_paths
from dropbatch.batch_api.fast_requests import RequestChunk
from dropbatch.batch_api.limits import Limits
from dropbatch.batch_api.request import Request
from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.outcomes import BLANK_ROW, WHEN
from dropbatch.domain.problems import Problem
from dropbatch.formats.jsonl.raw_request import raw_request
from dropbatch.formats.records import Chunk, Record
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.rows.blank_values import is_empty
from dropbatch.rows.fast_requests import chunk_requests


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
        self._is_fast = fast_paths.enabled()
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
        return all(map(is_empty, values.values())) and self._added.isdisjoint(values)

    def requests(self, chunk: Chunk) -> RequestChunk | None:
        """Return the requests of all the chunk's rows by the fast path; None if `request` has to build each."""
        return chunk_requests(chunk, self._recipe, skips_blank=self._skips_blank) if self._is_fast else None


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
