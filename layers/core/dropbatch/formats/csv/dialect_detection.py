"""The dialect of a csv or tsv, as far as the recipe leaves it open: what separates values, and what quotes mean.

The rules:

- A first line `sep=;` names the delimiter, as Excel reads it.
- In a csv the delimiter is the one of `DELIMITERS` by which the first rows have as many values as the header, and more
  than one. Of several, the one that makes more columns; if that does not decide, the recipe has to say. If none does so
  for all rows, the one that does for most rows, and then the one that is most frequent in the header.
- In a tsv it is a tab. Quotes have no meaning there if the first lines have as many values as the header without them,
  and with them some row is broken or goes over several lines.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.csv.dialect import NONE, CsvOptions, Dialect
from dropbatch.formats.csv.sample import SAMPLE_ROWS, Sample, take_sample

DELIMITERS = (",", ";", "\t", "|")
"""The delimiters that a csv is searched for; of two that are equally frequent, the first."""

_SEPARATOR_LINE = re.compile(r'("?)sep=(.)\1\2*\s*', re.IGNORECASE | re.DOTALL)

_UNLIKELY = frozenset("_-.()[]{}'\"")
"""Signs in names and texts that separate nothing."""


def choose_dialect(
    texts: Sequence[str], is_tsv: bool, options: CsvOptions, separator: str | None, start: int
) -> Sample:
    """Return the first rows in the dialect that they are to be read in.

    `separator` is the delimiter of a first line `sep=;`, `start` the number of the header's line.
    """
    delimiter = options.delimiter or separator or ("\t" if is_tsv else None)
    if delimiter is None:
        dialects = [Dialect(delimiter, options.quoting, options.escape) for delimiter in DELIMITERS]
        return _by_delimiter([take_sample(texts, dialect) for dialect in dialects], texts, start)
    sample = take_sample(texts, Dialect(delimiter, options.quoting, options.escape))
    if is_tsv and options.quoting is None and options.escape is None and _has_lone_quotes(sample, texts):
        return take_sample(texts, replace(sample.dialect, quoting=NONE))
    return sample


def _by_delimiter(samples: Sequence[Sample], texts: Sequence[str], start: int) -> Sample:
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


def _in_doubt(samples: Sequence[Sample], start: int) -> Problem:
    names = " or by ".join(sample.dialect.delimiter_name for sample in samples)
    ways = " or ".join(f"`delimiter: {write_delimiter(sample.dialect.delimiter)}`" for sample in samples)
    message = (
        f"The columns of the header (line {start}) may be separated by {names}: the rows fit both; write {ways} in the "
        "recipe."
    )
    return Problem("delimiter_in_doubt", message, line=start, key="delimiter")


def read_separator_line(line: str) -> str | None:
    """Return the delimiter that a first line `sep=;` names, as Excel writes and reads it; None for another line."""
    found = _SEPARATOR_LINE.fullmatch(line)
    return found[2] if found and found[2] not in '"\r\n' else None


def _most_frequent(lines: Sequence[str]) -> str:
    """Return the most frequent of `DELIMITERS` outside quotes in a header, given from its first line on."""
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


def _has_lone_quotes(sample: Sample, texts: Sequence[str]) -> bool:
    """Return whether the quotes in a tsv are part of the texts: see the rules."""
    if not sample.is_broken and all(row.height == 1 for row in sample.rows):
        return False
    unquoted = take_sample(texts, replace(sample.dialect, quoting=NONE))
    return unquoted.width > 1 and not unquoted.is_broken and bool(unquoted.below) and unquoted.share() == 1


def find_other_delimiter(texts: Sequence[str]) -> str | None:
    """Return the most frequent sign that the header and each of the first lines hold equally often, spaces last."""
    rows = [line for text in texts[: SAMPLE_ROWS + 1] if (line := text.rstrip("\r\n"))]
    if len(rows) < 2:
        return None
    signs = dict.fromkeys(sign for sign in rows[0] if not sign.isalnum() and sign not in _UNLIKELY)
    counts = {sign: rows[0].count(sign) for sign in signs}
    same = [sign for sign, count in counts.items() if all(row.count(sign) == count for row in rows)]
    return max(same, key=lambda sign: (sign != " ", counts[sign]), default=None)


def write_delimiter(delimiter: str) -> str:
    """Return a delimiter as a recipe writes it."""
    if delimiter == "\t":
        return "tab"
    if not delimiter.isprintable():
        return f'"\\u{ord(delimiter):04x}"'
    return '"\\\\"' if delimiter == "\\" else f'"{delimiter}"'
