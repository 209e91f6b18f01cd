"""The grammar of csv and tsv: RFC 4180, with Python's strict csv.reader as the judge of where a record ends.

The reader is fed one physical line at a time. Whatever it has taken when it hands over a row is that row's bytes.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

from dropbatch.domain.drops import cut
from dropbatch.domain.errors import Rejected
from dropbatch.domain.problems import Problem, Problems
from dropbatch.formats.encodings import UTF_8, undecodable
from dropbatch.formats.lines import Lines, too_long
from dropbatch.formats.records import Cells, Chunk, Record, Records, called

DELIMITERS = (",", ";", "\t")
"""What a header is searched for; of two that are equally frequent, the first."""

Row = tuple[bytes, int, list[str] | None, Problem | None]
"""A record's bytes, the line it starts in, its values, and what is wrong where it has none."""

CHUNK_BYTES = 1 << 17
"""How many bytes of lines are parsed at once: few enough for a processor to keep at hand."""

_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_LONGEST_FIELD = 2**31 - 1  # the most that a C long holds everywhere


def parsed(lines: Iterable[bytes], delimiter: str, encoding: str, limit: int, line: int = 1) -> Iterator[Row]:
    """The records, blank lines left out; `line` is the number of the first of the physical `lines`.

    A record that is broken within one line is given with its problem, and reading goes on in the next. Rejected where
    a record has over `limit` bytes, or is broken so that nobody can tell where the next one starts.
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
                    raise Rejected.because(too_long(start, limit, in_quotes=True))
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

    rows = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        problem: Problem | None = None
        row: list[str] | None = None
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            if at_end:
                raise Rejected.because(_unclosed(start)) from None  # csv's own message says less
            problem = _broken(first + more, delimiter, encoding, start, line - 1)
            if more or first.count(b'"') % 2:
                raise Rejected.because(problem) from None  # the next line may still belong to a quote
        raw = first + more if more else first
        first = b""
        if more:
            more.clear()
        if bad_byte is not None:
            row, problem, bad_byte = None, bad_byte, None
        yield raw, start, row, problem


def chunks(
    lines: Lines, columns: Sequence[str], delimiter: str, encoding: str, limit: int, number: int = 1
) -> Iterator[Chunk]:
    """The rows under a header; `number` is the first one's.

    Many lines are taken apart at once, for half of what csv.reader takes (measured: 0.7 µs a row of 500 bytes, of 1.4).
    What is not plain is gone through record by record; where that does not do either, `parsed` says why.
    """
    # csv's own limit is the process's, so it is lifted only where rows are read; `limit` bounds a record instead.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    while raws := lines.several(CHUNK_BYTES):
        line, end = lines.number - len(raws), lines.offset
        cells, heights = _cells(raws, len(columns), delimiter, encoding) or ([], [])
        starts, whole = _gathered(raws, heights, line)
        if cells and max(map(len, whole)) <= limit:
            lines.give_back(raws[sum(heights) :])
            yield Cells(number, starts, whole, columns, cells)
            number += len(whole)
            continue
        records, taken = _records(raws, columns, delimiter, encoding, limit, number, line)
        lines.give_back(raws[taken:])
        if records:
            yield Records(records)
            number += len(records)
        if taken == len(raws):
            continue
        for raw, start, row, problem in parsed(lines, delimiter, encoding, limit, lines.number):
            yield Records([_record(number, start, raw, row, problem, columns, delimiter)])
            number += 1
            if lines.offset >= end:
                break


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


def _records(
    raws: list[bytes], columns: Sequence[str], delimiter: str, encoding: str, limit: int, number: int, line: int
) -> tuple[list[Record], int]:
    """The records with which lines begin, up to the first that is broken or goes on behind them; and their lines."""
    found: list[Record] = []
    taken = 0
    try:
        reader = csv.reader([raw.decode(encoding) for raw in raws], delimiter=delimiter, strict=True)
        for row in reader:
            end = reader.line_num
            if row:  # else the line is blank
                raw = b"".join(raws[taken:end])
                if len(raw) > limit:
                    break
                found.append(_record(number + len(found), line + taken, raw, row, None, columns, delimiter))
            taken = end
    except (UnicodeDecodeError, csv.Error):
        pass
    return found, taken


def _record(
    number: int,
    line: int,
    raw: bytes,
    row: list[str] | None,
    problem: Problem | None,
    columns: Sequence[str],
    delimiter: str,
) -> Record:
    if row is None:
        return Record(number, line, raw, None, problem)
    if len(row) != len(columns):
        return Record(number, line, raw, None, _ragged(line, len(row), len(columns), delimiter))
    return Record(number, line, raw, dict(zip(columns, row, strict=True)))


def sniffed(lines: Iterable[str]) -> str:
    """The delimiter of a header, given from its first line on: the most frequent of `DELIMITERS` outside quotes."""
    counts = dict.fromkeys(DELIMITERS, 0)
    quoted, field_starts = False, True
    for line in lines:
        for character in line:
            if character == '"' and (quoted or field_starts):
                quoted = not quoted
                # What follows a closing quote is the delimiter, or a second quote that reopens it.
                field_starts = not quoted
            elif not quoted:
                if character in counts:
                    counts[character] += 1
                field_starts = character in counts
        if not quoted:
            break
    return max(DELIMITERS, key=counts.__getitem__)


def check_header(columns: Sequence[str], line: int) -> None:
    """Rejected where a column has no name, or one that another has.

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
        raise Rejected(found)


def values_of(text: str, delimiter: str) -> list[str] | None:
    """The values of a record; None where the grammar does not tell."""
    try:
        return next(csv.reader(iter([text]), delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def _ragged(line: int, values: int, columns: int, delimiter: str) -> Problem:
    has, wants = f"{values} value{'s' * (values != 1)}", f"{columns} column{'s' * (columns != 1)}"
    what = f"Line {line} has {has} where the header has {wants}"
    name = _NAMES.get(delimiter, f"“{delimiter}”")
    remedy = (
        f"put values that hold {name} into double quotes" if values > columns else f"add what is missing after {name}"
    )
    return Problem("ragged_row", f"{what}; {remedy}.", line=line)


def _unclosed(line: int) -> Problem:
    return Problem(
        "unclosed_quote",
        f'The record that starts in line {line} opens a double quote that never closes; close it, or write "" for a '
        "quote within a quoted value.",
        line=line,
    )


def _broken(raw: bytes, delimiter: str, encoding: str, start: int, line: int) -> Problem:
    """What csv.reader has stumbled over in `line`, a record's last: a carriage return if all is well without it."""
    place = f"Line {line}" if line == start else f"Line {line}, in the record that starts in line {start},"
    record = raw.rstrip(b"\r\n")
    stumbled_on = record[record.rfind(b"\n") + 1 :]
    if b"\r" in stumbled_on and _is_record(record.replace(b"\r", b" "), delimiter, encoding):
        message = f"{place} holds a carriage return outside quotes; end lines with LF or CRLF, or quote the value."
        return Problem("lone_carriage_return", message, line=line)
    message = (
        f'{place} has text after a closing double quote; write "" for a quote within a quoted value, and check that '
        "every quote above it closes."
    )
    return Problem("bad_quoting", message, line=line)


def _is_record(raw: bytes, delimiter: str, encoding: str) -> bool:
    lines = raw.decode(encoding, "replace").split("\n")
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=True)
    try:
        return len(list(reader)) == 1
    except csv.Error:
        return False
