"""The quote of a job: the price of its requests, by their estimated tokens and what earlier jobs came to.

The likely price is a careful guess. The high one is what the job costs if the estimates are as wrong as they may be,
nothing is read from OpenAI's cache, and some rows are tried again. It is not the worst that can happen: a model may
answer as much as its cap allows, and often there is no cap.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from math import sqrt
from typing import NamedTuple

from dropbatch.answers.usage import Media, Usage
from dropbatch.batch_api.endpoints import CHAT
from dropbatch.batch_api.prompt_caching import MIN_CACHED_TOKENS
from dropbatch.batch_api.token_estimates import ExpectedTokens
from dropbatch.batch_api.tool_fees import search_model_kind
from dropbatch.domain.batches import SMALLEST_USD
from dropbatch.domain.jobs import reportable_names
from dropbatch.domain.quotes import (
    HISTORY,
    MAX_PARTS,
    NONE,
    SCHEMA,
    TYPICAL,
    Dollars,
    Quote,
    QuotePart,
    Tokens,
    UsageHistory,
)
from dropbatch.money.prices import Prices, Tariff

_CERTAINTY = (NONE, HISTORY, SCHEMA, TYPICAL)
"""The bases, the most certain first."""

MIN_CORRECTING_TOKENS = 10_000
"""Fewer tokens of other recipes say too little about a model's texts."""

RETRIES, RETRIES_OF_INVALID = 1.1, 1.5
"""The high estimate of how often a row is paid. Most failed rows cost nothing; invalid answers, if the recipe retries
them, do."""


Pair = tuple[str, str]
"""An endpoint and a model."""


class Spread(NamedTuple):
    """The factors by which an estimate may be too high or too low."""

    low: float
    high: float


UNCORRECTED = Spread(0.7, 1.6)
"""A quarter of the bytes is fair for prose. Numbers and other scripts take up to half as many tokens more."""

CORRECTED = Spread(0.8, 1.3)
"""The same, corrected by what OpenAI counted for other texts of the model."""

KNOWN_INPUT, KNOWN_OUTPUT = Spread(0.9, 1.15), Spread(0.8, 1.3)
"""For a recipe with history, and many rows. Of few rows, the average of the next ones differs more."""


@dataclass(frozen=True, slots=True)
class Work:
    """Requests to one model that are sent together, and their estimated tokens."""

    endpoint: str
    model: str
    requests: int
    expected: ExpectedTokens


@dataclass(frozen=True, slots=True)
class Terms:
    """The facts about a job's requests that its recipe decides, besides their own estimates.

    Each request but the first reads `cached_prefix` tokens from OpenAI's cache. `writes_rows` says of a model whether
    OpenAI writes the whole of long prompts to its cache.
    """

    cached_prefix: int = 0
    writes_rows: Callable[[str], bool] = lambda _: False
    retries_invalid: bool = False


@dataclass(slots=True)
class Histories:
    """The usage of earlier jobs, by endpoint and model: those of the same recipe and form of answers, and all."""

    recipe: Mapping[Pair, UsageHistory] = field(default_factory=dict)
    model: Mapping[Pair, UsageHistory] = field(default_factory=dict)


@dataclass(slots=True)
class Estimate:
    """The tokens of some work, as they are billed.

    `cached` and `written` are part of the input. Their `high` is the dear end, with little that is read from the cache.
    """

    input: Tokens
    output: Tokens
    cached: Tokens
    written: Tokens
    basis: str
    history_jobs: int = 0


@dataclass(slots=True)
class PricedWork:
    """Some work with its price; None if the price of its model is not known."""

    estimate: Estimate
    price: Dollars | None
    standard: Dollars | None
    cache_saves: Decimal = Decimal(0)


PricesOf = Callable[[str, str], Prices | None]
"""Returns the prices of an endpoint and a model; None if they are not known."""


