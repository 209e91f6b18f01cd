"""A record: one row of a drop, with the bytes it was dropped as. A chunk: some that follow one another.

A step costs less a row if it is done for a thousand rows at once. So a chunk gives its values column by column if it
can, or has a type of its own. Any chunk gives its records one by one.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count, repeat
from typing import Any, NamedTuple

from dropbatch.domain.drops import cut, without_controls
from dropbatch.domain.problems import Problem


class Record(NamedTuple):
    """One row. A tuple rather than a dataclass, because it is made once for every row and costs a third as much.

    `number` counts rows and `line` physical lines, both from 1 in the drop; `line` is where the record starts. `raw`
    holds its bytes verbatim with the line end, if it has one. `values` is None if there is a `problem`.
    """

    number: int
    line: int
    raw: bytes
    values: dict[str, Any] | None
    problem: Problem | None = None


def quote_name(name: str) -> str:
    """Return a column's name as a message says it: quoted, and cut if it is so long that it may be a row's text."""
    short = cut(name, 60)
    return f"“{without_controls(short)}{'' if short == name else '…'}”"


class Chunk:
    """Some rows of a drop: `number` is the first one's, `lines` are where they start, `raws` their bytes."""

    __slots__ = ("lines", "number", "raws")

    def __init__(self, number: int, lines: Sequence[int], raws: list[bytes]) -> None:
        self.number = number
        self.lines = lines
        self.raws = raws

    def records(self) -> list[Record]:
        """Return the rows one by one."""
        raise AssertionError("every kind of chunk has records")

    def values(self) -> Mapping[str, Sequence[Any]] | None:
        """Return the rows' values by their names; None if their names differ, or one has a problem."""
        return None


class Records(Chunk):
    """Rows of any kind, one by one."""

    __slots__ = ("_records",)

    def __init__(self, records: list[Record]) -> None:
        super().__init__(records[0].number, [record.line for record in records], [record.raw for record in records])
        self._records = records

    def records(self) -> list[Record]:
        return self._records

    def values(self) -> Mapping[str, Sequence[Any]] | None:
        rows = [record.values for record in self._records if record.values]
        names = list(map(list, rows))
        if len(rows) < len(self._records) or names.count(names[0]) < len(rows):
            return None
        return dict(zip(names[0], zip(*[row.values() for row in rows], strict=True), strict=True))


class Cells(Chunk):
    """Rows of texts without problems. `cells` are the texts, column by column."""

    __slots__ = ("cells", "columns")

    def __init__(
        self,
        number: int,
        lines: Sequence[int],
        raws: list[bytes],
        columns: Sequence[str],
        cells: Sequence[Sequence[str]],
    ) -> None:
        super().__init__(number, lines, raws)
        self.columns = columns
        self.cells = cells

    def values(self) -> Mapping[str, Sequence[Any]]:
        return dict(zip(self.columns, self.cells, strict=True))

    def records(self) -> list[Record]:
        values = [dict(zip(self.columns, row, strict=True)) for row in zip(*self.cells, strict=True)]
        return list(map(new_record, zip(count(self.number), self.lines, self.raws, values, repeat(None))))


new_record = partial(tuple.__new__, Record)
"""Makes a Record of an iterable of its members, without the call of a Python function."""
