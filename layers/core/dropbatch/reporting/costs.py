"""The cost of a job, in words for people and as members of events.

Sums are rounded once, where they are shown: each model's to a thousandth of a cent. All other sums follow from those,
so that what is shown adds up.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from dropbatch.batch_api.endpoints import ENDPOINTS, endpoint_at
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState
from dropbatch.reporting.phrases import (
    CENT,
    about,
    batches_counted,
    counted,
    dollars,
    dollars_or_null,
    money,
    read_dollars,
    shown,
)
from dropbatch.storage.context import Context

if TYPE_CHECKING:  # tallies know of recipes, which a poll does not load
    from dropbatch.answers.cost import ModelCost
    from dropbatch.answers.tally import Tally

MAX_MODEL_LINES = 5
"""For how many models a notification names the cost; summary.json has all that the job names."""

OTHER = "other"
"""The name of all models together that a job does not name."""

_ZERO, _UNDER_A_CENT = Decimal(0), Decimal("0.005")

_PARTS = (
    ("input", "input", (("cached", "cached"), ("cache_write", "written to the cache"), ("input_audio", "audio"))),
    ("output", "output", (("reasoning", "reasoning"), ("output_audio", "audio"), ("output_image", "images"))),
)
"""The two sums of tokens, and the kinds that are part of each, with the words for them."""


class ModelLine(NamedTuple):
    """The cost of one model as it is shown. A sum is None if it is not known."""

    model: str
    requests: int
    tokens: Mapping[str, int]
    paid: Decimal | None
    standard: Decimal | None
    unpriced: int
    source: str
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return the members of an event."""
        return {
            "model": self.model,
            "requests": self.requests,
            "tokens": dict(self.tokens),
            "paid": dollars_or_null(self.paid),
            "synchronous": dollars_or_null(self.standard),
            "unpriced_requests": self.unpriced,
            "prices": self.source or None,
            "notes": list(self.notes),
        }


def model_lines(tally: "Tally", job: Job | None = None) -> list[ModelLine]:
    """Return the cost by model: a line for each that the job names, the dearest first, and one for all others."""
    named = _named_models(job, tally)
    lines = [_line(model, cost) for model, cost in tally.models.items() if model in named]
    lines.sort(key=lambda line: (line.paid or _ZERO, line.requests), reverse=True)
    rest = _rest(tally, named)
    return lines if rest is None else [*lines, rest]


def _named_models(job: Job | None, tally: "Tally") -> set[str]:
    if job is None:
        return set(tally.models) - {OTHER}
    defaults = {endpoint_at(path).default_model or "" for path in job.endpoints if path in ENDPOINTS}
    return {*job.models, *defaults}


def _line(model: str, cost: "ModelCost") -> ModelLine:
    is_known = bool(cost.usd) or not cost.unpriced
    paid = shown(cost.usd) if is_known else None
    standard = shown(cost.standard_usd) if is_known and not cost.without_standard else None
    return ModelLine(model, cost.requests, +cost.tokens, paid, standard, cost.unpriced, cost.source, cost.notes)


def _rest(tally: "Tally", named: set[str]) -> ModelLine | None:
    """Return the line of all other models, and of batches that an earlier release collected, which name none."""
    from dropbatch.answers.cost import ModelCost

    rest = ModelCost()
    for model, cost in tally.models.items():
        if model not in named:
            rest.merge(cost)
    counted_models = tally.models.values()
    rest.usd += tally.usd - sum((cost.usd for cost in counted_models), _ZERO)
    rest.standard_usd += tally.standard_usd - sum((cost.standard_usd for cost in counted_models), _ZERO)
    return _line(OTHER, rest) if rest.requests or rest.usd else None


class _Sums(NamedTuple):
    """The sum that was paid, and that of the synchronous API; None if it is not known."""

    paid: Decimal | None
    standard: Decimal | None

    @property
    def saved(self) -> Decimal | None:
        return None if self.paid is None or self.standard is None else self.standard - self.paid


def _sums(tally: "Tally", lines: Sequence[ModelLine]) -> _Sums:
    if tally.paid is None:
        return _Sums(None, None)
    paid = sum((line.paid or _ZERO for line in lines), _ZERO)
    standard = sum((line.standard or _ZERO for line in lines), _ZERO)
    return _Sums(paid, None if tally.saved is None else standard)


