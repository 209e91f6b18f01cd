"""What an answer costs, in US dollars, by the public price list that `genai-prices` carries.

Each request is priced by itself: summed tokens would fall into the tiers of long contexts. The list has no batch price
for some models and silently gives the standard one, so that such a price is halved, as the Batch API's is.
"""

from collections.abc import Sequence
from functools import lru_cache

from dropbatch.answers import Usage
from dropbatch.memory import settle

Price = tuple[float, float] | None
"""(batch price, standard price) in US dollars; None for a model that the list does not know."""


class Bill:
    """What the answers of one model cost together."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._flat = _is_flat(model)
        self._tokens = [0, 0, 0]  # of a model whose requests can be priced together
        self._price: Price = (0.0, 0.0)

    def add(self, usages: Sequence[Usage]) -> Usage:
        """Adds what these requests took, of which there is at least one; returns it all together."""
        total = Usage(*map(sum, zip(*usages, strict=True)))
        if self._flat:
            self._tokens = [sum(both) for both in zip(self._tokens, total[:3], strict=True)]
            return total
        for usage in usages:
            price = _priced(self._model, *usage[:3])
            if price is None or self._price is None:
                self._price = None
            else:
                self._price = self._price[0] + price[0], self._price[1] + price[1]
        return total

    def total(self) -> Price:
        return _priced(self._model, *self._tokens) if any(self._tokens) else self._price


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
    settle()  # the list has a hundred thousand objects, and is there to stay
    kinds = (found.input_mtok, found.cache_read_mtok, found.output_mtok)
    return not any(isinstance(kind, TieredPrices) for kind in kinds)


@lru_cache(maxsize=65_536)
def _priced(model: str, read: int, reused: int, written: int) -> Price:
    # Half a second to import, and needed only where answers are collected.
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    tokens = Tokens(input_tokens=read, cache_read_tokens=min(reused, read), output_tokens=written)
    try:
        standard = calc_price(tokens, model_ref=model, provider_id="openai").total_price
        context = {"processing": "batch"}
        batch = calc_price(tokens, model_ref=model, provider_id="openai", price_context=context).total_price
    except LookupError:
        return None
    return float(batch if batch < standard else standard / 2), float(standard)
