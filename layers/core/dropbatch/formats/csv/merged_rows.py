"""The search for rows that are several rows, merged because a quote was read as the start of a value.

If tabs separate values, the first such row is refused: a text with tabs in it, and as many in each of its lines as
there are columns, is as good as never quoted. With another delimiter such rows are counted, and a file that mostly
consists of them is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.csv.rows import RowShape


@dataclass(slots=True)
class Noticed:
    """Observations about a drop's rows so far.

    `swallowed` is the number of lines in rows that may well be several. `likely` are the encodings that were guessed,
    None if no byte asked for a guess yet.
    """

    swallowed: int = 0
    likely: tuple[str, ...] | None = None


class MergedRows:
    """Looks for such rows, and counts their lines in `noticed`."""

    def __init__(self, shape: RowShape, noticed: Noticed) -> None:
        self._delimiter = shape.dialect.delimiter.encode(shape.encoding)
        self._count = shape.width - 1
        self._refuses = shape.dialect.delimiter == "\t"
        self._noticed = noticed

    def look_at(self, starts: Sequence[int], raws: Sequence[bytes]) -> None:
        """Look at rows, which start in these lines. Raise DropRejectedError for the first if tabs separate values."""
        counts = map(bytes.count, raws, repeat(self._delimiter))
        places = [place for place, count in enumerate(counts) if count >= 2 * self._count]
        for place in places:
            lines = count_rows(raws[place], self._delimiter, self._count)
            if lines and self._refuses:
                raise DropRejectedError.because(_merged(starts[place], starts[place] + lines - 1))
            self._noticed.swallowed += lines


def may_be_merged(shape: RowShape) -> bool:
    """Return whether a quote may have been read as one that has a meaning, and whether that can be seen."""
    return shape.dialect.quoting is None and shape.dialect.is_plain and shape.width > 1


def count_rows(raw: bytes, delimiter: bytes, count: int) -> int:
    """Return how many lines a record has if it has several and each has `count` delimiters; else 0."""
    if raw.count(delimiter, 0, raw.find(b"\n")) != count:
        return 0
    lines = raw.rstrip(b"\r\n").split(b"\n")
    return len(lines) if len(lines) > 1 and all(line.count(delimiter) == count for line in lines) else 0


def check_not_merged(swallowed: int, lines: int) -> None:
    """Raise DropRejectedError if more than half of a file's lines are in such rows."""
    if swallowed * 2 > lines:
        raise DropRejectedError.because(
            Problem(
                "merged_rows",
                f"{swallowed:,} of {lines:,} lines are in rows over several lines if double quotes enclose values, and "
                "each is a row of its own if they do not; write `quoting: none` in the recipe if quotes are part of "
                "the text, or `quoting: double` if they enclose it.",
                key="quoting",
            )
        )


def _merged(start: int, end: int) -> Problem:
    return Problem(
        "merged_rows",
        f"Lines {start} to {end} are one row if double quotes enclose values, and each is a row of its own if they do "
        "not; write `quoting: none` in the recipe if quotes are part of the text, or `quoting: double` if they enclose "
        "it.",
        line=start,
        key="quoting",
    )
