"""From a recipe's `schema` to the JSON Schema that strict structured output takes.

The short notation: a list is an enum, `string`, `integer`, `number` and `boolean` are themselves, any other text is a
described text, `{list: X}` is an array of X, a mapping is an object. A mapping with `type: object` and `properties` is
JSON Schema already; it gets only what strict mode insists on and its author left out.
"""

from collections.abc import Callable, Mapping
from typing import Any

TYPES = ("string", "integer", "number", "boolean")

_JSON_TYPES = frozenset({*TYPES, "array", "object", "null"})
_TELLTALE = frozenset({"enum", "items", "anyOf", "const", "minimum", "maximum", "pattern", "format", "$ref"})

Complain = Callable[[str, str], None]
"""Takes the key and the sentence of a problem."""


def is_json_schema(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("type") == "object" and isinstance(value.get("properties"), Mapping)


def build_schema(value: Mapping[str, Any], complain: Complain) -> dict[str, Any]:
    """The JSON Schema that `schema` stands for; what cannot be understood is complained about."""
    if is_json_schema(value):
        strict: dict[str, Any] = _strict(value)
        return strict
    return _object(value, "schema", complain)


def _object(value: Mapping[str, Any], key: str, complain: Complain) -> dict[str, Any]:
    if not value and key != "schema":
        complain(key, "at least one property is expected; name one, as in sentiment: [positive, negative].")
    return {
        "type": "object",
        "properties": {name: _property(item, f"{key}.{name}", complain) for name, item in value.items()},
        "required": list(value),
        "additionalProperties": False,
    }


def _property(value: Any, key: str, complain: Complain) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": value} if value in TYPES else {"type": "string", "description": value}
    if isinstance(value, list):
        return _enum(value, key, complain)
    if isinstance(value, Mapping):
        if set(value) == {"list"}:
            return {"type": "array", "items": _property(value["list"], f"{key}.list", complain)}
        if is_json_schema(value):
            strict: dict[str, Any] = _strict(value)
            return strict
        if value.get("type") in _JSON_TYPES and not _TELLTALE.isdisjoint(value):
            complain(
                key,
                "this looks like JSON Schema; write the whole schema as JSON Schema, with type: object and properties, "
                "or use the short notation, as in [positive, negative].",
            )
        return _object(value, key, complain)
    complain(key, "a type, a list of the allowed values, {list: …} or a mapping is expected; write one of them.")
    return {}


def _enum(values: list[Any], key: str, complain: Complain) -> dict[str, Any]:
    types = dict.fromkeys(_type_of(value) for value in values)
    if not values or None in types:
        complain(key, "a list holds the allowed values, at least one, and each a text, a number, true or false.")
    elif len({(_type_of(value), value) for value in values}) < len(values):
        complain(key, "a value stands in the list twice; keep one.")
    names = [name for name in types if name]
    return {"type": names[0] if len(names) == 1 else names, "enum": values}


def _type_of(value: Any) -> str | None:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return None


def _strict(value: Any) -> Any:
    """JSON Schema with `required` and `additionalProperties` as strict mode needs them, wherever they are not given."""
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for name, item in value.items():
        if name in ("properties", "$defs", "definitions") and isinstance(item, Mapping):
            found[name] = {inner: _strict(below) for inner, below in item.items()}
        elif name in ("items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties"):
            found[name] = _strict(item)
        else:
            found[name] = item
    if isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
        found.setdefault("required", list(found["properties"]))
    return found
