"""The layout of JSON that is not JSON Lines: objects in one array, over several lines, or with commas between.

The layout holds the bytes before the first object, between two and after the last. Each object's own bytes are a row.
"""

import json
import re
from typing import NamedTuple

from dropbatch.formats import lines as chunked
from dropbatch.formats.jsonl import reader as jsonl
from dropbatch.formats.jsonl.brackets import SPACE, end_of
from dropbatch.formats.lines import Lines

MAX_LAYOUT_BYTES = 4096
"""The maximum of white space before the first object, or between two, that results repeat."""

_BETWEEN = re.compile(rb"([ \t\r\n]*+)(,?)([ \t\r\n]*+)")
_HEAD = re.compile(rb"[ \t\r\n]*+(\[?)[ \t\r\n]*+(?=\{)")


class JsonLayout(NamedTuple):
    """The bytes before the first object, between two, and after the last. `begin` is where the first one begins."""

    head: bytes
    separator: bytes
    tail: bytes
    begin: int

    @property
    def is_array(self) -> bool:
        return b"]" in self.tail


def json_layout(lines: Lines, limit: int) -> JsonLayout | None:
    """Return how objects lie if they are not one a line; None if a file is JSON Lines, valid or not.

    It is not JSON Lines if its first line begins an array. Nor is it if its first object continues in the next line, or
    more than a line end follows it, and that object is valid; or if that is so of the first line that is no object.
    """
    size = chunked.CHUNK_BYTES
    while True:
        start = lines.peek(size)
        is_all = len(start) < size
        found = _first_object(start)
        if isinstance(found, JsonLayout) or found is None:
            return found
        if is_all or len(start) > limit:
            return _open_array(start) if start.lstrip(b" \t\r\n").startswith(b"[") else None
        size *= 2


def _open_array(start: bytes) -> JsonLayout:
    """Return the layout of an array that reading will refuse."""
    begin = start.index(b"[") + 1
    return JsonLayout(b"[", b",\n", b"]\n", begin)


class _More:
    """The bytes so far do not decide: more are needed."""


def _first_object(start: bytes) -> "JsonLayout | _More | None":
    begins = SPACE.match(start)
    at = begins.end() if begins else 0
    if at == len(start):
        return _More()
    is_array = start[at : at + 1] == b"["
    if is_array and _is_a_line(start, at):
        return None
    head = _HEAD.match(start)
    if head is None:
        if not is_array:
            return None
        inside = SPACE.match(start, at + 1)
        return _More() if inside and inside.end() == len(start) else _open_array(start)
    begin = head.end()
    if not is_array and b"\n" not in start[begin:]:
        return _More() if end_of(start, begin) is None else _behind(start, begin, head[0], is_array=False)
    if not is_array and not _goes_on(start, begin):
        return JsonLayout(head[0], b"\n", b"\n", begin) if _later_one_goes_on(start, begin) else None
    if end_of(start, begin) is None:
        return _More()
    return _behind(start, begin, head[0], is_array=is_array)


def _is_a_line(start: bytes, begin: int) -> bool:
    """Return whether an array ends in the line it begins in, and other lines follow: it is one of many rows then."""
    line_end = start.find(b"\n", begin)
    return line_end >= 0 and end_of(start[:line_end], begin) is not None and bool(start[line_end:].strip())


def _goes_on(start: bytes, begin: int) -> bool:
    """Return whether the first line is something else than an object."""
    line_end = start.index(b"\n", begin)
    end = end_of(start[:line_end], begin)
    if end is None:
        return not _ends_in_string(start[begin:line_end])
    return bool(start[end:line_end].strip()) and start[end:line_end].lstrip()[:1] in (b",", b"{")


def _later_one_goes_on(start: bytes, begin: int) -> bool:
    """Return whether the first line that is no object begins one of several lines. An empty one takes one line only."""
    while (line_end := start.find(b"\n", begin)) >= 0:
        line = start[begin:line_end]
        if line.strip() and jsonl.parse_object(line, 1)[0] is None:
            end = end_of(start, begin) if line.lstrip().startswith(b"{") else None
            return end is not None and end > line_end and _is_object(start[begin:end])
        begin = line_end + 1
    return False


def _is_object(data: bytes) -> bool:
    """Return whether this is an object, even one with NaN in it or a name that is used twice."""
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _ends_in_string(line: bytes) -> bool:
    return re.sub(rb"\\.", b"", line).count(b'"') % 2 == 1


def _behind(start: bytes, begin: int, head: bytes, *, is_array: bool) -> "JsonLayout | _More | None":
    end = end_of(start, begin)
    assert end is not None  # noqa: S101  # the caller looked; tells the type checker
    if not is_array and not _is_object(start[begin:end]):
        return None  # a broken line, which others are to follow
    between = _BETWEEN.match(start, end)
    assert between is not None  # noqa: S101  # it matches nothing, too
    separator = between[0] if start[between.end() : between.end() + 1] == b"{" else b""
    if not is_array and separator in (b"\n", b"\r\n") and b"\n" not in start[begin:end]:
        return None
    if not is_array and between.end() == len(start) and b"\n" not in start[begin:end] and not between[2]:
        return None  # the one line of a file
    end_of_line = b"\r\n" if b"\r\n" in start[:end] + between[0] else b"\n"
    if not separator or len(separator) > MAX_LAYOUT_BYTES or (is_array and b"," not in separator):
        separator = b"," + end_of_line if is_array else end_of_line
    if len(head) > MAX_LAYOUT_BYTES:
        head = b"[" + end_of_line if is_array else b""
    tail = end_of_line
    if is_array:
        tail = (end_of_line if b"\n" in head else b"") + b"]" + end_of_line
    return JsonLayout(head, separator, tail, begin)
