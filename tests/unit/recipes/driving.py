"""Use of a recipe in tests: its problems, and the requests of rows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.parser import parse_recipe

SHORT = "model: gpt-6-luna\nprompt: '{{ text }}'\n"
LOOPS = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}"
"""A template that takes too long."""


def problems_of(
    text: str | bytes,
    *,
    path: str = "recipe.yaml",
    files: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
) -> list[Problem]:
    """Return all problems of a recipe, and of its use with a drop of these columns, if they are given."""
    encoded = text.encode() if isinstance(text, str) else text
    try:
        compiled = compile_recipe(parse_recipe(encoded, path), files or {})
    except DropRejectedError as rejected:
        return list(rejected.problems)
    return compiled.check_columns(columns) if columns is not None else []


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


def compiled(text: str, **files: str) -> CompiledRecipe:
    """Return a recipe with its files; `prompt_md` is the text of `prompt.md`."""
    recipe = parse_recipe(text.encode())
    return compile_recipe(recipe, {name.replace("_", "."): content for name, content in files.items()})


def body_of(text: str, row: dict[str, Any], **files: str) -> Any:
    """Return the body of the request of a row."""
    request = compiled(text, **files).request(row)
    assert request is not None
    return json.loads(request.body)


def rejection(text: str, row: dict[str, Any]) -> Problem:
    """Return the one problem for which a row is rejected."""
    with pytest.raises(RowRejectedError) as rejected:
        compiled(text).request(row)
    (problem,) = rejected.value.problems
    return problem
