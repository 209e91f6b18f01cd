"""Bounds of finding and reading a recipe: it is small, and its files are in its own folder or below."""

import json

import pytest

from dropbatch.domain.drops import MAX_RECIPE_FOLDERS, recipe_keys
from dropbatch.domain.errors import DropRejectedError, ObjectNotFoundError
from dropbatch.domain.problems import Problem
from dropbatch.recipes.yaml import MAX_BYTES
from dropbatch.storage.recipe_text import MAX_FILES_BYTES, RecipeText, find_recipe, read_recipe, with_files
from tests.fakes import INBOX, FakeClock, FakeObjects

RECIPE = b"model: m\nprompt: file://prompt.md\n"


class Objects(FakeObjects):
    """S3 that counts the bytes that are read."""

    read = 0

    def blocks(self, *args, **more):
        for block in super().blocks(*args, **more):
            self.read += len(block)
            yield block


@pytest.fixture
def objects() -> Objects:
    return Objects(FakeClock())


def rejection(objects: Objects, key: str = "a/r.csv") -> Problem:
    with pytest.raises(DropRejectedError) as rejected:
        find_recipe(objects, INBOX, key)
    [problem] = rejected.value.problems
    return problem


def test_a_recipe_that_is_too_large_is_not_read(objects: Objects) -> None:
    objects.drop("a/recipe.yaml", b"#" * (MAX_BYTES + 1))
    problem = rejection(objects)
    assert (problem.code, problem.path) == ("recipe_too_long", "a/recipe.yaml")
    assert objects.read == 0


def test_a_file_that_is_too_large_is_not_read(objects: Objects) -> None:
    objects.drop("a/recipe.yaml", RECIPE)
    objects.drop("a/prompt.md", b"x" * (MAX_BYTES + 1))
    problem = rejection(objects)
    assert (problem.code, problem.key, problem.line) == ("file_too_large", "prompt", 2)
    assert "prompt.md has 1,048,577 bytes" in problem.message
    assert objects.read == len(RECIPE)


def test_files_that_are_too_large_together_are_not_read(objects: Objects) -> None:
    names = [f"{n}.md" for n in range(5)]
    turns = "".join(f"    - {{role: user, content: file://{name}}}\n" for name in names)
    objects.drop("a/recipe.yaml", f"body:\n  model: m\n  messages:\n{turns}".encode())
    for name in names:
        objects.drop(f"a/{name}", b"x" * (MAX_BYTES - 1))
    problem = rejection(objects)
    assert (problem.code, problem.key) == ("file_too_large", "body.messages[3].content")
    assert "4 MiB together" in problem.message
    assert objects.read <= MAX_FILES_BYTES


def test_files_up_to_the_bound_are_read(objects: Objects) -> None:
    objects.drop("a/recipe.yaml", RECIPE)
    objects.drop("a/prompt.md", b"x" * MAX_BYTES)
    found = find_recipe(objects, INBOX, "a/r.csv")
    assert found is not None
    assert len(found.files["prompt.md"]) == MAX_BYTES


@pytest.mark.parametrize(
    "name", ["../payroll/salaries.csv", "b/../../payroll/salaries.csv", "/payroll/salaries.csv", ".."]
)
def test_nothing_outside_of_the_recipe_s_folder_is_read(objects: Objects, name: str) -> None:
    objects.drop("payroll/s.csv", b"secret")
    recipe = with_files(objects, INBOX, "guest/recipe.yaml", f"model: m\nprompt: file://{name}\n".encode())
    assert recipe.files == {}
    assert objects.read == 0
    with pytest.raises(DropRejectedError) as rejected:
        recipe.compiled()
    [problem] = rejected.value.problems
    assert (problem.code, problem.key) == ("wrong_value", "prompt")


def test_a_job_of_a_release_without_prompt_caching_keeps_its_requests() -> None:
    text = f"model: gpt-6-luna\nsystem: {'word ' * 1_100}\nprompt: '{{{{ text }}}}'\n".encode()
    taken = RecipeText("recipe.yaml", text, {})
    today = RecipeText.from_json(taken.to_json())
    stored = json.loads(taken.to_json())
    del stored["caches"]  # as that release stored it
    former = RecipeText.from_json(json.dumps(stored).encode())
    assert RecipeText.from_json(former.to_json()) == former
    bodies = [recipe.compiled().request({"text": "hi"}).body for recipe in (taken, today, former)]
    assert bodies[0] == bodies[1]
    assert [b"prompt_cache" in body for body in bodies] == [True, True, False]
    assert taken.sha256 == former.sha256


def test_a_recipe_that_grew_while_it_was_read_is_refused(objects: Objects) -> None:
    objects.drop("recipe.yaml", b"model: m")
    small = objects.head(INBOX, "recipe.yaml")
    objects.drop("recipe.yaml", b"#" * (MAX_BYTES + 1))
    objects.head = lambda *_args, **_more: small  # type: ignore[method-assign]
    with pytest.raises(DropRejectedError):
        read_recipe(objects, INBOX, "recipe.yaml")


def test_a_recipe_that_does_not_exist_is_missing(objects: Objects) -> None:
    with pytest.raises(ObjectNotFoundError):
        read_recipe(objects, INBOX, "recipe.yaml")
    assert find_recipe(objects, INBOX, "a/r.csv") is None


def test_only_the_nearest_folders_and_the_root_are_searched() -> None:
    assert recipe_keys("a/b/c.csv") == [
        "a/b/recipe.yaml", "a/b/recipe.yml", "a/recipe.yaml", "a/recipe.yml", "recipe.yaml", "recipe.yml",
    ]  # fmt: skip
    keys = recipe_keys("x/" * 450 + "c.csv")
    assert len(keys) == 2 * (MAX_RECIPE_FOLDERS + 1)
    assert keys[0] == "x/" * 450 + "recipe.yaml"
    assert keys[-2:] == ["recipe.yaml", "recipe.yml"]