def cost_sentence(tally: "Tally", job: Job | None = None) -> str:
    """Say what was paid and saved, and which parts of the cost are not known."""
    text = _paid_sentence(_sums(tally, model_lines(tally, job)), tally.saved)
    if tally.fees_usd:
        calls = counted(tally.tool_calls.total() - tally.unpriced_tool_calls, "tool call")
        text += f" Of it {money(tally.fees_usd)} went to the fees of {calls}, which batching does not halve."
    if tally.unpriced_tool_calls:
        text += (
            f" The sum is without the fees of {counted(tally.unpriced_tool_calls, 'tool call')}, whose price is not "
            "known."
        )
    if tally.unpriced:
        text += (
            f" The price of {counted(tally.unpriced, 'request')} is not known, and not in any sum: the price list "
            "lacks it for the model, or the answer does not say how many tokens it took."
        )
    if tally.unread:
        text += (
            f" The answers of {counted(tally.unread, 'request')} could not be collected; OpenAI may have charged for "
            "them, which is not in any sum."
        )
    return text


def _paid_sentence(sums: _Sums, exactly: Decimal | None) -> str:
    """Say the sums. `exactly` is the saving before anything was rounded."""
    paid, standard = sums
    if paid is None:
        return "The cost is not known."
    if not paid and not standard:
        return "Nothing was paid."
    if standard is None or exactly is None:
        return f"Paid {about(paid)}; what batching saved is not known, because only the recipe gives prices."
    if exactly < 0:  # some models give a discount on cached input only without the Batch API
        return f"Paid {about(paid)}, which is {_difference(standard, paid, -exactly)} more than without batching."
    text = f"Paid {about(paid)}, and saved {_difference(paid, standard, exactly)} by batching."
    return text + (f" The synchronous API costs {about(standard)}." if standard >= CENT else "")


def page_sums(tally: "Tally", lines: Sequence[ModelLine]) -> tuple[Decimal | None, Decimal | None, str | None]:
    """Return what was paid, what the synchronous API would cost, and the difference in words, for the report page.

    A sum or a difference that is not known is None.
    """
    sums, exactly = _sums(tally, lines), tally.saved
    if sums.paid is None or sums.standard is None or exactly is None:
        return sums.paid, None, None
    if exactly < 0:
        return sums.paid, sums.standard, _difference(sums.standard, sums.paid, -exactly)
    return sums.paid, sums.standard, _difference(sums.paid, sums.standard, exactly)


def _difference(smaller: Decimal, larger: Decimal, exactly: Decimal) -> str:
    """Say the difference of two sums as they are shown; if they look the same, at most `under a cent`."""
    shown_as = round(larger, 2) - round(smaller, 2)
    return money(shown_as if shown_as > 0 and larger >= CENT else min(exactly, _UNDER_A_CENT))


def receipt_lines(tally: "Tally", job: Job, before: Mapping[str, Any] | None) -> list[str]:
    """Return the lines of a notification about the cost: what was paid, for which tokens, at which prices."""
    lines = model_lines(tally, job)
    text = [cost_sentence(tally, job)]
    tokens = _tokens_sentence(tally.tokens)
    if tokens:
        text.append(tokens)
    if len(lines) > 1:
        named = [f"{line.model} {words}" for line, words in zip(lines, _words_of(lines), strict=True)][:MAX_MODEL_LINES]
        more = len(lines) - len(named)
        text.append(f"By model: {'; '.join(named)}{f'; and {more:,} more' if more else ''}.")
    return text + cost_remarks(tally, job, lines, before)


def cost_remarks(tally: "Tally", job: Job, lines: Sequence[ModelLine], before: Mapping[str, Any] | None) -> list[str]:
    """Return the lines about a cost that notification and report share: prices, differences, and the jobs before."""
    text = _price_sentences(lines)
    if tally.differences.batches:
        text.append(_difference_sentence(tally))
    if before is not None:
        text.append(_before_sentence(tally, job, before))
    return text


def _words_of(lines: Sequence[ModelLine]) -> Iterator[str]:
    """Yield the cost of each model, rounded so that the cents add up to those of all."""
    whole = _ZERO
    for line in lines:
        before, whole = whole, whole + (line.paid or _ZERO)
        cents = round(whole, 2) - round(before, 2)
        paid = "at an unknown price" if line.paid is None else about(cents or min(line.paid, _UNDER_A_CENT))
        yield f"{paid} for {counted(line.requests, 'request')}"


def _tokens_sentence(tokens: Mapping[str, int]) -> str | None:
    """Say how many tokens of each kind were billed; None if there are none."""
    parts = []
    for kind, word, within in _PARTS:
        some = [f"{tokens[name]:,} {words}" for name, words in within if tokens.get(name)]
        if tokens.get(kind):
            parts.append(f"{tokens[kind]:,} {word}" + (f" (of it {', '.join(some)})" if some else ""))
    return f"Tokens: {', '.join(parts)}." if parts else None


def _price_sentences(lines: Sequence[ModelLine]) -> list[str]:
    """Say which prices were used, and by which rules they differ from the list."""
    sources = list(dict.fromkeys(line.source for line in lines if line.source))
    if not sources:
        return []
    notes = [f"{line.model} is {note}" if line.model != OTHER else note for line in lines for note in line.notes]
    more = f"; {'; '.join(notes)}" if notes else ""
    return [f"Prices: {' and '.join(sources)}{more}."]


