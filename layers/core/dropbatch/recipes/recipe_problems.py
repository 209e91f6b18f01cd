"""The problems of a recipe: each names its key and line, and one wording says what a value must be."""

from collections.abc import Mapping
from typing import Any

from dropbatch.domain.problems import Problem, Problems
from dropbatch.recipes.quoted_names import quoted
from dropbatch.recipes.yaml import Place


def problem_at(path: str, line: int | None, code: str, key: str, sentence: str) -> Problem:
    """Return a problem of the recipe at `path`: `Line 3 of recipe.yaml, key limit: <sentence>`."""
    where = f"Line {line} of {path}" if line else path
    return Problem(code, f"{where}, key {quoted(key)}: {sentence}", line=line, key=key, path=path)


def describe(value: Any) -> str:
    """Return a value in words; of a text, only its first letters."""
    match value:
        case None:
            return "an empty value"
        case bool():
            return "the truth value " + str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value[:40]!r}"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


class RecipeProblems:
    """Collects the problems of one recipe; `places` maps its keys to their lines."""

    def __init__(self, path: str, places: Mapping[str, Place]) -> None:
        self.path, self.places = path, places
        self.found = Problems()

    def add(self, code: str, key: str, sentence: str) -> None:
        """Add a problem with a key; the sentence follows the place."""
        place = self.places.get(key)
        self.found.add(problem_at(self.path, place.line if place else None, code, key, sentence))

    def add_wrong_type(self, key: str, expected: str, value: Any) -> None:
        """Add the problem that a value has another type than `expected`."""
        is_scalar = expected == "a text" and isinstance(value, bool | int | float)
        self.add_wrong_value(
            key, expected, value, "write it in quotes." if is_scalar else "correct it.", code="wrong_type"
        )

    def add_wrong_value(self, key: str, expected: str, value: Any, advice: str, code: str = "wrong_value") -> None:
        """Add the problem that a key does not take a value, with the advice what to write."""
        self.add(code, key, f"`{quoted(key)}` must be {expected}, not {describe(value)}; {advice}")
