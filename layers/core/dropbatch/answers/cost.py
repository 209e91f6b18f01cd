"""The cost of requests: of one batch, of all requests of a model, and where OpenAI counted other tokens."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from dropbatch.answers.usage import NO_USAGE, Usage


class Cost(NamedTuple):
    """The known cost of requests in US dollars, and their cost without the Batch API.

    The price of `unpriced` requests is not known: the price list lacks their model, or their answers do not say how
    many tokens they took. The answers of `unread` requests, which may have been paid for, could not be collected.

    `fees_usd`, which is part of both sums, is for calls to OpenAI's own tools; `tool_calls` counts them by kind. The
    price of `unpriced_tool_calls` is not known.

    The price of `without_standard` requests without the Batch API is not known: `standard_usd` has what they cost with
    it.

    All of it is for `requests` of one `model` that were answered, and took the tokens of `usage`. `source` names the
    price list, and `notes` say by which rules the prices follow from it.
    """

    usd: Decimal = Decimal(0)
    standard_usd: Decimal = Decimal(0)
    unpriced: int = 0
    unread: int = 0
    fees_usd: Decimal = Decimal(0)
    tool_calls: Mapping[str, int] = MappingProxyType({})
    unpriced_tool_calls: int = 0
    without_standard: int = 0
    model: str = ""
    requests: int = 0
    usage: Usage = NO_USAGE
    source: str = ""
    notes: Sequence[str] = ()


@dataclass(slots=True)
class ModelCost:
    """The cost of the requests of one model. Each try of a row counts."""

    requests: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    usd: Decimal = Decimal(0)
    standard_usd: Decimal = Decimal(0)
    unpriced: int = 0
    without_standard: int = 0
    source: str = ""
    notes: list[str] = field(default_factory=list)

    def merge(self, other: "ModelCost") -> None:
        """Add the requests of the same model in other batches."""
        self.requests += other.requests
        self.tokens.update(other.tokens)
        self.usd += other.usd
        self.standard_usd += other.standard_usd
        self.unpriced += other.unpriced
        self.without_standard += other.without_standard
        self.source = self.source or other.source
        self.notes += [note for note in other.notes if note not in self.notes]

    def to_json(self) -> dict[str, Any]:
        """Return the cost as JSON members."""
        members = {each.name: getattr(self, each.name) for each in fields(self)}
        sums = {"usd": str(self.usd), "standard_usd": str(self.standard_usd), "tokens": dict(self.tokens)}
        return members | sums

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "ModelCost":
        """Return the cost of JSON members."""
        sums = {name: Decimal(members[name]) for name in ("usd", "standard_usd")}
        return cls(**{**members, **sums, "tokens": Counter(members["tokens"])})


@dataclass(slots=True)
class Differences:
    """Batches whose own `usage` has other tokens than their answers: how many, and the tokens of both."""

    batches: int = 0
    reported: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)

    def merge(self, other: "Differences") -> None:
        """Add other batches."""
        self.batches += other.batches
        self.reported.update(other.reported)
        self.answered.update(other.answered)

    def to_json(self) -> dict[str, Any]:
        """Return the differences as JSON members."""
        return {"batches": self.batches, "reported": dict(self.reported), "answered": dict(self.answered)}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "Differences":
        """Return the differences of JSON members."""
        return cls(members["batches"], Counter(members["reported"]), Counter(members["answered"]))
