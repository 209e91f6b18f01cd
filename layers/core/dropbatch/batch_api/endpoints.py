"""The endpoints of the Batch API and the facts about each: a new endpoint is one entry of the table.

Checked 2026-11-27 against OpenAI's Batch API guide and the methods of its Python SDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
MODERATIONS = "/v1/moderations"
COMPLETIONS = "/v1/completions"
IMAGES = ("/v1/images/generations", "/v1/images/edits")
VIDEOS = "/v1/videos"


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """A column of the answers to a recipe without `schema`, and the JSON Schema of its values."""

    name: str
    schema: Mapping[str, Any]


TEXT_ANSWER = AnswerColumn("answer", {"type": "string"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The facts about an endpoint that the rest of Dropbatch uses.

    - `question`: the member of a request that holds what is asked.
    - `requires_question`: OpenAI refuses a request without that member, and an empty one.
    - `is_conversation`: the question is a list of messages with roles. Such an endpoint takes `system`, `examples` and
      `schema`.
    - `answers_each_input`: a request may hold a list of inputs, and the answer to it is a list of as many.
    - `has_short_form`: the short form of a recipe can build its requests.
    - `default_model`: the model that OpenAI uses for a request that names none; None if each request has to name one.
    - `columns`: what the answers add to a row if the recipe has no `schema`.
    - `is_repeatable`: two answers to the same request can be compared; a vector is another one each time.
    - `shut_down`: the day on which OpenAI shut the endpoint down.
    """

    path: str
    question: str = "input"
    requires_question: bool = False
    is_conversation: bool = False
    answers_each_input: bool = False
    has_short_form: bool = False
    default_model: str | None = None
    columns: tuple[AnswerColumn, ...] = (TEXT_ANSWER,)
    is_repeatable: bool = True
    shut_down: date | None = None


_TABLE = (
    Endpoint(RESPONSES, requires_question=True, is_conversation=True, has_short_form=True),
    Endpoint(CHAT, question="messages", requires_question=True, is_conversation=True, has_short_form=True),
    Endpoint(
        EMBEDDINGS,
        requires_question=True,
        answers_each_input=True,
        has_short_form=True,
        columns=(AnswerColumn("embedding", {"type": "array", "items": {"type": "number"}}),),
        is_repeatable=False,
    ),
    # OpenAI has no model for completions any more, but other servers have.
    Endpoint(COMPLETIONS, question="prompt", answers_each_input=True),
    Endpoint(
        MODERATIONS,
        requires_question=True,
        answers_each_input=True,
        has_short_form=True,
        default_model="omni-moderation-latest",
        columns=(
            AnswerColumn("flagged", {"type": "boolean"}),
            AnswerColumn("categories", {"type": "array", "items": {"type": "string"}}),
        ),
    ),
    *(Endpoint(path, question="prompt") for path in IMAGES),
    # No other server has videos in batches.
    Endpoint(VIDEOS, question="prompt", shut_down=date(2026, 9, 24)),
)
_BY_PATH = {endpoint.path: endpoint for endpoint in _TABLE}
_UNKNOWN = Endpoint("")

ENDPOINTS = tuple(endpoint.path for endpoint in _TABLE if endpoint.shut_down is None)
"""The paths of all endpoints that a batch can use."""

SHORT_FORM_ENDPOINTS = tuple(endpoint.path for endpoint in _TABLE if endpoint.has_short_form)

GONE: Mapping[str, date] = MappingProxyType(
    {endpoint.path: endpoint.shut_down for endpoint in _TABLE if endpoint.shut_down is not None}
)
"""The paths of the endpoints that OpenAI has shut down, with the day."""


def endpoint_at(path: str) -> Endpoint:
    """Return the facts about the endpoint of a path; those of an endpoint without peculiarities if it is not known."""
    return _BY_PATH.get(path, _UNKNOWN)


def gone_sentence(path: str) -> str:
    """Return a sentence that says that an endpoint is gone, and what a batch can ask in its place."""
    return (
        f"OpenAI shut the API {path} down on {GONE[path]}, with all of its models; nothing takes its place, "
        f"and a batch can ask {', '.join(ENDPOINTS)}"
    )
