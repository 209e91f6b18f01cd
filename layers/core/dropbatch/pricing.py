"""What an answer costs, in US dollars, by the public price list that `genai-prices` carries.

Each request is priced by itself: summed tokens would fall into the tiers of long contexts. The list has no batch price
for some models and silently gives the standard one, so that such a price is halved, as the Batch API's is.
"""

from collections.abc import Iterable
from functools import lru_cache

from dropbatch.answers import Usage

Price = tuple[float, float] | None
"""(batch price, standard price); None for a model that the list does not know."""


def price(model: str, usages: Iterable[Usage]) -> Price:
    """What requests cost together that were answered with these tokens."""
    counts = [(read, min(reused, read), written) for read, reused, written, _ in usages]
    if _is_flat(model):
        read, reused, written = map(sum, zip(*counts, strict=True)) if counts else (0, 0, 0)
        return _priced(model, read, reused, written)
    prices = [_priced(model, *each) for each in counts]
    known = [each for each in prices if each is not None]
    if len(known) < len(prices):
        return None
    return sum(batch for batch, _ in known), sum(standard for _, standard in known)


@lru_cache(maxsize=64)
def _is_flat(model: str) -> bool:
    """Whether none of a model's prices depends on how many tokens a request has.

    Then requests can be priced together: a look into the list takes 0.2 ms, and a batch's answers come in thousands of
    different counts.
    """
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price
    from genai_prices.types import TieredPrices

    try:
        found = calc_price(Tokens(input_tokens=1), model_ref=model, provider_id="openai").model_price
    except LookupError:
        return True  # its price is unknown, however many tokens
    kinds = (found.input_mtok, found.cache_read_mtok, found.output_mtok)
    return not any(isinstance(kind, TieredPrices) for kind in kinds)


@lru_cache(maxsize=65_536)
def _priced(model: str, read: int, reused: int, written: int) -> Price:
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
    return float(batch if batch < standard else standard / 2), float(standard)
