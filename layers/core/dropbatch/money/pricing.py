"""The cost of answers in US dollars, by the public price list in the package `genai-prices`.

Each part of a request has its own price: input, input that was read from the cache, input that was written to it, and
output. The list has batch prices for some parts only. A part without one costs half its standard price, as the Batch
API promises. The exception is input that was read from the cache. For models without a batch price for it, OpenAI gives
no discount, and it costs as much as other input.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from dropbatch.answers.answer import UNREADABLE, Answer
from dropbatch.answers.tally import Cost
from dropbatch.answers.tool_calls import ToolCalls
from dropbatch.answers.usage import Usage
from dropbatch.batch_api.endpoints import CHAT, endpoint_at
from dropbatch.batch_api.tool_fees import (
    BLOCK_TOKENS,
    FILE_SEARCH,
    WEB_SEARCH,
    call_fee,
    charges_blocks,
    search_model_kind,
)
from dropbatch.domain.outcomes import ANSWERED
from dropbatch.gc_tuning import tune_gc

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

_PARTS = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok")
"""The names of the list's prices for the parts of a request whose tokens a usage counts: those of text."""

_CALLS = {WEB_SEARCH: "web_searches_kcount", FILE_SEARCH: "storage_searches_kcount"}
"""The names of the list's prices for a thousand calls to tools. If the list has none, `tool_fees` may have one."""

_OTHER_MEDIA = re.compile("image|audio")
"""Words in the names of models whose tokens have several prices; the list may have only that of text."""

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")

_NOTHING = Decimal(0)
_MILLION = 1_000_000


class _Rates(NamedTuple):
    """The prices of a million tokens of each part."""

    read: Decimal
    cached: Decimal
    cache_write: Decimal
    output: Decimal

    def price(self, usage: Usage) -> float:
        cached = min(usage.cached_tokens, usage.input_tokens)
        cache_write = min(usage.cache_write_tokens, usage.input_tokens - cached)
        counts = (usage.input_tokens - cached - cache_write, cached, cache_write, usage.output_tokens)
        return float(sum(count * rate for count, rate in zip(counts, self, strict=True)) / _MILLION)


@dataclass(frozen=True, slots=True)
class _Prices:
    """A model's rates. Requests with more input tokens than each of `starts` have rates of their own."""

    starts: tuple[int, ...]
    batch: tuple[_Rates, ...]
    standard: tuple[_Rates, ...]
    calls: Mapping[str, Decimal]

    @property
    def is_free(self) -> bool:
        return not any(rate for rates in self.standard for rate in rates)

    def fee(self, kind: str, model: str) -> Decimal | None:
        """Return the price of one call to a tool; None if it is not known."""
        listed = self.calls.get(kind)
        return call_fee(kind, model) if listed is None else listed


class CostMeter:
    """The cost of all answers of one model.

    Tokens are added up by the rates that apply to their request: a request with a long context has higher ones.
    """

    def __init__(self, model: str, endpoint: str) -> None:
        self._model = model or endpoint_at(endpoint).default_model or ""
        self._prices = _prices(self._model)
        self._is_free = self._prices is not None and self._prices.is_free
        self._starts = self._prices.starts if self._prices else ()
        self._usages = [Usage(0, 0, 0, 0)] * (len(self._starts) + 1)
        self._unpriced = 0
        self._unread = 0
        self._search = search_model_kind(self._model) if endpoint == CHAT else None
        self._calls: Counter[str] = Counter()
        self._blocks = 0

    def add(self, usages: Sequence[Usage]) -> Usage:
        """Add the tokens of requests, of which there is at least one, and return their sum."""
        columns = list(zip(*usages, strict=True))
        total = Usage(*map(sum, columns))
        self._count_searches(len(usages))
        if self._prices is None:
            self._unpriced += len(usages)
            return total
        if 0 in columns[0] and not self._is_free:  # a usage of no tokens at all does not count any
            self._unpriced += sum(not usage.input_tokens and not usage.output_tokens for usage in usages)
        if not self._starts or max(columns[0]) <= self._starts[0]:
            self._add_usage(0, total)
        else:
            for usage in usages:
                self._add_usage(bisect_left(self._starts, usage.input_tokens), usage)
        return total

    def add_without_usage(self, answers: Sequence[Answer]) -> None:
        """Count the answers that were paid for but do not say how many tokens they took."""
        without_usage = [answer for answer in answers if answer.usage is None]
        if not self._is_free:
            answered = sum(answer.outcome in ANSWERED and not answer.failed for answer in without_usage)
            self._unpriced += answered
            self._count_searches(answered)
        self.add_unread(sum(answer.code == UNREADABLE for answer in without_usage))

    def add_calls(self, answers: Iterable[Answer]) -> None:
        """Add the calls to tools in these answers."""
        for answer in answers:
            calls: ToolCalls = answer.tools or {}
            if self._search is None:  # else each answer counts as one search
                self._calls.update(calls)
            for kind, count in calls.items():
                # OpenAI does not say whether the usage includes the block. A smaller usage cannot.
                if charges_blocks(kind, self._model) and not _holds(answer.usage, count * BLOCK_TOKENS):
                    self._blocks += count

    def _count_searches(self, answers: int) -> None:
        """Count the searches of a model that searches once for each answer."""
        if self._search:
            self._calls[self._search] += answers

    def add_unread(self, count: int) -> None:
        """Count requests that may have been paid for, but whose answers could not be collected."""
        if not self._is_free:
            self._unread += count

    def total(self) -> Cost:
        """Return the cost of everything that was added."""
        calls = dict(+self._calls)
        if self._prices is None:
            return Cost(0.0, 0.0, self._unpriced, self._unread, 0.0, calls, sum(calls.values()))
        fees = {kind: self._prices.fee(kind, self._model) for kind in calls}
        fees_usd = float(sum(count * (fees[kind] or _NOTHING) for kind, count in calls.items()))
        unpriced_calls = sum(count for kind, count in calls.items() if fees[kind] is None)
        block = Usage(self._blocks * BLOCK_TOKENS, 0, 0, 0)
        usd, standard_usd = (
            fees_usd
            + each[0].price(block)
            + sum(rates.price(usage) for rates, usage in zip(each, self._usages, strict=True))
            for each in (self._prices.batch, self._prices.standard)
        )
        return Cost(usd, standard_usd, self._unpriced, self._unread, fees_usd, calls, unpriced_calls)

    def _add_usage(self, step: int, usage: Usage) -> None:
        self._usages[step] = Usage(*map(sum, zip(self._usages[step], usage, strict=True)))


