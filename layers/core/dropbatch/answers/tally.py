"""The sums of a batch, a shard or a job, which can be added up and stored as JSON."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Self

from dropbatch.answers.agreement import Agreement, merge
from dropbatch.answers.agreement import from_json as agreement_of
from dropbatch.answers.cost import Cost, Differences, ModelCost
from dropbatch.answers.duplicates import Duplicates
from dropbatch.answers.usage import Usage, token_counts
from dropbatch.domain.outcomes import COMPLETE, RETRYABLE, WHEN, Outcome
from dropbatch.ports import RemoteUsage
from dropbatch.recipes.compiled_recipe import CompiledRecipe

MAX_REASONS = 50
"""How many different reasons are counted one by one; all further ones count as `other`."""

MAX_COUNTED_MODELS = 50
"""How many models are counted one by one; all further ones count as `other`."""

OTHER_MODELS = "other"

_SIMPLE = frozenset({str, bool, int, float})


@dataclass(slots=True)
class Reason:
    """Why rows have no good answer: how many rows, and the number of the first.

    `message` is OpenAI's own for one of them, if it may be shown: see `batch_api.error_messages`.
    """

    count: int
    row: int
    message: str | None = None


@dataclass(slots=True)
class Tally:
    """Counts by outcome, reasons by (outcome, code), tokens, how often each category was answered, and a `Cost`.

    `agreement` compares answers with known ones. It is counted where a row and its answer are written together.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: dict[tuple[Outcome, str], Reason] = field(default_factory=dict)
    tokens: Counter[str] = field(default_factory=Counter)
    categories: dict[str, Counter[str]] = field(default_factory=dict)
    usd: Decimal = Decimal(0)
    standard_usd: Decimal = Decimal(0)
    unpriced: int = 0
    unread: int = 0
    fees_usd: Decimal = Decimal(0)
    tool_calls: Counter[str] = field(default_factory=Counter)
    unpriced_tool_calls: int = 0
    without_standard: int = 0
    models: dict[str, ModelCost] = field(default_factory=dict)
    differences: Differences = field(default_factory=Differences)
    duplicates: Duplicates = field(default_factory=Duplicates)
    agreement: Agreement = field(default_factory=dict)

    def count(self, row: int, outcome: Outcome, code: str | None, message: str | None = None) -> None:
        """Count a row by its outcome and, if it has no good answer, by its reason."""
        self.outcomes[outcome] += 1
        if outcome not in COMPLETE or (outcome is Outcome.SKIPPED and code != WHEN):
            self._reason(outcome, code or str(outcome), Reason(1, row, message))

    def lacks_message(self, outcome: Outcome, code: str | None) -> bool:
        """Return whether a reason has no message of OpenAI yet."""
        reason = self.reasons.get((outcome, code or str(outcome)))
        return reason is None or reason.message is None

    def spend(self, usage: Usage) -> None:
        """Add the tokens of requests."""
        self.tokens.update(token_counts(usage))

    def pay(self, cost: Cost) -> None:
        """Add the cost of a batch, with its tokens."""
        self.spend(cost.usage)
        self._pay(cost)
        if cost.requests or cost.usd:
            one = ModelCost(
                cost.requests,
                token_counts(cost.usage),
                cost.usd,
                cost.standard_usd,
                cost.unpriced,
                cost.without_standard,
                cost.source,
                list(cost.notes),
            )
            self._model(cost.model).merge(one)

    def compare_usage(self, reported: RemoteUsage | None) -> bool:
        """Compare the tokens of a batch's answers with those that OpenAI reports for it; return whether they differ.

        `reported` is None if the server reports none.
        """
        if reported is None:
            return False
        theirs = Counter(asdict(reported))
        if all(theirs[kind] == self.tokens[kind] for kind in ("input", "cached", "output")):
            return False
        self.differences = Differences(1, theirs, Counter({kind: self.tokens[kind] for kind in theirs}))
        return True

    def _model(self, name: str) -> ModelCost:
        if name not in self.models and len(self.models) >= MAX_COUNTED_MODELS:
            name = OTHER_MODELS
        return self.models.setdefault(name, ModelCost())

    def _pay(self, cost: "Cost | Tally") -> None:
        self.usd += cost.usd
        self.standard_usd += cost.standard_usd
        self.unpriced += cost.unpriced
        self.unread += cost.unread
        self.fees_usd += cost.fees_usd
        self.tool_calls.update(cost.tool_calls)
        self.unpriced_tool_calls += cost.unpriced_tool_calls
        self.without_standard += cost.without_standard

    @property
    def paid(self) -> Decimal | None:
        """The known part of what was paid, in US dollars; None if nothing of it is known."""
        return self.usd if self.usd or not (self.unpriced or self.unread or self.unpriced_tool_calls) else None

    @property
    def saved(self) -> Decimal | None:
        """The US dollars that the Batch API saves on that part; None if that is not known."""
        return None if self.paid is None or self.without_standard else self.standard_usd - self.usd

    def categorise(self, compiled: CompiledRecipe, answers: Sequence[Sequence[object]]) -> None:
        """Count the answers' values in columns that have only a few different ones."""
        for place, column in enumerate(compiled.columns):
            allowed = compiled.categories.get(column)
            if not allowed or not answers:
                continue
            values = [answer[place] for answer in answers]
            # With their types, because 1 equals true. Lists and objects, which have no hash, are never a category.
            texts = set(map(type, values)) == {str}
            counted: Iterable[Any] = values if texts else [(type(v), v) for v in values if type(v) in _SIMPLE]
            for found, count in Counter(counted).items():
                value = found if texts else found[1]
                if value in allowed:
                    name = value if isinstance(value, str) else json.dumps(value)
                    self.categories.setdefault(column, Counter())[name] += count

    def _reason(self, outcome: Outcome, code: str, more: Reason) -> None:
        key = (outcome, code)
        if key not in self.reasons and len(self.reasons) >= MAX_REASONS:
            key = (outcome, "other")
        reason = self.reasons.setdefault(key, Reason(0, more.row))
        reason.count += more.count
        reason.row = min(reason.row, more.row)
        if key[1] == code:
            reason.message = reason.message or more.message

    def merge(self, other: Self) -> None:
        """Add another tally, with its cost."""
        self.outcomes.update(other.outcomes)
        self.tokens.update(other.tokens)
        self.duplicates.merge(other.duplicates)
        merge(self.agreement, other.agreement)
        for (outcome, code), reason in other.reasons.items():
            self._reason(outcome, code, reason)
        for column, counts in other.categories.items():
            self.categories.setdefault(column, Counter()).update(counts)
        self._pay(other)
        for model, cost in other.models.items():
            self._model(model).merge(cost)
        self.differences.merge(other.differences)

    def carry_over(self, former: Self, retried: Collection[Outcome] = RETRYABLE) -> None:
        """Add the answers of a former batch that are kept when its rows with the outcomes `retried` are sent again.

        Their cost is not added: they are not paid for a second time.
        """
        for outcome, count in former.outcomes.items():
            if outcome not in retried:
                self.outcomes[outcome] += count
        for (outcome, code), reason in former.reasons.items():
            if outcome not in retried:
                self._reason(outcome, code, reason)
        for column, counts in former.categories.items():
            self.categories.setdefault(column, Counter()).update(counts)

    def commonest(self, maximum: int) -> Sequence[tuple[Outcome, str, Reason]]:
        """Return the commonest reasons; those of skipped rows come last."""

        def rank(item: tuple[tuple[Outcome, str], Reason]) -> tuple[bool, int, int]:
            (outcome, _), reason = item
            return outcome is Outcome.SKIPPED, -reason.count, reason.row

        ranked = sorted(self.reasons.items(), key=rank)
        return [(outcome, code, reason) for (outcome, code), reason in ranked[:maximum]]

    @property
    def rows(self) -> int:
        """The number of rows that are counted."""
        return sum(self.outcomes.values())

    @property
    def unanswered(self) -> int:
        """The number of rows without a good answer; skipped rows are not among them."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in COMPLETE)

    def to_json(self) -> dict[str, Any]:
        """Return the tally as JSON members."""
        return {
            "outcomes": {str(outcome): count for outcome, count in self.outcomes.items()},
            "reasons": [[str(outcome), code, r.count, r.row, r.message] for (outcome, code), r in self.reasons.items()],
            "tokens": dict(self.tokens),
            "categories": {column: dict(counts) for column, counts in self.categories.items()},
            "usd": str(self.usd),
            "standard_usd": str(self.standard_usd),
            "unpriced": self.unpriced,
            "unread": self.unread,
            "fees_usd": str(self.fees_usd),
            "tool_calls": dict(self.tool_calls),
            "unpriced_tool_calls": self.unpriced_tool_calls,
            "without_standard": self.without_standard,
            "models": {name: cost.to_json() for name, cost in self.models.items()},
            "differences": self.differences.to_json(),
            "duplicates": self.duplicates.to_json(),
            "agreement": self.agreement,
        }

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Return the tally of JSON members, those of earlier releases too."""
        outcomes = Counter({Outcome(name): count for name, count in members["outcomes"].items()})
        # Older tallies have an unknown price without a number of requests. It may be that of any of their rows.
        unpriced = sum(outcomes.values()) if members["usd"] is None else members.get("unpriced", 0)
        return cls(
            outcomes=outcomes,
            reasons={(Outcome(outcome), code): Reason(*reason) for outcome, code, *reason in members["reasons"]},
            tokens=Counter(members["tokens"]),
            categories={column: Counter(counts) for column, counts in members["categories"].items()},
            usd=_decimal(members["usd"]),
            standard_usd=_decimal(members["standard_usd"]),
            unpriced=unpriced,
            unread=members.get("unread", 0),
            fees_usd=_decimal(members.get("fees_usd")),
            tool_calls=Counter(members.get("tool_calls", {})),
            unpriced_tool_calls=members.get("unpriced_tool_calls", 0),
            without_standard=members.get("without_standard", 0),
            models={name: ModelCost.from_json(cost) for name, cost in members.get("models", {}).items()},
            differences=Differences.from_json(members["differences"]) if "differences" in members else Differences(),
            duplicates=Duplicates.from_json(members.get("duplicates", {})),
            agreement=agreement_of(members.get("agreement", {})),
        )


def _decimal(written: str | float | None) -> Decimal:
    """Return money as it was stored: a text, or a number by older releases; null if it was not known."""
    return Decimal(str(written or 0))
