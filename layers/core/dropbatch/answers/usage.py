"""The tokens that OpenAI bills for a response, as its `usage` gives them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dropbatch.json_encoding import as_mapping


class Usage(NamedTuple):
    """Tokens that were billed.

    Tokens that were read from the cache, or written to it, are part of the input. Reasoning tokens are part of the
    output.
    """

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_write_tokens: int = 0


def read_usage(value: Any) -> Usage | None:
    """Return the tokens that a `usage` counts, in either of its two spellings; None if it is not an object."""
    if not isinstance(value, Mapping):
        return None
    read = as_mapping(value.get("prompt_tokens_details") or value.get("input_tokens_details"))
    written = as_mapping(value.get("completion_tokens_details") or value.get("output_tokens_details"))
    return Usage(
        input_tokens=_count(value, "prompt_tokens", "input_tokens"),
        cached_tokens=_count(read, "cached_tokens"),
        output_tokens=_count(value, "completion_tokens", "output_tokens"),
        reasoning_tokens=_count(written, "reasoning_tokens"),
        cache_write_tokens=_count(read, "cache_write_tokens"),
    )


def _count(members: Mapping[str, Any], *names: str) -> int:
    found = (members.get(name) for name in names)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n >= 0), 0)
