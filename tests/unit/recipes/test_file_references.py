"""Texts of a recipe that name a file."""

import pytest

from dropbatch.recipes.parser import parse_recipe

from .driving import only, problems_of


def test_the_files_that_a_recipe_names_are_known_without_reading_them() -> None:
    recipe = parse_recipe(
        b"model: a\nprompt: file://prompt.md\nsystem: file://shared/system.md\n"
        b"examples: [{input: file://one.txt, output: 'file://prompt.md'}]\n",
        "reviews/recipe.yaml",
    )
    assert recipe.files == ("shared/system.md", "prompt.md", "one.txt")


def test_files_are_found_anywhere_within_a_body() -> None:
    recipe = parse_recipe(b"body: {model: a, messages: [{role: user, content: [{type: text, text: 'file://p.j2'}]}]}")
    assert recipe.files == ("p.j2",)


@pytest.mark.parametrize(
    "name", ["file:///etc/passwd", "file://", "file://../up.md", "file://a/../../up.md", "file://{{ name }}.md"]
)
def test_a_file_outside_of_the_bucket_or_without_a_name_is_refused(name: str) -> None:
    problem = only(problems_of(f"model: a\nprompt: 'file://{name}'\n"))
    assert (problem.key, problem.line) == ("prompt", 2)
