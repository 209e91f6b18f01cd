"""Values that fit a JSON Schema, and OpenAI's rules for strict ones.

A value is a pure function of the schema, the text it is about and the random source, so the same request has the same
answer. Covered: types and lists of types, enum, const, nested objects and arrays, anyOf/oneOf/allOf, local $ref, bounds
of numbers, strings and arrays, multipleOf, the common formats.
"""

import random
import re
from collections.abc import Mapping
from typing import Any

from local.openai_emulator.lengths import marked_text, words_for
from local.openai_emulator.words import classify, is_spam, sentiment

MAX_DEPTH = 5  # below it, recursive schemas take null, the empty array, the last alternative
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "emulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/emulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# A pattern is met by trying these, not by solving it.
_PATTERN_CANDIDATES = (
    "emulated",
    "Emulated",
    "EMU",
    "A1",
    "a",
    "A",
    "0",
    "1",
    "42",
    "123",
    "12345",
    *_FORMATS.values(),
)


def fill(schema: object, about: str, source: random.Random) -> Any:
    """Return a value that is valid for the schema; `about` is the text that classifications look at."""
    return _Filler(schema, about, source).value(schema, "", 0)


def strict_problem(schema: object) -> str | None:
    """Return why OpenAI would refuse the schema under `strict: true`; None if it would not."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return "schema must be a JSON Schema of 'type: \"object\"'"
    return _strict_problem(schema, "()")


def _strict_problem(schema: object, where: str) -> str | None:
    if not isinstance(schema, Mapping):
        return None
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        problem = _object_problem(schema, properties if isinstance(properties, Mapping) else {}, where)
        if problem:
            return problem
    parts = [schema.get("items"), *(schema.get("anyOf") or [])]
    for key in ("$defs", "definitions"):
        parts.extend((schema.get(key) or {}).values())
    return next((problem for part in parts if (problem := _strict_problem(part, where))), None)


def _object_problem(schema: Mapping[str, Any], properties: Mapping[str, Any], where: str) -> str | None:
    if schema.get("additionalProperties") is not False:
        return f"In context={where}, 'additionalProperties' is required to be supplied and to be false"
    required = schema.get("required")
    if not isinstance(required, list) or set(required) != set(properties):
        return (
            f"In context={where}, 'required' is required to be supplied and to be an array including every key "
            "in properties"
        )
    parts = ((part, f"{where[:-1]}'properties', '{name}')") for name, part in properties.items())
    return next((problem for part, inner in parts if (problem := _strict_problem(part, inner))), None)


class _Filler:
    """Fills the parts of one schema, whose `$ref`s start at its root."""

    def __init__(self, root: object, about: str, source: random.Random) -> None:
        self._root = root
        self._about = about
        self._source = source

    def value(self, schema: object, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return self._text({})
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), name, depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choose(schema["enum"])
        if schema.get("allOf"):
            return self.value(self._merged(schema), name, depth)
        if alternatives := schema.get("anyOf") or schema.get("oneOf"):
            return self._alternative(alternatives, name, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            kinds = [{**schema, "type": one} for one in kind]
            return self._alternative(kinds, name, depth)
        return self._of_type(kind or _implied_type(schema), schema, name, depth)

    def _of_type(self, kind: str, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        match kind:
            case "object":
                properties = schema.get("properties") or {}
                return {key: self.value(part, key, depth + 1) for key, part in properties.items()}
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return self._boolean(name)
            case "null":
                return None
        return self._text(schema)

    def _resolve(self, reference: str) -> object:
        found: Any = self._root
        for part in reference.lstrip("#").strip("/").split("/"):
            if part:
                found = found[part.replace("~1", "/").replace("~0", "~")]
        return found

    def _choose(self, options: list[Any]) -> Any:
        label = classify(self._about, options)
        return label if label is not None else self._source.choice(options)

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for one in schema["allOf"]:
            part: Any = self._resolve(one["$ref"]) if "$ref" in one else one
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            merged = {**merged, **part, **({"properties": properties} if properties else {})}
        return merged

    def _alternative(self, alternatives: list[Any], name: str, depth: int) -> Any:
        null = next((part for part in alternatives if part.get("type") == "null"), None)
        others = [part for part in alternatives if part is not null]
        if not others or (null is not None and (depth > MAX_DEPTH or self._source.random() < 1 / 8)):
            return None
        if depth > MAX_DEPTH:
            return self.value(next((part for part in others if "$ref" not in part), others[-1]), name, depth + 1)
        return self.value(self._source.choice(others), name, depth + 1)

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        minimum = schema.get("minItems", 0)
        maximum = schema.get("maxItems", max(minimum, 3))
        count = minimum if depth > MAX_DEPTH else min(maximum, max(minimum, self._source.randint(1, 3)))
        prefix = schema.get("prefixItems") or []
        found = [self.value(part, name, depth + 1) for part in prefix]
        items = schema.get("items", {"type": "string"})
        attempts = 0
        while len(found) < count:
            item = self.value(items, name, depth + 1)
            attempts += 1
            if schema.get("uniqueItems") and item in found:
                if len(found) >= minimum or attempts > 1000:
                    break
                if isinstance(items, Mapping) and items.get("enum"):
                    item = next((option for option in items["enum"] if option not in found), item)
                elif isinstance(item, str):
                    item = f"{item}{attempts}"
            found.append(item)
        return found

    def _integer(self, schema: Mapping[str, Any]) -> int:
        low, high = _bounds(schema, 0, 100)
        step = int(schema.get("multipleOf") or 1)
        first = -(-int(-(-low // 1)) // step)
        last = int(high // 1) // step
        if "exclusiveMinimum" in schema and first * step <= schema["exclusiveMinimum"]:
            first += 1
        if "exclusiveMaximum" in schema and last * step >= schema["exclusiveMaximum"]:
            last -= 1
        return step * (self._source.randint(first, last) if first <= last else first)

    def _number(self, schema: Mapping[str, Any]) -> float:
        if step := schema.get("multipleOf"):
            low, high = _bounds(schema, 0, 100 * step)
            return float(step * self._source.randint(int(-(-low // step)), int(high // step)))
        low, high = _bounds(schema, 0, 1)
        # Well inside the bounds, so that exclusive ones hold too.
        value = low + (high - low) * self._source.uniform(0.25, 0.75)
        rounded = round(value, 4)
        return rounded if low < rounded < high else value

    def _boolean(self, name: str) -> bool:
        lowered = name.lower()
        if "spam" in lowered:
            return is_spam(self._about)
        if any(word in lowered for word in ("positive", "recommend", "happy", "satisfied", "good")):
            return sentiment(self._about) > 0
        if any(word in lowered for word in ("negative", "complaint", "unhappy", "bad")):
            return sentiment(self._about) < 0
        return self._source.random() < 0.5

    def _text(self, schema: Mapping[str, Any]) -> str:
        if pattern := schema.get("pattern"):
            for candidate in _PATTERN_CANDIDATES:
                if re.search(pattern, candidate):
                    return candidate
        if known := _FORMATS.get(schema.get("format", "")):
            return known
        text = marked_text(words_for(schema.get("description"), self._source), self._source)
        text = text.ljust(schema.get("minLength", 0), ".")
        return text[: schema["maxLength"]] if "maxLength" in schema else text


def _implied_type(schema: Mapping[str, Any]) -> str:
    """Return the type of a schema that names none."""
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _bounds(schema: Mapping[str, Any], low: float, high: float) -> tuple[float, float]:
    """Return the range of a number: as the schema says, and otherwise as wide as the default."""
    width = high - low
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is None:
        least = low if most is None or most >= low else most - width
    if most is None:
        most = high if high >= least else least + width
    return least, most
