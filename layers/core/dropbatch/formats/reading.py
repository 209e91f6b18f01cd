"""Reads a drop, and its shards: one pass over blocks of bytes, a record a row, in bounded memory.

A record carries its own bytes. A shard is the records' bytes one after another, so that reading it again gives the same
bytes and values; what stands before the first row lives in the layout alone.
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from dropbatch.domain.errors import Rejected
from dropbatch.domain.limits import Limits
from dropbatch.domain.problems import Problem
from dropbatch.formats import jsonl, separated
from dropbatch.formats.encodings import BYTE_ORDER_MARK, UTF_8, check_is_text, codec_of, undecodable
from dropbatch.formats.kinds import FileType, Kind
from dropbatch.formats.layout import Layout
from dropbatch.formats.lines import Lines
from dropbatch.formats.records import Cells, Chunk, Record, Records
from dropbatch.formats.separated import CHUNK_BYTES
from dropbatch.formats.shapes import Shapes

__all__ = ["DropReader", "Record", "read_drop", "read_rows"]

RAW_NAMES = frozenset({"custom_id", "method", "url", "body"})
"""What makes a jsonl a raw drop, if its first line has all of them."""

_START = 1024  # bytes that are looked at for a byte-order mark and for what is no text


_LONGEST_HEADER = 1 << 20  # bytes that are searched for a delimiter; a quote that never closes is left to the parser


class Position(NamedTuple):
    """Where in a drop a row starts: bytes and physical lines (from 1) and rows (from 1)."""

    offset: int
    line: int
    number: int


class DropReader:
    """A drop with its `layout`, to be iterated once for its rows, blank lines left out.

    `position` tells where the row starts that follows those given so far: there another reader can go on.
    """

    def __init__(self, layout: Layout, lines: Lines, limit: int, number: int = 1) -> None:
        self.layout = layout
        self._lines = lines
        self._number = number
        self._chunks = _chunks(lines, layout, limit, number)

    @property
    def position(self) -> Position:
        return Position(self._lines.offset, self._lines.number, self._number)

    def chunks(self) -> Iterator[Chunk]:
        for chunk in self._chunks:
            self._number = chunk.number + len(chunk.raws)
            yield chunk

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(chunk.records() for chunk in self.chunks())


def read_drop(
    blocks: Iterable[bytes],
    file_type: FileType,
    *,
    delimiter: str | None,
    encoding: str | None,
    limits: Limits,
) -> DropReader:
    """Reads a drop (`blocks` already unpacked) up to its first row; the others are read as they are asked for.

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
    mark = b""
    if bom:
        mark, start = BYTE_ORDER_MARK, start[len(BYTE_ORDER_MARK) :]
        codec = UTF_8  # the mark is UTF-8's, whatever the recipe says
    lines = Lines(chain([start], blocks), limits.line_bytes, len(mark))
    separators = file_type.kind in (Kind.CSV, Kind.TSV)
    first = _first_line(lines, b"\r\n" if separators else None)
    match file_type.kind:
        case Kind.CSV | Kind.TSV:
            layout = _separated(lines, file_type.kind, delimiter, codec, mark, limits.line_bytes)
        case Kind.JSONL:
            if codec != UTF_8:
                message = "JSON Lines are always UTF-8; remove `encoding` from the recipe, and save the file as UTF-8."
                raise Rejected.because(Problem("unknown_encoding", message, key="encoding"))
            raw = _is_raw(first, lines.number)
            layout = Layout(Kind.JSONL, raw, (), None, UTF_8, mark, _line_end(first), bom)
        case Kind.TXT:
            layout = Layout(Kind.TXT, False, ("text",), None, codec, mark, _line_end(first), bom)
    return DropReader(layout, lines, limits.line_bytes)


def read_on(blocks: Iterable[bytes], layout: Layout, position: Position, limits: Limits) -> DropReader:
    """Goes on with a drop where another reader stood; `blocks` are its bytes (unpacked) from there on."""
    lines = Lines(blocks, limits.line_bytes, position.offset, position.line)
    return DropReader(layout, lines, limits.line_bytes, position.number)


def read_rows(blocks: Iterable[bytes], layout: Layout, *, first_number: int, first_line: int) -> DropReader:
    """Reads a shard. Blank lines are not in it, so that only the first record's `line` is the drop's."""
    return DropReader(layout, Lines(blocks, sys.maxsize, 0, first_line), sys.maxsize, first_number)


