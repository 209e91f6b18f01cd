"""Texts of a recipe that name a file beside it, as in `prompt: file://prompt.md`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dropbatch.recipes.recipe_problems import RecipeProblems, describe

SCHEME = "file://"


def referenced_file(text: str) -> str | None:
    """Return the path of the file that a text of the form `file://path` names; None for any other text."""
    stripped = text.strip()
    return stripped[len(SCHEME) :] if stripped.startswith(SCHEME) and "\n" not in stripped else None


def find_files(problems: RecipeProblems, members: Mapping[str, Any]) -> dict[str, str]:
    """Return the files that the recipe reads, as it names them, each with the first key that does."""
    texts = [*_texts(members.get("system"), "system"), *_texts(members.get("prompt"), "prompt")]
    texts += _texts(members.get("body"), "body")
    for number, example in enumerate(members.get("examples", ())):
        for part, text in (("input", example.input), ("output", example.output)):
            if isinstance(text, str):
                texts.append((f"examples[{number}].{part}", text))
    names: dict[str, str] = {}
    for key, text in texts:
        name = referenced_file(text)
        if name is not None and _is_in_folder(problems, key, name):
            names.setdefault(name, key)
    return names


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield every text within a value, at any depth, with its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, f"{key}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, f"{key}[{number}]")


def _is_in_folder(problems: RecipeProblems, key: str, name: str) -> bool:
    """Return whether a path leads to a file in the recipe's folder, or below it; report it if not."""
    if not name or name.endswith("/") or name.startswith("/") or re.search(r"[\x00-\x1f]|\{\{", name):
        sentence = (
            f"{describe(SCHEME + name)} names no file; write its path from the recipe's folder, as in file://prompt.md."
        )
        problems.add("wrong_value", key, sentence)
        return False
    if ".." in name.split("/"):
        sentence = f"{describe(SCHEME + name)} lies outside of the recipe's folder; move the file into it, or below it."
        problems.add("wrong_value", key, sentence)
        return False
    return True
