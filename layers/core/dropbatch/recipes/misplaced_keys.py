"""Known keys in the wrong place: parameters at the top of a recipe, keys of a recipe within a request."""

from dropbatch.batch_api.endpoints import CHAT, RESPONSES
from dropbatch.batch_api.parameters import PARAMETERS
from dropbatch.recipes.keys import RECIPES_OWN

_FORMATS = frozenset({"response_format", "json_schema", "output_schema"})
_QUESTIONS = frozenset({"messages", "input", "contents", "content"})


def place_in_recipe(key: str, *, has_body: bool) -> str | None:
    """Return where a key at the top of a recipe belongs; None if it is not known."""
    if key == "stream":
        return "the Batch API does not stream answers; leave it out."
    if key in PARAMETERS:
        return f"{key} is a parameter of the request; put it {'into the body' if has_body else 'under parameters'}."
    if key in _FORMATS:
        return (
            f"{key} is a parameter of the request; write the form of the answer under schema, or put it "
            f"{'into the body' if has_body else 'under parameters'}."
        )
    if key in _QUESTIONS:
        place = "put it into the body" if has_body else "write prompt instead, or the whole request under body"
        return f"{key} is a part of the request; {place}."
    if key in ("instructions", "system_prompt", "developer"):
        return f"{key} is a part of the request; {'put it into the body' if has_body else 'write system instead'}."
    if key in ("url", "method", "custom_id"):
        advice = "write id, the column that labels a row" if key == "custom_id" else "write endpoint"
        return f"{key} is a member of ready batch files; in a recipe {advice}, or leave it out."
    return None


def place_in_request(name: str, key: str, endpoint: str) -> str | None:
    """Return where a member of a request, at the `key` `body` or `parameters`, belongs; None if it may be there."""
    if name == "system" and key == "body":
        opening = "instructions" if endpoint == RESPONSES else 'the first of the messages, as in {"role": "system"}'
        return f"no request has system; write it as {opening}."
    if name == "examples" and key == "body":
        return "no request has examples; write them as messages."
    if name == "parameters" and key == "body":
        return "the body holds the parameters themselves; put them one step up."
    if name in RECIPES_OWN:
        return f"{name} is a key of the recipe, not of the request; put it at the top of the recipe."
    if endpoint == CHAT and name in ("prompt", "input", "instructions"):
        if key == "parameters":
            own = "system" if name == "instructions" else "prompt"
            return f"{endpoint} has no {name}; write {own} at the top of the recipe."
        return f"{endpoint} has no {name}; write it as one of the messages."
    if endpoint == RESPONSES and name == "messages":
        return f"{endpoint} has no messages; " + ("write input." if key == "body" else "write prompt at the top.")
    if name in ("messages", "input") and key == "parameters":
        return None  # checks.py reports it
    return None
