"""A record: one row of a drop, with the bytes it was dropped as."""

from typing import Any, NamedTuple

from dropbatch.domain.problems import Problem


class Record(NamedTuple):
    """One row. A tuple rather than a dataclass, because it is made once for every row and costs a third as much.

    `number` counts rows and `line` physical lines, both from 1 in the drop; `line` is where the record starts. `raw`
    holds its bytes verbatim with the line end, if it has one. `values` is None where there is a `problem`.
    """

    number: int
    line: int
    raw: bytes
    values: dict[str, Any] | None
    problem: Problem | None = None