def _holds(usage: Usage | None, tokens: int) -> bool:
    return usage is not None and usage.input_tokens >= tokens


@lru_cache(maxsize=64)
def _prices(model: str) -> _Prices | None:
    """Return a model's prices; None if the list lacks them, or if it has other prices than those of text."""
    # It takes half a second to import, and is needed only for collecting answers.
    from genai_prices.types import ModelPrice, TieredPrices

    found = _find_model(model)
    tune_gc()  # the list has a hundred thousand objects, and stays in memory
    if found is None or _OTHER_MEDIA.search(found.id):
        return None
    now = datetime.now(UTC)
    standard = found.get_prices(now)
    batch = replace(found, prices=ModelPrice()).get_prices(now, {"processing": "batch"})
    kinds = {kind for kind, price in vars(standard).items() if price is not None}
    if not kinds <= {*_PARTS, *_CALLS.values()} or (kinds and standard.input_mtok is None):
        return None
    prices = [getattr(each, part) for each in (standard, batch) for part in _PARTS]
    starts = sorted({tier.start for price in prices if isinstance(price, TieredPrices) for tier in price.tiers})
    steps = (-1, *starts)
    return _Prices(
        tuple(starts),
        tuple(_batch_rates(batch, standard, start) for start in steps),
        tuple(_standard_rates(standard, start) for start in steps),
        {kind: rate / 1_000 for kind, part in _CALLS.items() if (rate := _rate(batch, part, 0, _NOTHING))},
    )


def _find_model(model: str) -> "ModelInfo | None":
    """Return a model of the list, or the model that it is a snapshot of; None if the list has neither.

    A fine-tuned model costs more than its base model, so it has its own price or none.
    """
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    base = model if model.startswith("ft:") else _SNAPSHOT.sub("", model)
    for name in dict.fromkeys((model, base)):
        try:
            return calc_price(Tokens(), model_ref=name, provider_id="openai").model
        except LookupError:
            continue
    return None


def _standard_rates(prices: "ModelPrice", start: int) -> _Rates:
    """Return the rates of requests with more than `start` input tokens, without the Batch API."""
    read = _rate(prices, "input_mtok", start, _NOTHING)
    cached, cache_write = _rate(prices, "cache_read_mtok", start, read), _rate(prices, "cache_write_mtok", start, read)
    return _Rates(read, cached, cache_write, _rate(prices, "output_mtok", start, _NOTHING))


def _batch_rates(prices: "ModelPrice", standard: "ModelPrice", start: int) -> _Rates:
    """Return the rates of requests with more than `start` input tokens, with the Batch API."""
    halves = _Rates._make(rate / 2 for rate in _standard_rates(standard, start))
    read = _rate(prices, "input_mtok", start, halves.read)
    cached = _rate(prices, "cache_read_mtok", start, read)
    written = read if standard.cache_write_mtok is None else halves.cache_write
    cache_write = _rate(prices, "cache_write_mtok", start, written)
    return _Rates(read, cached, cache_write, _rate(prices, "output_mtok", start, halves.output))


def _rate(prices: "ModelPrice", part: str, start: int, otherwise: Decimal) -> Decimal:
    """Return the list's price of a part; `otherwise` if it has none."""
    price: Decimal | TieredPrices | None = getattr(prices, part)
    if price is None or isinstance(price, Decimal):
        return otherwise if price is None else price
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)
