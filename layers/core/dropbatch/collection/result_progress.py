"""The progress of writing a batch's results, and their sums: JSON in the work bucket between two invocations."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from dropbatch.answers.tally import Tally
from dropbatch.delivery.render_shard import MAX_SAMPLES
from dropbatch.ports import Writer
from dropbatch.storage.job_files import BatchRow

_AMOUNTS = ("usd", "standard_usd")


@dataclass(slots=True)
class ResultTotals:
    """The sums of a batch's results: good answers, tokens, cost, and the rows that get another try."""

    ok: int = 0
    estimated_tokens: int = 0
    counted_tokens: int = 0
    answers: int = 0  # that say how many tokens they took
    usage: list[int] = field(default_factory=list)  # these tokens, as `Batch.usage` has them
    again: int = 0
    tokens: int = 0
    inputs: int = 0
    tries: int = 0
    usd: Decimal = Decimal(0)
    standard_usd: Decimal = Decimal(0)
    unpriced: int = 0
    unread: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)  # of the rows that are done
    usage_differs: bool = False  # OpenAI reports other tokens for the batch than its answers have
    out: Writer | None = field(default=None, repr=False)

    def add_retry(self, row: int, tries: int, tokens: int, inputs: int) -> None:
        assert self.out is not None  # noqa: S101  # opened before rows are judged; tells the type checker
        self.out.write(BatchRow(row, tries).to_line())
        self.again += 1
        self.tokens += tokens
        self.inputs += inputs
        self.tries = max(self.tries, tries)

    def to_json(self) -> dict[str, Any]:
        members = {name.name: getattr(self, name.name) for name in fields(self) if name.name != "out"}
        return members | {name: str(getattr(self, name)) for name in _AMOUNTS}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "ResultTotals":
        known = {name: value for name, value in members.items() if name != "micro_usd"}  # of releases up to 0.2.0
        return cls(**{**known, **{name: Decimal(known.get(name, 0)) for name in _AMOUNTS}})


@dataclass(slots=True)
class ResultProgress:
    """The progress of writing a batch's results.

    Each invocation writes objects with unique names; `parts` names those that count.
    """

    over: bool  # no row gets another try; the first invocation decides it for all
    results: str  # the token of the results if they are joined
    parts: list[str] = field(default_factory=list)
    position: int = 0  # how many of the batch's rows are judged
    is_judged: bool = False
    written: ResultTotals = field(default_factory=ResultTotals)
    tally: Tally = field(default_factory=Tally)
    samples: dict[bool, int] = field(default_factory=lambda: {True: MAX_SAMPLES, False: MAX_SAMPLES})
    joined: list[str] = field(default_factory=list)
    joining: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        members = {each.name: getattr(self, each.name) for each in fields(self)}
        samples = [self.samples[True], self.samples[False]]
        return members | {"written": self.written.to_json(), "tally": self.tally.to_json(), "samples": samples}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "ResultProgress":
        own = {
            "written": ResultTotals.from_json(members["written"]),
            "tally": Tally.from_json(members["tally"]),
            "samples": dict(zip((True, False), members["samples"], strict=True)),
        }
        return cls(**{**members, **own})
