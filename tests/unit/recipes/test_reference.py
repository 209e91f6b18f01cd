"""The reference in docs/recipes.md: its examples are recipes, and it names all keys."""

import re
from pathlib import Path

import pytest

from dropbatch.batch_api.endpoints import ENDPOINTS, GONE
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.keys import KEYS
from dropbatch.recipes.parser import parse_recipe

REFERENCE = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", REFERENCE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_reference_can_be_used(example: str) -> None:
    recipe = parse_recipe(example.encode())
    compile_recipe(recipe, dict.fromkeys(recipe.files, "{{ text }}"))


def test_the_reference_has_examples_of_every_key() -> None:
    keys = {match for example in EXAMPLES for match in re.findall(r"^(\w+):", example, re.MULTILINE)}
    assert keys == set(KEYS)


@pytest.mark.parametrize("name", [*KEYS, *ENDPOINTS, *GONE])
def test_the_reference_names_every_key_and_endpoint(name: str) -> None:
    assert f"`{name}`" in REFERENCE
