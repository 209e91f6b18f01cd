"""The tokens of images, files and recordings in a prompt, as far as a request shows them.

An address says nothing of a picture's size. So each image counts as one of 1,024 x 1,024 pixels, and at most as the
largest that its model reads. Of a file, its length in base64 says how many pages it may have.

Checked 2026-11-27 against OpenAI's guide on images and vision.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from dropbatch.batch_api.models import base_of
from dropbatch.domain.quotes import Tokens

TYPICAL_PATCHES, LOW_PATCHES = 1_024, 256
"""The patches of 32 x 32 pixels of 1,024 x 1,024 pixels, and of 512 x 512, which is what low detail reads."""

TYPICAL_TILES, MAX_TILES = 4, 8
"""The tiles of 512 pixels of a square image, scaled to 768 pixels, and of one that is as long as possible."""


class _Tiles(NamedTuple):
    """A model that counts a base, which is all of an image of low detail, and a number of tokens for each tile."""

    base: int
    each: int


class _Patches(NamedTuple):
    """A model that counts patches up to a maximum, each as some tokens."""

    most: int
    each: float


_MODELS: tuple[tuple[str, _Tiles | _Patches], ...] = (
    ("gpt-4o-mini", _Tiles(2_833, 5_667)),
    ("gpt-4.1-mini", _Patches(1_536, 1.62)),
    ("gpt-4o", _Tiles(85, 170)),
    ("gpt-4.1", _Tiles(85, 170)),
    ("gpt-5.1", _Tiles(70, 140)),
    ("gpt-5.2", _Tiles(70, 140)),
)
"""The rule of a model, by the beginning of its name: the first that fits."""

_NEWEST = _Patches(2_500, 1.0)
"""The rule of later models."""

MAX_ORIGINAL_PATCHES = 10_000
"""The maximum for the detail `original`."""

PAGE_TOKENS = Tokens(400, 1_500, 3_500)
"""A page of a file: its text, and an image of it."""

PAGE_BASE64_BYTES = 100_000
"""The size of a page of a PDF file in base64. A page of text alone takes less, a scanned one much more."""

UNKNOWN_PAGES = (1, 4, 40)
"""The pages of a file of which only the address or the id is known."""

BASE64_BYTES_PER_AUDIO_TOKEN = {"mp3": 2_100, "wav": 6_400}
"""A token is a tenth of a second of sound."""


@lru_cache(maxsize=64)
def image_tokens(model: str, detail: str | None) -> Tokens:
    """Return the tokens of an image whose size is not known."""
    name = base_of(model)
    rule = next((rule for start, rule in _MODELS if name.startswith(start)), _NEWEST)
    if isinstance(rule, _Tiles):
        if detail == "low":
            return Tokens(rule.base, rule.base, rule.base)
        sizes = (rule.base + tiles * rule.each for tiles in (1, TYPICAL_TILES, MAX_TILES))
        return Tokens(*sizes)
    most = MAX_ORIGINAL_PATCHES if detail == "original" else LOW_PATCHES if detail == "low" else rule.most
    least, typical = (LOW_PATCHES, LOW_PATCHES) if detail == "low" else (64, TYPICAL_PATCHES)
    return Tokens(*(round(patches * rule.each) for patches in (min(least, most), typical, most)))


def file_tokens(base64_bytes: int) -> Tokens:
    """Return the tokens of a file with this content; 0 bytes: the content is not known."""
    low, likely, high = UNKNOWN_PAGES
    if base64_bytes:
        likely = max(1, base64_bytes // PAGE_BASE64_BYTES)
        low, high = max(1, likely // 10), 4 * likely + 4
    return Tokens(low * PAGE_TOKENS.low, likely * PAGE_TOKENS.likely, high * PAGE_TOKENS.high)


def audio_tokens(base64_bytes: int, audio_format: Any) -> Tokens:
    """Return the tokens of a recording with this content."""
    likely = base64_bytes // BASE64_BYTES_PER_AUDIO_TOKEN.get(audio_format, BASE64_BYTES_PER_AUDIO_TOKEN["wav"])
    return Tokens(likely // 2, likely, 3 * likely)
