"""A line of JSON Lines into an object, as strictly as RFC 8259 and I-JSON (RFC 7493) ask.

msgspec decodes: it refuses what is not JSON, NaN, lone surrogates and bytes that are not UTF-8, and unlike orjson it
keeps integers over 64 bits exact. It does not see a name that is used twice in one object; Python's own json does.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from dropbatch import fast_paths
from dropbatch.domain.problems import Problem
from dropbatch.formats.encodings import NOT_UTF_8, UTF_8, undecodable
from dropbatch.formats.jsonl.fast_lines import read_objects
from dropbatch.formats.jsonl.fast_names import has_unique_names
from dropbatch.formats.jsonl.repeated_keys import find_repeated_key, too_deep
from dropbatch.formats.lines import Lines
from dropbatch.formats.records import Chunk, Record, Records

_decode = msgspec.json.Decoder().decode

_STRING_OR_NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|Infinity', re.DOTALL)

Parsed = tuple[dict[str, Any] | None, Problem | None]


def read_chunks(lines: Lines, number: int) -> Iterator[Chunk]:
    """Yield the rows of JSON Lines; `number` is the first row's."""
    while raws := lines.take():
        chunk = read_records(raws, number, lines.number - len(raws))
        if chunk is not None:
            yield chunk
            number += len(chunk.raws)


def read_records(raws: list[bytes], number: int, line: int) -> Chunk | None:
    """Return the rows of lines; None if all lines are blank."""
    found = read_objects(raws, number, line) if fast_paths.enabled() else None
    if found is not None:
        return found
    records: list[Record] = []
    for at, raw in enumerate(raws, line):
        if not raw.isspace():
            records.append(Record(number + len(records), at, raw, *parse_object(raw, at)))
    return Records(records) if records else None


def parse_object(raw: bytes, line: int, *, is_line: bool = True) -> Parsed:
    """Return the object that a line holds, or its problem; `is_line` says that nothing else may be in the line."""
    try:
        values = _decode(raw)
    except RecursionError:
        return None, too_deep(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None, _explained(raw, line, is_line=is_line)
    if type(values) is not dict:
        message = f'Line {line} is JSON, but not an object; write each row as {{"name": value, …}} on its own line.'
        return None, Problem("not_an_object", message, line=line)
    if not (fast_paths.enabled() and has_unique_names(raw)):
        problem = find_repeated_key(raw, line)
        if problem is not None:
            return None, problem
    return values, None


def _explained(raw: bytes, line: int, *, is_line: bool) -> Problem:
    """Return why a line cannot be decoded, by the standard library, which says where."""
    try:
        text = raw.decode(UTF_8).rstrip()
    except UnicodeDecodeError as error:
        if is_line:
            return undecodable(error, line, UTF_8, can_be_set=False)
        line += raw.count(b"\n", 0, error.start)
        what = f"Line {line} holds a byte (0x{raw[error.start]:02x}) that is not UTF-8"
        return Problem(NOT_UTF_8, f"{what}; save the file as UTF-8.", line=line)

    def refuse(_: str) -> None:
        raise _NotANumberError

    why = "holds a lone surrogate (\\ud800 to \\udfff without its pair), or a number too large to be one; remove it"
    try:
        json.loads(text, parse_constant=refuse, parse_int=str)
    except json.JSONDecodeError as error:
        line += error.lineno - 1  # an object may go over several
        what = f"{error.msg[:1].lower()}{error.msg[1:]}"
        why = f"is not JSON: {what} at column {error.colno}; write one JSON object a line"
        if not is_line:
            within = f" at character {error.pos + 1} of it" if error.lineno == 1 else ""
            why = f"holds an object that is not JSON: {what}{within}; correct it"
    except _NotANumberError:
        found = next(part for part in _STRING_OR_NO_NUMBER.finditer(text) if not part[0].startswith('"'))
        line += text.count("\n", 0, found.start())
        why = "holds NaN or Infinity, which JSON does not have; write null"
    except RecursionError:
        return too_deep(line)
    return Problem("not_json", f"Line {line} {why}.", line=line)


class _NotANumberError(Exception):
    """The line holds NaN, Infinity or -Infinity."""