def quote_of(
    rows: int, works: Sequence[Work], terms: Terms, histories: Histories, prices_of: PricesOf
) -> tuple[Quote, list[PricedWork]]:
    """Return the quote of a job that sends this work, and the price of each part of it."""
    known = {pair: prices_of(*pair) for pair in dict.fromkeys((work.endpoint, work.model) for work in works)}
    priced = [
        price_work(work, estimate_work(work, terms, histories), known[work.endpoint, work.model]) for work in works
    ]
    quote = Quote(rows, sum(work.requests for work in works), Tokens(), Tokens(), Dollars(), Dollars())
    for one in priced:
        quote.input_tokens.add(one.estimate.input)
        quote.output_tokens.add(one.estimate.output)
        quote.cached_tokens += one.estimate.cached.likely
    quote.price = _sum(one.price for one in priced)
    quote.standard_price = _sum(one.standard for one in priced)
    if quote.price is not None:
        quote.cache_saves = sum((one.cache_saves for one in priced), Decimal(0))
    quote.unpriced_models = reportable_names(model for (_, model), prices in known.items() if prices is None)
    quote.basis = max((one.estimate.basis for one in priced), key=_CERTAINTY.index, default=NONE)
    quote.history_jobs = max((one.estimate.history_jobs for one in priced), default=0)
    quote.prices = ", ".join(dict.fromkeys(prices.source for prices in known.values() if prices is not None))
    quote.warnings = sorted(set().union(*(work.expected.notes for work in works)))
    quote.parts = parts_of(works)
    return quote, priced


def estimate_work(work: Work, terms: Terms, histories: Histories) -> Estimate:
    """Return the tokens of some work, by the history of its recipe if there is one."""
    history = histories.recipe.get((work.endpoint, work.model))
    retries = RETRIES_OF_INVALID if terms.retries_invalid else RETRIES
    if history is not None and history.total.answers:
        return _by_history(work, history, retries)
    general = histories.model.get((work.endpoint, work.model))
    total = general.total if general is not None else None
    ratio, spread = 1.0, UNCORRECTED
    if total is not None and total.estimated >= MIN_CORRECTING_TOKENS:
        ratio, spread = min(2.0, max(0.5, total.input / total.estimated)), CORRECTED
    found, said = work.expected.input, work.expected.output
    tokens = Tokens(
        round(found.low * ratio * spread.low),
        round(found.likely * ratio),
        round(found.high * ratio * spread.high * retries),
    )
    output = Tokens(said.low, said.likely, round(said.high * retries))
    cached, written = _caching(work, terms, tokens)
    return Estimate(tokens, output, cached, written, work.expected.basis or NONE)


