"""What an answer costs, in US dollars, by the public price list that `genai-prices` carries.

Each request is priced by itself: summed tokens would fall into the tiers of long contexts. The list has no batch price
for some models and silently gives the standard one, so that such a price is halved, as the Batch API's is.
"""

from collections.abc import Callable
from functools import lru_cache, partial

from dropbatch.answers import Usage

MILLION = 1_000_000

Totals = Callable[[int, int, int], tuple[float, float] | None]
"""Input, cached and output tokens into what the list gives for them: (batch, standard); None for an unknown model."""


def price(model: str, usage: Usage) -> tuple[float, float] | None:
    """(batch price, standard price) of one request's tokens; None for a model that the list does not know."""
    read = usage.input_tokens
    totals = _totals(model)(read, min(usage.cached_tokens, read), usage.output_tokens)
    if totals is None:
        return None
    batch, standard = totals
    return (batch if batch < standard else standard / 2), standard


@lru_cache(maxsize=64)
def _totals(model: str) -> Totals:
    """Products of rates where the model has one rate for each kind of token; else the list, whatever it knows of tiers.

    A look into the list takes 0.2 ms, and the answers of a batch come in thousands of different counts.
    """
    listed = partial(_listed, model)
    rates = [listed(MILLION, 0, 0), listed(MILLION, MILLION, 0), listed(0, 0, MILLION)]
    if None in rates or listed(0, 0, 0) != (0.0, 0.0) or _has_tiers(model):
        return lru_cache(maxsize=65_536)(listed)
    (batch_fresh, fresh), (batch_cached, cached), (batch_given, given) = (rate for rate in rates if rate)

    def multiplied(read: int, reused: int, written: int) -> tuple[float, float]:
        new = read - reused
        return (
            (new * batch_fresh + reused * batch_cached + written * batch_given) / MILLION,
            (new * fresh + reused * cached + written * given) / MILLION,
        )

    return multiplied


def _listed(model: str, read: int, reused: int, written: int) -> tuple[float, float] | None:
    # Half a second to import, and needed only where answers are collected.
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    tokens = Tokens(input_tokens=read, cache_read_tokens=reused, output_tokens=written)
    try:
        standard = calc_price(tokens, model_ref=model, provider_id="openai").total_price
        context = {"processing": "batch"}
        batch = calc_price(tokens, model_ref=model, provider_id="openai", price_context=context).total_price
    except LookupError:
        return None
    return float(batch), float(standard)


def _has_tiers(model: str) -> bool:
    """Whether some price of a model depends on how many tokens a request has."""
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price
    from genai_prices.types import TieredPrices

    found = calc_price(Tokens(input_tokens=1), model_ref=model, provider_id="openai").model_price
    kinds = (found.input_mtok, found.cache_read_mtok, found.output_mtok)
    return any(isinstance(kind, TieredPrices) for kind in kinds)
