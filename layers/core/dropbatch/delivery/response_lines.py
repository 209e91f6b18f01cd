"""The lines of responses.jsonl, without line feeds: OpenAI's own, or one of ours for a row without one."""

import json
import re

import msgspec
import orjson

from dropbatch.answers.raw_json import DECODE_ERRORS, decode_members, repair_json
from dropbatch.domain.outcomes import (
    ANSWERS_GONE,
    BLANK_ROW,
    IN_DOUBT,
    NEVER_ENDED,
    NOT_COLLECTED,
    PAST_DEADLINE,
    WHEN,
    Outcome,
)

_CANONICAL = re.compile(rb'\{ ?"id": ?"[^"\\]*", ?"custom_id": ?"(\d+)", ?"response": ?\{')
"""The start of a line with a response, as OpenAI writes it."""

_CUSTOM_ID = re.compile(rb'\{ ?"id": ?(?:null|"[^"\\]*"), ?"custom_id": ?("(?:[^"\\]|\\.)*")')
"""The start of a line with any id, as OpenAI or Dropbatch writes it."""

_SENTENCES = {
    Outcome.SKIPPED: "The row cannot be asked, and the recipe skips such rows; it was not sent.",
    Outcome.MISSING: "OpenAI completed the batch, but returned nothing for this row.",
    Outcome.EXPIRED: "The batch expired before this row was answered.",
    Outcome.CANCELLED: "The job was cancelled before this row was answered.",
    Outcome.ERROR: "OpenAI did not run this row.",
}

_BY_CODE = {
    WHEN: "The recipe skips this row; it was not sent.",
    BLANK_ROW: "No column of this row has a value; it was not sent.",
    PAST_DEADLINE: "The recipe's deadline passed before this row was sent.",
    IN_DOUBT: "Nobody could tell whether this row was sent.",
    ANSWERS_GONE: "OpenAI no longer has the answer to this row.",
    NOT_COLLECTED: "The answer to this row could not be read.",
    NEVER_ENDED: "The batch did not end; this row may still be answered.",
}
"""The same for rows whose code says more than their outcome."""


def answered_response(row: int, custom_id: str | None, line: bytes, outcome: Outcome) -> bytes:
    """Return OpenAI's own line for a row, with the user's `custom_id`; None says that it is the row's number.

    A line that starts as OpenAI's do keeps all bytes but the id's. Of others, each member's value keeps its bytes.
    """
    if custom_id is None and outcome is Outcome.OK:
        return line
    found = _CANONICAL.match(line)
    if found is not None and found[1] == b"%d" % row:
        if custom_id is None:
            return line
        return b"%b%b%b" % (line[: found.start(1) - 1], orjson.dumps(custom_id), line[found.end(1) + 1 :])
    named = custom_id if custom_id is not None else str(row)
    theirs = _members_of(line)
    if bytes(theirs.get("response", b"null")) != b"null":
        return msgspec.json.encode({**theirs, "custom_id": named})
    return _without_response(theirs.get("id"), named, outcome, _message(theirs.get("error")))


def shared_response(line: bytes, custom_id: str) -> bytes:
    """Return the line of another row with this `custom_id`, for a row that shares its answer."""
    found = _CUSTOM_ID.match(line)
    if found is not None:
        return b"%b%b%b" % (line[: found.start(1)], orjson.dumps(custom_id), line[found.end(1) :])
    return msgspec.json.encode({**_members_of(line), "custom_id": custom_id})


def _members_of(line: bytes) -> dict[str, msgspec.Raw]:
    """Return the members of a line, read as its answer is: as it is, then repaired; none if it is not JSON."""
    for read in (bytes, repair_json):
        try:
            return decode_members(read(line))
        except DECODE_ERRORS:
            continue
    return {}


def unanswered_response(
    row: int, custom_id: str | None, outcome: Outcome, message: str = "", code: str | None = None
) -> bytes:
    """Return the line of a row without one of OpenAI's; `message` is OpenAI's own about the batch."""
    named = custom_id if custom_id is not None else str(row)
    return _without_response(None, named, outcome, message or _BY_CODE.get(code or "", ""))


def _without_response(identity: object, custom_id: str, outcome: Outcome, message: str) -> bytes:
    error = {"code": outcome, "message": message or _SENTENCES.get(outcome, "")}
    return msgspec.json.encode({"id": identity, "custom_id": custom_id, "response": None, "error": error})


def openai_message(line: bytes) -> str:
    """Return OpenAI's message about a row that it did not answer; empty if there is none. It may quote the row."""
    members = _members_of(line)
    try:
        response = msgspec.json.decode(members.get("response", b"null"))
        body = response["body"] if isinstance(response, dict) else None
        error = (json.loads(body) if isinstance(body, str) else body or {}).get("error")
    except (*DECODE_ERRORS, KeyError, AttributeError):
        return ""
    if isinstance(error, dict):
        message = error.get("message")
        return message if isinstance(message, str) else ""
    return error if isinstance(error, str) else _message(members.get("error"))


def _message(error: msgspec.Raw | None) -> str:
    try:
        message = msgspec.json.decode(error or b"null", type=dict[str, object] | None)
    except msgspec.DecodeError:
        return ""
    found = (message or {}).get("message")
    return found if isinstance(found, str) else ""
