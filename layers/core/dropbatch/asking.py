"""Which request a row becomes: a pure function of the row and the recipe, so that it can be asked at any time again."""

from dataclasses import replace

from dropbatch.domain.errors import RowRejected
from dropbatch.domain.problems import Problem
from dropbatch.formats.raw import raw_request
from dropbatch.formats.reading import Record
from dropbatch.recipes.compiling import CompiledRecipe
from dropbatch.requests import Request


class Asker:
    """Turns rows into requests by a recipe, or, without one, takes them as the ready requests of a raw drop."""

    def __init__(self, recipe: CompiledRecipe | None) -> None:
        self._recipe = recipe

    def request(self, record: Record) -> Request | None:
        """The row's request, or None where `when` is empty; RowRejected, with the row's line, where it is bad."""
        if record.problem is not None:
            raise RowRejected(record.problem)
        try:
            if self._recipe is None:
                return raw_request(record).request
            return self._recipe.request(record.values or {})
        except RowRejected as rejected:
            raise RowRejected(*(_in_line(record.line, problem) for problem in rejected.problems)) from rejected


def _in_line(line: int, problem: Problem) -> Problem:
    if problem.line is not None:
        return problem
    message = f"Line {line}, {problem.message[0].lower()}{problem.message[1:]}"
    return replace(problem, line=line, message=message)
