"""From a recipe's `schema` to the JSON Schema that strict structured output takes.

The short notation: a list is an enum, `string`, `integer`, `number` and `boolean` are themselves, any other text is a
described text, `{list: X}` is an array of X, a mapping is an object. A mapping with `type: object` and `properties` is
JSON Schema already; it gets only what strict mode insists on and its author left out.
"""

from collections.abc import Callable, Iterator, Mapping
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
