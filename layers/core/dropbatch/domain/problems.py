"""Problems of a drop or a recipe, in sentences by which its owner can correct them.

A problem is one sentence: what is wrong, where, what to do. It may name columns, recipe keys, line numbers and words of
the recipe. It never quotes the text of a row, because problems are sent in notifications.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

MAX_LISTED_PROBLEMS = 100
"""How many problems are listed one by one; the rest are counted."""

MAX_CAUSES = 200
"""How many causes are counted separately; problems of further causes are counted together."""

MAX_LISTED_LINES = 3
"""How many line numbers are kept of lines with the same problem."""

MAX_NAME = 200
MAX_MESSAGE = 2_000
"""How many characters of a name and of a sentence are kept. Both may quote a recipe, at any length, and a notification
must have room for ten problems in 256 KB, whatever letters they are written in."""

MAY_COME = frozenset({"no_recipe", "empty_file", "empty_recipe", "missing_file"})
"""The codes of problems that may only mean that an upload is not finished."""

OTHER = "other"
"""The code of problems after MAX_CAUSES causes."""

CURED_BY_READING = frozenset(
    {"delimiter_in_doubt", "title_above_header", "no_header", "duplicate_column", "empty_column", "ragged_row"}
    | {"merged_rows", "unclosed_quote", "bad_quoting", "invalid_escape", "unclosed_escape", "lone_carriage_return"}
    | {"invalid_utf8", "not_utf8", "invalid_utf16", "invalid_encoding", "unknown_encoding", "not_text"}
    | {"not_json", "not_an_object", "duplicate_key"}
)
"""The codes of faults of a file itself. Only a key that says how files are read, such as `encoding`, may cure them."""

CURED_BY_RECIPE = CURED_BY_READING | frozenset(
    {"no_recipe", "undefined_name", "column_exists", "placeholder", "line_too_long", "too_many_inputs"}
    | {"empty_prompt", "empty_model", "invalid_model", "template_failed", "template_too_large", "template_too_slow"}
    | {"model_gone", "model_not_found"}
)
"""The codes of problems of a file that a key of its recipe may cure: its prompt, `encoding`, `bad_rows` or another."""

LOOKS_LIKE_RECIPE = "looks_like_recipe"
"""The code of a recipe that is not named as one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a drop or a recipe.

    `code` is a stable identifier (`ragged_row`), `line` a 1-based physical line of the file that `path` names (None for
    the drop), `column` a column's name, `key` a recipe key such as `schema.sentiment`. `kind` separates problems of one
    code that are corrected in different ways.
    """

    code: str
    message: str
    line: int | None = None
    column: str | None = None
    key: str | None = None
    path: str | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        for name, most in (("message", MAX_MESSAGE), ("column", MAX_NAME), ("key", MAX_NAME), ("path", MAX_NAME)):
            text = getattr(self, name)
            if text is not None and len(text) > most:
                object.__setattr__(self, name, text[: most - 1] + "…")

    def to_json(self) -> dict[str, Any]:
        """Return the problem as in `rejected.json`, without members that have no value."""
        members = {
            "code": self.code,
            "message": self.message,
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "key": self.key,
            "kind": self.kind,
        }
        return {name: value for name, value in members.items() if value is not None}

    @property
    def cause(self) -> "Cause":
        """The part that it has in common with the same problem elsewhere in the file.

        Each problem of a recipe, or of a file that it names, is a cause of its own: owners correct them one by one.
        """
        return self.code, self.path, self.key, self.column, self.kind if self.path is None else self.message

    @property
    def may_be_cured_by_recipe(self) -> bool:
        """True if another recipe, or another file that the recipe names, may be all that is needed."""
        return self.path is not None or self.code in CURED_BY_RECIPE

    @property
    def where(self) -> str:
        """The place in words, e.g. `line 7, column text`; empty if the problem has none."""
        parts = [self.path] if self.path else []
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.column is not None:
            parts.append(f"column {self.column}")
        if self.key is not None:
            parts.append(f"key {self.key}")
        return ", ".join(parts)


Cause = tuple[str, str | None, str | None, str | None, str | None]
"""The code, path, key and column of a problem, and its kind or its sentence."""


@dataclass(slots=True)
class ProblemGroup:
    """All problems of one cause: the first of them, how many there are, and the first lines that have it."""

    first: Problem
    count: int = 0
    lines: list[int] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The place of all of them in words: for a drop, the place of the first one without its line."""
        return (self.first if self.first.path is not None else replace(self.first, line=None)).where

    def to_json(self) -> dict[str, Any]:
        """Return the group as in events and in `rejected.json`."""
        about = {name: value for name, value in self.first.to_json().items() if name != "line"}
        return {**about, "count": self.count, **({"lines": self.lines} if self.lines else {})}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "ProblemGroup":
        lines = list(members.get("lines", ()))
        about = {name: value for name, value in members.items() if name not in ("count", "lines")}
        return cls(Problem(**about, line=lines[0] if lines else None), members["count"], lines)


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence about a recipe or a drop that can be used anyway, in the form of a problem's sentence."""

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Return the notice as in events."""
        return {"code": self.code, "message": self.message}


class Problems:
    """Problems in bounded memory: the first hundred, the count of all, and the count of each cause."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self.total = 0
        self.kept: list[Problem] = []
        self._groups: dict[Cause, ProblemGroup] = {}
        for problem in problems:
            self.add(problem)

    @classmethod
    def of(cls, kept: list[Problem], total: int, groups: list[ProblemGroup]) -> "Problems":
        """Return problems as they were stored. An earlier release stored no groups."""
        found = cls(kept)
        found.total = total
        if groups:
            found._groups = {group.first.cause: group for group in groups}
        return found

    @property
    def groups(self) -> list[ProblemGroup]:
        """The problems by cause, in the order in which the causes were found."""
        return list(self._groups.values())

    @property
    def causes(self) -> int:
        return len(self._groups)

    @property
    def may_be_cured_by_recipe(self) -> bool:
        """True if another recipe may cure any of them."""
        return any(group.first.may_be_cured_by_recipe for group in self._groups.values())

    @property
    def may_be_cured_by_reading_alone(self) -> bool:
        """True if all are faults of the file itself, so that only a recipe that reads files differently may help."""
        return all(group.first.path is None and group.first.code in CURED_BY_READING for group in self.groups)

    def has(self, code: str) -> bool:
        return any(group.first.code == code for group in self._groups.values())

    def add(self, problem: Problem) -> None:
        self.total += 1
        if len(self.kept) < MAX_LISTED_PROBLEMS:
            self.kept.append(problem)
        self._count(problem, 1, [] if problem.line is None else [problem.line])

    def extend(self, problems: "Iterable[Problem] | Problems") -> None:
        if not isinstance(problems, Problems):
            for problem in problems:
                self.add(problem)
            return
        self.total += problems.total
        self.kept += problems.kept[: MAX_LISTED_PROBLEMS - len(self.kept)]
        for group in problems.groups:
            self._count(group.first, group.count, group.lines)

    def _count(self, problem: Problem, count: int, lines: list[int]) -> None:
        group = self._groups.get(problem.cause)
        if group is None:
            if len(self._groups) >= MAX_CAUSES:
                problem, lines = Problem(OTHER, "There are other problems; correct these first."), []
            group = self._groups.setdefault(problem.cause, ProblemGroup(problem))
        group.count += count
        group.lines += [line for line in lines if line not in group.lines][: MAX_LISTED_LINES - len(group.lines)]

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.kept)

    def __bool__(self) -> bool:
        return self.total > 0
