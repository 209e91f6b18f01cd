"""A record: one row of a drop, with the bytes it was dropped as."""

from typing import Any, NamedTuple

from dropbatch.domain.drops import cut, without_controls
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


def called(name: str) -> str:
    """A column's name as a message says it: quoted, and cut where it is so long that it is more likely a row's text."""
    short = cut(name, 60)
    return f"“{without_controls(short)}{'' if short == name else '…'}”"
