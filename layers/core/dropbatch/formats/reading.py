"""Reads a drop, and its shards: one pass over blocks of bytes, a record a row, in bounded memory.

A record carries its own bytes. A shard is the records' bytes one after another, so that reading it again gives the same
bytes and values; what stands before the first row lives in the layout alone.
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain

from dropbatch.domain.errors import Rejected
from dropbatch.domain.limits import Limits
from dropbatch.domain.problems import Problem
from dropbatch.formats import jsonl, separated
from dropbatch.formats.encodings import BYTE_ORDER_MARK, UTF_8, check_is_text, codec_of, undecodable
from dropbatch.formats.kinds import FileType, Kind
from dropbatch.formats.layout import Layout
from dropbatch.formats.lines import physical_lines
from dropbatch.formats.records import Record

__all__ = ["DropReader", "Record", "read_drop", "read_rows"]

RAW_NAMES = frozenset({"custom_id", "method", "url", "body"})
"""What makes a jsonl a raw drop, if its first line has all of them."""

_START = 1024  # bytes that are looked at for a byte-order mark and for what is no text


_LONGEST_HEADER = 1 << 20  # bytes that are searched for a delimiter; a quote that never closes is left to the parser


class DropReader:
    """A drop with its `layout`, to be iterated once for its records, blank lines left out."""

    def __init__(self, layout: Layout, records: Iterator[Record]) -> None:
        self.layout = layout
        self._records = records

    def __iter__(self) -> Iterator[Record]:
        return self._records


def read_drop(
    blocks: Iterable[bytes],
    file_type: FileType,
    *,
    delimiter: str | None,
    encoding: str | None,
    limits: Limits,
) -> DropReader:
    """Reads a drop (`blocks` already unpacked) up to its first record; the others are read as they are asked for.

    `delimiter` and `encoding` are the recipe's, None where it has none. Rejected, here or while iterating, where the
    rest cannot be read; what is wrong with one row alone is that record's problem.
    """
    blocks = iter(blocks)
    start = b""
    while len(start) < _START and (block := next(blocks, None)) is not None:
        start += block
    check_is_text(start[:_START])
    bom = start.startswith(BYTE_ORDER_MARK)
    codec = codec_of(encoding)
    if bom:
        start, codec = start[len(BYTE_ORDER_MARK) :], UTF_8  # the mark is UTF-8's, whatever the recipe says
    lines = physical_lines(chain([start], blocks), limits.line_bytes)
    separators = file_type.kind in (Kind.CSV, Kind.TSV)
    line, first = _first_line(lines, b"\r\n" if separators else None)
    lines = chain([first], lines)
    mark = BYTE_ORDER_MARK if bom else b""
    match file_type.kind:
        case Kind.CSV | Kind.TSV:
            return _separated(lines, line, file_type.kind, delimiter, codec, mark, limits.line_bytes)
        case Kind.JSONL:
            if codec != UTF_8:
                message = "JSON Lines are always UTF-8; remove `encoding` from the recipe, and save the file as UTF-8."
                raise Rejected.because(Problem("unknown_encoding", message, key="encoding"))
            raw = _is_raw(first, line)
            layout = Layout(Kind.JSONL, raw, (), None, UTF_8, mark, _line_end(first), bom)
        case Kind.TXT:
            layout = Layout(Kind.TXT, False, ("text",), None, codec, mark, _line_end(first), bom)
    return DropReader(layout, _records(lines, layout, sys.maxsize, 1, line))


def read_rows(blocks: Iterable[bytes], layout: Layout, *, first_number: int, first_line: int) -> Iterator[Record]:
    """The records of a shard. Blank lines are not in it, so that only the first record's `line` is the drop's."""
    return _records(physical_lines(blocks, sys.maxsize), layout, sys.maxsize, first_number, first_line)


def _records(lines: Iterable[bytes], layout: Layout, limit: int, number: int, line: int) -> Iterator[Record]:
    if layout.kind is Kind.JSONL:
        return _jsonl_records(lines, number, line)
    if layout.kind is Kind.TXT:
        return _text_records(lines, layout.encoding, number, line)
    delimiter = layout.delimiter or ","
    return separated.records(lines, layout.columns, delimiter, layout.encoding, limit, number=number, line=line)


def _jsonl_records(lines: Iterable[bytes], number: int, line: int) -> Iterator[Record]:
    for at, raw in enumerate(lines, line):
        if not raw.isspace():
            values, problem = jsonl.parsed(raw, at)
            yield Record(number, at, raw, values, problem)
            number += 1


def _text_records(lines: Iterable[bytes], encoding: str, number: int, line: int) -> Iterator[Record]:
    for at, raw in enumerate(lines, line):
        if raw.isspace():
            continue
        try:
            text = raw.removesuffix(b"\n").removesuffix(b"\r").decode(encoding)
        except UnicodeDecodeError as error:
            yield Record(number, at, raw, None, undecodable(error, at, encoding))
        else:
            yield Record(number, at, raw, {"text": text})
        number += 1


def _separated(
    lines: Iterator[bytes], line: int, kind: Kind, delimiter: str | None, codec: str, mark: bytes, limit: int
) -> DropReader:
    if delimiter is None:
        delimiter, lines = ("\t", lines) if kind is Kind.TSV else _sniffed(lines, codec)
    else:
        _check_delimiter(delimiter, codec)
    rows = separated.parsed(lines, delimiter, codec, limit, line)
    head, line, columns, problem = next(rows)
    if columns is None:
        raise Rejected.because(problem or _empty("The file has no header"))
    separated.check_header(columns, line)
    layout = Layout(kind, False, tuple(columns), delimiter, codec, mark + head, _line_end(head), bool(mark))
    following = line + head.count(b"\n")
    records = separated.records(lines, layout.columns, delimiter, codec, limit, line=following)
    first = next(records, None)
    if first is None:
        raise Rejected.because(_empty("The file has a header and no rows"))
    return DropReader(layout, chain([first], records))


def _sniffed(lines: Iterator[bytes], codec: str) -> tuple[str, Iterator[bytes]]:
    """The delimiter of the header, and the lines again from its first."""
    taken: list[bytes] = []

    def header() -> Iterator[str]:
        size = 0
        for raw in lines:
            taken.append(raw)
            size += len(raw)
            if size > _LONGEST_HEADER:
                return
            yield raw.decode(codec, "replace")

    delimiter = separated.sniffed(header())
    return delimiter, chain(taken, lines)


def _check_delimiter(delimiter: str, codec: str) -> None:
    try:
        fits = len(delimiter) == 1 and delimiter not in '"\r\n' and bool(delimiter.encode(codec))
    except UnicodeEncodeError:
        fits = False
    if not fits:
        message = "`delimiter` has to be one character of the file's encoding, and no quote or line end."
        raise Rejected.because(Problem("invalid_delimiter", message, key="delimiter"))


def _first_line(lines: Iterator[bytes], blank: bytes | None) -> tuple[int, bytes]:
    """The first line that is not only `blank` bytes (any white space where None), and its number."""
    for number, raw in enumerate(lines, 1):
        if raw.strip(blank):
            return number, raw
    raise Rejected.because(_empty("The file is empty"))


def _empty(what: str) -> Problem:
    return Problem("empty_file", f"{what}; drop one that has at least one row.")


def _is_raw(first: bytes, line: int) -> bool:
    """Whether a first line is an OpenAI batch request. One that is broken counts if it names all that one needs."""
    values, _ = jsonl.parsed(first, line)
    if values is not None:
        return values.keys() >= RAW_NAMES
    return all(f'"{name}"'.encode() in first for name in RAW_NAMES)


def _line_end(raw: bytes) -> str:
    return "\r\n" if raw.endswith(b"\r\n") else "\n"
