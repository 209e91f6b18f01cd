"""The first rows of a csv or tsv, as a dialect sees them: what is known of a file before its dialect is chosen."""

import csv
from collections.abc import Sequence
from typing import NamedTuple

from dropbatch.formats.csv.dialect import Dialect

SAMPLE_BYTES = 1 << 16
SAMPLE_ROWS = 100
"""The maximum that is looked at of a file."""


class SampleRow(NamedTuple):
    """A row of the sample: the line it starts in, counted from 0, its values, and the number of its lines."""

    line: int
    values: list[str]
    height: int


class Sample(NamedTuple):
    """The first rows, header included, as a dialect sees them. If it fails at a row, the sample ends before that."""

    dialect: Dialect
    rows: Sequence[SampleRow]
    is_broken: bool

    @property
    def width(self) -> int:
        """The number of the header's values."""
        return len(self.rows[0].values) if self.rows else 0

    @property
    def below(self) -> Sequence[SampleRow]:
        """The rows below the header."""
        return self.rows[1 : SAMPLE_ROWS + 1]

    def padding(self) -> int:
        """Return how many empty values each row has behind the header's columns."""
        widths = {len(row.values) for row in self.below}
        more = min(widths, default=0) - self.width
        is_empty = len(widths) == 1 and more > 0 and not any(any(row.values[self.width :]) for row in self.below)
        return more if is_empty else 0

    def share(self) -> float:
        """Return the share of the rows that fit the header, from 0 to 1."""
        if not self.below:
            return 1.0
        width = self.width + self.padding()
        return sum(len(row.values) == width for row in self.below) / len(self.below)


def take_sample(lines: Sequence[str], dialect: Dialect) -> Sample:
    """Return the rows of a file's first lines as a dialect sees them."""
    reader = dialect.reader(lines)
    rows: list[SampleRow] = []
    end = 0
    try:
        for values in reader:
            if values:
                rows.append(SampleRow(end, values, reader.line_num - end))
            end = reader.line_num
    except csv.Error:
        return Sample(dialect, rows, is_broken=True)
    return Sample(dialect, rows, is_broken=False)
