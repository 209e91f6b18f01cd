"""The fees that OpenAI charges for calls to its own tools, read on 2026-11-27 on its pricing page.

These fees are not for tokens, and the Batch API does not halve them. The tokens that tools read and write are part of
the answer's usage.
"""

import re
from decimal import Decimal
from types import MappingProxyType

WEB_SEARCH = "web_search"
WEB_SEARCH_PREVIEW = "web_search_preview"
FILE_SEARCH = "file_search"
IMAGE_GENERATION = "image_generation"
CONTAINER = "container"
OTHER = "other"
"""Calls to tools that nobody knew in November 2026."""

CONTAINER_FEES = MappingProxyType(
    {"1g": Decimal("0.03"), "4g": Decimal("0.12"), "16g": Decimal("0.48"), "64g": Decimal("1.92")}
)
"""A container's session of 20 minutes, by its memory, in US dollars. OpenAI charges by the minute, from five on. No
answer says how long a container was used, so that each counts as a whole session: most cost less."""

DEFAULT_MEMORY = "1g"
"""The memory of a container that names none."""

TOOL_FEES = MappingProxyType(
    {
        WEB_SEARCH: Decimal("0.01"),
        WEB_SEARCH_PREVIEW: Decimal("0.01"),
        FILE_SEARCH: Decimal("0.0025"),
        **{f"{CONTAINER}_{memory}": fee for memory, fee in CONTAINER_FEES.items()},
    }
)
"""The fee of one call, in US dollars. The fee of any other call is not known: an image is charged by the tokens of the
model that makes it, and a container that was made beforehand by its memory, which the answer does not name."""

PREVIEW_FEE = Decimal("0.025")
"""The fee of a call of `web_search_preview` by a model that does not reason; the tokens that it reads are free then."""

_NO_REASONING = re.compile(r"(?:ft:)?(?:chatgpt-|gpt-3|gpt-4)")
_SEARCH_MODEL = re.compile(r"-search-(?:preview|api)")
_BLOCK_MODEL = re.compile(r"(?:ft:)?gpt-(?:4o|4\.1)-mini(?!-search)")

BLOCK_TOKENS = 8_000
"""The input tokens that one `web_search` counts as, for the models that charge it as a block."""


def call_fee(kind: str, model: str) -> Decimal | None:
    """Return the fee of one call of this kind by a model; None if it is not known."""
    if kind == WEB_SEARCH_PREVIEW and _NO_REASONING.match(model):
        return PREVIEW_FEE
    return TOOL_FEES.get(kind)


def search_model_kind(model: str) -> str | None:
    """Return the kind of search that a model makes for every chat completion; None if it searches on request only."""
    if not _SEARCH_MODEL.search(model):
        return None
    return WEB_SEARCH_PREVIEW if "-search-preview" in model else WEB_SEARCH


def charges_blocks(kind: str, model: str) -> bool:
    """Return whether the tokens that a search reads are charged as a block."""
    return kind == WEB_SEARCH and _BLOCK_MODEL.match(model) is not None
