"""The grammar of csv and tsv: RFC 4180, with Python's strict csv.reader as the judge of where a record ends.

The reader is fed one physical line at a time. Whatever it has taken when it hands over a row is that row's bytes.
Without quoting a line is a row, and no reader is needed.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, repeat

from dropbatch.domain.drops import cut
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.formats.csv.dialect import BACKSLASH, Dialect
from dropbatch.formats.encodings import UTF_8, undecodable
from dropbatch.formats.lines import Lines, too_long
from dropbatch.formats.records import Cells, Chunk, Record, Records, called

Row = tuple[bytes, int, list[str] | None, Problem | None]
"""A record's bytes, the line it starts in, its values, and what is wrong where it has none."""

CHUNK_BYTES = 1 << 17
"""How many bytes of lines are parsed at once: few enough for a processor to keep at hand."""

_LONGEST_FIELD = 2**31 - 1  # the most that a C long holds everywhere


@dataclass(slots=True)
class Noticed:
    """What was noticed of a drop's rows so far.

    `swallowed` is how many lines stand in rows each of whose lines would be a row by itself if no quote had a meaning.
    `likely` are the encodings that were guessed, None if no byte asked for a guess yet.
    """

    swallowed: int = 0
    likely: tuple[str, ...] | None = None


def parsed(lines: Iterable[bytes], dialect: Dialect, encoding: str, limit: int, line: int = 1) -> Iterator[Row]:
    """The records, blank lines left out; `line` is the number of the first of the physical `lines`.

    A record that is broken within one line is given with its problem, and reading goes on in the next.
    DropRejectedError where a record has over `limit` bytes, or is broken so that nobody can tell where the
    next one starts.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))  # see `chunks`
    first = b""
    more = bytearray()  # the further lines of a record: joined at once, because a runaway quote takes in millions
    start = line
    bad_byte: Problem | None = None
    at_end = False

    def feed() -> Iterator[str]:
        nonlocal line, first, start, bad_byte, at_end
        for raw in lines:
            if first:
                more.extend(raw)
                if len(first) + len(more) > limit:
                    raise DropRejectedError.because(too_long(start, limit, in_quotes=True))
            elif raw[0] < 14 and not raw.strip(b"\r\n"):
                line += 1
                continue
            else:
                first, start = raw, line
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError as error:
                bad_byte = bad_byte or undecodable(error, line, encoding)
                text = raw.decode(encoding, "replace")
            line += 1
            yield text
        at_end = True

    rows = dialect.reader(feed())
    while True:
        problem: Problem | None = None
        row: list[str] | None = None
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            if at_end:
                raise DropRejectedError.because(_unclosed(start, dialect)) from None  # csv's own message says less
            problem = _broken(first + more, dialect, encoding, start, line - 1)
            if more or (dialect.has_quotes and first.count(b'"') % 2):
                raise DropRejectedError.because(problem) from None  # the next line may still belong to a quote
        raw = first + more if more else first
        first = b""
        if more:
            more.clear()
        if bad_byte is not None:
            row, problem, bad_byte = None, bad_byte, None
        yield raw, start, row, problem


def chunks(
    lines: Lines,
    columns: Sequence[str],
    dialect: Dialect,
    encoding: str,
    limit: int,
    number: int = 1,
    padding: int = 0,
    *,
    is_sure: bool = True,
    noticed: Noticed | None = None,
) -> Iterator[Chunk]:
    """The rows under a header; `number` is the first one's, and `padding` how many empty values each has behind them.

    Many lines are taken apart at once, for half of what csv.reader takes (measured: 0.7 µs a row of 500 bytes, of 1.4).
    What is not plain is gone through record by record; where that does not do either, `parsed` says why.
    """
    # csv's own limit is the process's, so it is lifted only where rows are read; `limit` bounds a record instead.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    shape = _Shape(columns, dialect, encoding, padding, is_sure)
    watch = _Watch(shape, noticed) if noticed is not None and shape.may_swallow else None
    if dialect.is_unquoted:
        yield from _line_chunks(lines, shape, number)
        return
    while raws := lines.several(CHUNK_BYTES):
        line, end = lines.number - len(raws), lines.offset
        found = _cells(raws, shape.width, dialect.delimiter, encoding) if dialect.is_plain else None
        cells, heights = found or ([], [])
        starts, whole = _gathered(raws, heights, line)
        if cells and max(map(len, whole)) <= limit and (not padding or not any(map(any, cells[len(columns) :]))):
            lines.give_back(raws[sum(heights) :])
            if watch is not None and len(heights) < sum(heights):
                watch.see(starts, whole, heights)
            yield Cells(number, starts, whole, columns, cells[: len(columns)])
            number += len(whole)
            continue
        records, taken = _records(raws, shape, limit, number, line)
        lines.give_back(raws[taken:])
        if records:
            if watch is not None and len(records) < taken:
                raws_found = [record.raw for record in records]
                watch.see([record.line for record in records], raws_found, [raw.count(b"\n") for raw in raws_found])
            yield Records(records)
            number += len(records)
        if taken == len(raws):
            continue
        for raw, start, row, problem in parsed(lines, dialect, encoding, limit, lines.number):
            if watch is not None:
                watch.see([start], [raw], [lines.number - start])
            yield Records([_record(number, start, raw, row, problem, shape)])
            number += 1
            if lines.offset >= end:
                break


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a row is to look like."""

    columns: Sequence[str]
    dialect: Dialect
    encoding: str
    padding: int = 0
    is_sure: bool = True

    @property
    def width(self) -> int:
        return len(self.columns) + self.padding

    @property
    def may_swallow(self) -> bool:
        """Whether a quote may have been taken for one that has a meaning, and it can be seen."""
        return self.dialect.quoting is None and self.dialect.is_plain and self.width > 1


