"""The quote of a job, in words for people and as members of events and files."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dropbatch.domain.quotes import (
    FILE,
    HISTORY,
    IMAGE,
    LOW_CAP,
    MIN_REASONING_CAP,
    SCHEMA,
    TOOLS,
    TYPICAL,
    Dollars,
    Quote,
    Tokens,
)
from dropbatch.reporting.phrases import CENT, about, counted, dollars, dollars_or_null, money

_BASES = {
    SCHEMA: "The length of the answers is estimated by the recipe's schema.",
    TYPICAL: "Nothing says how long the answers are, so typical ones are assumed; the first run may differ much.",
}

_WARNINGS = {
    LOW_CAP: f"The model reasons before it answers, and the recipe allows fewer than {MIN_REASONING_CAP:,} output "
    "tokens for both. A row that uses them up is paid and has no answer; raise the limit, or set the effort to none.",
    TOOLS: "OpenAI's fees for calls of tools are not in these sums: nobody knows how often the model calls them.",
    IMAGE: "The size of the images is not known: each counts as one of 1,024 x 1,024 pixels.",
    FILE: "The length of files or recordings is not known for sure: it is estimated by their size.",
}


def quote_lines(quote: Quote | None) -> list[str]:
    """Say what a job is expected to cost, what that is based on, and what is not known; nothing without a quote."""
    if quote is None:
        return []
    if not quote.requests:
        return ["Nothing is sent to OpenAI, so it costs nothing."]
    return [_price(quote), _work(quote), *(f"- {_WARNINGS[code]}" for code in quote.warnings if code in _WARNINGS)]


def quotes_line(quotes: Sequence[Quote | None]) -> list[str]:
    """Say what several jobs are expected to cost together; nothing if no price is known, or for less than a cent."""
    prices = [quote.price for quote in quotes if quote is not None and quote.price is not None]
    total = Dollars()
    for price in prices:
        total.add(price)
    if total.high < CENT:
        return []
    text = f"They will cost {about(total.likely)} together (at most {money(total.high)})."
    unknown = len(quotes) - len(prices)
    return [f"{text} The price of {unknown:,} of them is not known, and not in the sums." if unknown else text]


def quote_members(quote: Quote) -> dict[str, Any]:
    """Return the members of a quote. A price is null if that of some model is not known."""
    return {
        "currency": "USD",
        "rows": quote.rows,
        "requests": quote.requests,
        "input_tokens": _tokens(quote.input_tokens),
        "output_tokens": _tokens(quote.output_tokens),
        "cached_tokens": quote.cached_tokens,
        "price": _dollars(quote.price),
        "standard_price": _dollars(quote.standard_price),
        "cache_saves": dollars_or_null(quote.cache_saves),
        "unpriced_models": quote.unpriced_models,
        "basis": quote.basis,
        "history_jobs": quote.history_jobs,
        "price_list": quote.prices,
        "warnings": [{"code": code, "message": _WARNINGS.get(code, code)} for code in quote.warnings],
    }


def quoted(quote: Quote | None) -> dict[str, Any]:
    """Return the member `quote` of an event or a file; nothing for a job of an older release, which has none."""
    return {} if quote is None else {"quote": quote_members(quote)}


def quoted_and_paid(quote: Quote | None, paid: Decimal | None) -> dict[str, Any]:
    """Return the same, with what was paid as a multiple of the likely price; null if one of them is not known."""
    return {} if quote is None else {"quote": {**quote_members(quote), "paid_ratio": paid_ratio(quote, paid)}}


def quoted_sentence(quote: Quote | None, paid: Decimal | None) -> list[str]:
    """Say how the quote compares with what was paid; nothing if one of them is not known, or for less than a cent."""
    if quote is None or quote.price is None or quote.price.high < CENT or paid is None:
        return []
    return [f"It was quoted at {about(quote.price.likely)}, at most {money(quote.price.high)}."]


def paid_ratio(quote: Quote, paid: Decimal | None) -> float | None:
    """Return what a job came to as a multiple of its likely price; None if one of the two is not known, or nothing."""
    if quote.price is None or not quote.price.likely or paid is None:
        return None
    return round(float(paid / quote.price.likely), 3)


def _price(quote: Quote) -> str:
    price = quote.price
    if price is None:
        models = ", ".join(quote.unpriced_models)
        return f"Its price is not known, because the price list has none for {models}."
    if not price.high:
        return "It costs nothing: its model is free."
    if price.high < CENT:
        return "It will cost under a cent."
    standard = f"; {money(quote.standard_price.likely)} without the Batch API" if quote.standard_price else ""
    text = f"It will cost {about(price.likely)} (at most {money(price.high)}{standard})."
    if quote.cache_saves and quote.cache_saves >= CENT:
        text += f" OpenAI's cache saves {about(quote.cache_saves)} of the input's price; that is in the sums."
    return text


def _work(quote: Quote) -> str:
    text = (
        f"That is {counted(quote.requests, 'request')} with about {quote.input_tokens.likely:,} input tokens and "
        f"{_likely(quote.output_tokens)}."
    )
    if quote.basis == HISTORY:
        jobs = counted(quote.history_jobs, "earlier job")
        return f"{text} The estimate is based on {jobs} of the recipe."
    return f"{text} {_BASES.get(quote.basis, '')}".rstrip()


def _likely(output: Tokens) -> str:
    if not output.high:
        return "no output tokens"
    return f"{output.likely:,} output tokens ({output.low:,} to {output.high:,})"


def _tokens(tokens: Tokens) -> dict[str, int]:
    return {"low": tokens.low, "likely": tokens.likely, "high": tokens.high}


def _dollars(price: Dollars | None) -> dict[str, float] | None:
    if price is None:
        return None
    return {"low": dollars(price.low), "likely": dollars(price.likely), "high": dollars(price.high)}
