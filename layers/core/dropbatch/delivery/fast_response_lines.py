"""Fast path: the id in a response line that begins as OpenAI's lines do is replaced, and nothing is parsed."""

import re

import orjson

_OPENAI_START = re.compile(rb'\{ ?"id": ?"[^"\\]*", ?"custom_id": ?"(\d+)", ?"response": ?\{')
"""How OpenAI begins a line that holds a response."""


def rename_line(row: int, custom_id: str | None, line: bytes) -> bytes | None:
    """Return the line of a row under the user's `custom_id`, or unchanged if that is None.

    Return None if the line begins in another way, or names another row.
    """
    found = _OPENAI_START.match(line)
    if found is None or found[1] != b"%d" % row:
        return None
    if custom_id is None:
        return line
    return b"%b%b%b" % (line[: found.start(1) - 1], orjson.dumps(custom_id), line[found.end(1) + 1 :])
