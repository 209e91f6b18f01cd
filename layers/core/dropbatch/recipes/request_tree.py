"""A recipe's request as a tree, which holds slots in place of the texts that differ from row to row."""

from collections.abc import Callable, Mapping
from typing import Any

from dropbatch.batch_api.endpoints import CHAT, endpoint_at
from dropbatch.json_encoding import to_json
from dropbatch.recipes.keys import Recipe
from dropbatch.recipes.slots import Slot

MakeSlot = Callable[[str, str], Any]
"""Takes the text of a template and its key, and returns its slot; an empty text if it cannot be compiled."""


def build_tree(recipe: Recipe, make_slot: MakeSlot, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the tree of a recipe of either form, with the `schema` of its answers."""
    if recipe.body is not None:
        tree: dict[str, Any] = _with_slots(recipe.body, "body", make_slot)
    else:
        tree = _short_form(recipe, make_slot)
    if schema is not None:
        _add_schema(tree, recipe.endpoint, schema)
    return tree


def _short_form(recipe: Recipe, make_slot: MakeSlot) -> dict[str, Any]:
    prompt = make_slot(recipe.prompt or "", "prompt")
    tree: dict[str, Any] = {}
    if recipe.model is not None:
        tree["model"] = make_slot(recipe.model, "model")
    system = None if recipe.system is None else make_slot(recipe.system, "system")
    turns = _turns(recipe, make_slot)
    if recipe.endpoint == CHAT:
        opening = [] if system is None else [{"role": "system", "content": system}]
        tree["messages"] = [*opening, *turns, {"role": "user", "content": prompt}]
    else:
        if system is not None:
            tree["instructions"] = system
        question = [*turns, {"role": "user", "content": prompt}] if turns else prompt
        tree[endpoint_at(recipe.endpoint).question] = question
    tree.update(recipe.parameters)
    return tree


def _turns(recipe: Recipe, make_slot: MakeSlot) -> list[dict[str, Any]]:
    """Return the examples as the earlier turns of a conversation."""
    turns: list[dict[str, Any]] = []
    for number, example in enumerate(recipe.examples):
        at = f"examples[{number}]"
        turns.append({"role": "user", "content": make_slot(example.input, f"{at}.input")})
        output = example.output
        answer = make_slot(output, f"{at}.output") if isinstance(output, str) else to_json(output).decode()
        turns.append({"role": "assistant", "content": answer})
    return turns


def _with_slots(value: Any, key: str, make_slot: MakeSlot) -> Any:
    if isinstance(value, str):
        return make_slot(value, key)
    if isinstance(value, Mapping):
        return {name: _with_slots(item, f"{key}.{name}", make_slot) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_slots(item, f"{key}[{number}]", make_slot) for number, item in enumerate(value)]
    return value


def _add_schema(tree: dict[str, Any], endpoint: str, schema: Mapping[str, Any]) -> None:
    strict = {"name": "answer", "strict": True, "schema": schema}
    if endpoint == CHAT:
        tree["response_format"] = {"type": "json_schema", "json_schema": strict}
    else:
        tree["text"] = {**(tree.get("text") or {}), "format": {"type": "json_schema", **strict}}


def with_constants(value: Any, placeholder: Any = None) -> Any:
    """Return a tree with texts for the templates that are the same for every row.

    The others stay, or become `placeholder` if that is given.
    """
    if isinstance(value, Slot):
        constant = value.template.constant
        return constant if constant is not None else value if placeholder is None else placeholder
    if isinstance(value, Mapping):
        return {name: with_constants(item, placeholder) for name, item in value.items()}
    if isinstance(value, list):
        return [with_constants(item, placeholder) for item in value]
    return value


def decides_form(value: Any) -> bool:
    """Return whether a row decides the type of a value, or how many there are."""
    return isinstance(value, Slot) and value.template.expression is not None


def decides_any_form(value: Any) -> bool:
    """Return whether a row decides the type of any part of a value, or how many there are."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return decides_form(value) or any(map(decides_any_form, parts))


def varies(value: Any) -> bool:
    """Return whether a value depends on the row in any way."""
    if isinstance(value, Slot):
        return value.template.constant is None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(map(varies, parts))
