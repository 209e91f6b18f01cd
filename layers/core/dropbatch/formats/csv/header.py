"""The start of a csv or tsv: Excel's `sep=` line, lines above the header, and the header.

If the rows end in delimiters that the header does not end in, those are `padding`, which no column holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from dropbatch.domain.drops import cut
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.formats.csv.dialect import CsvOptions, Dialect
from dropbatch.formats.csv.dialect_detection import choose_dialect, read_separator_line
from dropbatch.formats.csv.merged_rows import check_not_merged, count_rows
from dropbatch.formats.csv.sample import SAMPLE_BYTES, Sample
from dropbatch.formats.csv.strict_reader import read_rows
from dropbatch.formats.csv.titles import check_for_title, layout_hints
from dropbatch.formats.file_types import Kind
from dropbatch.formats.layout import Layout
from dropbatch.formats.lines import Lines, first_line, line_end_of
from dropbatch.formats.records import quote_name


@dataclass(frozen=True, slots=True)
class Header:
    """The bytes before the rows, and the facts in them. `hints` are for a recipe that names other columns."""

    head: bytes
    line: int
    columns: tuple[str, ...]
    dialect: Dialect
    padding: int = 0
    is_sure: bool = True
    hints: tuple[Problem, ...] = ()


def read_layout(
    lines: Lines, kind: Kind, options: CsvOptions, codec: str, mark: bytes, limit: int
) -> tuple[Layout, Sequence[Problem]]:
    """Read what is before the first row, and check that there is a row.

    Return the layout, and what may be the cause if the drop lacks the columns that the recipe names. `mark` is the
    byte-order mark. Raise DropRejectedError if the file or the options cannot be used.
    """
    _check_sign("delimiter", options.delimiter, codec)
    _check_sign("escape", options.escape, codec)
    if options.escape is not None and options.escape == options.delimiter:
        message = "`escape` and `delimiter` are the same character; write another for one of them."
        raise DropRejectedError.because(Problem("invalid_escape", message, key="escape"))
    found = read_header(lines, kind is Kind.TSV, options, codec, limit)
    first_line(lines, b"\r\n", "The file has a header and no rows")
    layout = Layout(
        kind,
        False,
        found.columns,
        found.dialect.delimiter,
        codec,
        mark + found.head,
        line_end_of(found.head),
        bool(mark),
        quoting=found.dialect.quoting,
        escape=found.dialect.escape,
        padding=found.padding,
        is_sure=found.is_sure,
    )
    return layout, found.hints


def _check_sign(key: str, sign: str | None, codec: str) -> None:
    """Raise DropRejectedError if the recipe's `key` is no sign of the file's encoding that can separate or escape."""
    if sign is None:
        return
    try:
        fits = len(sign) == 1 and sign not in '"\r\n' and bool(sign.encode(codec))
    except UnicodeEncodeError:
        fits = False
    if not fits:
        message = f"`{key}` has to be one character of the file's encoding, and no quote or line end."
        raise DropRejectedError.because(Problem(f"invalid_{key}", message, key=key))


def read_header(lines: Lines, is_tsv: bool, options: CsvOptions, codec: str, limit: int) -> Header:
    """Read what is before the first row. Raise DropRejectedError if the header cannot be found, or used."""
    above = _lines_above(lines, options)
    first = next(lines, b"")
    separator = read_separator_line((above or [first])[0].decode(codec, "replace"))
    if separator is not None and not above:
        above = [first]
        _skip_blank(lines)
    elif first:
        lines.give_back([first])
    taken = lines.take(SAMPLE_BYTES)
    texts = [raw.decode(codec, "replace") for raw in taken]
    start = lines.number - len(taken)
    lines.give_back(taken)
    sample = choose_dialect(texts, is_tsv, options, separator, start)
    dialect = sample.dialect
    try:
        raw, line, columns, problem = next(read_rows(lines, dialect, codec, limit, lines.number))
    except StopIteration:
        raise DropRejectedError.because(_nothing_below(options)) from None
    if columns is None:
        raise DropRejectedError.because(problem or _nothing_below(options))
    is_sure = options.delimiter is not None or separator is not None or sample.share() > 0
    if options.header is None and separator is None:
        check_for_title(sample, texts, options, start)
    _check_names(columns, line)
    _check_merged(sample, texts)
    hints = () if options.delimiter is not None else tuple(layout_hints(sample, texts, start, options))
    return Header(b"".join([*above, raw]), line, tuple(columns), dialect, sample.padding(), is_sure, hints)


def _lines_above(lines: Lines, options: CsvOptions) -> list[bytes]:
    """Take the lines above the header, if the recipe says in which line that is."""
    if options.header is None:
        return []
    above = list(islice(lines, options.header - 1))
    if len(above) < options.header - 1:
        message = f"The file has {len(above)} lines, and the recipe says `header: {options.header}`; correct it."
        raise DropRejectedError.because(Problem("no_header", message, key="header"))
    return above


def _skip_blank(lines: Lines) -> None:
    for raw in lines:
        if raw.strip(b"\r\n"):
            lines.give_back([raw])
            return


def _nothing_below(options: CsvOptions) -> Problem:
    place = f" in line {options.header}" if options.header is not None else ""
    return Problem("empty_file", f"The file has no header{place}; drop one that has one, and at least one row.")


def _check_merged(sample: Sample, texts: Sequence[str]) -> None:
    """Raise DropRejectedError if most of the first lines are in rows that may well be several."""
    dialect = sample.dialect
    if dialect.quoting is not None or not dialect.is_plain or sample.width < 2:
        return
    merged = 0
    for row in sample.below:
        if row.height > 1:
            raw = "".join(texts[row.line : row.line + row.height]).encode()
            merged += count_rows(raw, dialect.delimiter.encode(), sample.width + sample.padding() - 1)
    check_not_merged(merged, sum(row.height for row in sample.below))


def _check_names(columns: Sequence[str], line: int) -> None:
    """Raise DropRejectedError if a column has no name, or the name of another.

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
            message = f"The header (line {line}) has the column {quote_name(name)} more than once; rename all but one."
            problems.append(Problem("duplicate_column", message, line=line, column=cut(name, 60)))
        seen.add(name)
    if problems:
        found = Problems()
        found.extend(problems)
        raise DropRejectedError(found)
