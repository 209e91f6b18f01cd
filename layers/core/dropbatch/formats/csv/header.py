"""How a csv or tsv begins: Excel's `sep=` line, titles, the header; and how values are told apart, seen from rows too.

The rules, which hold only where the recipe does not say otherwise:

- A first line `sep=;` names the delimiter, as Excel reads it.
- In a csv the delimiter is the one of `DELIMITERS` by which the first rows have as many values as the header, and more
  than one. Of several, the one that makes more columns; if that does not decide, the recipe has to say. If none does so
  for all rows, the one that does for most rows, and then the one that is most frequent in the header.
- In a tsv it is a tab. Quotes have no meaning there if the first lines have as many values as the header without them,
  and with them some row is broken or goes over several lines.
- If the rows end in delimiters that the header does not end in, those are let be.
- A first line that has one value, where the lines from the second or a later one on have more, is a title.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.csv import reader as separated
from dropbatch.formats.csv.dialect import NONE, Dialect
from dropbatch.formats.lines import Lines
from dropbatch.formats.records import called

DELIMITERS = (",", ";", "\t", "|")
"""What a csv is searched for; of two that are equally frequent, the first."""

SAMPLE_BYTES = 1 << 16
SAMPLE_ROWS = 100
"""How much of a file is looked at."""

MAX_TITLE_LINES = 20
"""In how many of the first lines a header is looked for."""

_SEPARATOR_LINE = re.compile(r'("?)sep=(.)\1\2*\s*', re.IGNORECASE | re.DOTALL)

_UNLIKELY = frozenset("_-.()[]{}'\"")
"""Signs in names and texts that separate nothing."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the recipe says of a csv or tsv; None where it says nothing."""

    delimiter: str | None = None
    quoting: str | None = None
    escape: str | None = None
    header: int | None = None


NOTHING_SAID = Said()


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the rows, as bytes, and what it says. `hints` are told if the recipe names other columns."""

    head: bytes
    line: int
    columns: tuple[str, ...]
    dialect: Dialect
    padding: int = 0
    is_sure: bool = True
    hints: tuple[Problem, ...] = ()


class _Row(NamedTuple):
    """A row of the sample: the line it starts in, counted from 0, its values, how many lines it has."""

    line: int
    values: list[str]
    height: int


class _Sample(NamedTuple):
    """The first rows, header included, as a dialect sees them; up to where that fails, if it does."""

    dialect: Dialect
    rows: Sequence[_Row]
    is_broken: bool

    @property
    def width(self) -> int:
        return len(self.rows[0].values) if self.rows else 0

    @property
    def below(self) -> Sequence[_Row]:
        return self.rows[1 : SAMPLE_ROWS + 1]

    def padding(self) -> int:
        """How many empty values each row has behind the header's columns."""
        widths = {len(row.values) for row in self.below}
        more = min(widths, default=0) - self.width
        is_empty = len(widths) == 1 and more > 0 and not any(any(row.values[self.width :]) for row in self.below)
        return more if is_empty else 0

    def share(self) -> float:
        """How many of the rows fit the header, from 0 to 1."""
        if not self.below:
            return 1.0
        width = self.width + self.padding()
        return sum(len(row.values) == width for row in self.below) / len(self.below)


def read_header(lines: Lines, is_tsv: bool, said: Said, codec: str, limit: int) -> Header:
    """Reads what stands before the first row; DropRejectedError where the header cannot be found, or used."""
    above = _lines_above(lines, said)
    first = next(lines, b"")
    separator = separator_of((above or [first])[0].decode(codec, "replace"))
    if separator is not None and not above:
        above = [first]
        _pass_blank(lines)
    elif first:
        lines.give_back([first])
    taken = lines.several(SAMPLE_BYTES)
    texts = [raw.decode(codec, "replace") for raw in taken]
    start = lines.number - len(taken)
    lines.give_back(taken)
    sample = _judged(texts, is_tsv, said, separator, start)
    dialect = sample.dialect
    try:
        raw, line, columns, problem = next(separated.parsed(lines, dialect, codec, limit, lines.number))
    except StopIteration:
        raise DropRejectedError.because(_nothing_below(said)) from None
    if columns is None:
        raise DropRejectedError.because(problem or _nothing_below(said))
    is_sure = said.delimiter is not None or separator is not None or sample.share() > 0
    if said.header is None and separator is None:
        _check_for_title(sample, texts, said, start)
    separated.check_header(columns, line)
    _check_merged(sample, texts)
    hints = () if said.delimiter is not None else tuple(_hints(sample, texts, start, said))
    return Header(b"".join([*above, raw]), line, tuple(columns), dialect, sample.padding(), is_sure, hints)


