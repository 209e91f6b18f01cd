"""The table of the endpoints, and the answer to one request by it, which says that it is emulated.

The same body always has the same answer (its hash seeds everything), so a row that is retried in another batch gets
its answer again.
"""

import re
from collections.abc import Callable
from typing import Any

from local.openai_emulator.answerers.chat_completions import answer_chat_completion
from local.openai_emulator.answerers.completions import answer_completion
from local.openai_emulator.answerers.embeddings import answer_embeddings
from local.openai_emulator.answerers.images import answer_image
from local.openai_emulator.answerers.moderations import answer_moderation
from local.openai_emulator.answerers.request import Answer, AnswerRequest
from local.openai_emulator.answerers.responses import answer_response
from local.openai_emulator.errors import ApiError, error_body
from local.openai_emulator.faults import Spoiling
from local.openai_emulator.refusals import check_refusals
from local.openai_emulator.store import Tokens

# OpenAI's endpoints, written down here a second time: the emulator replaces OpenAI, and imports nothing of Dropbatch.
_ANSWERERS: dict[str, Callable[[AnswerRequest], Answer]] = {
    "/v1/responses": answer_response,
    "/v1/chat/completions": answer_chat_completion,
    "/v1/embeddings": answer_embeddings,
    "/v1/completions": answer_completion,
    "/v1/moderations": answer_moderation,
    "/v1/images/generations": answer_image,
    "/v1/images/edits": answer_image,
}

ENDPOINTS = tuple(_ANSWERERS)


def answer(url: str, body: dict[str, Any], now: int, spoil: Spoiling | None = None) -> Answer:
    """Answer one request to `url`, or refuse a bad one with OpenAI's 400. `now` is in Unix seconds."""
    try:
        check_refusals(url, body)
        return _ANSWERERS[url](AnswerRequest(url, body, now, spoil))
    except ApiError as error:
        return Answer(error.status, error.body, Tokens())
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError, re.error):
        # An odd schema or tool caused it. The service would refuse the request too, in better words.
        body = error_body("The request could not be processed.", code="invalid_request")
        return Answer(400, body, Tokens())
