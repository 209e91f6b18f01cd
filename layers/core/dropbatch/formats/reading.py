"""Reads a drop, and its shards: one pass over blocks of bytes, a record a row, in bounded memory.

A record carries its own bytes. A shard is the records' bytes one after another, so that reading it again gives the same
bytes and values; what stands before the first row lives in the layout alone.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple, Protocol

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.formats.csv import header
from dropbatch.formats.csv import reader as separated
from dropbatch.formats.csv.dialect import DOUBLE
from dropbatch.formats.csv.header import NOTHING_SAID, Said
from dropbatch.formats.csv.reader import CHUNK_BYTES, Noticed
from dropbatch.formats.encodings import (
    BYTE_ORDER_MARK,
    NOT_UTF_8,
    UTF_8,
    check_is_text,
    codec_of,
    half_a_character,
    undecodable,
    with_likely,
)
from dropbatch.formats.file_types import FileType, Kind
from dropbatch.formats.guessing import SAMPLE_BYTES, guess_encoding
from dropbatch.formats.jsonl import documents as json_documents
from dropbatch.formats.jsonl import reader as jsonl
from dropbatch.formats.jsonl.documents import Objects, json_layout
from dropbatch.formats.jsonl.fast_raw_requests import LineTemplates
from dropbatch.formats.layout import Layout
from dropbatch.formats.lines import Lines
from dropbatch.formats.records import Cells, Chunk, Record, Records
from dropbatch.formats.transcoding import PLAIN, Storage

__all__ = ["DropReader", "Record", "read_drop", "read_rows"]

RAW_NAMES = frozenset({"custom_id", "method", "url", "body"})
"""What makes a jsonl a raw drop, if its first line has all of them."""

_START = 1024  # bytes that are looked at for a byte-order mark and for what is no text


class Position(NamedTuple):
    """Where in a drop a row starts: bytes and physical lines (from 1) and rows (from 1).

    `swallowed` and `likely` are what was noticed before it: see `separated.Noticed`.
    """

    offset: int
    line: int
    number: int
    swallowed: int = 0
    likely: tuple[str, ...] | None = None


class _Source(Protocol):
    """What rows are read from, and how far that came."""

    @property
    def offset(self) -> int: ...

    @property
    def number(self) -> int: ...


class DropReader:
    """A drop with its `layout`, to be iterated once for its rows, blank lines left out.

    `position` tells where the row starts that follows those given so far: there another reader can go on. `hints` say
    what may be the cause if the drop has not the columns that a recipe names.
    """

    def __init__(
        self,
        layout: Layout,
        source: _Source,
        chunks: Iterator[Chunk],
        number: int = 1,
        noticed: Noticed | None = None,
        hints: Sequence[Problem] = (),
    ) -> None:
        self.layout = layout
        self.hints = hints
        self._source = source
        self._number = number
        self._chunks = chunks
        self._noticed = noticed or Noticed()

    @property
    def position(self) -> Position:
        noticed = self._noticed
        return Position(self._source.offset, self._source.number, self._number, noticed.swallowed, noticed.likely)

    def chunks(self) -> Iterator[Chunk]:
        for chunk in self._chunks:
            self._number = chunk.number + len(chunk.raws)
            yield chunk
        lines = self._source.number - 1
        if self._noticed.swallowed * 2 > lines:
            raise DropRejectedError.because(separated.mostly_merged(self._noticed.swallowed, lines))

    def pass_over(self) -> Iterator[int]:
        """Passes over the rows that are left, and gives how many each step has passed: faster than `chunks`.

        What is wrong with a row is not looked for. DropRejectedError where nobody can tell where the next one begins.
        """
        lines = self._source
        if isinstance(lines, Lines) and self.layout.is_a_line_a_row:
            while raws := lines.several(CHUNK_BYTES):
                count = len(raws) - sum(map(bytes.isspace, raws))
                self._number += count
                yield count
            return
        for chunk in self.chunks():
            yield len(chunk.raws)

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(chunk.records() for chunk in self.chunks())


def read_drop(
    blocks: Iterable[bytes],
    file_type: FileType,
    *,
    said: Said = NOTHING_SAID,
    encoding: str | None,
    limits: Limits,
    storage: Storage = PLAIN,
) -> DropReader:
    """Reads a drop (`blocks` already unpacked) up to its first row; the others are read as they are asked for.

    `said` and `encoding` are the recipe's. `storage` is how the drop lies in S3, which the blocks are turned from.
    DropRejectedError, here or while iterating, where the rest cannot be read; what is wrong with one row alone is
    that record's problem.
    """
    blocks = iter(blocks)
    start = b""
    while len(start) < _START and (block := next(blocks, None)) is not None:
        start += block
    check_is_text(start[:_START])
    bom = start.startswith(BYTE_ORDER_MARK)
    codec = UTF_8 if storage.codec else codec_of(encoding)
    mark = b""
    if bom:
        mark, start = BYTE_ORDER_MARK, start[len(BYTE_ORDER_MARK) :]
        codec = UTF_8  # the mark is UTF-8's, whatever the recipe says
    lines = Lines(chain([start], blocks), limits.line_bytes, len(mark))
    separators = file_type.kind in (Kind.CSV, Kind.TSV)
    if file_type.kind is Kind.JSONL and codec == UTF_8:
        found = json_layout(lines, limits.line_bytes)
        if found is not None:
            return _json_reader(lines, found, mark, limits.line_bytes, storage, start[:SAMPLE_BYTES])
    knows_header = separators and said.header is not None
    first = b"" if knows_header else _first_line(lines, b"\r\n" if separators else None)
    hints: Sequence[Problem] = ()
    sample = start[:SAMPLE_BYTES]
    match file_type.kind:
        case Kind.CSV | Kind.TSV:
            try:
                layout, hints = _separated(lines, file_type.kind, said, codec, mark, limits.line_bytes)
            except DropRejectedError as rejected:
                raise _with_likely(rejected, sample) from None
        case Kind.TXT:
            layout = Layout(Kind.TXT, False, ("text",), None, codec, mark, _line_end(first), bom)
        case _:
            if codec != UTF_8:
                message = "JSON Lines are always UTF-8; remove `encoding` from the recipe, and save the file as UTF-8."
                raise DropRejectedError.because(Problem("unknown_encoding", message, key="encoding"))
            raw = _is_raw(first, lines.number)
            layout = Layout(Kind.JSONL, raw, (), None, UTF_8, mark, _line_end(first), bom)
    return _reader(replace(layout, storage=storage), lines, limits.line_bytes, hints=hints, sample=sample)


def read_on(blocks: Iterable[bytes], layout: Layout, position: Position, limits: Limits) -> DropReader:
    """Goes on with a drop where another reader stood; `blocks` are its bytes (unpacked) from there on."""
    if layout.kind is Kind.JSON:
        objects = Objects(
            blocks,
            limits.line_bytes,
            position.offset,
            position.line,
            layout.separator,
            is_array=layout.is_array,
            is_first=False,
        )
        return _objects_reader(layout, objects, position.number, Noticed(position.swallowed, position.likely))
    lines = Lines(blocks, limits.line_bytes, position.offset, position.line)
    return _reader(layout, lines, limits.line_bytes, position.number, Noticed(position.swallowed, position.likely))


def read_rows(blocks: Iterable[bytes], layout: Layout, *, first_number: int, first_line: int) -> DropReader:
    """Reads a shard. Blank lines are not in it, so that only the first record's `line` is the drop's."""
    if layout.kind is Kind.JSON:
        objects = Objects(blocks, sys.maxsize, 0, first_line, b"", is_array=False, is_first=True)
        return DropReader(layout, objects, objects.chunks(first_number), first_number)
    lines = Lines(blocks, sys.maxsize, 0, first_line)
    # Whether rows are several was asked when the drop was read.
    said = replace(layout, quoting=DOUBLE) if layout.quoting is None else layout
    reader = _reader(said, lines, sys.maxsize, first_number)
    reader.layout = layout
    return reader


def _reader(
    layout: Layout,
    lines: Lines,
    limit: int,
    number: int = 1,
    noticed: Noticed | None = None,
    hints: Sequence[Problem] = (),
    sample: bytes = b"",
) -> DropReader:
    noticed = noticed or Noticed()
    chunks = _chunks(lines, layout, limit, number, noticed)
    if layout.encoding == UTF_8 and not layout.raw:
        chunks = _advised(chunks, lambda: lines.held(SAMPLE_BYTES), sample, layout.storage, noticed)
    return DropReader(layout, lines, chunks, number, noticed, hints)


def _advised(
    chunks: Iterator[Chunk], upcoming: Callable[[], bytes], sample: bytes, storage: Storage, noticed: Noticed
) -> Iterator[Chunk]:
    """The chunks, with the likely encodings named in the problems of bytes that are not UTF-8.

    They are guessed once, from the file's start and from what stands around the first such byte.
    """
    for chunk in chunks:
        if isinstance(chunk, Records) and any(_is_not_utf_8(record) for record in chunk.records()):
            if noticed.likely is None and not storage.codec:
                around = b"".join([*chunk.raws, b"\n", upcoming(), b"\n", sample])
                noticed.likely = tuple(guess_encoding(around).names)
            records = [
                record._replace(
                    problem=half_a_character(record.problem)
                    if storage.codec
                    else with_likely(record.problem, noticed.likely or ())
                )
                if record.problem is not None and _is_not_utf_8(record)
                else record
                for record in chunk.records()
            ]
            yield Records(records)
        else:
            yield chunk


def _is_not_utf_8(record: Record) -> bool:
    return record.problem is not None and record.problem.code == NOT_UTF_8


def _with_likely(rejected: DropRejectedError, sample: bytes) -> DropRejectedError:
    problems = Problems()
    for problem in rejected.problems:
        if problem.code == NOT_UTF_8:
            problems.add(with_likely(problem, guess_encoding(sample).names))
        else:
            problems.add(problem)
    return DropRejectedError(problems)


def _json_reader(
    lines: Lines, found: json_documents.JsonLayout, mark: bytes, limit: int, storage: Storage, sample: bytes
) -> DropReader:
    """Reads what is JSON, and not one object a line."""
    first_at, line = lines.offset, lines.number
    before = lines.peek(found.begin)
    if _is_raw_object(before[found.begin :]):
        how = "as `jq -c '.[]'` does" if found.is_array else "as `jq -c .` does"
        if not found.is_array and b"," in found.separator:
            how = "without commas between them"
        message = (
            "The file holds requests for OpenAI's Batch API, but not one a line; write each on a line of its own, "
            f"{how}, and drop the .jsonl."
        )
        raise DropRejectedError.because(Problem("raw_not_in_lines", message, line=line))
    blocks = lines.rest()
    skipped = next(blocks)
    objects = Objects(
        chain([skipped[found.begin :]], blocks),
        limit,
        first_at + found.begin,
        line + skipped.count(b"\n", 0, found.begin),
        found.separator,
        is_array=found.is_array,
        is_first=True,
    )
    layout = Layout(
        Kind.JSON,
        False,
        (),
        None,
        UTF_8,
        mark + found.head,
        "\n",
        bool(mark),
        separator=found.separator,
        tail=found.tail,
        storage=storage,
    )
    return _objects_reader(layout, objects, 1, Noticed(), sample)


def _objects_reader(layout: Layout, objects: Objects, number: int, noticed: Noticed, sample: bytes = b"") -> DropReader:
    chunks = _advised(objects.chunks(number), bytes, sample, layout.storage, noticed)
    return DropReader(layout, objects, chunks, number, noticed)


def _is_raw_object(start: bytes) -> bool:
    """Whether the object with which these bytes begin is an OpenAI batch request."""
    end = json_documents.end_of(start, 0)
    values = jsonl.parsed(start[:end], 1)[0] if end is not None and start.startswith(b"{") else None
    return values is not None and values.keys() >= RAW_NAMES


def _chunks(lines: Lines, layout: Layout, limit: int, number: int, noticed: Noticed) -> Iterator[Chunk]:
    if layout.raw:
        return _raw_chunks(lines, number)
    if layout.kind in (Kind.JSONL, Kind.PARQUET):  # a table's rows are kept as JSON
        return _jsonl_chunks(lines, number)
    if layout.kind is Kind.TXT:
        return _text_chunks(lines, layout, number)
    return separated.chunks(
        lines,
        layout.columns,
        layout.dialect,
        layout.encoding,
        limit,
        number,
        layout.padding,
        is_sure=layout.is_sure,
        noticed=noticed,
    )


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
    shapes = LineTemplates()
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
        if layout.storage.is_cr and any("\r" in text for text in texts):
            texts = []  # the rows say why
        if texts and not any(map(bytes.isspace, raws)):
            chunk = Cells(number, range(line, line + len(raws)), raws, layout.columns, [texts])
        else:
            records = list(_text_records(raws, layout, number, line))
            if not records:
                continue
            chunk = Records(records)
        yield chunk
        number += len(chunk.raws)


def _text_records(raws: list[bytes], layout: Layout, number: int, line: int) -> Iterator[Record]:
    encoding = layout.encoding
    for at, raw in enumerate(raws, line):
        if raw.isspace():
            continue
        try:
            text = raw.removesuffix(b"\n").removesuffix(b"\r").decode(encoding)
        except UnicodeDecodeError as error:
            yield Record(number, at, raw, None, undecodable(error, at, encoding))
        else:
            if layout.storage.is_cr and "\r" in text:
                message = f"Line {at} holds a line feed, and the lines above end in carriage returns; end all in LF."
                yield Record(number, at, raw, None, Problem("mixed_line_ends", message, line=at))
            else:
                yield Record(number, at, raw, {"text": text})
        number += 1


def _separated(
    lines: Lines, kind: Kind, said: Said, codec: str, mark: bytes, limit: int
) -> tuple[Layout, Sequence[Problem]]:
    """Reads the header, and sees that there is a row."""
    _check_sign("delimiter", said.delimiter, codec)
    _check_sign("escape", said.escape, codec)
    if said.escape is not None and said.escape == said.delimiter:
        message = "`escape` and `delimiter` are the same character; write another for one of them."
        raise DropRejectedError.because(Problem("invalid_escape", message, key="escape"))
    found = header.read_header(lines, kind is Kind.TSV, said, codec, limit)
    _first_line(lines, b"\r\n", "The file has a header and no rows")
    layout = Layout(
        kind,
        False,
        found.columns,
        found.dialect.delimiter,
        codec,
        mark + found.head,
        _line_end(found.head),
        bool(mark),
        quoting=found.dialect.quoting,
        escape=found.dialect.escape,
        padding=found.padding,
        is_sure=found.is_sure,
    )
    return layout, found.hints


def _check_sign(key: str, sign: str | None, codec: str) -> None:
    if sign is None:
        return
    try:
        fits = len(sign) == 1 and sign not in '"\r\n' and bool(sign.encode(codec))
    except UnicodeEncodeError:
        fits = False
    if not fits:
        message = f"`{key}` has to be one character of the file's encoding, and no quote or line end."
        raise DropRejectedError.because(Problem(f"invalid_{key}", message, key=key))


def _first_line(lines: Lines, blank: bytes | None, otherwise: str = "The file is empty") -> bytes:
    """Passes over lines that are only `blank` bytes (any white space where None); gives the next, and leaves it."""
    for raw in lines:
        if raw.strip(blank):
            lines.give_back([raw])
            return raw
    raise DropRejectedError.because(_empty(otherwise))


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
