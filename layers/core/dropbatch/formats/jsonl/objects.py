"""Objects of JSON that follow one another, whatever is between them: each is a row.

A record is an object's own bytes, from brace to brace. So a shard is objects one after another, and is read in the same
way.
"""

from collections.abc import Iterable, Iterator

from dropbatch import fast_paths
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats import lines as chunked
from dropbatch.formats.jsonl import reader as jsonl
from dropbatch.formats.jsonl.brackets import OPENING, SPACE, to_bracket
from dropbatch.formats.jsonl.fast_objects import read_object
from dropbatch.formats.lines import too_long
from dropbatch.formats.records import Chunk, Record, Records

_WHAT_IS_READ = "JSON is read as one array of objects, or as objects one after another"


class Objects:
    """Reads objects out of blocks of bytes, in bounded memory.

    `offset` is the number of bytes before what follows the objects given so far, and `number` its line. `is_first` says
    that reading begins at the file's start; else it continues behind an object. In an array everything but an object is
    refused, and so is a file that does not end with the array's bracket.
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
        self._bracket = 0  # the place of the array's, once it is found
        self._size = 0
        self.offset = offset
        self.number = line

    def chunks(self, number: int) -> Iterator[Chunk]:
        """Yield the objects as rows; `number` is the first row's.

        Raise DropRejectedError if the rest cannot be read.
        """
        while True:
            records: list[Record] = []
            size = 0
            problem: Problem | None = None
            while size < chunked.CHUNK_BYTES:
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
        """Return the next object, the line it begins in, and what it holds. Raise StopIteration at the end."""
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
        if fast_paths.enabled():
            found = read_object(self._held, at, self._end, self._limit, line)
            if found is not None:
                self._move(found.end)
                self._is_first = False
                return found.raw, line, found.parsed
        end = self._end_of(at, line)
        # Reading on may have dropped what is before.
        at = end - self._size
        raw = self._held[at:end]
        self._move(end)
        self._is_first = False
        return raw, line, jsonl.parse_object(raw, line, is_line=False)

    def _to_next(self) -> tuple[int, int]:
        """Return the place of what is neither white space nor a comma, and the number of commas before it."""
        at, commas = self._at, 0
        while True:
            found = SPACE.match(self._held, at)
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
        """Return where the object ends, in what is held then, and set `_size` to its length."""
        depth, at = 0, begin
        while True:
            found = to_bracket(self._held, at)
            if found is not None:
                at = found.end()
                depth += 1 if self._held[at - 1] in OPENING else -1
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
        """Read as much again as is held, at least a block, and drop what was passed. Return False at the end."""
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
