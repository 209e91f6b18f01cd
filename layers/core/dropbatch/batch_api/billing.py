"""Facts of OpenAI's pricing and data residency pages that no price list has, read on 2026-11-27.

https://developers.openai.com/api/docs/pricing and https://developers.openai.com/api/docs/guides/data-residency
"""

import re
from datetime import date
from decimal import Decimal
from typing import Final

from dropbatch.batch_api.models import base_of
from dropbatch.batch_api.servers import OPENAI_HOST, host_of

RESIDENCY_HOSTS: Final = frozenset(f"{region}.{OPENAI_HOST}" for region in ("us", "eu", "ae", "au", "in", "jp"))
"""The hosts whose region alone processes the requests."""

RESIDENCY_FACTOR: Final = Decimal("1.1")
"""The factor of all token prices at these hosts, for models that were released on RESIDENCY_SINCE or later."""

RESIDENCY_SINCE: Final = date(2026, 3, 5)
"""The day on which GPT-5.4 was released, the first of these models."""

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The hosts of an emulator, which counts as OpenAI."""

_SNAPSHOT: Final = re.compile(r"-(\d{4}-\d{2}-\d{2})$")

_SINCE_RESIDENCY: Final = re.compile(r"(?:chat)?gpt-(?:5\.(?:[4-9]|\d\d)|[6-9]|\d\d)(?![\d])|gpt-image-(?:[2-9]|\d\d)")
"""The models that were released on RESIDENCY_SINCE or later and whose names have no date: GPT-5.4 and all that follow
it, and the image models from `gpt-image-2` (2026-04-21) on."""

_NO_CACHED_BATCH_PRICE: Final = re.compile(r"gpt-4o|gpt-4\.1|o\d")
"""The models for which the table of batch prices names no price of cached input: it costs as much as other input."""


def is_openai(base_url: str) -> bool:
    """Return whether OpenAI bills the requests to this address. An emulator on this machine counts as OpenAI."""
    host = host_of(base_url)
    return not base_url or host == OPENAI_HOST or host in RESIDENCY_HOSTS or host in LOCAL_HOSTS


def host_factor(model: str, base_url: str) -> Decimal:
    """Return the factor of the prices of a model's tokens at the host of this address."""
    if host_of(base_url) not in RESIDENCY_HOSTS:
        return Decimal(1)
    base = base_of(model)
    dated = _SNAPSHOT.search(base)
    is_later = date.fromisoformat(dated[1]) >= RESIDENCY_SINCE if dated and _is_date(dated[1]) else False
    return RESIDENCY_FACTOR if is_later or _SINCE_RESIDENCY.match(base) else Decimal(1)


def has_cached_batch_price(model: str) -> bool:
    """Return whether the Batch API may give a discount on input that a model reads from its cache."""
    return _NO_CACHED_BATCH_PRICE.match(base_of(model)) is None


def without_date(model: str) -> str:
    """Return the model that a dated snapshot is one of."""
    return _SNAPSHOT.sub("", model)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