class _Watch:
    """Looks for rows that are several, merged because a quote was taken for the start of a value.

    Where tabs separate values, the first one is refused: a text with tabs in it, and just as many as there are columns
    in each of its lines, is as good as never quoted. Elsewhere such rows are counted.
    """

    def __init__(self, shape: _Shape, noticed: Noticed) -> None:
        self._delimiter = shape.dialect.delimiter.encode(shape.encoding)
        self._count = shape.width - 1
        self._refuses = shape.dialect.delimiter == "\t"
        self._noticed = noticed

    def see(self, starts: Sequence[int], raws: Sequence[bytes], heights: Sequence[int]) -> None:
        """Looks at rows of so many lines each; the last of a file may have no line end that counts."""
        counts = map(bytes.count, raws, repeat(self._delimiter))
        each = self._count
        places = [
            place
            for place, (height, count) in enumerate(zip(heights, counts, strict=True))
            if count >= 2 * each and count - height * each in (0, each)
        ]
        for place in places:
            lines = could_be_rows(raws[place], self._delimiter, each)
            if lines and self._refuses:
                raise DropRejectedError.because(merged(starts[place], starts[place] + lines - 1))
            self._noticed.swallowed += lines


def could_be_rows(raw: bytes, delimiter: bytes, count: int) -> int:
    """How many lines a record has, if each of them has `count` delimiters, and it is not one alone; else 0."""
    if raw.count(delimiter, 0, raw.find(b"\n")) != count:
        return 0
    lines = raw.rstrip(b"\r\n").split(b"\n")
    return len(lines) if len(lines) > 1 and all(line.count(delimiter) == count for line in lines) else 0


def merged(start: int, end: int) -> Problem:
    """The problem of a row that may well be several."""
    return Problem(
        "merged_rows",
        f"Lines {start} to {end} are one row if double quotes enclose values, and each is a row of its own if they do "
        "not; write `quoting: none` in the recipe if quotes are part of the text, or `quoting: double` if they enclose "
        "it.",
        line=start,
        key="quoting",
    )


def mostly_merged(lines: int, of: int) -> Problem:
    """The problem of a file most of whose lines stand in such rows."""
    return Problem(
        "merged_rows",
        f"{lines:,} of {of:,} lines are in rows over several lines if double quotes enclose values, and each is a row "
        "of its own if they do not; write `quoting: none` in the recipe if quotes are part of the text, or "
        "`quoting: double` if they enclose it.",
        key="quoting",
    )


def _line_chunks(lines: Lines, shape: _Shape, number: int) -> Iterator[Chunk]:
    """Rows without quoting: a line each, cut at its delimiters."""
    while raws := lines.several(CHUNK_BYTES):
        line = lines.number - len(raws)
        cells = _line_cells(raws, shape)
        chunk: Chunk
        if cells is not None:
            chunk = Cells(number, range(line, line + len(raws)), raws, shape.columns, cells[: len(shape.columns)])
        else:
            records: list[Record] = []
            for at, raw in enumerate(raws, line):
                if raw.strip(b"\r\n"):
                    records.append(_line_record(number + len(records), at, raw, shape))
            if not records:
                continue
            chunk = Records(records)
        yield chunk
        number += len(chunk.raws)


