"""The key `prices` of a recipe: what a model costs in a batch, for models that no price list knows."""

import re
from decimal import Decimal
from typing import Any, NamedTuple

from dropbatch.recipes.key_values import read_mapping
from dropbatch.recipes.quoted_names import listed
from dropbatch.recipes.recipe_problems import RecipeProblems
from dropbatch.recipes.similar_names import nearest

MAX_PRICE = Decimal(1_000_000)
"""A dollar a token, far above any price. A higher one is a slip, such as the price of a million tokens in cents."""

_DECIMAL = re.compile(r"\d{1,9}(?:\.\d{1,12})?")


class GivenPrices(NamedTuple):
    """The prices of a million tokens in a batch, in US dollars. Prices that are None follow from that of the input."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None


_KEYS = ("input", "cached", "cache_write", "output")
_REQUIRED = ("input", "output")


def read_prices(problems: RecipeProblems, key: str, value: Any) -> GivenPrices | None:
    """Return prices, for a mapping of them."""
    written = read_mapping(problems, key, value)
    if written is None:
        return None
    for name in written:
        if name not in _KEYS:
            like = nearest(name, _KEYS)
            advice = f"did you mean {like}?" if like else f"the keys are {listed(_KEYS)}."
            problems.add("unknown_key", f"{key}.{name}", f"there is no such key; {advice}")
    prices = {name: _read_price(problems, f"{key}.{name}", written[name]) for name in _KEYS if name in written}
    missing = [name for name in _REQUIRED if name not in written]
    for name in missing:
        sentence = f"there is no price of {name} tokens; add one, as in prices: {{input: 0.05, output: 0.25}}."
        problems.add("missing_key", key, sentence)
    if missing or any(price is None for price in prices.values()):
        return None
    return GivenPrices(**prices)  # type: ignore[arg-type]  # none is None


def _read_price(problems: RecipeProblems, key: str, value: Any) -> Decimal | None:
    """Return a price, for a number or the text of one."""
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    text = format(Decimal(str(value)), "f") if is_number else value
    if isinstance(text, str) and _DECIMAL.fullmatch(text) and Decimal(text) <= MAX_PRICE:
        return Decimal(text)
    expected = "a price in US dollars for a million tokens, from 0 to 1,000,000"
    problems.add_wrong_value(key, expected, value, "write it as in 0.25.")
    return None
