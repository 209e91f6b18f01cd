"""The answers of `/v1/responses`: the messages, calls and images among a response's output items."""

from collections.abc import Mapping, Sequence
from typing import Any

from dropbatch.answers.choices import ChoiceReader
from dropbatch.answers.failures import error_code, loggable_code, outcome_of
from dropbatch.answers.json_answers import EMPTY, Choice
from dropbatch.answers.raw_json import joined_text, mappings
from dropbatch.batch_api.error_codes import APPROVAL_REQUIRED, CONTENT_CODES
from dropbatch.batch_api.output_items import (
    COMMENTARY,
    FINAL_ANSWER,
    MESSAGE_PARTS,
    OUTPUT_ITEMS,
    SERVER_WORK,
    ItemKind,
)
from dropbatch.domain.outcomes import Outcome
from dropbatch.json_encoding import as_mapping


def read_response(response: Mapping[str, Any], items: Sequence[Mapping[str, Any]], reader: ChoiceReader) -> Choice:
    """Return the choice of a response with these output items."""
    messages, refusals = _messages(items)
    text, last = "".join(messages), messages[-1] if messages else ""
    if not items and not text:
        text = joined_text(response.get("output_text"))  # as some servers, and the SDK, give it
    status = response.get("status")
    if status == "failed":
        code = error_code(response.get("error"), "failed")
        return Choice(outcome_of(code), code, None)
    if refusals:
        return reader.read_text(text or "".join(refusals), Outcome.REFUSED, "refusal")
    if status == "incomplete":
        reason = loggable_code(as_mapping(response.get("incomplete_details")).get("reason")) or "incomplete"
        outcome = Outcome.REFUSED if reason in CONTENT_CODES else Outcome.TRUNCATED
        return reader.read_text(text, outcome, reason)
    if status in ("cancelled", "queued", "in_progress"):
        return Choice(Outcome.ERROR, f"response_{status}", None)
    calls = _open_calls(items)
    if calls and not (reader.is_structured and text.strip()):
        return reader.read_calls(calls)
    return reader.read_text(text, Outcome.OK, None, last) if text.strip() else _read_wordless(items, reader)


def _read_wordless(items: Sequence[Mapping[str, Any]], reader: ChoiceReader) -> Choice:
    """Return the choice of a response that has neither a text nor calls."""
    images = [item for item in items if _kind(item) is ItemKind.IMAGE]
    made = [item for item in images if item.get("result")]
    if made:
        return reader.read_media(made, "result")
    for item in images:
        code = error_code(item.get("error"), "")
        if code in CONTENT_CODES:
            return Choice(Outcome.REFUSED, code, None)
    if any(_kind(item) is ItemKind.APPROVAL for item in items):
        return Choice(Outcome.INVALID_ANSWER, APPROVAL_REQUIRED, None)
    return EMPTY


def _messages(items: Sequence[Mapping[str, Any]]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the texts of the messages that are the answer, one each, and the refusals.

    If there is a final answer, it alone counts. A comment on the way to it never does, unless there is nothing else
    and it declines the request.
    """
    messages = [item for item in items if _kind(item) is ItemKind.MESSAGE]
    final = [message for message in messages if message.get("phase") == FINAL_ANSWER]
    final = final or [message for message in messages if message.get("phase") != COMMENTARY]
    texts = ["".join(_parts(message, "output_text")) for message in final]
    return texts, [text for message in final or messages for text in _parts(message, "refusal")]


def _parts(message: Mapping[str, Any], kind: str) -> Sequence[str]:
    parts = mappings(message.get("content"))
    return [joined_text(part.get(MESSAGE_PARTS[kind])) for part in parts if part.get("type") == kind]


def _open_calls(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the calls that the model leaves to the caller: they are not answered within the response."""
    done = [item.get("call_id") for item in items if _kind(item) is ItemKind.WORK]
    calls = [item for item in items if _kind(item) is ItemKind.CALL and not _is_server_work(item)]
    return [call for call in calls if call.get("call_id") is None or call["call_id"] not in done]


def _is_server_work(item: Mapping[str, Any]) -> bool:
    member, value = SERVER_WORK.get(item["type"], ("type", None))
    return bool(item.get(member) == value)


def _kind(item: Mapping[str, Any]) -> ItemKind | None:
    """Return the kind of an output item; None if its type is not known."""
    name = item.get("type")
    return OUTPUT_ITEMS.get(name) if isinstance(name, str) else None
