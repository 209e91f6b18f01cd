"""From a recipe's `schema` to the JSON Schema that strict structured output takes.

The short notation: a list is an enum, `string`, `integer`, `number` and `boolean` are themselves, any other text is a
described text, `{list: X}` is an array of X, a mapping is an object. A mapping with `type: object` and `properties` is
JSON Schema already, and is completed to what strict mode insists on (`recipes.strict_schema`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dropbatch.recipes.slips import slip_in_list, slip_of
from dropbatch.recipes.strict_schema import (
    Complain,
    check_limits,
    completed,
    is_json_schema,
    is_object_schema,
    is_union,
    type_of,
    unwrapped,
)

TYPES = ("string", "integer", "number", "boolean")

_JSON_TYPES = (*TYPES, "array", "object", "null")
_TELLTALE = frozenset({"enum", "items", "anyOf", "const", "minimum", "maximum", "pattern", "format", "$ref"})


def build_schema(value: Mapping[str, Any], complain: Complain) -> dict[str, Any]:
    """The JSON Schema that `schema` stands for; what cannot be understood is complained about."""
    inner, key = unwrapped(value, "schema", complain)
    if not is_json_schema(inner):
        _check_notation(inner, key, complain)
    found = completed(inner, key, complain) if is_json_schema(inner) else _object(inner, key, complain)
    check_limits(found, complain)
    return found


def _is_json_schema_s(value: Mapping[str, Any]) -> bool:
    """Whether a property's mapping is JSON Schema's: it names a type, and nothing that is a property of an answer."""
    return value.get("type") in _JSON_TYPES and (
        not _TELLTALE.isdisjoint(value) or value.keys() <= {"type", "description", "title", "default"}
    )


def _check_notation(value: Mapping[str, Any], key: str, complain: Complain) -> None:
    """Complain about what is neither the short notation nor JSON Schema that can be a root."""
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
            return completed(value, key, complain)
        if is_union(value) or _is_json_schema_s(value):
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


IN_PLACE = ("anyOf", "oneOf", "allOf")
"""The keywords that hold a value to several schemas at once."""


def in_place_repeats(schema: Mapping[str, Any]) -> int:
    """Return how many schemas one value of an answer may have to be held to, at the schema's worst place.

    A `$ref` counts as what it leads to, each time: two to the next of twenty definitions make a million.
    """
    counted: dict[int, int] = {}

    def count(value: Any) -> int:
        if not isinstance(value, Mapping):
            return 0
        known = counted.get(id(value))
        if known is None:
            counted[id(value)] = 1  # of a circle, once round
            branches = [branch for name in IN_PLACE for branch in _list(value.get(name))]
            branches += [value.get(name) for name in ("not", "if", "then", "else")]
            branches.append(_definition(schema, value.get("$ref")))
            known = counted[id(value)] = 1 + sum(map(count, branches))
        return known

    try:
        return max(map(count, _mappings(schema)), default=0)
    except RecursionError:  # a thousand definitions, each of the next
        return len(counted)


def followed(schema: Mapping[str, Any], value: Any) -> Any:
    """Return what a property is, where it is no more than a reference to a definition."""
    reference = value.get("$ref") if isinstance(value, Mapping) else None
    return value if reference is None else _definition(schema, reference)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _definition(schema: Mapping[str, Any], reference: Any) -> Any:
    """What a `$ref` to a place within the schema leads to; None where it leads elsewhere."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = schema
    for part in reference[1:].split("/")[1:]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping within a schema, itself included."""
    if isinstance(value, Mapping):
        yield value
    for item in value.values() if isinstance(value, Mapping) else _list(value):
        yield from _mappings(item)
