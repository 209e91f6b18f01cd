"""Comparisons of a run's answers with those of the run before: counts only, no text of a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_MOVES = 20
"""How many of a column's changes from one value to another are listed, the most common first."""

MAX_EVENT_COLUMNS = 10
"""How many columns an event lists; summary.json lists all."""


@dataclass(slots=True)
class ColumnChange:
    """The rows in which a column's answer changed. `moves` counts the changes by old and new value, if it has few."""

    name: str
    rows: int = 0
    first_row: int | None = None
    moves: Sequence[tuple[str, str, int]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the members of summary.json."""
        moves = [{"from": old, "to": new, "rows": rows} for old, new, rows in self.moves]
        return {"name": self.name, "rows": self.rows, "first_row": self.first_row, "moves": moves}


@dataclass(slots=True)
class Comparison:
    """A run compared with the one before it.

    `rows` have a good answer in both runs, `answered` only in this one, `unanswered` only in the one before. If the
    runs are not of the same file, nothing is counted.
    """

    job_id: str
    run: int
    same_file: bool = True
    rows: int = 0
    answered: int = 0
    unanswered: int = 0
    columns: Sequence[ColumnChange] = ()
    new_columns: Sequence[str] = ()
    gone_columns: Sequence[str] = ()
    new_values: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """Return the members of summary.json, or of an event, which lists `most` columns."""
        members: dict[str, Any] = {"job_id": self.job_id, "run": self.run, "same_file": self.same_file}
        if not self.same_file:
            return members
        return {
            **members,
            "rows": self.rows,
            "answered": self.answered,
            "unanswered": self.unanswered,
            "columns": [column.to_json() for column in self.columns[:most]],
            "new_columns": list(self.new_columns[:most]),
            "gone_columns": list(self.gone_columns[:most]),
        }
