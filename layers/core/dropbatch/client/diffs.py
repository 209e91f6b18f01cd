"""The difference of two runs of a file, row by row: both files of answers are streamed, and only counts are kept."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dropbatch.client.errors import WrongUseError
from dropbatch.client.results import answer_columns
from dropbatch.client.runs import Run
from dropbatch.json_encoding import to_json

if TYPE_CHECKING:
    from dropbatch.client.stack import Stack

MAX_EXAMPLES = 10
MAX_MOVES = 1_000
"""How many changes of a column from one value to another are counted separately: a recipe may allow many values."""

OTHER = "…"


@dataclass(slots=True)
class ColumnDiff:
    """The rows in which a column differs. `moves` counts the changes by both values, for a column with few values."""

    name: str
    changed: int = 0
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        moves = [{"from": old, "to": new, "rows": rows} for (old, new), rows in self.moves.most_common()]
        return {"name": self.name, "changed": self.changed, "moves": moves}


@dataclass(frozen=True, slots=True)
class Example:
    """One of the first rows that differ."""

    row: int
    column: str
    before: str
    after: str


@dataclass(slots=True)
class Diff:
    """Two runs side by side. `rows` are in both runs, `changed` of them differ in a column that both have.

    `unmatched` rows are not the same rows in both runs: the file or the recipe's `limit` has changed.
    """

    before: Run
    after: Run
    columns: dict[str, ColumnDiff]
    new_columns: Sequence[str]
    gone_columns: Sequence[str]
    rows: int = 0
    changed: int = 0
    unmatched: int = 0
    examples: list[Example] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.after.key,
            "before": _side(self.before),
            "after": _side(self.after),
            "rows": self.rows,
            "changed": self.changed,
            "unmatched": self.unmatched,
            "columns": [column.to_json() for column in self.columns.values()],
            "new_columns": list(self.new_columns),
            "gone_columns": list(self.gone_columns),
            "examples": [
                {"row": one.row, "column": one.column, "from": one.before, "to": one.after} for one in self.examples
            ],
        }


def _side(run: Run) -> dict[str, Any]:
    cost = run.members.get("cost") or {}
    return {
        "job_id": run.job_id,
        "run": run.number,
        "status": run.status,
        "models": run.members.get("models"),
        "rows": dict(run.rows),
        "paid_usd": cost.get("paid"),
        "tokens": cost.get("tokens"),
    }


def runs_to_compare(stack: "Stack", key: str, other: str | None) -> tuple[Run, Run]:
    """Return the newest run of a key that has answers, after the one before it, or after the one that is named."""
    answered = [run for run in stack.runs(key) if run.objects.get("answers")]
    if not answered:
        raise WrongUseError(f"{key} has no run with answers.")
    newest = answered[-1]
    if other is not None:
        return stack.run(key, other), newest
    if len(answered) < 2:
        raise WrongUseError(f"{key} has only one run with answers: `dropbatch rerun {key}` makes another one.")
    return answered[-2], newest


def compare(stack: "Stack", before: Run, after: Run) -> Diff:
    """Compare two runs of a file row by row."""
    old, new = answer_columns(stack, before), answer_columns(stack, after)
    common = [name for name in (*new.answers, new.status) if name in (*old.answers, old.status)]
    diff = Diff(
        before,
        after,
        {name: ColumnDiff(name) for name in common},
        [name for name in new.answers if name not in old.answers],
        [name for name in old.answers if name not in new.answers],
    )
    few = (old.categories & new.categories) | {new.status}
    added = {name for columns in (old, new) for name in (*columns.answers, columns.status, columns.error)}
    rows, others = stack.results(after), stack.results(before)
    for number, row in enumerate(rows, 1):
        other = next(others, None)
        if other is None or not _is_same_row(row, other, added):
            diff.unmatched += 1
            continue
        diff.rows += 1
        _compare_row(diff, number, other, row, few)
    diff.unmatched += _count(others)
    return diff


def _compare_row(
    diff: Diff, number: int, old: Mapping[str, Any], new: Mapping[str, Any], few: frozenset[str] | set[str]
) -> None:
    is_changed = False
    for name, column in diff.columns.items():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        is_changed = True
        column.changed += 1
        if name in few:
            move = (_shown(before), _shown(after))
            column.moves[move if move in column.moves or len(column.moves) < MAX_MOVES else (OTHER, OTHER)] += 1
        if len(diff.examples) < MAX_EXAMPLES:
            diff.examples.append(Example(number, name, _shown(before), _shown(after)))
    diff.changed += is_changed


def _is_same_row(row: Mapping[str, Any], other: Mapping[str, Any], added: set[str]) -> bool:
    return all(value == other.get(name) for name, value in row.items() if name not in added)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()


def _count(rows: Iterator[object]) -> int:
    return sum(1 for _ in rows)