def _line_cells(raws: Sequence[bytes], shape: _Shape) -> list[tuple[str, ...]] | None:
    """The cells column by column; None if a line is blank, of another width, or no text."""
    try:
        data = b"".join(raws).decode(shape.encoding)
    except UnicodeDecodeError:
        return None
    texts = data.replace("\r\n", "\n").removesuffix("\n").split("\n")
    rows = [text.split(shape.dialect.delimiter) for text in texts]
    if set(map(len, rows)) != {shape.width} or (shape.width == 1 and not all(texts)) or data.endswith("\r"):
        return None
    cells = list(zip(*rows, strict=True))
    return None if any(map(any, cells[len(shape.columns) :])) else cells


def _line_record(number: int, line: int, raw: bytes, shape: _Shape) -> Record:
    try:
        text = raw.decode(shape.encoding)
    except UnicodeDecodeError as error:
        return Record(number, line, raw, None, undecodable(error, line, shape.encoding))
    row = text.removesuffix("\n").removesuffix("\r").split(shape.dialect.delimiter)
    return _record(number, line, raw, row, None, shape)


def _gathered(raws: list[bytes], heights: Sequence[int], line: int) -> tuple[Sequence[int], list[bytes]]:
    """Where records of so many lines start, the first in `line`, and their bytes."""
    count, taken = len(heights), sum(heights)
    if taken == count:
        return range(line, line + count), raws[:count]
    ends = list(accumulate(heights, initial=0))
    return [line + end for end in ends[:-1]], [b"".join(raws[start:end]) for start, end in pairwise(ends)]


