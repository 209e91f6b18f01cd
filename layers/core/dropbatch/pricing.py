"""What an answer costs, in US dollars, by the public price list that `genai-prices` carries.

Each request is priced by itself: summed tokens would fall into the tiers of long contexts. The list has no batch price
for some models and silently gives the standard one, so that such a price is halved, as the Batch API's is.
"""

from functools import lru_cache

from dropbatch.answers import Usage


def price(model: str, usage: Usage) -> tuple[float, float] | None:
    """(batch price, standard price) of one request's tokens; None for a model that the list does not know."""
    return _price(model, usage.input_tokens, usage.cached_tokens, usage.output_tokens)


@lru_cache(maxsize=65_536)  # short answers repeat the same few numbers, and one look into the list takes 0.1 ms
def _price(model: str, input_tokens: int, cached_tokens: int, output_tokens: int) -> tuple[float, float] | None:
    # Half a second to import, and needed only where answers are collected.
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    tokens = Tokens(input_tokens=input_tokens, cache_read_tokens=cached_tokens, output_tokens=output_tokens)
    try:
        standard = float(calc_price(tokens, model_ref=model, provider_id="openai").total_price)
        context = {"processing": "batch"}
        batch = float(calc_price(tokens, model_ref=model, provider_id="openai", price_context=context).total_price)
    except LookupError:
        return None
    return (batch if batch < standard else standard / 2), standard
