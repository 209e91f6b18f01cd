"""The checks of a recipe's keys together: keys that exclude one another, are missing, or are misplaced."""

from collections.abc import Collection, Mapping
from typing import Any

from dropbatch.batch_api.endpoints import CHAT, GONE, RESPONSES, SHORT_FORM_ENDPOINTS, endpoint_at
from dropbatch.batch_api.models import EXAMPLE_MODEL
from dropbatch.recipes import misplaced_keys
from dropbatch.recipes.keys import SHORT_FORM
from dropbatch.recipes.quoted_names import listed
from dropbatch.recipes.recipe_problems import RecipeProblems

CONFLICT = "conflicting_keys"


def check_keys(problems: RecipeProblems, written: Collection[str], members: Mapping[str, Any]) -> None:
    """Check the keys that are `written` in a recipe; `members` are the values of those that could be read."""
    endpoint = members.get("endpoint", CHAT)
    if members.get("mirror") and "limit" in written:
        sentence = "a mirror is a whole table, and limit takes only some of its rows; leave one of the two out."
        problems.add(CONFLICT, "mirror", sentence)
    if "body" in written:
        for key in SHORT_FORM:
            if key in written:
                problems.add(CONFLICT, key, f"{key} and body exclude each other; write it into the body instead.")
        _check_body(problems, members.get("body"), endpoint, has_schema="schema" in written)
    elif endpoint not in GONE:
        _check_short_form(problems, written, members, endpoint)
    if "schema" in written and not endpoint_at(endpoint).is_conversation:
        problems.add(CONFLICT, "schema", f"{endpoint} gives no structured answers; leave it out, or ask {CHAT}.")


def _check_body(problems: RecipeProblems, body: Mapping[str, Any] | None, endpoint: str, *, has_schema: bool) -> None:
    if body is None:
        return
    model = body.get("model")
    if model is None and endpoint_at(endpoint).default_model is None:
        sentence = f"the body has no model; add one, as in model: {EXAMPLE_MODEL}."
        problems.add("missing_key", "body", sentence)
    elif model is not None and (not isinstance(model, str) or not model.strip()):
        problems.add_wrong_type("body.model", "the name of a model (a text)", model)
    _check_members(problems, body, "body", endpoint)
    if has_schema and endpoint == CHAT and "response_format" in body:
        sentence = "schema sets the response_format; leave one of the two out."
        problems.add(CONFLICT, "body.response_format", sentence)
    elif has_schema and endpoint == RESPONSES:
        _check_text(problems, body, "body", "leave one of the two out.")


def _check_short_form(
    problems: RecipeProblems, written: Collection[str], members: Mapping[str, Any], endpoint: str
) -> None:
    if "endpoint" in members and endpoint not in SHORT_FORM_ENDPOINTS:
        sentence = (
            f"the short form is for {listed(SHORT_FORM_ENDPOINTS)}; write the whole request under body, or drop a "
            "ready batch file (.jsonl), which needs no recipe."
        )
        problems.add("wrong_value", "endpoint", sentence)
        return
    _check_required(problems, written, members, endpoint)
    if not endpoint_at(endpoint).is_conversation:
        for key in ("system", "examples"):
            if key in written:
                problems.add(CONFLICT, key, f"{endpoint} takes no {key}; leave the key out.")
    parameters = members.get("parameters", {})
    _check_members(problems, parameters, "parameters", endpoint)
    for name, key in _members_set_by_keys(written, endpoint).items():
        at = f"parameters.{name}"
        if name in parameters and name == key and name not in written:
            problems.add("misplaced_key", at, f"{name} goes to the top of the recipe; put it there.")
        elif name in parameters:
            sentence = (
                f"{key} sets this already; leave it out of the parameters, or write the whole request under body."
            )
            problems.add(CONFLICT, at, sentence)
    if endpoint == RESPONSES and "schema" in written:
        _check_text(problems, parameters, "parameters", "leave it out.")


def _check_required(
    problems: RecipeProblems, written: Collection[str], members: Mapping[str, Any], endpoint: str
) -> None:
    if "prompt" not in written:
        problems.add("missing_key", "prompt", 'there is no prompt; add one, as in prompt: "{{ text }}".')
    if "model" not in written and endpoint_at(endpoint).default_model is None:
        problems.add("missing_key", "model", f"there is no model; add one, as in model: {EXAMPLE_MODEL}.")
    for key in ("prompt", "model"):
        if not members.get(key, "-").strip():
            problems.add("wrong_value", key, f"`{key}` must be a text, not an empty one; write one.")


def _members_set_by_keys(written: Collection[str], endpoint: str) -> dict[str, str]:
    """Return the members of the request that the recipe's own keys set, each with its key."""
    members = {"model": "model", endpoint_at(endpoint).question: "prompt"}
    if endpoint == RESPONSES and "system" in written:
        members["instructions"] = "system"
    if endpoint == CHAT and "schema" in written:
        members["response_format"] = "schema"
    return members


def _check_members(problems: RecipeProblems, members: Mapping[str, Any], key: str, endpoint: str) -> None:
    """Check the members of a request, which are at a `key`: `body` or `parameters`."""
    if members.get("stream"):
        problems.add("wrong_value", f"{key}.stream", "the Batch API does not stream answers; leave it out.")
    for name in members:
        where = misplaced_keys.place_in_request(name, key, endpoint)
        if where is not None:
            problems.add("misplaced_key", f"{key}.{name}", where)


def _check_text(problems: RecipeProblems, members: Mapping[str, Any], key: str, advice: str) -> None:
    """Check that `schema` can set the format of the member `text` of a request to `/v1/responses`."""
    text = members.get("text")
    if text is not None and not isinstance(text, dict):
        problems.add_wrong_type(f"{key}.text", "a mapping", text)
    elif text is not None and "format" in text:
        problems.add(CONFLICT, f"{key}.text.format", f"schema sets the format; {advice}")
