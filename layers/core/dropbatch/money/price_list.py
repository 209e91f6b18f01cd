"""The public price list in the package `genai-prices`: which entry prices a model at a server.

The package takes half a second to import, and is needed only where something is priced.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from dropbatch.batch_api.billing import is_openai, without_date
from dropbatch.batch_api.models import base_of
from dropbatch.gc_tuning import tune_gc

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_CHECKED = re.compile(r"(?:verified|checked|updated)(?: on)? (20\d\d-\d\d-\d\d)")
"""How the list says on which day somebody compared prices with a provider's page."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """An entry of the list. `name` is the model by which it was found, `id` the entry's own name.

    `batch` holds only the prices that the list has for batches alone.
    """

    name: str
    id: str
    provider: str
    standard: "ModelPrice"
    batch: "ModelPrice"
    source: str


def find_model(model: str, base_url: str = "") -> ListedModel | None:
    """Return the entry of a model at the server of this address, or else of the model that it was made of.

    A snapshot's or a fine-tuned model's own entry wins over that of its base. Return None if the list has neither, or
    does not know the server.
    """
    provider = _provider(base_url)
    if provider is None or not model:
        return None
    base = base_of(model)
    for name in dict.fromkeys((model, without_date(model), base, without_date(base))):
        found = provider.find_model(name)
        if found is not None:
            return _listed(name, provider, found)
    return None


def _listed(name: str, provider: "Provider", found: "ModelInfo") -> ListedModel:
    from genai_prices.types import ModelPrice

    now = datetime.now(UTC)
    batch = replace(found, prices=ModelPrice()).get_prices(now, {"processing": "batch"})
    return ListedModel(name, found.id, provider.name, found.get_prices(now), batch, _source(provider))


@lru_cache(maxsize=8)
def _provider(base_url: str) -> "Provider | None":
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    tune_gc()  # the list has a hundred thousand objects, and stays in memory
    if is_openai(base_url):
        return next(each for each in providers if each.id == "openai")
    return next((each for each in providers if _is_at(each, base_url)), None)


def _is_at(provider: "Provider", base_url: str) -> bool:
    """Return whether an address is a provider's. The list's patterns may end within the name of a host."""
    found = re.match(provider.api_pattern, base_url)
    if found is None:
        return False
    rest = base_url[found.end() :]
    return not rest or rest[0] in "/:?" or found[0].endswith(("/", "."))


def _source(provider: "Provider") -> str:
    """Return words for the list: its version, and the latest day on which it was compared with this provider's page."""
    from genai_prices import __version__

    today = datetime.now(UTC).date()
    comments = [provider.price_comments, *(model.price_comments for model in provider.models)]
    days = [date.fromisoformat(day) for text in comments for day in _CHECKED.findall(text or "")]
    checked = max((day for day in days if day <= today), default=None)
    return f"genai-prices {__version__}" + (f", checked {checked.isoformat()}" if checked else "")
