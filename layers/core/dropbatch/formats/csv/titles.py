"""Titles above the header of a csv or tsv.

The rule: a first line that has one value, where the lines from the second or a later one on have more, is a title.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.csv.dialect import CsvOptions
from dropbatch.formats.csv.dialect_detection import DELIMITERS, find_other_delimiter, write_delimiter
from dropbatch.formats.csv.sample import SAMPLE_ROWS, Sample, SampleRow, take_sample
from dropbatch.formats.records import quote_name

MAX_TITLE_LINES = 20
"""The number of a file's first lines in which a header is searched for."""


def check_for_title(sample: Sample, texts: Sequence[str], options: CsvOptions, start: int) -> None:
    """Raise DropRejectedError if the first line is a title, and a later one the header."""
    if not sample.rows or sum(map(bool, sample.rows[0].values)) > 1 or sample.share() == 1:
        return
    best, delimiter = _best_header_below(sample, texts, options)
    if best is None:
        return
    line, has = start + best.line, f"{len(best.values)} values"
    message = (
        f"The header seems to be line {line}: it and the lines below it have {has}, and line {start} has one; write "
        f"`header: {line}` in the recipe."
    )
    if delimiter == sample.dialect.delimiter and line == start + 1 and sample.width == 1:
        name = sample.dialect.delimiter_name
        message = (
            f"Line {start} has one value and the lines below it have {len(best.values)}; if it is a title, write "
            f"`header: {line}` in the recipe, and if it is the header, put values that hold {name} into double quotes."
        )
    raise DropRejectedError.because(Problem("title_above_header", message, line=start, key="header"))


def _best_header_below(sample: Sample, texts: Sequence[str], options: CsvOptions) -> tuple[SampleRow | None, str]:
    """Return the header below a title, if there is one, by the delimiter that makes most columns of it, and that."""
    delimiters = [sample.dialect.delimiter, *(DELIMITERS if options.delimiter is None else ())]
    found = [(_header_below(take_sample(texts, replace(sample.dialect, delimiter=d))), d) for d in delimiters]
    return max(found, key=lambda each: len(each[0].values) if each[0] else 0)


def _header_below(sample: Sample) -> SampleRow | None:
    """Return a row, not the first, that is the header of all rows below it; None if there is none."""
    for place, row in enumerate(sample.rows[1 : MAX_TITLE_LINES + 1], 1):
        below = sample.rows[place + 1 : place + 1 + SAMPLE_ROWS]
        width = len(row.values)
        if (
            width > 1
            and below
            and all(value.strip() for value in row.values)
            and len(set(row.values)) == width
            and all(len(other.values) == width for other in below)
        ):
            above = sample.rows[:place]
            is_title = all(sum(map(bool, other.values)) <= 1 for other in above)
            return row if is_title else None
    return None


def layout_hints(sample: Sample, texts: Sequence[str], start: int, options: CsvOptions) -> Iterator[Problem]:
    """Yield what may be the cause if the header lacks the columns that the recipe names."""
    below, _ = _best_header_below(sample, texts, options)
    if below is not None and options.header is None and sum(map(bool, sample.rows[0].values)) <= 1:
        line = start + below.line
        message = f"The header seems to be line {line}, below a title; if so, write `header: {line}` in the recipe."
        yield Problem("title_above_header", message, line=start, key="header")
    other = find_other_delimiter(texts) if sample.width == 1 else None
    if other is None and sample.share() > 0:
        return
    name = sample.dialect.delimiter_name
    what = f"The columns of the header (line {start}) were separated by {name}"
    if other is None:
        message = f'{what}; if that is wrong, name what separates them in the recipe, as in `delimiter: ";"`.'
    else:
        shown = "a space" if other == " " else quote_name(other) if other.isprintable() else f"U+{ord(other):04X}"
        delimiter = write_delimiter(other)
        message = f"{what}, and {shown} seems to do so; if so, write `delimiter: {delimiter}` in the recipe."
    yield Problem("delimiter_in_doubt", message, line=start, key="delimiter")
