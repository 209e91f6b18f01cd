"""The prices of a model: what a request costs with the Batch API and without it.

Each kind of token has its own price. A price comes from the recipe, or else from the public price list, which has batch
prices for some kinds only. OpenAI's Batch API takes half the standard price for a kind without one. The exception is
input that was read from the cache. For models without a batch price for it, OpenAI gives no discount, and it costs as
much as other input.

A model that neither of them prices has no price at all: nothing here ever returns zero for it.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from dropbatch.answers.usage import Media, Usage
from dropbatch.batch_api.billing import has_cached_batch_price, host_factor, is_openai
from dropbatch.batch_api.endpoints import CHAT, endpoint_at
from dropbatch.batch_api.tool_fees import FILE_SEARCH, WEB_SEARCH, call_fee
from dropbatch.money.price_list import ListedModel, find_model
from dropbatch.recipes.money_values import GivenPrices

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices

Rates = Mapping[str, Decimal]
"""The prices of a million tokens by kind. A kind that is not in it has no known price."""

_TEXT = {
    "input": "input_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
}
_MEDIA = {
    "input_audio": "input_audio_mtok",
    "cached_audio": "cache_audio_read_mtok",
    "output_audio": "output_audio_mtok",
    "input_image": "input_image_mtok",
    "cached_image": "cache_image_read_mtok",
    "output_image": "output_image_mtok",
}
"""The kinds of tokens, and the names of the list's prices for them."""

_CALLS = {WEB_SEARCH: "web_searches_kcount", FILE_SEARCH: "storage_searches_kcount"}
"""The names of the list's prices for a thousand calls to tools. If the list has none, `tool_fees` may have one."""

GIVEN = "the recipe's prices"
"""The source of prices that a recipe gives."""

_WRITE_FACTOR = Decimal("1.25")
"""What OpenAI charges for input that is written to the cache, as a factor of the price of other input."""

_NO_PRICE: Rates = MappingProxyType({})
_ZERO, _HALF, _ONE = Decimal(0), Decimal("0.5"), Decimal(1)


