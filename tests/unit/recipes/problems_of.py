"""What a recipe's author is told."""

from collections.abc import Mapping, Sequence

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe


def problems_of(
    text: str | bytes,
    *,
    path: str = "recipe.yaml",
    files: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
) -> list[Problem]:
    """All problems of a recipe, and of its use with a drop of these columns where they are given."""
    encoded = text.encode() if isinstance(text, str) else text
    try:
        compiled = compile_recipe(parse_recipe(encoded, path), files or {})
    except DropRejectedError as rejected:
        return list(rejected.problems)
    return compiled.check_columns(columns) if columns is not None else []


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]
