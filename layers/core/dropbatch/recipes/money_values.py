"""The values of a recipe's keys about money: amounts of US dollars, and the rows that are sent before all others."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from dropbatch.recipes.key_values import DEFAULT_SEED, MAX_SEED, read_truth, whole_number
from dropbatch.recipes.quoted_names import listed
from dropbatch.recipes.recipe_problems import RecipeProblems
from dropbatch.recipes.similar_names import nearest

MAX_CANARY_ROWS = 1_000
"""More rows are no canary. Their answers are shown on one page."""

DEFAULT_MIN_OK = Decimal("0.9")

_CANARY_KEYS = ("rows", "min_ok", "max_usd", "sample", "seed")


@dataclass(frozen=True, slots=True)
class CanaryRows:
    """The rows that are sent before all others: the first ones or, with a `seed`, random ones.

    The others follow if the share of good answers is at least `min_ok`, and the rows cost no more than `max_usd`.
    """

    rows: int
    min_ok: Decimal = DEFAULT_MIN_OK
    max_usd: Decimal | None = None
    seed: int | None = None


def read_amount(problems: RecipeProblems, key: str, value: Any) -> Decimal | None:
    """Return a positive amount of US dollars, of a number or a text such as `$2.50`."""
    amount = read_decimal(str(value).strip().removeprefix("$")) if _is_number(value) else None
    if amount is not None and amount > 0:
        return amount
    problems.add_wrong_value(key, "an amount of US dollars above 0", value, f"write it as in {_last(key)}: 2.50.")
    return None


def read_decimal(text: str) -> Decimal | None:
    """Return the finite decimal number that a text is; None if it is none."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def read_canary(problems: RecipeProblems, key: str, value: Any) -> CanaryRows | None:
    """Return a canary, for a number of rows or for a mapping of the number and its conditions."""
    if not isinstance(value, dict):
        rows = whole_number(1, MAX_CANARY_ROWS, "write it as in canary: 50.")(problems, key, value)
        return None if rows is None else CanaryRows(rows)
    for name in value:
        if name not in _CANARY_KEYS:
            like = nearest(name, _CANARY_KEYS)
            advice = f"did you mean {like}?" if like else f"the keys are {listed(_CANARY_KEYS)}."
            problems.add("unknown_key", f"{key}.{name}", f"there is no such key; {advice}")
    is_sample = read_truth(problems, f"{key}.sample", value["sample"]) if "sample" in value else False
    seed: Any = value.get("seed", DEFAULT_SEED)
    if "seed" in value and is_sample is False:
        problems.add("conflicting_keys", f"{key}.seed", "a seed goes with sample: true; add that, or leave it out.")
    else:
        whole_number(0, MAX_SEED)(problems, f"{key}.seed", seed)
    if "rows" not in value:
        sentence = "there is no number of rows; add one, as in canary: {rows: 50, min_ok: 0.9}."
        problems.add("missing_key", key, sentence)
        return None
    rows = whole_number(1, MAX_CANARY_ROWS)(problems, f"{key}.rows", value["rows"])
    min_ok = _read_share(problems, f"{key}.min_ok", value["min_ok"]) if "min_ok" in value else DEFAULT_MIN_OK
    max_usd = read_amount(problems, f"{key}.max_usd", value["max_usd"]) if "max_usd" in value else None
    if rows is None or min_ok is None:
        return None
    return CanaryRows(rows, min_ok, max_usd, seed if is_sample else None)


def _read_share(problems: RecipeProblems, key: str, value: Any) -> Decimal | None:
    share = read_decimal(str(value)) if _is_number(value) else None
    if share is not None and 0 <= share <= 1:
        return share
    problems.add_wrong_value(key, "a share of the rows from 0 to 1", value, f"write it as in {_last(key)}: 0.9.")
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | str | Decimal) and not isinstance(value, bool)


def _last(key: str) -> str:
    return key.rpartition(".")[2]