def _cells(
    raws: list[bytes], width: int, delimiter: str, encoding: str
) -> tuple[list[list[str]], Sequence[int]] | None:
    """The cells of the records that end within these lines, column by column, and how many lines each record has.

    None where they are not all plain: of the right width, with no blank line between them.

    Long texts stand in quotes. Cut at the quotes, there is text and what lies around it in turns; this frame, with a
    quote where each text was, is short, and is cut at line ends and delimiters.
    """
    try:
        data = b"".join(raws).decode() if encoding == UTF_8 else "".join([raw.decode(encoding) for raw in raws])
    except UnicodeDecodeError:
        return None
    pieces = data.split('"')
    if len(pieces) % 2 == 0:
        ended = len(raws) - _lines_of_the_last(pieces)
        return _cells(raws[:ended], width, delimiter, encoding) if ended else None
    frame, texts = pieces[::2], pieces[1::2]
    frame[-1] = frame[-1].removesuffix("\n").removesuffix("\r")
    for place in reversed([place for place, piece in enumerate(frame) if not piece]):
        if 0 < place < len(texts):  # nothing lies between two texts: they are one, around a quote that was doubled
            texts[place - 1 : place + 1] = [f'{texts[place - 1]}"{texts[place]}']
            del frame[place]
    outline = '"'.join(frame)
    if "\r" in outline:
        outline = outline.replace("\r\n", "\n")
    fields = outline.replace("\n", delimiter + "\n").split(delimiter)
    rows = outline.count("\n") + 1
    # A line end is no field's part if all first fields but one begin with one: there are no more.
    firsts = "\r".join(fields[::width]).split("\r\n")
    if len(fields) != width * rows or len(firsts) != rows or "\r" in outline:
        return None
    if width == 1 and "" in firsts:
        return None  # a blank line
    fields[::width] = firsts
    if fields.count('"') != len(texts):
        return None  # a quote where csv sees none
    heights = [1] * rows
    if rows < len(raws):
        marks = (place for place, field in enumerate(fields) if field == '"')
        for place, text in zip(marks, texts, strict=True):
            heights[place // width] += text.count("\n")
    if texts:
        upcoming = iter(texts)
        fields = [next(upcoming) if field == '"' else field for field in fields]
    return [fields[place::width] for place in range(width)], heights


def _lines_of_the_last(pieces: Sequence[str]) -> int:
    """How many lines a last record has so far whose text goes on, of pieces between quotes."""
    lines = 0 if pieces[-1].endswith("\n") else 1
    for place in range(len(pieces) - 1, -1, -1):
        if place % 2 == 0 and "\n" in pieces[place]:
            return lines
        lines += pieces[place].count("\n")
    return lines


def _records(raws: list[bytes], shape: _Shape, limit: int, number: int, line: int) -> tuple[list[Record], int]:
    """The records with which lines begin, up to the first that is broken or goes on behind them; and their lines."""
    found: list[Record] = []
    taken = 0
    try:
        reader = shape.dialect.reader([raw.decode(shape.encoding) for raw in raws])
        for row in reader:
            end = reader.line_num
            if row:  # else the line is blank
                raw = b"".join(raws[taken:end])
                if len(raw) > limit:
                    break
                found.append(_record(number + len(found), line + taken, raw, row, None, shape))
            taken = end
    except (UnicodeDecodeError, csv.Error):
        pass
    return found, taken


def _record(
    number: int, line: int, raw: bytes, row: list[str] | None, problem: Problem | None, shape: _Shape
) -> Record:
    if row is None:
        return Record(number, line, raw, None, problem)
    columns = shape.columns
    if len(row) != shape.width or (shape.padding and any(row[len(columns) :])):
        return Record(number, line, raw, None, _ragged(line, row, shape))
    return Record(number, line, raw, dict(zip(columns, row, strict=False)))  # the padding has no names


def check_header(columns: Sequence[str], line: int) -> None:
    """DropRejectedError where a column has no name, or one that another has.

    The first column may be nameless, as pandas writes its index, and so may the last ones, as spreadsheets write
    them; no template can name them, and their values are kept.
    """
    named = [place for place, name in enumerate(columns) if name.strip()]
    problems = [
        Problem("empty_column", f"Column {place + 1} of the header (line {line}) has no name; give it one.", line=line)
        for place, name in enumerate(columns)
        if not name.strip() and (not named or 0 < place < named[-1])
    ]
    seen: set[str] = set()
    for name in columns:
        if name in seen and name.strip():
            message = f"The header (line {line}) has the column {called(name)} more than once; rename all but one."
            problems.append(Problem("duplicate_column", message, line=line, column=cut(name, 60)))
        seen.add(name)
    if problems:
        found = Problems()
        found.extend(problems)
        raise DropRejectedError(found)


def values_of(text: str, dialect: Dialect) -> list[str] | None:
    """The values of a record; None where the grammar does not tell."""
    if dialect.is_unquoted:
        return text.rstrip("\r\n").split(dialect.delimiter)
    try:
        return next(dialect.reader(iter([text])))
    except csv.Error:
        return None


def _ragged(line: int, row: Sequence[str], shape: _Shape) -> Problem:
    values, columns, dialect = len(row), len(shape.columns), shape.dialect
    has, wants = f"{values} value{'s' * (values != 1)}", f"{columns} column{'s' * (columns != 1)}"
    what = f"Line {line} has {has} where the header has {wants}"
    name = dialect.delimiter_name
    extra = row[shape.width :] if values > shape.width else row[columns:]
    if values > columns and extra and not any(row[columns:]):
        kind = "delimiter_at_end"
        end = "it ends" if values == columns + 1 else "it ends several times"
        remedy = f"{end} in {name} that no value follows: remove it"
        if values < shape.width:
            kind = "no_delimiter_at_end"
            remedy = f"the other rows end in more of {name}: add what is missing at its end"
    elif values > columns:
        kind, remedy = "too_many_values", _remedy_for_more(dialect, name)
        if shape.padding:
            remedy += ", or name the column in the header"
    elif values == columns and shape.padding:
        kind = "no_delimiter_at_end"
        what = f"Line {line} does not end in {name} as the rows before it do"
        remedy = "add it" if shape.padding == 1 else f"add {shape.padding} of them"
    else:
        kind, remedy = "too_few_values", f"add what is missing after {name}"
    if not shape.is_sure:
        remedy += ', or name in the recipe what separates the values, as in `delimiter: ";"`'
    return Problem("ragged_row", f"{what}; {remedy}.", line=line, kind=kind)


def _remedy_for_more(dialect: Dialect, name: str) -> str:
    if dialect.has_quotes:
        return f"put values that hold {name} into double quotes"
    if dialect.escape is not None:
        return f"put {dialect.escape} before {name} that is part of a value"
    return f"values cannot hold {name} where the recipe says or the file shows that quotes have no meaning: replace it"


def _or_unquoted(dialect: Dialect) -> str:
    """What else to do about a quote, if nobody said that quotes have a meaning."""
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
    """What csv.reader has stumbled over in `line`, a record's last: a carriage return if all is well without it."""
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
