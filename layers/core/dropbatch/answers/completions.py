"""The answers of `/v1/chat/completions` and `/v1/completions`: their choices, in the order of their indexes."""

from collections.abc import Callable, Mapping
from typing import Any

from dropbatch.answers.choices import ChoiceReader
from dropbatch.answers.json_answers import Choice
from dropbatch.answers.raw_json import joined_text, mappings
from dropbatch.domain.outcomes import Outcome
from dropbatch.json_encoding import as_list, as_mapping


def read_chat(response: Mapping[str, Any], reader: ChoiceReader) -> Choice:
    """Return the choices of a chat completion as one."""
    return _combined(response, reader, _read_message)


def read_completion(response: Mapping[str, Any], reader: ChoiceReader) -> Choice:
    """Return the choices of a legacy completion as one."""
    return _combined(response, reader, _read_text)


def _combined(
    response: Mapping[str, Any], reader: ChoiceReader, read: Callable[[Mapping[str, Any], ChoiceReader], Choice]
) -> Choice:
    choices = mappings(response.get("choices"))
    if all(isinstance(choice.get("index"), int) for choice in choices):
        choices.sort(key=lambda choice: choice["index"])
    return reader.combine([read(choice, reader) for choice in choices])


def _read_message(choice: Mapping[str, Any], reader: ChoiceReader) -> Choice:
    message, finish = as_mapping(choice.get("message")), choice.get("finish_reason")
    text, refusal = joined_text(message.get("content")), message.get("refusal")
    audio = as_mapping(message.get("audio"))
    if not text.strip() and not reader.is_structured:
        text = joined_text(audio.get("transcript")) or text
    if isinstance(refusal, str) and refusal:
        return reader.read_text(text or refusal, Outcome.REFUSED, "refusal")
    if outcome := _cut_short(finish):
        return reader.read_text(text, outcome, finish)
    calls = as_list(message.get("tool_calls"))
    if isinstance(message.get("function_call"), Mapping):
        calls = [*calls, message["function_call"]]
    if calls and not (reader.is_structured and text.strip()):
        return reader.read_calls(calls)
    if not text.strip() and audio.get("data"):
        return reader.read_media([audio], "data")
    return reader.read_text(text, Outcome.OK, None)


def _read_text(choice: Mapping[str, Any], reader: ChoiceReader) -> Choice:
    text, finish = joined_text(choice.get("text")), choice.get("finish_reason")
    if outcome := _cut_short(finish):
        return reader.read_text(text, outcome, finish)
    return reader.read_text(text, Outcome.OK, None)


def _cut_short(finish: Any) -> Outcome | None:
    """Return the outcome of an answer that did not come to its end, by its `finish_reason`; None for any other."""
    match finish:
        case "content_filter":
            return Outcome.REFUSED
        case "length":
            return Outcome.TRUNCATED
    return None
