"""From a recipe's `schema` to the JSON Schema that strict structured outputs accept.

The short notation: a list is an enum, `string`, `integer`, `number` and `boolean` are themselves, any other text is a
described text, `{list: X}` is an array of X, a mapping is an object. A mapping with `type: object` and `properties` is
JSON Schema already, and is completed for strict mode (`recipes.strict_schema`).
"""

from collections.abc import Mapping
from typing import Any

from dropbatch.recipes.json_schema import is_json_schema, is_object_schema, is_union, type_of
from dropbatch.recipes.schema_slips import slip_in_list, slip_of
from dropbatch.recipes.strict_schema import Complain, check_limits, complete_schema, unwrap_schema

TYPES = ("string", "integer", "number", "boolean")

_JSON_TYPES = (*TYPES, "array", "object", "null")
_TELLTALE = frozenset({"enum", "items", "anyOf", "const", "minimum", "maximum", "pattern", "format", "$ref"})


def build_schema(value: Mapping[str, Any], complain: Complain) -> dict[str, Any]:
    """Return the JSON Schema of a recipe's `schema`; complain about the parts that cannot be understood."""
    inner, key = unwrap_schema(value, "schema", complain)
    if not is_json_schema(inner):
        _check_notation(inner, key, complain)
    found = complete_schema(inner, key, complain) if is_json_schema(inner) else _object(inner, key, complain)
    check_limits(found, complain)
    return found


def _is_property_schema(value: Mapping[str, Any]) -> bool:
    """Return whether a property's mapping is JSON Schema: it names a type, and no property of an answer."""
    return value.get("type") in _JSON_TYPES and (
        not _TELLTALE.isdisjoint(value) or value.keys() <= {"type", "description", "title", "default"}
    )


def _check_notation(value: Mapping[str, Any], key: str, complain: Complain) -> None:
    """Complain about JSON Schema that cannot be the root of a schema."""
    if value.get("type") in _JSON_TYPES and not _TELLTALE.isdisjoint(value):
        complain(key, "the schema itself must have type: object and properties; put this below a property.")


def _object(value: Mapping[str, Any], key: str, complain: Complain) -> dict[str, Any]:
    if not value and key != "schema":
        complain(key, "at least one property is expected; name one, as in sentiment: [positive, negative].")
    return {
        "type": "object",
        "properties": {name: _property(item, f"{key}.{name}", name, complain) for name, item in value.items()},
        "required": list(value),
        "additionalProperties": False,
    }


def _property(value: Any, key: str, name: str, complain: Complain) -> dict[str, Any]:
    if isinstance(value, str):
        slip = slip_of(value, name)
        if slip is not None:
            complain(key, slip)
        return {"type": value} if value in TYPES else {"type": "string", "description": value}
    if isinstance(value, list):
        slip = slip_in_list(value, name)
        if slip is not None:
            complain(key, slip)
        return _enum(value, key, complain)
    if isinstance(value, Mapping):
        if set(value) == {"list"}:
            return {"type": "array", "items": _property(value["list"], f"{key}.list", "list", complain)}
        if is_object_schema(value):
            return complete_schema(value, key, complain)
        if is_union(value) or _is_property_schema(value):
            complain(
                key,
                "this looks like JSON Schema; write the whole schema as JSON Schema, with type: object and properties, "
                "or use the short notation, as in [positive, negative].",
            )
        return _object(value, key, complain)
    complain(key, "a type, a list of the allowed values, {list: …} or a mapping is expected; write one of them.")
    return {}


def _enum(values: list[Any], key: str, complain: Complain) -> dict[str, Any]:
    types = dict.fromkeys(type_of(value) for value in values)
    if not values or not types.keys() <= set(TYPES):
        complain(key, "a list holds the allowed values, at least one, and each a text, a number, true or false.")
    elif len({(type_of(value), value) for value in values}) < len(values):
        complain(key, "a value is in the list twice; keep one.")
    names = [name for name in types if name in TYPES]
    return {"type": names[0] if len(names) == 1 else names, "enum": values}