@dataclass(frozen=True, slots=True)
class Tariff:
    """The rates of one way to send requests. Requests with more input tokens than each of `starts` have others."""

    starts: tuple[int, ...]
    rates: tuple[Rates, ...]

    def price(self, usage: Usage) -> Decimal:
        """Return the price of one request in US dollars. Tokens of kinds without a price are not in it."""
        return self.price_of(tokens_by_kind(usage), bisect_left(self.starts, usage.input_tokens))

    def price_of(self, tokens: Mapping[str, int], step: int) -> Decimal:
        """Return the price of tokens by kind, of requests that passed this many of `starts`."""
        rates = self.rates[step]
        return sum((count * rates.get(kind, _ZERO) for kind, count in tokens.items()), _ZERO).scaleb(-6)


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a model.

    `standard` is None if only the recipe gives prices: then the price without the Batch API is not known. `source`
    names the list, its version and date, or the recipe. `model` is the entry of the list that priced the model, and
    `notes` are the rules that decided more than the list. `makes_images` says that the model's output is pictures.
    """

    model: str
    batch: Tariff
    standard: Tariff | None
    source: str
    notes: tuple[str, ...] = ()
    calls: Mapping[str, Decimal] | None = None
    makes_images: bool = False

    @property
    def is_free(self) -> bool:
        """True if no token costs anything."""
        return not any(rate for rates in self.batch.rates for rate in rates.values())

    @property
    def at_once(self) -> "Prices | None":
        """The prices of requests that are answered at once, which have no discount; None if they are not known."""
        return None if self.standard is None else replace(self, batch=self.standard, notes=())

    def covers(self, usage: Usage) -> bool:
        """Return whether all tokens of a request have a price."""
        known, media = self.batch.rates[0], usage.media
        if self.makes_images:
            if media is None:
                return False  # it does not say how many tokens of the input are pictures
            if usage.output_tokens and not media.output_image and known["output"] != known.get("output_image"):
                return False
        return media is None or all(kind in known for kind, count in tokens_by_kind(usage).items() if count)

    def fee(self, kind: str, model: str) -> Decimal | None:
        """Return the price of one call to a tool; None if it is not known."""
        if self.calls is None:
            return None
        listed = self.calls.get(kind)
        return call_fee(kind, model) if listed is None else listed


def tokens_by_kind(usage: Usage) -> dict[str, int]:
    """Return a request's tokens by the kinds that have prices, each token once.

    Cached tokens of which the usage does not say the medium count as text, as far as there is any, then as pictures.
    """
    media = usage.media or Media()
    audio = min(media.input_audio, usage.input_tokens)
    image = min(media.input_image, usage.input_tokens - audio)
    text = usage.input_tokens - audio - image
    cached_audio, cached_image = min(media.cached_audio, audio), min(media.cached_image, image)
    of_text = max(0, usage.cached_tokens - cached_audio - cached_image)
    cached = min(of_text, text)
    cached_image += min(of_text - cached, image - cached_image)
    cache_write = min(usage.cache_write_tokens, text - cached)
    output_audio = min(media.output_audio, usage.output_tokens)
    output_image = min(media.output_image, usage.output_tokens - output_audio)
    return {
        "input": text - cached - cache_write,
        "cached": cached,
        "cache_write": cache_write,
        "output": usage.output_tokens - output_audio - output_image,
        "input_audio": audio - cached_audio,
        "cached_audio": cached_audio,
        "output_audio": output_audio,
        "input_image": image - cached_image,
        "cached_image": cached_image,
        "output_image": output_image,
    }


def prices_of(
    model: str, *, endpoint: str = CHAT, base_url: str = "", given: GivenPrices | None = None
) -> Prices | None:
    """Return the prices of a model at the server of this address; None if they are not known.

    `given` are the recipe's prices, which win over the list.
    """
    name = model or endpoint_at(endpoint).default_model or ""
    if given is not None:
        calls = _NO_PRICE if is_openai(base_url) else None
        return Prices(name, Tariff((), (_given_rates(given),)), None, GIVEN, calls=calls)
    return _listed_prices(name, base_url)


def _given_rates(given: GivenPrices) -> Rates:
    return {
        "input": given.input,
        "cached": given.input if given.cached is None else given.cached,
        "cache_write": given.input * _WRITE_FACTOR if given.cache_write is None else given.cache_write,
        "output": given.output,
    }


@lru_cache(maxsize=64)
def _listed_prices(model: str, base_url: str) -> Prices | None:
    found = find_model(model, base_url)
    if found is None or not _is_by_tokens(found):
        return None
    is_own, factor = is_openai(base_url), host_factor(model, base_url)
    parts = (*_TEXT.values(), *_MEDIA.values())
    prices = [getattr(each, part) for each in (found.standard, found.batch) for part in parts]
    starts = sorted({start for price in prices for start in _starts(price)})
    steps = (-1, *starts)
    standard = tuple(_standard_rates(found, start, factor) for start in steps)
    share = _HALF if is_own else _ONE
    has_discount = is_own and has_cached_batch_price(model)
    batch = tuple(_batch_rates(found, start, share, factor, has_cached=has_discount or not is_own) for start in steps)
    return Prices(
        found.id,
        Tariff(tuple(starts), batch),
        Tariff(tuple(starts), standard),
        found.source,
        tuple(_notes(model, found, share, factor)),
        _call_prices(found.standard) if is_own else None,
        makes_images=_makes_images(found),
    )


def _notes(model: str, found: ListedModel, share: Decimal, factor: Decimal) -> list[str]:
    """Return the rules that decided more than the list."""
    notes = []
    if found.name != model:
        notes.append(f"priced as {found.name}")
    if found.standard.input_mtok is not None and found.batch.input_mtok is None:
        much = "half the standard price" if share == _HALF else "the standard price"
        notes.append(f"{much}, because the list has no batch price")
    if factor != 1:
        notes.append(f"{(factor - 1) * 100:.0f} % more, because the server's region alone processes it")
    return notes


def _is_by_tokens(found: ListedModel) -> bool:
    """Return whether the list prices all that a model does by tokens, or has it for free."""
    priced = {kind for kind, price in vars(found.standard).items() if price is not None}
    return priced <= {*_TEXT.values(), *_MEDIA.values(), *_CALLS.values()} and (
        not priced or found.standard.input_mtok is not None
    )


def _starts(price: "Decimal | TieredPrices | None") -> list[int]:
    return [] if price is None or isinstance(price, Decimal) else [tier.start for tier in price.tiers]


def _standard_rates(found: ListedModel, start: int, factor: Decimal) -> Rates:
    """Return the rates of requests with more than `start` input tokens, without the Batch API."""
    rates = _listed_rates(found.standard, start)
    rates.setdefault("input", _ZERO)
    rates.setdefault("output", _ZERO)
    for kind in ("cached", "cache_write"):
        rates.setdefault(kind, rates["input"])
    return {kind: rate * factor for kind, rate in _with_media(found, rates).items()}


def _batch_rates(found: ListedModel, start: int, share: Decimal, factor: Decimal, *, has_cached: bool) -> Rates:
    """Return the rates of requests with more than `start` input tokens, with the Batch API."""
    standard, own = _listed_rates(found.standard, start), _listed_rates(found.batch, start)
    rates = {kind: rate * share for kind, rate in standard.items()} | own
    rates.setdefault("input", _ZERO)
    rates.setdefault("output", _ZERO)
    rates.setdefault("cache_write", rates["input"])
    if share == _HALF and ("cached" not in own or not has_cached):
        rates["cached"] = rates["input"]
    rates.setdefault("cached", rates["input"])
    return {kind: rate * factor for kind, rate in _with_media(found, rates).items()}


def _with_media(found: ListedModel, rates: dict[str, Decimal]) -> dict[str, Decimal]:
    """Add the rates of media that follow from others. Those of media that the list does not price stay unknown.

    A model that sees pictures counts them as input. A model that makes pictures has a price for them: that of its
    output, if the list has only one.
    """
    if not _makes_images(found):
        rates.setdefault("input_image", rates["input"])
        rates.setdefault("cached_image", rates["cached"])
    elif "input_image" in rates:
        rates.setdefault("output_image", rates["output"])
    for medium in ("audio", "image"):
        if f"input_{medium}" in rates:
            rates.setdefault(f"cached_{medium}", rates[f"input_{medium}"])
    return rates


def _makes_images(found: ListedModel) -> bool:
    return "image" in found.id


def _listed_rates(prices: "ModelPrice", start: int) -> dict[str, Decimal]:
    found = {kind: _rate(getattr(prices, part), start) for kind, part in (_TEXT | _MEDIA).items()}
    return {kind: rate for kind, rate in found.items() if rate is not None}


def _rate(price: "Decimal | TieredPrices | None", start: int) -> Decimal | None:
    if price is None or isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)


def _call_prices(prices: "ModelPrice") -> Mapping[str, Decimal]:
    found = {kind: _rate(getattr(prices, part), 0) for kind, part in _CALLS.items()}
    return {kind: rate / 1_000 for kind, rate in found.items() if rate}
