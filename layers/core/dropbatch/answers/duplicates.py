"""The sums of duplicates: rows that have the same request as an earlier row, their original, and get its answer."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from dropbatch.answers.usage import Usage


@dataclass(slots=True)
class Duplicates:
    """The number of duplicates, and an estimate of what they saved: the tokens and the price of the shared answers.

    `unpriced` counts the duplicates whose shared answer has no known price. `kept` counts those whose answer a `.retry`
    kept, which saved nothing again, by the group of the kept answers.
    """

    rows: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    usd: Decimal = Decimal(0)
    unpriced: int = 0
    kept: Counter[str] = field(default_factory=Counter)

    def spare(self, usage: Usage) -> None:
        """Add tokens that were not paid again."""
        self.tokens["input"] += usage.input_tokens
        self.tokens["output"] += usage.output_tokens

    def merge(self, other: "Duplicates") -> None:
        """Add the sums of others."""
        self.rows += other.rows
        self.tokens.update(other.tokens)
        self.usd += other.usd
        self.unpriced += other.unpriced
        self.kept.update(other.kept)

    @property
    def saved(self) -> Decimal | None:
        """The known part of what they saved, in US dollars; None if nothing of it is known."""
        return self.usd if self.usd or not self.unpriced else None

    def to_json(self) -> dict[str, Any]:
        """Return the sums as JSON members."""
        return {
            "rows": self.rows,
            "tokens": dict(self.tokens),
            "usd": str(self.usd),
            "unpriced": self.unpriced,
            "kept": dict(self.kept),
        }

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Return the sums of JSON members; zeros for members that are not there."""
        return cls(
            members.get("rows", 0),
            Counter(members.get("tokens", {})),
            Decimal(members.get("usd", "0")),
            members.get("unpriced", 0),
            Counter(members.get("kept", {})),
        )
