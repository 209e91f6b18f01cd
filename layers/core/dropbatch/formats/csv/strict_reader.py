"""The grammar of csv and tsv: RFC 4180, with Python's strict csv.reader as the judge of where a record ends.

The reader gets one physical line at a time. All the lines that it has taken when it returns a row are that row's bytes.
Without quoting and escapes a line is a row, and no reader is needed.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.csv.dialect import BACKSLASH, Dialect
from dropbatch.formats.csv.rows import RowShape, to_record
from dropbatch.formats.encodings import undecodable
from dropbatch.formats.lines import too_long
from dropbatch.formats.records import Record

Row = tuple[bytes, int, list[str] | None, Problem | None]
"""A record's bytes, the line it starts in, its values, and its problem if it has no values."""

_MAX_FIELD = 2**31 - 1  # the most that a C long holds everywhere


def lift_field_limit() -> None:
    """Let fields be of any length: the limit of a record's bytes bounds them.

    The limit is the process's, so that it is lifted only when rows are read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))


def read_rows(lines: Iterable[bytes], dialect: Dialect, encoding: str, limit: int, line: int = 1) -> Iterator[Row]:
    """Yield the rows of physical lines without blank ones; `line` is the number of the first line.

    A row that is broken within one line has a problem, and reading continues in the next line. Raise DropRejectedError
    if a record has over `limit` bytes, or is broken so that nobody can tell where the next one starts.
    """
    lift_field_limit()
    feed = _LineFeed(lines, encoding, limit, line)
    rows = dialect.reader(feed)
    while True:
        problem: Problem | None = None
        row: list[str] | None = None
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            if feed.is_at_end:
                raise DropRejectedError.because(_unclosed(feed.start, dialect)) from None  # csv's message says less
            problem = _broken(feed.record, dialect, encoding, feed.start, feed.line - 1)
            if feed.has_several or (dialect.has_quotes and feed.record.count(b'"') % 2):
                raise DropRejectedError.because(problem) from None  # the next line may still belong to a quote
        if feed.bad_byte is not None:
            row, problem = None, feed.bad_byte
        yield feed.take_record(), feed.start, row, problem


class _LineFeed(Iterator[str]):
    """An iterator that gives csv.reader one line at a time, and keeps the bytes of the present record's lines.

    `line` is the number of the next line, `start` that in which the record starts. `bad_byte` is the problem of the
    record's first byte that cannot be decoded.
    """

    def __init__(self, lines: Iterable[bytes], encoding: str, limit: int, line: int) -> None:
        self._lines = lines
        self._encoding = encoding
        self._limit = limit
        self._first = b""
        self._more = bytearray()  # the record's further lines: joined at once, as a quote left open takes in millions
        self.line = self.start = line
        self.bad_byte: Problem | None = None
        self.is_at_end = False

    @property
    def record(self) -> bytes:
        return self._first + self._more if self._more else self._first

    @property
    def has_several(self) -> bool:
        """True if the record has several lines."""
        return bool(self._more)

    def take_record(self) -> bytes:
        """Return the record's bytes, and begin the next record."""
        record = self.record
        self._first, self.bad_byte = b"", None
        self._more.clear()
        return record

    def __next__(self) -> str:
        for raw in self._lines:
            if self._first:
                self._more.extend(raw)
                if len(self._first) + len(self._more) > self._limit:
                    raise DropRejectedError.because(too_long(self.start, self._limit, in_quotes=True))
            elif raw[0] < 14 and not raw.strip(b"\r\n"):
                self.line += 1
                continue
            else:
                self._first, self.start = raw, self.line
            return self._text(raw)
        self.is_at_end = True
        raise StopIteration

    def _text(self, raw: bytes) -> str:
        try:
            text = raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            self.bad_byte = self.bad_byte or undecodable(error, self.line, self._encoding)
            text = raw.decode(self._encoding, "replace")
        self.line += 1
        return text


def read_unquoted(raws: Sequence[bytes], shape: RowShape, number: int, line: int) -> list[Record]:
    """Return the records of lines each of which is a row, without blank ones; `line` is the number of the first."""
    records: list[Record] = []
    for at, raw in enumerate(raws, line):
        if not raw.strip(b"\r\n"):
            continue
        try:
            text = raw.decode(shape.encoding)
        except UnicodeDecodeError as error:
            problem = undecodable(error, at, shape.encoding)
            records.append(Record(number + len(records), at, raw, None, problem))
            continue
        row = text.removesuffix("\n").removesuffix("\r").split(shape.dialect.delimiter)
        records.append(to_record(number + len(records), at, raw, row, None, shape))
    return records


def values_of(text: str, dialect: Dialect) -> list[str] | None:
    """Return the values of a record; None if the grammar does not tell."""
    if dialect.is_unquoted:
        return text.rstrip("\r\n").split(dialect.delimiter)
    try:
        return next(dialect.reader(iter([text])))
    except csv.Error:
        return None


def _or_unquoted(dialect: Dialect) -> str:
    """Return what else to do about a quote, if nobody said that quotes have a meaning."""
    return ", or set `quoting: none` in the recipe if quotes are part of the text" if dialect.quoting is None else ""


def _unclosed(line: int, dialect: Dialect) -> Problem:
    if not dialect.has_quotes:
        message = f"The record that starts in line {line} ends in {dialect.escape} with nothing after it; remove it."
        return Problem("unclosed_escape", message, line=line)
    return Problem(
        "unclosed_quote",
        f'The record that starts in line {line} opens a double quote that never closes; close it, or write "" for a '
        f"quote within a quoted value{_or_unquoted(dialect)}.",
        line=line,
    )


def _broken(raw: bytes, dialect: Dialect, encoding: str, start: int, line: int) -> Problem:
    """Return the problem that csv.reader found in `line`, a record's last: a carriage return if it is the only one."""
    place = f"Line {line}" if line == start else f"Line {line}, in the record that starts in line {start},"
    record = raw.rstrip(b"\r\n")
    stumbled_on = record[record.rfind(b"\n") + 1 :]
    if b"\r" in stumbled_on and _is_record(record.replace(b"\r", b" "), dialect, encoding):
        message = f"{place} holds a carriage return outside quotes; end lines with LF or CRLF, or quote the value."
        if not dialect.has_quotes:
            message = f"{place} holds a carriage return; end lines with LF or CRLF, or put {dialect.escape} before it."
        return Problem("lone_carriage_return", message, line=line)
    if dialect.escape is None and _is_record(record, Dialect(dialect.delimiter, escape=BACKSLASH), encoding):
        message = (
            f'{place} has a backslash before a double quote; write `escape: "\\\\"` in the recipe if backslashes '
            'escape quotes, or write "" for a quote within a quoted value.'
        )
        return Problem("bad_quoting", message, line=line)
    message = (
        f'{place} has text after a closing double quote; write "" for a quote within a quoted value, and check that '
        f"every quote above it closes{_or_unquoted(dialect)}."
    )
    return Problem("bad_quoting", message, line=line)


def _is_record(raw: bytes, dialect: Dialect, encoding: str) -> bool:
    lines = raw.decode(encoding, "replace").split("\n")
    try:
        return len(list(dialect.reader(line + "\n" for line in lines))) == 1
    except csv.Error:
        return False
