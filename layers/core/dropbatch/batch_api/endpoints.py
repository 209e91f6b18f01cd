"""The endpoints of the Batch API: a new one, or the end of one, is a line here.

Checked 2026-11-27 against OpenAI's Batch API guide and the methods of its Python SDK.
"""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
MODERATIONS = "/v1/moderations"
COMPLETIONS = "/v1/completions"
IMAGES = ("/v1/images/generations", "/v1/images/edits")
VIDEOS = "/v1/videos"

SHORT_FORM_ENDPOINTS = (CHAT, RESPONSES, EMBEDDINGS, MODERATIONS)
"""The endpoints whose requests the short form of a recipe can build."""

ENDPOINTS = (RESPONSES, CHAT, EMBEDDINGS, COMPLETIONS, MODERATIONS, *IMAGES)
"""All that a batch can ask. OpenAI has no model for completions any more, but other servers have."""

GONE: Mapping[str, date] = MappingProxyType({VIDEOS: date(2026, 9, 24)})
"""The endpoints that OpenAI has shut down, with the day. No other server has them in batches."""


def gone_sentence(endpoint: str) -> str:
    """Say that an endpoint is gone, and what can be asked in its place."""
    return (
        f"OpenAI shut the API {endpoint} down on {GONE[endpoint]}, with all of its models; nothing takes its place, "
        f"and a batch can ask {', '.join(ENDPOINTS)}"
    )
