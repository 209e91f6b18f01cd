"""What is wrong with a drop or a recipe, said so that its owner can mend it.

A problem is one sentence: what is wrong, where, what to do. It may name columns, recipe keys, line numbers and the
recipe's own words; it never quotes the text of a row, because problems travel into notifications.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

KEPT_PROBLEMS = 100
"""How many problems are listed one by one; the rest are counted."""

MAX_NAME = 200
MAX_MESSAGE = 2_000
"""How many characters of a name and of a sentence are kept: both may hold what a row or a recipe says, of any length,
and a notification has room for ten problems in 256 KB, whatever letters they are written in."""

MAY_COME = frozenset({"no_recipe", "empty_file", "empty_recipe", "missing_file"})
"""The codes of problems that may just mean that an upload is not finished."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `code` is a stable identifier (`ragged_row`), `line` a 1-based physical line of the file that `path` names (the
    drop where it is None), `column` a column's name, `key` a recipe key such as `schema.sentiment`.
    """

    code: str
    message: str
    line: int | None = None
    column: str | None = None
    key: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        for name, most in (("message", MAX_MESSAGE), ("column", MAX_NAME), ("key", MAX_NAME), ("path", MAX_NAME)):
            text = getattr(self, name)
            if text is not None and len(text) > most:
                object.__setattr__(self, name, text[: most - 1] + "…")

    def to_json(self) -> dict[str, Any]:
        """The problem as it stands in `rejected.json`: members without a value are left out."""
        members = {
            "code": self.code,
            "message": self.message,
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "key": self.key,
        }
        return {name: value for name, value in members.items() if value is not None}

    @property
    def where(self) -> str:
        """The place in words, e.g. `line 7, column text`; empty where the problem has none."""
        parts = [self.path] if self.path else []
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.column is not None:
            parts.append(f"column {self.column}")
        if self.key is not None:
            parts.append(f"key {self.key}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to know about a recipe or a drop that can be used all the same; a sentence, as a problem's is."""

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Return the notice as it stands in events."""
        return {"code": self.code, "message": self.message}


class Problems:
    """Collects problems in bounded memory: the first hundred, and the count of all."""

    def __init__(self) -> None:
        self.total = 0
        self.kept: list[Problem] = []

    def add(self, problem: Problem) -> None:
        self.total += 1
        if len(self.kept) < KEPT_PROBLEMS:
            self.kept.append(problem)

    def extend(self, problems: "list[Problem] | Problems") -> None:
        for problem in problems:
            self.add(problem)
        if isinstance(problems, Problems):
            self.total += problems.total - len(problems.kept)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.kept)

    def __bool__(self) -> bool:
        return self.total > 0
