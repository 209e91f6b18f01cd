"""Brackets of JSON: where an object ends, found by its brackets alone, strings skipped as a whole.

So a broken object is the problem of its row alone.
"""

import re

SPACE = re.compile(rb"[ \t\r\n]*+")
"""White space, which may be empty."""

to_bracket = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL).match
"""Matches up to the next bracket that is outside a string."""

OPENING = frozenset(b"{[")


def end_of(data: bytes, begin: int) -> int | None:
    """Return where the object ends that begins at `begin`; None if it does not end."""
    depth, at = 0, begin
    while found := to_bracket(data, at):
        at = found.end()
        depth += 1 if data[at - 1] in OPENING else -1
        if depth <= 0:
            return at
    return None