def separator_of(line: str) -> str | None:
    """The delimiter that a first line `sep=;` names, as Excel writes and reads it; None if it is none."""
    found = _SEPARATOR_LINE.fullmatch(line)
    return found[2] if found and found[2] not in '"\r\n' else None


def _lines_above(lines: Lines, said: Said) -> list[bytes]:
    """What stands above the header, where the recipe says in which line that is."""
    if said.header is None:
        return []
    above = list(islice(lines, said.header - 1))
    if len(above) < said.header - 1:
        message = f"The file has {len(above)} lines, and the recipe says `header: {said.header}`; correct it."
        raise DropRejectedError.because(Problem("no_header", message, key="header"))
    return above


def _pass_blank(lines: Lines) -> None:
    for raw in lines:
        if raw.strip(b"\r\n"):
            lines.give_back([raw])
            return


def _nothing_below(said: Said) -> Problem:
    place = f" in line {said.header}" if said.header is not None else ""
    return Problem("empty_file", f"The file has no header{place}; drop one that has one, and at least one row.")


def _judged(texts: Sequence[str], is_tsv: bool, said: Said, separator: str | None, start: int) -> _Sample:
    """The first rows as they are to be read."""
    delimiter = said.delimiter or separator or ("\t" if is_tsv else None)
    if delimiter is None:
        return _by_delimiter([_sample(texts, Dialect(d, said.quoting, said.escape)) for d in DELIMITERS], texts, start)
    sample = _sample(texts, Dialect(delimiter, said.quoting, said.escape))
    if is_tsv and said.quoting is None and said.escape is None and _has_lone_quotes(sample, texts):
        return _sample(texts, replace(sample.dialect, quoting=NONE))
    return sample


def _sample(texts: Sequence[str], dialect: Dialect) -> _Sample:
    reader = dialect.reader(texts)
    rows: list[_Row] = []
    end = 0
    try:
        for values in reader:
            if values:
                rows.append(_Row(end, values, reader.line_num - end))
            end = reader.line_num
    except csv.Error:
        return _Sample(dialect, rows, is_broken=True)
    return _Sample(dialect, rows, is_broken=False)


def _by_delimiter(samples: Sequence[_Sample], texts: Sequence[str], start: int) -> _Sample:
    several = [sample for sample in samples if sample.width > 1]
    if not several:
        return samples[0]
    perfect = [sample for sample in several if sample.share() == 1 and sample.below]
    if perfect:
        most = max(sample.width for sample in perfect)
        best = [sample for sample in perfect if sample.width == most]
        if len(best) > 1:
            raise DropRejectedError.because(_in_doubt(best, start))
        return best[0]
    most_fit = max(sample.share() for sample in several)
    best = [sample for sample in several if sample.share() == most_fit]
    if len(best) == 1 and most_fit >= 0.5:
        return best[0]
    frequent = _most_frequent(texts)
    return next(sample for sample in samples if sample.dialect.delimiter == frequent)


def _in_doubt(samples: Sequence[_Sample], start: int) -> Problem:
    names = " or by ".join(sample.dialect.delimiter_name for sample in samples)
    ways = " or ".join(f"`delimiter: {written(sample.dialect.delimiter)}`" for sample in samples)
    message = (
        f"The columns of the header (line {start}) may be separated by {names}: the rows fit both; write {ways} in the "
        "recipe."
    )
    return Problem("delimiter_in_doubt", message, line=start, key="delimiter")


def written(delimiter: str) -> str:
    """A delimiter as a recipe has it."""
    if delimiter == "\t":
        return "tab"
    if not delimiter.isprintable():
        return f'"\\u{ord(delimiter):04x}"'
    return '"\\\\"' if delimiter == "\\" else f'"{delimiter}"'