def _by_history(work: Work, history: UsageHistory, retries: float) -> Estimate:
    total = history.total
    tries = max(1.0, total.answers / max(1, total.requests))
    few = 1 / sqrt(max(1, min(total.answers, work.requests)))
    ratio = tries * (total.input / total.estimated if total.estimated else 1.0)
    dearest = max((_ratio(usage.input, usage.estimated) * tries for usage in history.jobs.values()), default=0.0)
    read = work.expected.input.likely
    high = max(read * ratio * (KNOWN_INPUT.high + few), read * dearest * KNOWN_INPUT.high) * retries
    tokens = Tokens(round(read * ratio * KNOWN_INPUT.low), round(read * ratio), round(high))
    each = tries * total.output / total.answers
    longest = max(_ratio(usage.output, usage.answers) * tries for usage in history.jobs.values())
    high = max(each * (KNOWN_OUTPUT.high + 2 * few), longest * KNOWN_OUTPUT.high) * work.requests * retries
    likely = each * work.requests
    output = Tokens(round(likely * KNOWN_OUTPUT.low), round(likely), round(high))
    if not work.expected.uncapped:
        most = round(work.expected.caps * tries)
        output = Tokens(min(output.low, most), min(output.likely, most), min(output.high, round(most * retries)))
    cached, written = (_ratio(part, total.input) for part in (total.cached, total.cache_write))
    return Estimate(
        tokens,
        output,
        Tokens(round(tokens.low * cached), round(tokens.likely * cached), 0),
        Tokens(0, round(tokens.likely * written), round(tokens.high * min(1.0, cached + written))),
        HISTORY if work.expected.basis != NONE else NONE,
        len(history.jobs),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _caching(work: Work, terms: Terms, tokens: Tokens) -> tuple[Tokens, Tokens]:
    """Return the tokens that are read from the cache, and those that are written to it."""
    average = tokens.likely // max(1, work.requests)
    if terms.writes_rows(work.model):
        return Tokens(), Tokens(0, tokens.likely if average >= MIN_CACHED_TOKENS else 0, tokens.high)
    prefix = min(terms.cached_prefix, average)
    read = prefix * max(0, work.requests - 1)
    return Tokens(min(read, tokens.low), read, 0), Tokens(0, prefix, min(prefix * work.requests, tokens.high))


def price_work(work: Work, estimate: Estimate, prices: Prices | None) -> PricedWork:
    """Return the price of some work whose tokens are estimated."""
    if prices is None:
        return PricedWork(estimate, None, None)
    images = prices.makes_images
    fees = _search_fees(work, prices)
    found = _dollars(prices.batch, work, estimate, images=images)
    standard = None if prices.standard is None else _dollars(prices.standard, work, estimate, images=images)
    saves = Decimal(0)
    if estimate.cached.likely:
        uncached = _Counts(estimate.input.likely, 0, 0, estimate.output.likely)
        saves = max(saves, _price(prices.batch, work.requests, uncached, images=images) - found.likely)
    for price in filter(None, (found, standard)):
        price.add(Dollars(fees, fees, fees))
    return PricedWork(estimate, found, standard, saves)


def _search_fees(work: Work, prices: Prices) -> Decimal:
    """Return the fees of a model that searches once for each answer. How often others call tools is not known."""
    kind = search_model_kind(work.model) if work.endpoint == CHAT else None
    fee = prices.fee(kind, work.model) if kind is not None else None
    return work.requests * (fee or Decimal(0))


class _Counts(NamedTuple):
    """Tokens as they are billed."""

    input: int
    cached: int
    written: int
    output: int

    def usage(self, *, images: bool) -> Usage:
        media = Media(output_image=self.output) if images else None
        return Usage(self.input, self.cached, self.output, 0, self.written, media)


def _dollars(tariff: Tariff, work: Work, estimate: Estimate, *, images: bool) -> Dollars:
    kinds = (estimate.input, estimate.cached, estimate.written, estimate.output)
    ends = zip(*((tokens.low, tokens.likely, tokens.high) for tokens in kinds), strict=True)
    low, likely, high = (_price(tariff, work.requests, _Counts(*counts), images=images) for counts in ends)
    return Dollars(min(low, likely), likely, max(likely, high))


def _price(tariff: Tariff, requests: int, total: _Counts, *, images: bool) -> Decimal:
    """Return the price of requests that have these tokens together, each about the same number."""
    if not requests:
        return Decimal(0)
    each = tariff.price(_Counts(*(count // requests for count in total)).usage(images=images))
    rest = tariff.price(_Counts(*(count % requests for count in total)).usage(images=images))
    return (each * requests + rest).quantize(SMALLEST_USD, ROUND_UP)


def _sum(parts: Iterable[Dollars | None]) -> Dollars | None:
    total = Dollars()
    for part in parts:
        if part is None:
            return None
        total.add(part)
    return total


def parts_of(works: Sequence[Work]) -> list[QuotePart]:
    """Return the work by endpoint and model, the first of them. Its form is that of the first requests."""
    parts: dict[Pair, QuotePart] = {}
    for work in works:
        expected = work.expected
        pair = work.endpoint, work.model
        part = parts.setdefault(pair, QuotePart(*pair, expected.form, 0, 0, 0, Tokens(), expected.basis))
        part.requests += work.requests
        part.tokens += expected.tokens
        part.input_tokens += expected.input.likely
        part.output_tokens.add(expected.output)
        part.notes = sorted({*part.notes, *expected.notes})
    return list(parts.values())[:MAX_PARTS]
