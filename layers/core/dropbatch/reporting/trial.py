"""The outcome of a recipe's `try`, for the message about the recipe and for its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dropbatch.reporting.phrases import about, counted, dollars_or_null


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A row of `try`. `met` says whether its answer is as expected; None if nothing is, or it has no good answer.
    `unmet` names the columns that are not.

    `outcome` is that of its answer, empty if it has none. `reason` says then why, or why the answer is not good.
    """

    number: int
    cells: Mapping[str, str]
    answers: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    met: bool | None = None
    outcome: str = ""
    reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal | None = None
    unmet: Sequence[str] = ()

    @property
    def is_good(self) -> bool:
        return self.outcome == "ok"


@dataclass(frozen=True, slots=True)
class Trial:
    """The rows of `try`. `paid` is what was paid now, of `asked` requests; answers to earlier requests cost nothing.

    `page` is the key of its page in the results bucket, `link` the page's address in the S3 console.
    """

    rows: Sequence[TrialRow]
    page: str = ""
    asked: int = 0
    paid: Decimal | None = Decimal(0)
    link: str = ""

    @property
    def tried(self) -> list[TrialRow]:
        return [row for row in self.rows if row.outcome]

    @property
    def not_tried(self) -> list[TrialRow]:
        return [row for row in self.rows if not row.outcome]

    @property
    def met(self) -> int:
        return sum(row.met is True for row in self.rows)

    @property
    def unmet(self) -> int:
        return sum(row.met is False for row in self.rows)

    @property
    def verdict(self) -> str:
        """The outcome in a few words: `3 tried: 2 as expected, 1 not`."""
        bad = sum(not row.is_good for row in self.tried)
        parts = [f"{self.met} as expected"] if self.met or self.unmet else []
        parts += [f"{self.unmet} not"] if self.unmet else []
        parts += [f"{bad} without a good answer"] if bad else []
        tried = f"{len(self.tried)} tried" + (f": {', '.join(parts)}" if parts else "")
        missing = len(self.not_tried)
        return f"{tried}; {missing} not tried" if missing and self.tried else tried if self.tried else "none tried"

    def lines(self, bucket: str) -> list[str]:
        """Return the lines of the message. No text of a row or of an answer is in them."""
        reasons = dict.fromkeys(row.reason for row in self.not_tried)
        lines = [f"Rows of `try`: {self.verdict}."]
        lines += [f"Not tried, because {reason}." for reason in reasons]
        if self.asked:
            cost = "of unknown price" if self.paid is None else f"paid {about(self.paid)}"
            lines.append(f"{counted(self.asked, 'request')} answered at once, {cost}, without the discount of a batch.")
        return [*lines, f"Rows and answers: s3://{bucket}/{self.page}", f"In the console: {self.link}"]

    def to_json(self) -> dict[str, Any]:
        """Return the members of the event."""
        return {
            "rows": len(self.rows),
            "tried": len(self.tried),
            "as_expected": self.met,
            "not_as_expected": self.unmet,
            "asked": self.asked,
            "paid": dollars_or_null(self.paid),
            "page": self.page,
        }
