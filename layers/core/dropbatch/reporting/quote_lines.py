"""The quote of a job, in words for people and as members of events and files."""

from decimal import Decimal
from typing import Any

from dropbatch.domain.quotes import Dollars, Quote, Tokens
from dropbatch.reporting.phrases import counted, money

DECIMALS = 5
"""A thousandth of a cent: no amount in JSON is finer."""

_BASES = {
    "schema": "The length of the answers is estimated by the recipe's schema.",
    "typical": "Nothing limits the length of the answers, so a typical one is assumed; the first run may differ much.",
    "none": "",
}


def quote_lines(quote: Quote | None) -> list[str]:
    """Say what a job is expected to cost, what that is based on, and what is not known; nothing without a quote."""
    if quote is None:
        return []
    return [_price(quote), _work(quote), *(f"- {warning}" for warning in quote.warnings)]


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
        "cache_saves": None if quote.cache_saves is None else amount(quote.cache_saves),
        "unpriced_models": quote.unpriced_models,
        "basis": quote.basis,
        "history_jobs": quote.history_jobs,
        "price_list": quote.prices,
        "warnings": quote.warnings,
    }


def quote_ratio(quote: Quote | None, paid: Decimal | float | None) -> float | None:
    """Return what a job came to as a multiple of its likely price; None if one of the two is not known, or nothing."""
    if quote is None or quote.price is None or not quote.price.likely or paid is None:
        return None
    return round(float(paid) / float(quote.price.likely), 3)


def amount(usd: Decimal) -> float:
    """Return a sum of US dollars for JSON."""
    return float(round(usd, DECIMALS))


def _price(quote: Quote) -> str:
    price = quote.price
    if not quote.requests:
        return "Nothing is sent to OpenAI, so it costs nothing."
    if price is None:
        models = ", ".join(quote.unpriced_models)
        return f"Its price is not known, because the price list has none for {models}."
    if not price.high:
        return "It costs nothing: its model is free."
    standard = f"; {_sum(quote.standard_price.likely)} without the Batch API" if quote.standard_price else ""
    text = f"It will cost {_about(price.likely)} (at most {_sum(price.high)}{standard})."
    if quote.cache_saves and quote.cache_saves >= Decimal("0.01"):
        text += f" OpenAI's cache saves {_about(quote.cache_saves)} of the input's price; that is in the sums."
    return text


def _work(quote: Quote) -> str:
    text = (
        f"That is {counted(quote.requests, 'request')} with about {quote.input_tokens.likely:,} input tokens and "
        f"{_likely(quote.output_tokens)}."
    )
    if quote.basis == "history":
        jobs = counted(quote.history_jobs, "earlier job")
        return f"{text} The estimate is based on {jobs} of the recipe."
    return f"{text} {_BASES.get(quote.basis, '')}".rstrip()


def _likely(output: Tokens) -> str:
    if not output.high:
        return "no output tokens"
    return f"{output.likely:,} output tokens ({output.low:,} to {output.high:,})"


def _sum(usd: Decimal) -> str:
    return money(float(usd))


def _about(usd: Decimal) -> str:
    return f"about {_sum(usd)}" if usd >= Decimal("0.01") else _sum(usd)


def _tokens(tokens: Tokens) -> dict[str, int]:
    return {"low": tokens.low, "likely": tokens.likely, "high": tokens.high}


def _dollars(dollars: Dollars | None) -> dict[str, float] | None:
    if dollars is None:
        return None
    return {"low": amount(dollars.low), "likely": amount(dollars.likely), "high": amount(dollars.high)}
