"""`/v1/moderations`: scores a category for each text, by counting words of harm."""

from typing import Any

from local.openai_emulator.answerers.messages import text_of
from local.openai_emulator.answerers.request import Answer, AnswerRequest
from local.openai_emulator.errors import missing_parameter, wrong_type
from local.openai_emulator.store import Tokens
from local.openai_emulator.words import harms

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def answer_moderation(request: AnswerRequest) -> Answer:
    results = [_moderate(text) for text in _read_texts(request.body.get("input"))]
    return Answer(200, {"id": f"modr-{request.digest}", "model": request.model, "results": results}, Tokens())


def _read_texts(given: object) -> list[str]:
    """Return the texts that are moderated one by one; a list of parts is one text."""
    if given is None:
        raise missing_parameter("input")
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(one, str) for one in given):
            return given
        if all(isinstance(one, dict) for one in given):
            return [text_of(given)]
    raise wrong_type("input", "a string or an array", given)


def _moderate(text: str) -> dict[str, Any]:
    found = harms(text)
    scores = {name: min(0.99, 0.0001 + 0.6 * found.get(name, 0)) for name in _CATEGORIES}
    categories = {name: score > 0.5 for name, score in scores.items()}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
