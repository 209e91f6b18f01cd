"""The tokens that OpenAI bills for a response, as its `usage` gives them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dropbatch.json_encoding import as_mapping


class Media(NamedTuple):
    """Tokens of sound and of pictures. Those of the input are part of it, those that were cached of both."""

    input_audio: int = 0
    cached_audio: int = 0
    output_audio: int = 0
    input_image: int = 0
    cached_image: int = 0
    output_image: int = 0


class Usage(NamedTuple):
    """Tokens that were billed.

    Tokens that were read from the cache, or written to it, are part of the input. Reasoning tokens are part of the
    output. `media` is None if the usage distinguishes no media.
    """

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_write_tokens: int = 0
    media: Media | None = None


NO_USAGE = Usage(0, 0, 0, 0)

_KINDS = ("input", "cached", "output", "reasoning", "cache_write")
"""The names of the tokens of a usage, in its order."""


def token_counts(usage: Usage) -> Counter[str]:
    """Return the tokens of a usage by kind; those of media only if there are any."""
    *counts, media = usage
    found = Counter(dict(zip(_KINDS, counts, strict=True)))
    if media is not None:
        found.update({kind: count for kind, count in media._asdict().items() if count})
    return found


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
        media=_media(read, written),
    )


def sum_usages(usages: Iterable[Usage]) -> Usage:
    """Return the sum of usages."""
    columns = list(zip(*usages, strict=True))
    return sum_columns(columns) if columns else NO_USAGE


def sum_columns(columns: Sequence[Sequence[Any]]) -> Usage:
    """Return the sum of usages that are given member by member."""
    *counts, media = columns
    found = [each for each in media if each is not None]
    read, cached, written, reasoning, cache_write = map(sum, counts)
    media_sum = Media(*map(sum, zip(*found, strict=True))) if found else None
    return Usage(read, cached, written, reasoning, cache_write, media_sum)


def _media(read: Mapping[str, Any], written: Mapping[str, Any]) -> Media | None:
    """Return the tokens of media; None if there are none, and the usage does not say that all of it was text."""
    cached = as_mapping(read.get("cached_tokens_details"))
    media = Media(
        input_audio=_count(read, "audio_tokens"),
        cached_audio=_count(cached, "audio_tokens"),
        output_audio=_count(written, "audio_tokens"),
        input_image=_count(read, "image_tokens"),
        cached_image=_count(cached, "image_tokens"),
        output_image=_count(written, "image_tokens"),
    )
    return media if any(media) or "image_tokens" in read else None


def _count(members: Mapping[str, Any], *names: str) -> int:
    found = (members.get(name) for name in names)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n >= 0), 0)