def _most_frequent(lines: Sequence[str]) -> str:
    """The most frequent of `DELIMITERS` outside quotes in a header, given from its first line on."""
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


def _has_lone_quotes(sample: _Sample, texts: Sequence[str]) -> bool:
    """Whether quotes in a tsv are texts' own: see the rules."""
    if not sample.is_broken and all(row.height == 1 for row in sample.rows):
        return False
    unquoted = _sample(texts, replace(sample.dialect, quoting=NONE))
    return unquoted.width > 1 and not unquoted.is_broken and bool(unquoted.below) and unquoted.share() == 1


def _check_merged(sample: _Sample, texts: Sequence[str]) -> None:
    """DropRejectedError where most of the first lines stand in rows that may well be several."""
    dialect = sample.dialect
    if dialect.quoting is not None or not dialect.is_plain or sample.width < 2:
        return
    merged = 0
    for row in sample.below:
        if row.height > 1:
            raw = "".join(texts[row.line : row.line + row.height]).encode()
            merged += separated.could_be_rows(raw, dialect.delimiter.encode(), sample.width + sample.padding() - 1)
    lines = sum(row.height for row in sample.below)
    if merged * 2 > lines:
        raise DropRejectedError.because(separated.mostly_merged(merged, lines))


def _check_for_title(sample: _Sample, texts: Sequence[str], said: Said, start: int) -> None:
    """DropRejectedError where the first line is a title, and a later one the header."""
    if not sample.rows or sum(map(bool, sample.rows[0].values)) > 1 or sample.share() == 1:
        return
    best, delimiter = _best_header_below(sample, texts, said)
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


def _best_header_below(sample: _Sample, texts: Sequence[str], said: Said) -> tuple[_Row | None, str]:
    """The header below a title, by the delimiter that makes most columns of it, and that."""
    delimiters = [sample.dialect.delimiter, *(DELIMITERS if said.delimiter is None else ())]
    found = [(_header_below(_sample(texts, replace(sample.dialect, delimiter=d))), d) for d in delimiters]
    return max(found, key=lambda each: len(each[0].values) if each[0] else 0)


def _header_below(sample: _Sample) -> _Row | None:
    """A row, not the first, that is the header of all rows below it."""
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


def _hints(sample: _Sample, texts: Sequence[str], start: int, said: Said) -> Iterator[Problem]:
    """What may be the cause if the header has not the columns that the recipe names."""
    below, _ = _best_header_below(sample, texts, said)
    if below is not None and said.header is None and sum(map(bool, sample.rows[0].values)) <= 1:
        line = start + below.line
        message = f"The header seems to be line {line}, below a title; if so, write `header: {line}` in the recipe."
        yield Problem("title_above_header", message, line=start, key="header")
    other = _other_delimiter(texts) if sample.width == 1 else None
    if other is None and sample.share() > 0:
        return
    name = sample.dialect.delimiter_name
    what = f"The columns of the header (line {start}) were separated by {name}"
    if other is None:
        message = f'{what}; if that is wrong, name what separates them in the recipe, as in `delimiter: ";"`.'
    else:
        shown = "a space" if other == " " else called(other) if other.isprintable() else f"U+{ord(other):04X}"
        message = f"{what}, and {shown} seems to do so; if so, write `delimiter: {written(other)}` in the recipe."
    yield Problem("delimiter_in_doubt", message, line=start, key="delimiter")


def _other_delimiter(texts: Sequence[str]) -> str | None:
    """A sign that the header and each of the first lines hold equally often; the most frequent, spaces last."""
    rows = [line for text in texts[: SAMPLE_ROWS + 1] if (line := text.rstrip("\r\n"))]
    if len(rows) < 2:
        return None
    signs = dict.fromkeys(sign for sign in rows[0] if not sign.isalnum() and sign not in _UNLIKELY)
    counts = {sign: rows[0].count(sign) for sign in signs}
    same = [sign for sign, count in counts.items() if all(row.count(sign) == count for row in rows)]
    return max(same, key=lambda sign: (sign != " ", counts[sign]), default=None)
