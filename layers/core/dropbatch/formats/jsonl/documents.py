"""Objects of JSON that lie otherwise than one a line: in one array, over several lines, or with commas between them.

A record is an object's own bytes, from its brace to its brace; so a shard is objects one after another, which is read
in the same way. What lies between two objects is the layout's business. Objects are found by their brackets, strings
passed over whole, so that a broken one is a problem of its row alone.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.jsonl import reader as jsonl
from dropbatch.formats.lines import Lines, too_long
from dropbatch.formats.records import Chunk, Record, Records

CHUNK_BYTES = 1 << 17
"""How many bytes of objects are made records at once."""

MAX_LAYOUT_BYTES = 4096
"""The most white space before the first object, or between two, that results repeat."""

_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_BETWEEN = re.compile(rb"([ \t\r\n]*+)(,?)([ \t\r\n]*+)")
_HEAD = re.compile(rb"[ \t\r\n]*+(\[?)[ \t\r\n]*+(?=\{)")
_OPENING = frozenset(b"{[")

_WHAT_IS_READ = "JSON is read as one array of objects, or as objects one after another"


class JsonLayout(NamedTuple):
    """What stands before the first object, between two, and behind the last; `begin` is where the first begins."""

    head: bytes
    separator: bytes
    tail: bytes
    begin: int

    @property
    def is_array(self) -> bool:
        return b"]" in self.tail


def json_layout(lines: Lines, limit: int) -> JsonLayout | None:
    """How objects lie that do not lie one a line; None if a file is JSON Lines, sound or not.

    It is none if its first line begins an array, or its first object goes on in the next line or is followed by more
    than a line end, and that object is sound; or if that is so of the first line that is no object.
    """
    size = CHUNK_BYTES
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
    """The layout of an array that reading will refuse."""
    begin = start.index(b"[") + 1
    return JsonLayout(b"[", b",\n", b"]\n", begin)


class _More:
    """What was seen does not tell: more is to be looked at."""


def _first_object(start: bytes) -> "JsonLayout | _More | None":
    begins = _SPACE.match(start)
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
        inside = _SPACE.match(start, at + 1)
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
    """Whether an array ends in the line it begins in, and other lines follow: it is a row then, though none is read."""
    line_end = start.find(b"\n", begin)
    return line_end >= 0 and end_of(start[:line_end], begin) is not None and bool(start[line_end:].strip())


def _goes_on(start: bytes, begin: int) -> bool:
    """Whether the first line is something else than an object."""
    line_end = start.index(b"\n", begin)
    end = end_of(start[:line_end], begin)
    if end is None:
        return not _ends_in_string(start[begin:line_end])
    return bool(start[end:line_end].strip()) and start[end:line_end].lstrip()[:1] in (b",", b"{")


def _later_one_goes_on(start: bytes, begin: int) -> bool:
    """Whether the first line that is no object begins one that goes over several: an empty one takes one line only."""
    while (line_end := start.find(b"\n", begin)) >= 0:
        line = start[begin:line_end]
        if line.strip() and jsonl.parsed(line, 1)[0] is None:
            end = end_of(start, begin) if line.lstrip().startswith(b"{") else None
            return end is not None and end > line_end and _is_object(start[begin:end])
        begin = line_end + 1
    return False


def _is_object(data: bytes) -> bool:
    """Whether this is an object, be it one with NaN in it or a name that is used twice."""
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


def end_of(data: bytes, begin: int) -> int | None:
    """Where the object ends that begins there; None if it does not."""
    depth, at = 0, begin
    while found := _TO_BRACKET.match(data, at):
        at = found.end()
        depth += 1 if data[at - 1] in _OPENING else -1
        if depth <= 0:
            return at
    return None


class Objects:
    """Reads objects out of blocks of bytes, in bounded memory.

    `offset` tells how many bytes lie before what follows those given so far, and `number` its line. `is_first` says
    that reading begins at the file's start; else it goes on behind an object. In an array what is no object is refused,
    and so is a file that does not end with its bracket.
    """

    def __init__(
        self,
        blocks: Iterable[bytes],
        limit: int,
        offset: int,
        line: int,
        separator: bytes,
        *,
        is_array: bool,
        is_first: bool,
    ) -> None:
        self._blocks = iter(blocks)
        self._end = b"}%b{" % separator
        self._limit = limit
        self._is_array = is_array
        self._is_first = is_first
        self._held = b""
        self._at = 0
        self._bracket = 0  # where the array's stands, once it is found
        self._size = 0
        self.offset = offset
        self.number = line

    def chunks(self, number: int) -> Iterator[Chunk]:
        while True:
            records: list[Record] = []
            size = 0
            problem: Problem | None = None
            while size < CHUNK_BYTES:
                try:
                    raw, line, parsed = self._next()
                except StopIteration:
                    break
                except DropRejectedError as rejected:
                    [problem] = rejected.problems
                    break
                records.append(Record(number, line, raw, *parsed))
                number += 1
                size += len(raw)
            if records:
                yield Records(records)
            if problem is not None:
                raise DropRejectedError.because(problem)
            if not records:
                # Only now: a reader that stops behind the last object resumes before the bracket, and must find it.
                if self._is_array:
                    self._move(self._bracket + 1)
                    self._check_nothing_follows()
                return

    def _next(self) -> tuple[bytes, int, jsonl.Parsed]:
        """The next object, the line it begins in, and what it holds; StopIteration at the end."""
        at, commas = self._to_next()
        if at == len(self._held):
            if self._is_array:
                raise DropRejectedError.because(_no_end(self.number))
            self._move(at)
            raise StopIteration
        sign = self._held[at : at + 1]
        if sign == b"]" and self._is_array and not (commas and self._is_first):
            if self._is_first:
                raise DropRejectedError.because(_EMPTY)
            self._bracket = at
            raise StopIteration
        is_apart = not self._is_array or self._is_first or commas == 1
        if sign != b"{" or commas > 1 or not is_apart or (self._is_first and commas):
            self._move(at)
            raise DropRejectedError.because(_no_object(self.number))
        line = self.number + self._held.count(b"\n", self._at, at)
        # Most objects end where what separates two of them comes next. If what lies before is an object, that is it: no
        # other object begins at the same place.
        end = self._held.find(self._end, at) + 1
        if 0 < end - at <= self._limit:
            raw = self._held[at:end]
            parsed = jsonl.parsed(raw, line, is_line=False)
            if parsed[0] is not None:
                self._move(end)
                self._is_first = False
                return raw, line, parsed
        end = self._end_of(at, line)
        # Reading on may have let go what lies before.
        at = end - self._size
        raw = self._held[at:end]
        self._move(end)
        self._is_first = False
        return raw, line, jsonl.parsed(raw, line, is_line=False)

    def _to_next(self) -> tuple[int, int]:
        """The place of what is neither white space nor a comma, and the commas before it."""
        at, commas = self._at, 0
        while True:
            found = _SPACE.match(self._held, at)
            at = found.end() if found else at
            if at < len(self._held) and self._held[at] == 0x2C and commas < 2:
                at, commas = at + 1, commas + 1
                continue
            if at < len(self._held):
                return at, commas
            before = self._at
            if len(self._held) - self._at > self._limit:
                raise DropRejectedError.because(too_long(self.number, self._limit))
            if not self._read_on():
                return len(self._held), commas
            at -= before - self._at

    def _end_of(self, begin: int, line: int) -> int:
        """Where the object ends, in what is held then; `_size` is how long it is."""
        depth, at = 0, begin
        while True:
            found = _TO_BRACKET.match(self._held, at)
            if found is not None:
                at = found.end()
                depth += 1 if self._held[at - 1] in _OPENING else -1
                if depth > 0:
                    continue
                self._size = at - begin
                if self._size > self._limit:
                    raise DropRejectedError.because(too_long(line, self._limit))
                return at
            if len(self._held) - begin > self._limit:
                raise DropRejectedError.because(too_long(line, self._limit))
            before = self._at
            if not self._read_on():
                raise DropRejectedError.because(_unclosed(line))
            begin, at = begin - before + self._at, at - before + self._at

    def _check_nothing_follows(self) -> None:
        while True:
            if self._held[self._at :].strip(b" \t\r\n"):
                raise DropRejectedError.because(_more_behind(self.number))
            self._move(len(self._held))
            if not self._read_on():
                return

    def _move(self, to: int) -> None:
        self.offset += to - self._at
        self.number += self._held.count(b"\n", self._at, to)
        self._at = to

    def _read_on(self) -> bool:
        """Takes in as much again as is held, at least a block; lets go what was passed. False at the end."""
        more, size = [self._held[self._at :]], 0
        while size <= len(more[0]):
            block = next(self._blocks, None)
            if block is None:
                break
            more.append(block)
            size += len(block)
        self._held, self._at = b"".join(more), 0
        return size > 0


_EMPTY = Problem("empty_file", "The array is empty; drop one that has at least one object.")


def _no_object(line: int) -> Problem:
    message = f"Line {line} holds something other than an object; {_WHAT_IS_READ}, so write each row as one."
    return Problem("not_an_object", message, line=line)


def _unclosed(line: int) -> Problem:
    message = (
        f"The object that begins in line {line} never closes; close its braces and quotes, or write the file again: "
        "it may have been cut short."
    )
    return Problem("not_json", message, line=line)


def _no_end(line: int) -> Problem:
    message = (
        f"The array does not close before the file's end, in line {line}; write ] after its last object, or write the "
        "file again: it may have been cut short."
    )
    return Problem("not_json", message, line=line)


def _more_behind(line: int) -> Problem:
    message = f"Line {line} holds something after the end of the array; {_WHAT_IS_READ}, so remove what follows."
    return Problem("not_json", message, line=line)
