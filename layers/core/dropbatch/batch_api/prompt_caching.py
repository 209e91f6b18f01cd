"""Prompt caching: the models that take cache breakpoints, and the members of a request about it.

GPT-5.6 and later models bill what they write to the cache at 1.25 times the input price, and what they read from it at
a tenth. They match a cached beginning only at a breakpoint. By default OpenAI puts one at the end of the last message
(an implicit breakpoint), so each prompt of 1,024 tokens or more is written as a whole, and only a request that repeats
it can read it. With the mode `explicit` only the breakpoints in the request count, and without one nothing is cached.

Content blocks of text, images and files carry breakpoints, those of an assistant's message and the member
`instructions` do not. Earlier models cache on their own, bill no writes, and refuse these members.

Checked 2026-11-27 against OpenAI's guide to prompt caching and the request types of its Python SDK 3.57.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dropbatch.batch_api.endpoints import CHAT, RESPONSES
from dropbatch.batch_api.models import base_of

CACHING_ENDPOINTS: Final = (CHAT, RESPONSES)

MIN_CACHED_TOKENS: Final = 1_024
"""OpenAI caches no shorter beginning of a prompt."""

OPTIONS: Final = "prompt_cache_options"
BREAKPOINT: Final = "prompt_cache_breakpoint"
CACHE_KEY: Final = "prompt_cache_key"
RETENTION: Final = "prompt_cache_retention"
"""The members of a request. `RETENTION` is that of earlier models: OpenAI refuses a request that also has `OPTIONS`."""

EXPLICIT: Final[Mapping[str, str]] = MappingProxyType({"mode": "explicit"})
"""The value of `OPTIONS` that turns implicit breakpoints off, and that of every `BREAKPOINT`."""

_FIRST_WITH_BREAKPOINTS = (5, 6)
_VERSION = re.compile(r"gpt-(\d)(?:\.(\d+))?(?:-.*)?")


def takes_breakpoints(model: str) -> bool:
    """Return whether a model takes cache breakpoints, and bills what it writes to the cache.

    OpenAI says so of GPT-5.6 and all later models: a name counts by its version, also that of a snapshot or of a
    fine-tuned model.
    """
    found = _VERSION.fullmatch(base_of(model))
    return found is not None and (int(found[1]), int(found[2] or 0)) >= _FIRST_WITH_BREAKPOINTS
