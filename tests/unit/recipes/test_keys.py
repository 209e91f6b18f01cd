"""The table of keys."""

from dataclasses import MISSING, fields

from dropbatch.recipes.keys import KEYS, MEMBERS, READING_KEYS, RECIPES_OWN, SHORT_FORM, Recipe
from dropbatch.recipes.parser import parse_recipe

from .driving import SHORT


def test_a_short_recipe_has_defaults_for_all_it_leaves_out() -> None:
    recipe = parse_recipe(SHORT.encode())
    assert (recipe.endpoint, recipe.bad_rows, recipe.notify) == (
        "/v1/chat/completions",
        "reject",
        ("accepted", "ended"),
    )
    assert (recipe.limit, recipe.delimiter, recipe.encoding, recipe.prefix, recipe.id) == (None, None, None, "", None)


def test_each_key_is_a_member_of_a_recipe_with_a_default() -> None:
    members = {member.name: member for member in fields(Recipe)}
    assert set(MEMBERS.values()) == members.keys() - {"path", "files", "file_keys", "places", "problems"}
    assert MEMBERS.keys() == KEYS.keys()
    for key in MEMBERS.values():
        assert members[key].default is not MISSING or members[key].default_factory is not MISSING


def test_the_groups_of_keys_follow_from_the_table() -> None:
    assert SHORT_FORM == ("model", "system", "prompt", "examples", "parameters")
    assert KEYS.keys() - RECIPES_OWN == {"model", "prompt", "id"}
    assert READING_KEYS == ("bad_rows", "delimiter", "encoding", "quoting", "escape", "header")
