"""A check of every published event against its schema in `docs/events/`.

For consumers the schemas are open: a later release may add members. Here they are closed, so that an event has no
member that they do not describe.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[1] / "docs" / "events"
SUFFIX = ".schema.json"
COMMON = "common"
ENVELOPE = "eventbridge"
"""The schema of an event with what EventBridge puts around it."""

_DIGITS = re.compile(r"[0-9a-f]*\d[0-9a-f]*")

violations: list[str] = []
"""Events that violate their schema. An exception would count as one of SNS, and the event would be published again."""


@cache
def kinds() -> frozenset[str]:
    """Return the kinds of events that have a schema."""
    return frozenset(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}")) - {COMMON, ENVELOPE}


@cache
def schema(name: str) -> dict[str, Any]:
    """Return a schema as the docs have it."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}{SUFFIX}").read_text())
    return found


@cache
def validator(kind: str, *, closed: bool) -> Draft202012Validator:
    """Return a validator for events of a kind: as consumers have it, or `closed` to members that no schema names."""
    schemas = {name: _closed(schema(name)) if closed else schema(name) for name in (*kinds(), COMMON, ENVELOPE)}
    registry = Registry().with_resources(
        (f"{name}{SUFFIX}", Resource.from_contents(contents)) for name, contents in schemas.items()
    )
    return Draft202012Validator(schemas[kind], registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)


def problems_of(event: Mapping[str, Any]) -> list[str]:
    """Return the faults of an event, given as published JSON; none if it is valid."""
    kind = event.get("event")
    if kind not in kinds():
        return [f"there is no schema for events of the kind {kind!r}"]
    found = validator(str(kind), closed=True).iter_errors(event)
    return [f"{kind}: {error.json_path}: {error.message}" for error in found]


_sound: set[str] = set()
"""Valid events, without their digits: the schedules publish the same ones thousands of times."""


def check(text: str) -> None:
    """Record the faults of an event, given as published JSON."""
    form = _DIGITS.sub("0", text)
    if form in _sound:
        return
    found = problems_of(json.loads(text))
    violations.extend(found)
    if not found:
        _sound.add(form)


def _closed(value: Any) -> Any:
    match value:
        case dict():
            made = {name: _closed(member) for name, member in value.items()}
            has_names = isinstance(value.get("properties"), dict) and value.get("type") == "object"
            # If an event was too large, `<name>_cut` says how many members a list has lost.
            closed = {"additionalProperties": False, "patternProperties": {"_cut$": {"type": "integer"}}}
            return made | closed if has_names else made
        case list():
            return [_closed(member) for member in value]
    return value