def _chunks(lines: Lines, layout: Layout, limit: int, number: int) -> Iterator[Chunk]:
    if layout.raw:
        return _raw_chunks(lines, number)
    if layout.kind in (Kind.JSONL, Kind.PARQUET):  # a table's rows are kept as JSON
        return _jsonl_chunks(lines, number)
    if layout.kind is Kind.TXT:
        return _text_chunks(lines, layout, number)
    return separated.chunks(lines, layout.columns, layout.delimiter or ",", layout.encoding, limit, number)


def _jsonl_chunks(lines: Lines, number: int) -> Iterator[Chunk]:
    while raws := lines.several(CHUNK_BYTES):
        records = []
        for line, raw in enumerate(raws, lines.number - len(raws)):
            if not raw.isspace():
                records.append(Record(number, line, raw, *jsonl.parsed(raw, line)))
                number += 1
        if records:
            yield Records(records)


def _raw_chunks(lines: Lines, number: int) -> Iterator[Chunk]:
    shapes = Shapes()
    while raws := lines.several(CHUNK_BYTES):
        line = lines.number - len(raws)
        chunks = list(shapes.chunks(raws, number, line))
        if len(chunks) == 1 and len(chunks[0].raws) == len(raws):
            yield chunks[0]
            number += len(raws)
            continue
        lines.give_back(raws)
        ends = [*(chunk.lines[0] - line for chunk in chunks[1:]), len(raws)]
        start = 0
        for chunk, end in zip(chunks, ends, strict=False):  # none where all lines are blank
            lines.pass_over(raws[start:end])
            yield chunk
            number, start = number + len(chunk.raws), end
        lines.pass_over(raws[start:])


def _text_chunks(lines: Lines, layout: Layout, number: int) -> Iterator[Chunk]:
    while raws := lines.several(CHUNK_BYTES):
        line = lines.number - len(raws)
        try:
            texts = [raw.removesuffix(b"\n").removesuffix(b"\r").decode(layout.encoding) for raw in raws]
        except UnicodeDecodeError:
            texts = []
        chunk: Chunk
        if texts and not any(map(bytes.isspace, raws)):
            chunk = Cells(number, range(line, line + len(raws)), raws, layout.columns, [texts])
        else:
            records = list(_text_records(raws, layout.encoding, number, line))
            if not records:
                continue
            chunk = Records(records)
        yield chunk
        number += len(chunk.raws)


def _text_records(raws: list[bytes], encoding: str, number: int, line: int) -> Iterator[Record]:
    for at, raw in enumerate(raws, line):
        if raw.isspace():
            continue
        try:
            text = raw.removesuffix(b"\n").removesuffix(b"\r").decode(encoding)
        except UnicodeDecodeError as error:
            yield Record(number, at, raw, None, undecodable(error, at, encoding))
        else:
            yield Record(number, at, raw, {"text": text})
        number += 1


def _separated(lines: Lines, kind: Kind, delimiter: str | None, codec: str, mark: bytes, limit: int) -> Layout:
    """Reads the header, and sees that there is a row."""
    if delimiter is None:
        delimiter = "\t" if kind is Kind.TSV else _sniffed(lines, codec)
    else:
        _check_delimiter(delimiter, codec)
    head, line, columns, problem = next(separated.parsed(lines, delimiter, codec, limit, lines.number))
    if columns is None:
        raise Rejected.because(problem or _empty("The file has no header"))
    separated.check_header(columns, line)
    _first_line(lines, b"\r\n", "The file has a header and no rows")
    return Layout(kind, False, tuple(columns), delimiter, codec, mark + head, _line_end(head), bool(mark))


def _sniffed(lines: Lines, codec: str) -> str:
    """The delimiter of the header, which the lines begin with, and begin with again."""
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
    lines.give_back(taken)
    return delimiter


def _check_delimiter(delimiter: str, codec: str) -> None:
    try:
        fits = len(delimiter) == 1 and delimiter not in '"\r\n' and bool(delimiter.encode(codec))
    except UnicodeEncodeError:
        fits = False
    if not fits:
        message = "`delimiter` has to be one character of the file's encoding, and no quote or line end."
        raise Rejected.because(Problem("invalid_delimiter", message, key="delimiter"))


def _first_line(lines: Lines, blank: bytes | None, otherwise: str = "The file is empty") -> bytes:
    """Passes over lines that are only `blank` bytes (any white space where None); gives the next, and leaves it."""
    for raw in lines:
        if raw.strip(blank):
            lines.give_back([raw])
            return raw
    raise Rejected.because(_empty(otherwise))


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
