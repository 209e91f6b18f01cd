"""Keys that an object of JSON has more than once: which one counts is anybody's guess, so the row is refused."""

import json
from typing import Any

from dropbatch.domain.problems import Problem
from dropbatch.formats.records import quote_name


def find_repeated_key(raw: bytes, line: int) -> Problem | None:
    """Return the problem of a name that an object of the line has twice; None if there is none."""
    repeated: list[str] = []
    outermost: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal outermost
        seen: set[str] = set()
        outermost = [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]  # add() gives None, which is the point
        repeated.extend(outermost)
        return {}

    try:
        json.loads(raw, object_pairs_hook=note, parse_int=str, parse_float=str)
    except RecursionError:
        return too_deep(line)
    if outermost:
        message = f"Line {line} has the key {quote_name(outermost[0])} more than once; keep one of them."
        return Problem("duplicate_key", message, line=line, column=outermost[0])
    if repeated:
        message = f"Line {line} holds an object that has a key more than once; keep one of them."
        return Problem("duplicate_key", message, line=line)
    return None


def too_deep(line: int) -> Problem:
    return Problem("not_json", f"Line {line} is nested too deeply; flatten it.", line=line)
