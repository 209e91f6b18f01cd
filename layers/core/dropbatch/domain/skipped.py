"""Which rows of a drop were not asked, and why, in bounded memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from dropbatch.domain.outcomes import BLANK_ROW, LEFT_OUT, WHEN
from dropbatch.domain.problems import Problem, ProblemGroup, Problems


@dataclass(slots=True)
class SkippedRows:
    """Counts the rows that are skipped by code; of the bad ones, the first hundred problems are kept."""

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
        """Whether rows were skipped that nobody asked to leave out."""
        return any(code != WHEN for code in self.codes)

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """Return them as they stand in `skipped.json`, with at most so many problems."""
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
