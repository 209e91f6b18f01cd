"""Quotes: the work and the price of a job as they are estimated before anything of it is sent."""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(slots=True)
class Tokens:
    """An estimate of tokens: what a careful guess would say, and two bounds."""

    low: int = 0
    likely: int = 0
    high: int = 0


@dataclass(slots=True)
class Dollars:
    """An estimate of a price in US dollars: what a careful guess would say, and two bounds."""

    low: Decimal = Decimal(0)
    likely: Decimal = Decimal(0)
    high: Decimal = Decimal(0)


@dataclass(slots=True)
class Quote:
    """The quote of a job: its rows, requests and tokens, and their price with and without the Batch API.

    A price is None if that of some model is not known: `unpriced_models` names these. `basis` says where the estimate
    of the output comes from.
    """

    rows: int
    requests: int
    input_tokens: Tokens
    output_tokens: Tokens
    price: Dollars | None
    standard_price: Dollars | None = None
    unpriced_models: list[str] = field(default_factory=list)
    basis: str = ""  # "history": earlier jobs of the recipe; "schema": the size of its schema; "limit": a cap
    prices: str = ""  # the price list with its version and date
    warnings: list[str] = field(default_factory=list)