def _difference_sentence(tally: "Tally") -> str:
    """Say where OpenAI reports other tokens than the answers have."""
    found = tally.differences
    kinds = [kind for kind in ("input", "cached", "output") if found.reported[kind] != found.answered[kind]]
    both = ", ".join(f"{found.reported[kind]:,} {kind} tokens, not {found.answered[kind]:,}" for kind in kinds)
    return f"OpenAI reports other tokens for {batches_counted(found.batches)} than the answers have: {both}."


def _before_sentence(tally: "Tally", job: Job, before: Mapping[str, Any]) -> str:
    """Say what a `.retry` and the jobs before it cost together."""
    own, former = _sums(tally, model_lines(tally, job)).paid, read_dollars(before["paid"])
    jobs = "job" if before["jobs"] == 1 else f"{before['jobs']:,} jobs"
    whole = f"Together with the {jobs} before it, whose failed rows it retries"
    if own is None and former is None:
        return f"{whole}, the cost is not known."
    is_partial = own is None or former is None or any(before[name] for name in _UNKNOWN)
    known = ", as far as it is known" if is_partial else ""
    return f"{whole}, the file cost {about((own or _ZERO) + (former or _ZERO))}{known}."


_UNKNOWN = ("unpriced_requests", "uncollected_requests", "unpriced_tool_calls")
"""The members that count what no sum contains."""


def cost_members(
    tally: "Tally", job: Job | None = None, all_rows: Decimal | None = None, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the members of an event. `all_rows` is what all rows of a drop would cost, if only some were asked.

    `paid` and `saved` are null if nothing of the cost is known. `before` is the cost of the jobs before a `.retry`.
    """
    lines = model_lines(tally, job)
    sums = _sums(tally, lines)
    members = {
        "currency": "USD",
        "paid": dollars_or_null(sums.paid),
        "synchronous": dollars_or_null(sums.standard),
        "saved": dollars_or_null(sums.saved),
        "fees": dollars(tally.fees_usd),
        "unpriced_requests": tally.unpriced,
        "uncollected_requests": tally.unread,
        "unpriced_tool_calls": tally.unpriced_tool_calls,
        "tokens": dict(+tally.tokens),
        "by_model": [line.to_json() for line in lines],
        "prices": list(dict.fromkeys(line.source for line in lines if line.source)),
    }
    if all_rows is not None:
        members["all_rows"] = dollars(all_rows)
    if tally.differences.batches:
        members["reported_by_openai"] = _difference_members(tally)
    if before is not None:
        members["before"] = dict(before)
    return members


def _difference_members(tally: "Tally") -> dict[str, Any]:
    found = tally.differences
    return {"batches": found.batches, "tokens": dict(found.reported), "answers": dict(found.answered)}


def cost_before(decision: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the cost of a former job and of all jobs before it, by the decision of how it ended, if there is one."""
    summary = decision["summary"] if decision else {}
    cost: Mapping[str, Any] = summary.get("cost", {})
    chain: Mapping[str, Any] = cost.get("before") or {}
    paid, saved = read_dollars(cost.get("paid")), read_dollars(cost.get("saved"))
    standard = read_dollars(cost.get("synchronous"))
    if standard is None and paid is not None and saved is not None:  # releases up to 0.2.0 wrote no `synchronous`
        standard = paid + saved
    own = {"paid": paid, "synchronous": standard, "saved": saved}
    tokens = Counter(summary.get("tokens") or cost.get("tokens") or {})
    tokens.update(chain.get("tokens", {}))
    return {
        "jobs": 1 + chain.get("jobs", 0),
        **{name: dollars_or_null(_added(known, read_dollars(chain.get(name)))) for name, known in own.items()},
        **{name: cost.get(name, 0) + chain.get(name, 0) for name in _UNKNOWN},
        "tokens": dict(+tokens),
    }


def cost_given_up(context: Context, job: Job) -> dict[str, Any]:
    """Return the members for a job without results: what its collected batches cost, and how many requests had others.

    The requests of the others may have been paid for.
    """
    batches = [batch for batch in context.repository.batches(job.id) if batch.openai_id]
    collected = [batch for batch in batches if batch.state is BatchState.COLLECTED]
    paid = sum((batch.paid for batch in collected), _ZERO)
    return {
        "currency": "USD",
        "paid": dollars(paid) if paid else None,
        "synchronous": None,
        "saved": None,
        "fees": 0.0,
        "unpriced_requests": sum(batch.unpriced for batch in collected),
        "uncollected_requests": sum(batch.requests for batch in batches if batch.state is not BatchState.COLLECTED),
        "unpriced_tool_calls": 0,
        "tokens": {},
        "by_model": [],
        "prices": [],
    }


def _added(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return one if other is None else other if one is None else one + other
