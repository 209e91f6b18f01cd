"""JSON Schema as such: its types, its references, and the number of schemas that a value has to fit."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dropbatch.json_encoding import as_list

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")

_REFERENCE = re.compile(r"#(?:/[^/]*)*")


def is_json_schema(value: Any) -> bool:
    """Return whether a mapping is JSON Schema and not the short notation, whose keys are names of properties."""
    if not isinstance(value, Mapping):
        return False
    if is_object_schema(value):
        return True
    refers = isinstance(value.get("$ref"), str) and value["$ref"].startswith("#")
    return refers or isinstance(value.get("$schema"), str) or is_union(value)


def is_object_schema(value: Mapping[str, Any]) -> bool:
    """Return whether a mapping is the JSON Schema of an object."""
    return value.get("type") == "object" and isinstance(value.get("properties"), Mapping)


def is_union(value: Mapping[str, Any]) -> bool:
    """Return whether a mapping is a union of schemas: lists of the short notation hold values instead."""
    found = [value.get(name) for name in ("anyOf", "oneOf", "allOf")]
    return any(isinstance(items, list) and items and all(isinstance(one, Mapping) for one in items) for items in found)


def type_of(value: Any) -> str:
    """Return JSON Schema's name for the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def resolve_reference(root: Mapping[str, Any], reference: Any) -> Any:
    """Return the target of a `$ref` to a place within the schema `root`; None if there is none."""
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        return None
    found: Any = root
    for part in reference.split("/")[1:]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


IN_PLACE = ("anyOf", "oneOf", "allOf")
"""The keywords by which a value has to fit several schemas at once."""


def in_place_repeats(schema: Mapping[str, Any]) -> int:
    """Return the number of schemas that one value of an answer may have to fit, at the schema's worst place.

    A `$ref` counts as its target, each time: two to the next of twenty definitions make a million.
    """
    counted: dict[int, int] = {}

    def count(value: Any) -> int:
        if not isinstance(value, Mapping):
            return 0
        known = counted.get(id(value))
        if known is None:
            counted[id(value)] = 1  # a circle counts once
            branches = [branch for name in IN_PLACE for branch in as_list(value.get(name))]
            branches += [value.get(name) for name in ("not", "if", "then", "else")]
            branches.append(resolve_reference(schema, value.get("$ref")))
            known = counted[id(value)] = 1 + sum(map(count, branches))
        return known

    try:
        return max(map(count, _mappings(schema)), default=0)
    except RecursionError:  # a thousand definitions, each of the next
        return len(counted)


def follow(schema: Mapping[str, Any], value: Any) -> Any:
    """Return the definition of a property that is a reference to one, and any other property as it is."""
    reference = value.get("$ref") if isinstance(value, Mapping) else None
    return value if reference is None else resolve_reference(schema, reference)


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping within a schema, itself included."""
    if isinstance(value, Mapping):
        yield value
    for item in value.values() if isinstance(value, Mapping) else as_list(value):
        yield from _mappings(item)
