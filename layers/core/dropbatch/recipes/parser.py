"""From a recipe's text to its keys: a closed list, each checked for the values that it takes.

Parsing looks at the recipe alone. Compiling checks that its templates, schema and files fit together. The check that
they fit a drop's columns needs the drop. All problems are found at once, each with its line.
"""

from typing import Any

from dropbatch.batch_api.models import EXAMPLE_MODEL
from dropbatch.batch_api.parameters import PARAMETERS
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.recipes import misplaced_keys
from dropbatch.recipes.checks import check_keys
from dropbatch.recipes.file_references import find_files
from dropbatch.recipes.keys import KEYS, MEMBERS, Recipe
from dropbatch.recipes.quoted_names import listed
from dropbatch.recipes.recipe_problems import RecipeProblems, describe
from dropbatch.recipes.similar_names import nearest
from dropbatch.recipes.yaml import dotted, read_yaml


def parse_recipe(text: bytes, path: str = "recipe.yaml") -> Recipe:
    """Return the recipe of a text, with its problems. `path` is its place in the bucket, which problems name.

    Raise DropRejectedError if the text is not YAML, or has no keys at all.
    """
    document = read_yaml(text, path)
    if document.value is None:
        sentence = f"{path} is empty; a recipe has at least the keys model and prompt."
        raise DropRejectedError.because(Problem("empty_recipe", sentence, path=path))
    if not isinstance(document.value, dict):
        sentence = f"{path} must hold keys, as in model: {EXAMPLE_MODEL}, not {describe(document.value)}."
        raise DropRejectedError.because(Problem("wrong_type", sentence, line=1, path=path))
    written: dict[str, Any] = document.value
    places = {dotted(at): place for at, place in document.places.items()}
    problems = RecipeProblems(path, places)
    for name in written:
        if name not in KEYS:
            _report_unknown(problems, name, has_body="body" in written)
    members = {}
    for name, key in KEYS.items():
        value = key.read(problems, name, written[name]) if name in written else None
        if value is not None:
            members[name] = value
    check_keys(problems, written, members)
    files = find_files(problems, members)
    return Recipe(
        path=path,
        files=tuple(files),
        file_keys=files,
        places=places,
        problems=problems.found,
        **{MEMBERS[name]: value for name, value in members.items()},
    )


def _report_unknown(problems: RecipeProblems, key: str, *, has_body: bool) -> None:
    where = misplaced_keys.place_in_recipe(key, has_body=has_body)
    if where is not None:
        problems.add("misplaced_key", key, where)
        return
    like = nearest(key, (*KEYS, *sorted(PARAMETERS)))
    advice = f"did you mean {like}?" if like else f"the keys are {listed(KEYS)}."
    if like is not None and like not in KEYS:
        advice = f"did you mean {like}? {misplaced_keys.place_in_recipe(like, has_body=has_body)}"
    problems.add("unknown_key", key, f"there is no such key; {advice}")
