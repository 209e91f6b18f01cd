"""Skipped rows of a drop, counted by their reasons in bounded memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from dropbatch.domain.outcomes import BLANK_ROW, LEFT_OUT, WHEN
from dropbatch.domain.problems import Problem, ProblemGroup, Problems


@dataclass(slots=True)
class SkippedRows:
    """The numbers of skipped rows by code, and the first hundred problems of bad rows."""

    codes: Counter[str] = field(default_factory=Counter)
    problems: Problems = field(default_factory=Problems)

    def add(self, code: str, problems: Sequence[Problem] = ()) -> None:
        self.codes[code] += 1
        self.problems.extend(list(problems))

    def merge(self, other: Self) -> None:
        self.codes.update(other.codes)
        self.problems.extend(other.problems)

    @property
    def blank(self) -> int:
        return self.codes[BLANK_ROW]

    @property
    def bad(self) -> int:
        return sum(count for code, count in self.codes.items() if code not in LEFT_OUT)

    @property
    def must_be_reported(self) -> bool:
        """True if rows were skipped for another reason than the recipe's `when`."""
        return any(code != WHEN for code in self.codes)

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """Return the content of `skipped.json`, with at most `most` problems."""
        first = [problem.to_json() for problem in self.problems.kept[:most]]
        groups = [group.to_json() for group in self.problems.groups]
        return {
            "rows": sum(self.codes.values()),
            "codes": dict(self.codes.most_common()),
            "problems": {"total": self.problems.total, "groups": groups[:most], "first": first},
        }

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        found = members["problems"]
        kept = [Problem(**problem) for problem in found["first"]]
        groups = [ProblemGroup.from_json(group) for group in found.get("groups", ())]
        return cls(Counter(members["codes"]), Problems.of(kept, found["total"], groups))
