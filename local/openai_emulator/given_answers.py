"""The answers that a fault gives, word for word, in place of the emulator's own."""

from typing import Any

import orjson

from local.openai_emulator.answerers.request import Answer
from local.openai_emulator.faults import PROMPT, AnswerRows
from local.openai_emulator.upstream import used_tokens


def given_answer(given: AnswerRows, request: dict[str, Any]) -> Answer:
    """Return the fault's answer to a request's body, with the request's text wherever it says PROMPT."""
    body = _with_prompt(given.body, _last_text(request))
    return Answer(given.status, body, used_tokens(body))


def _with_prompt(value: Any, prompt: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_prompt(item, prompt) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_prompt(item, prompt) for item in value]
    return prompt if value == PROMPT else value


def _last_text(request: dict[str, Any]) -> str:
    """Return the text that a request asks about: its last message's, or its input."""
    asked = request.get("input", request.get("prompt", ""))
    messages = request.get("messages") or (asked if isinstance(asked, list) else None)
    last = messages[-1] if messages else asked
    text = last.get("content", "") if isinstance(last, dict) else last
    return text if isinstance(text, str) else orjson.dumps(text).decode()
