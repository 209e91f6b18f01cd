"""Holds every published event to its schema in `docs/events/`.

For consumers the schemas are open: what they do not name may be added. Here they are closed, so that nothing is
published that they do not describe.
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
_DIGITS = re.compile(r"[0-9a-f]*\d[0-9a-f]*")

violations: list[str] = []
"""What was published against its schema. An exception would be taken for SNS's, and the event published again."""


@cache
def kinds() -> frozenset[str]:
    """Return the kinds of events that have a schema."""
    return frozenset(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}")) - {COMMON}


@cache
def schema(name: str) -> dict[str, Any]:
    """Return a schema as it stands in the docs."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}{SUFFIX}").read_text())
    return found


@cache
def validator(kind: str, *, closed: bool) -> Draft202012Validator:
    """Return what checks events of a kind: as consumers do, or `closed` to members that the schemas do not name."""
    schemas = {name: _closed(schema(name)) if closed else schema(name) for name in (*kinds(), COMMON)}
    registry = Registry().with_resources(
        (f"{name}{SUFFIX}", Resource.from_contents(contents)) for name, contents in schemas.items()
    )
    return Draft202012Validator(schemas[kind], registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)


def problems_of(event: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an event, as its JSON was published; empty if nothing is."""
    kind = event.get("event")
    if kind not in kinds():
        return [f"there is no schema for events of the kind {kind!r}"]
    found = validator(str(kind), closed=True).iter_errors(event)
    return [f"{kind}: {error.json_path}: {error.message}" for error in found]


_sound: set[str] = set()
"""Events that are right, without their digits: the schedules publish the same ones thousands of times."""


def check(text: str) -> None:
    """Note what is wrong with an event, given as the JSON that was published."""
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
            # Where an event was too large, `<name>_cut` says how many members a list has lost.
            closed = {"additionalProperties": False, "patternProperties": {"_cut$": {"type": "integer"}}}
            return made | closed if has_names else made
        case list():
            return [_closed(member) for member in value]
    return value
