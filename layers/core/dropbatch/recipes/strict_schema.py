"""From JSON Schema, as programs write it, to a schema that strict structured outputs accept.

The schema is completed if that does not change its meaning: `required`, `additionalProperties: false`, unions,
references with a description. Any other schema that OpenAI would refuse is refused here, with its key, before anything
is sent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dropbatch.batch_api.structured_outputs import (
    MAX_ENUM_VALUES,
    MAX_LONG_ENUM_CHARACTERS,
    MAX_LONG_ENUM_VALUES,
    MAX_NESTING,
    MAX_PROPERTIES,
    MAX_SCHEMA_CHARACTERS,
    SCHEMA_KEYWORDS,
    STRING_FORMATS,
)
from dropbatch.json_encoding import as_list, as_mapping
from dropbatch.recipes.json_schema import TYPES, is_json_schema, resolve_reference, type_of
from dropbatch.recipes.quoted_names import listed, quoted
from dropbatch.recipes.similar_names import nearest

Complain = Callable[[str, str], None]
"""Takes the key and the sentence of a problem."""

_DROPPED = frozenset(
    {"default", "discriminator", "examples", "example", "deprecated", "readOnly", "writeOnly", "$schema", "$id"}
    | {"$comment", "contentEncoding", "contentMediaType", "contentSchema", "$anchor", "id"}
)
"""The keywords that do not restrict values."""

_ADVICE: Mapping[str, str] = {
    **dict.fromkeys(("allOf", "oneOf"), "write it as anyOf, or put the schemas together"),
    **dict.fromkeys(("not", "if", "then", "else"), "say in the description which values are meant"),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "dependencies"), "use anyOf, an object for each case"),
    **dict.fromkeys(
        ("patternProperties", "propertyNames", "unevaluatedProperties", "minProperties", "maxProperties"),
        "name the properties, or use a list of objects with a name and a value",
    ),
    **dict.fromkeys(("prefixItems", "additionalItems"), "use an object with a property for each place"),
    "uniqueItems": "leave it out, and ask for different values in the description",
    "nullable": 'leave it out, and write the type as in type: [string, "null"]',
}


def unwrap_schema(value: Mapping[str, Any], key: str, complain: Complain) -> tuple[Any, str]:
    """Return the schema itself and its key, without the wrappers that it has in OpenAI's requests."""
    while True:
        name = _wrapped(value)
        if name is None:
            return value, key
        if value.get("strict") is False:
            complain(f"{key}.strict", "answers are always held to the schema; leave strict out.")
        description = value.get("description")
        value, key = value[name], f"{key}.{name}"
        if name == "schema" and isinstance(description, str):
            value = {"description": description, **value}


def _wrapped(value: Mapping[str, Any]) -> str | None:
    """Return the key of the schema, or of the next wrapper, within a wrapper; None if it is none."""
    names = set(value)
    if isinstance(value.get("json_schema"), Mapping) and names <= {"type", "json_schema"}:
        return "json_schema"
    for name in ("response_format", "text", "format"):
        if names == {name} and isinstance(value[name], Mapping) and _wrapped(value[name]) is not None:
            return name
    inner = value.get("schema")
    if not isinstance(inner, Mapping) or not is_json_schema(inner):
        return None
    if not names <= {"name", "strict", "schema", "description", "type"}:
        return None
    is_named = isinstance(value.get("name"), str) and value["name"] not in TYPES
    is_typed = value.get("type") == "json_schema"
    return "schema" if is_typed or isinstance(value.get("strict"), bool) or is_named else None


def complete_schema(schema: Mapping[str, Any], key: str, complain: Complain) -> dict[str, Any]:
    """Return the schema that is sent; complain about each part that strict mode refuses, by its key."""
    return _Completion(schema, key, complain).root()


