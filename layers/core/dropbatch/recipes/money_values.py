"""The values of a recipe's keys about money: a budget, prices, and the rows that are sent before all others."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from dropbatch.recipes.key_values import read_mapping, read_seed, refuse_unknown_keys, whole_number
from dropbatch.recipes.recipe_problems import RecipeProblems

MAX_USD = Decimal(1_000_000)
"""Far above any budget, and as a price it is a dollar a token. More is a slip, such as an amount in cents."""

MAX_CANARY_ROWS = 1_000
"""More rows are no canary. Their answers are shown on one page."""

DEFAULT_MIN_OK = Decimal("0.9")

_DECIMAL = re.compile(r"\d{1,9}(?:\.\d{1,12})?")


class GivenPrices(NamedTuple):
    """The prices of a million tokens in a batch, in US dollars. Prices that are None follow from that of the input."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CanaryRows:
    """The rows that are sent before all others: the first ones or, with a `seed`, random ones.

    The others follow if the share of good answers is at least `min_ok`, and the rows cost no more than `max_usd`.
    """

    rows: int
    min_ok: Decimal = DEFAULT_MIN_OK
    max_usd: Decimal | None = None
    seed: int | None = None


_PRICE_KEYS = ("input", "cached", "cache_write", "output")
_REQUIRED_PRICES = ("input", "output")
_CANARY_KEYS = ("rows", "min_ok", "max_usd", "sample", "seed")


def read_amount(problems: RecipeProblems, key: str, value: Any) -> Decimal | None:
    """Return a positive amount of US dollars, of a number or a text such as `$2.50`."""
    amount = _decimal(value.strip().removeprefix("$") if isinstance(value, str) else value)
    if amount is not None and 0 < amount <= MAX_USD:
        return amount
    expected = f"an amount of US dollars above 0, at most {MAX_USD:,}"
    problems.add_wrong_value(key, expected, value, f"write it as in {_last(key)}: 2.50.")
    return None


def read_prices(problems: RecipeProblems, key: str, value: Any) -> GivenPrices | None:
    """Return prices, for a mapping of them."""
    written = read_mapping(problems, key, value)
    if written is None:
        return None
    refuse_unknown_keys(problems, key, written, _PRICE_KEYS)
    prices = {name: _read_price(problems, f"{key}.{name}", written[name]) for name in _PRICE_KEYS if name in written}
    missing = [name for name in _REQUIRED_PRICES if name not in written]
    for name in missing:
        sentence = f"there is no price of {name} tokens; add one, as in prices: {{input: 0.05, output: 0.25}}."
        problems.add("missing_key", key, sentence)
    if missing or any(price is None for price in prices.values()):
        return None
    return GivenPrices(**prices)  # type: ignore[arg-type]  # none is None


def _read_price(problems: RecipeProblems, key: str, value: Any) -> Decimal | None:
    price = _decimal(value)
    if price is not None and price <= MAX_USD:
        return price
    expected = f"a price in US dollars for a million tokens, from 0 to {MAX_USD:,}"
    problems.add_wrong_value(key, expected, value, "write it as in 0.25.")
    return None


def read_canary(problems: RecipeProblems, key: str, value: Any) -> CanaryRows | None:
    """Return a canary, for a number of rows or for a mapping of the number and its conditions."""
    if not isinstance(value, dict):
        rows = whole_number(1, MAX_CANARY_ROWS, "write it as in canary: 50.")(problems, key, value)
        return None if rows is None else CanaryRows(rows)
    refuse_unknown_keys(problems, key, value, _CANARY_KEYS)
    seed = read_seed(problems, key, value)
    if "rows" not in value:
        sentence = "there is no number of rows; add one, as in canary: {rows: 50, min_ok: 0.9}."
        problems.add("missing_key", key, sentence)
        return None
    rows = whole_number(1, MAX_CANARY_ROWS)(problems, f"{key}.rows", value["rows"])
    min_ok = _read_share(problems, f"{key}.min_ok", value["min_ok"]) if "min_ok" in value else DEFAULT_MIN_OK
    max_usd = read_amount(problems, f"{key}.max_usd", value["max_usd"]) if "max_usd" in value else None
    if rows is None or min_ok is None:
        return None
    return CanaryRows(rows, min_ok, max_usd, seed)


def _read_share(problems: RecipeProblems, key: str, value: Any) -> Decimal | None:
    share = _decimal(value)
    if share is not None and share <= 1:
        return share
    problems.add_wrong_value(key, "a share of the rows from 0 to 1", value, f"write it as in {_last(key)}: 0.9.")
    return None


def _decimal(value: Any) -> Decimal | None:
    """Return the number that a value is, or that a text spells in plain digits, from 0 on; None if it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = format(Decimal(str(value)), "f") if is_number else value
    return Decimal(text) if isinstance(text, str) and _DECIMAL.fullmatch(text) else None


def _last(key: str) -> str:
    return key.rpartition(".")[2]