class _Completion:
    def __init__(self, schema: Mapping[str, Any], key: str, complain: Complain) -> None:
        self._schema = schema
        self._key = key
        self._complain = complain
        self._inlined: list[str] = []  # definitions that are being written out; they are checked in their own place

    def root(self) -> dict[str, Any]:
        schema, key = self._schema, self._key
        reference = schema.get("$ref")
        if reference is not None:
            target = self._target(reference, key)
            schema = {**(target or {}), **{name: item for name, item in schema.items() if name != "$ref"}}
        if any(name in schema for name in ("anyOf", "oneOf")):
            self._say(key, "the schema itself cannot be a union; put anyOf below a property of an object.")
            return _NOTHING
        if schema.get("type", "object") != "object":
            self._say(key, "the schema itself must have type: object and properties; put this below a property.")
            return _NOTHING
        rest = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
        own = {"type": "object", **{name: item for name, item in schema.items() if name not in rest}}
        found = self._written_out(own, str(reference), key) if reference is not None else self._node(own, key)
        found.setdefault("properties", {})
        return {**found, **{name: self._member(name, item, key) for name, item in rest.items()}}

    def _say(self, key: str, sentence: str) -> None:
        if not self._inlined:
            self._complain(key, sentence)

    def _target(self, reference: Any, key: str) -> Mapping[str, Any] | None:
        found = resolve_reference(self._schema, reference)
        if isinstance(found, Mapping):
            return found
        sentence = f"the $ref {quoted(str(reference), 60)!r} leads nowhere; put what it means below $defs."
        self._say(f"{key}.$ref", sentence)
        return None

    def _written_out(self, schema: dict[str, Any], reference: str, key: str) -> dict[str, Any]:
        self._inlined.append(reference)
        try:
            return self._node(schema, key)
        finally:
            self._inlined.pop()

    def _node(self, value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self._say(key, "a schema is expected; write it as in type: string.")
            return {"type": "string"}
        schema = {name: item for name, item in value.items() if not (name in _DROPPED or name.startswith("x-"))}
        merged = self._merged(schema, key)
        if merged is None:
            return {"type": "string"}
        schema = merged
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._reference(schema, reference, key)
        found: dict[str, Any] = {}
        for name, item in schema.items():
            found[name] = self._member(name, item, key)
            if name == "additionalProperties" and item is not False:
                found[name] = self._closed(f"{key}.{name}", has_names=bool(schema.get("properties")))
        self._complete_type(found, key)
        return found

    def _merged(self, schema: dict[str, Any], key: str) -> dict[str, Any] | None:
        """Return the schema without oneOf, and without an allOf of one; None if it has no such form."""
        union, parts = schema.get("oneOf"), schema.get("allOf")
        if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], Mapping):
            rest = {name: item for name, item in schema.items() if name != "allOf"}
            return self._merged({**{n: i for n, i in parts[0].items() if n not in _DROPPED}, **rest}, key)
        if isinstance(union, list) and "anyOf" not in schema:
            return {("anyOf" if name == "oneOf" else name): item for name, item in schema.items()}
        return schema

    def _reference(self, schema: dict[str, Any], reference: str, key: str) -> dict[str, Any]:
        """Return a reference, which has to be alone in strict mode; write out its target if it is not."""
        others = {name: item for name, item in schema.items() if name != "$ref"}
        target = self._target(reference, key)
        if not others or target is None:
            return {"$ref": reference}
        if reference not in self._inlined:
            return self._written_out({**target, **others}, reference, key)
        for name in others.keys() - {"title", "description"}:
            self._complain(
                f"{key}.{name}", f"{name} cannot be beside a $ref to a schema that contains it; leave it out."
            )
        return {"anyOf": [{"$ref": reference}], **others}

    def _member(self, name: str, item: Any, key: str) -> Any:
        at = f"{key}.{name}"
        if name in ("properties", "$defs", "definitions") and isinstance(item, Mapping):
            return {inner: self._node(below, f"{at}.{inner}") for inner, below in item.items()}
        if name == "anyOf" and isinstance(item, list):
            return [self._node(one, f"{at}[{place}]") for place, one in enumerate(item)]
        if name == "items" and isinstance(item, Mapping):
            return self._node(item, at)
        if name == "format" and item not in STRING_FORMATS:
            sentence = (
                f"strict answers know no format {quoted(str(item), 40)!r}, only {listed(STRING_FORMATS)}; leave it out."
            )
            self._say(at, sentence)
        elif name not in SCHEMA_KEYWORDS:
            self._unknown(name, at)
        return item

    def _closed(self, at: str, *, has_names: bool) -> bool:
        """Return what strict mode takes in place of properties with any name: none."""
        advice = "write false, or leave it out" if has_names else "use a list of objects with a name and a value"
        self._say(at, f"strict answers have no properties but those that are named; {advice}.")
        return False

    def _unknown(self, name: str, at: str) -> None:
        advice = _ADVICE.get(name)
        if advice is None:
            like = nearest(name, SCHEMA_KEYWORDS)
            advice = f"did you mean {like}?" if like and name not in ("contains", "minContains") else "leave it out."
        else:
            advice += "."
        self._say(at, f"strict answers have no {quoted(name, 60)}; {advice}")

    def _complete_type(self, found: dict[str, Any], key: str) -> None:
        values = found.get("enum") if isinstance(found.get("enum"), list) else None
        if values is None and "const" in found:
            values = [found["const"]]
        if "type" not in found and "properties" in found:
            found["type"] = "object"
        if "type" not in found and values:
            types = list(dict.fromkeys(map(type_of, values)))
            found["type"] = types[0] if len(types) == 1 else types
        kind = found.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        if kind is None and "anyOf" not in found and "allOf" not in found:
            self._say(key, "this allows any value, which strict answers cannot have; give it a type.")
        if "object" in kinds:
            self._complete_object(found, key)
        if "array" in kinds and "items" not in found and "prefixItems" not in found:
            self._say(key, "a list needs the schema of its items; add it, as in items: {type: string}.")

    def _complete_object(self, found: dict[str, Any], key: str) -> None:
        properties = found.get("properties")
        if not isinstance(properties, Mapping):
            if "additionalProperties" in found or key == self._key:
                found["properties"] = properties = {}
            else:
                self._say(key, "an object needs properties; name them, as in properties: {name: {type: string}}.")
                return
        for name in found["required"] if isinstance(found.get("required"), list) else ():
            if isinstance(name, str) and name not in properties:
                like = nearest(name, properties)
                advice = f"did you mean {like}?" if like else "leave it out."
                self._say(f"{key}.required", f"there is no property {quoted(name, 60)!r}; {advice}")
        found["required"] = list(properties)
        found["additionalProperties"] = False


_NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def check_limits(schema: Mapping[str, Any], complain: Complain) -> None:
    """Complain about a schema that is larger than strict mode allows."""
    nodes = list(_nodes(schema, 0))
    deepest = max((depth for _, depth in nodes), default=0)
    names = [name for node, _ in nodes for group in _named(node) for name in group]
    properties = sum(len(as_mapping(node.get("properties"))) for node, _ in nodes)
    enums = [node["enum"] for node, _ in nodes if isinstance(node.get("enum"), list)]
    constants = [node["const"] for node, _ in nodes if "const" in node]
    values = sum(map(len, enums))
    characters = sum(map(len, names)) + _length(constants) + sum(map(_length, enums))
    if deepest > MAX_NESTING:
        complain("schema", f"its objects are nested {deepest} deep, and {MAX_NESTING} is the maximum; flatten them.")
    if properties > MAX_PROPERTIES:
        complain("schema", f"it has {properties:,} properties, and {MAX_PROPERTIES:,} is the maximum; name fewer.")
    if values > MAX_ENUM_VALUES:
        complain(
            "schema", f"its enums have {values:,} values in all, and {MAX_ENUM_VALUES:,} is the maximum; allow fewer."
        )
    for enum in enums:
        if len(enum) > MAX_LONG_ENUM_VALUES and _length(enum) > MAX_LONG_ENUM_CHARACTERS:
            sentence = (
                f"an enum of more than {MAX_LONG_ENUM_VALUES} values has {_length(enum):,} characters, and "
                f"{MAX_LONG_ENUM_CHARACTERS:,} is the maximum; shorten them."
            )
            complain("schema", sentence)
    if characters > MAX_SCHEMA_CHARACTERS:
        sentence = (
            f"its names, enum and const values have {characters:,} characters in all, and {MAX_SCHEMA_CHARACTERS:,} is "
            "the most; shorten them."
        )
        complain("schema", sentence)


def _nodes(schema: Any, depth: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Yield every schema within a schema, with how many objects it lies in, itself included."""
    if not isinstance(schema, Mapping):
        return
    depth += "properties" in schema
    yield schema, depth
    for name in ("$defs", "definitions"):
        for inner in as_mapping(schema.get(name)).values():
            yield from _nodes(inner, 0)
    for inner in as_mapping(schema.get("properties")).values():
        yield from _nodes(inner, depth)
    for inner in (schema.get("items"), *as_list(schema.get("anyOf"))):
        yield from _nodes(inner, depth)


def _named(node: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for group in ("properties", "$defs", "definitions"):
        yield list(as_mapping(node.get(group)))


def _length(values: Sequence[Any]) -> int:
    return sum(len(value) if isinstance(value, str) else len(str(value)) for value in values)
