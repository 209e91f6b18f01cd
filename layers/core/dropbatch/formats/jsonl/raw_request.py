"""A raw drop: every line is a ready OpenAI batch request, which is checked here and passed on as it is."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

import msgspec

from dropbatch.batch_api.endpoints import ENDPOINTS, GONE, endpoint_at, gone_sentence
from dropbatch.batch_api.models import MODEL_NAME_RULE, is_model_name
from dropbatch.batch_api.questions import flaw_of
from dropbatch.batch_api.request import Request
from dropbatch.domain.errors import RowRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.jsonl import reader
from dropbatch.formats.records import Record

MEMBERS = ("custom_id", "method", "url", "body")
"""The members of every line of a batch file."""

_NAMES = frozenset(MEMBERS)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class RawRequest(NamedTuple):
    """A line's request, its body the user's own bytes, so that every number and key stays as it was written.

    Its model is "" where a moderation names none and so gets OpenAI's default.
    """

    custom_id: str
    request: Request


def raw_request(record: Record, *, is_decided: bool = False) -> RawRequest:
    """Return the request of a raw drop's record.

    Keys besides the four are accepted, as OpenAI accepts them. `is_decided` says that the row is sent whatever it asks,
    because an earlier release accepted it. Raise RowRejectedError, with the row's line, if OpenAI would refuse it.
    """
    if record.values is None:
        raise RowRejectedError(record.problem or _problem(record, "not_an_object", None, "is not a JSON object"))
    values = record.values
    missing = [name for name in MEMBERS if name not in values]
    if missing:
        advice = f"has no {' and '.join(missing)}; every line of a batch file needs custom_id, method, url and body"
        raise RowRejectedError(_problem(record, f"missing_{missing[0]}", missing[0], advice))
    found = _wrong(**{name: values[name] for name in MEMBERS})
    wrong = [] if is_decided else [_problem(record, *what) for what in found]
    if wrong:
        raise RowRejectedError(*wrong)
    as_written = bytes(_members(record.raw)["body"])
    return RawRequest(values["custom_id"], Request(values["url"], values["body"].get("model", ""), as_written))


def _wrong(custom_id: object, method: object, url: object, body: object) -> Iterator[tuple[str, str, str]]:
    """Yield the code, the key and the words of all that is wrong."""
    if not isinstance(custom_id, str) or not custom_id:
        yield "invalid_custom_id", "custom_id", _custom_id_advice(custom_id)
    if method != "POST":
        yield "invalid_method", "method", 'has a method other than POST; write "method": "POST"'
    if isinstance(url, str) and url in GONE:
        yield "endpoint_gone", "url", f"asks for an endpoint that is gone: {gone_sentence(url)}"
    elif url not in ENDPOINTS:
        yield "invalid_url", "url", f"has a url that the Batch API does not serve; {_nearest(url)}"
    if not isinstance(body, dict):
        yield "invalid_body", "body", "has a body that is not an object; put the request's parameters there"
        return
    if not body.get("model") and ("model" in body or not _has_default_model(url)):
        yield "missing_model", "body.model", "has no model in its body; add it"
    elif not isinstance(body.get("model", ""), str):
        yield "invalid_model", "body.model", "has a model that is not a string; write its name in quotes"
    elif body.get("model") and not is_model_name(body["model"]):
        yield "invalid_model", "body.model", f"has a model with an invalid name; {MODEL_NAME_RULE}"
    flaw = flaw_of(url, body) if isinstance(url, str) else None
    if flaw is not None:
        yield flaw.code, f"body.{flaw.member}", flaw.what
    if body.get("stream"):
        yield "streaming", "body.stream", "asks for a stream, which batches do not have; remove stream"


def _has_default_model(url: object) -> bool:
    return isinstance(url, str) and endpoint_at(url).default_model is not None


def _custom_id_advice(custom_id: object) -> str:
    if isinstance(custom_id, int | float) and not isinstance(custom_id, bool):
        return "has a custom_id that is a number, not a string; put it in quotes"
    return "has a custom_id that is empty or not a string; give every line its own"


def raw_custom_id(record: Record) -> str | None:
    """Return the user's own id of a record; None if it has none, which `raw_request` refuses."""
    found = (record.values or {}).get("custom_id")
    return found if isinstance(found, str) else None


def _nearest(url: object) -> str:
    # Comparing takes the square of a text's length.
    near = get_close_matches(url, ENDPOINTS, 1, 0.5) if isinstance(url, str) and len(url) <= 200 else []
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(ENDPOINTS)}"


def _problem(record: Record, code: str, key: str | None, what: str) -> Problem:
    end = "" if what.endswith("?") else "."
    return Problem(code, f"Line {record.line} {what}{end}", line=record.line, key=key)


def is_raw(first: bytes, line: int) -> bool:
    """Return whether a first line is a request. One that is broken counts if it names all that a request needs."""
    values, _ = reader.parse_object(first, line)
    if values is not None:
        return is_raw_object(values)
    return all(f'"{name}"'.encode() in first for name in _NAMES)


def is_raw_object(values: dict[str, object]) -> bool:
    """Return whether an object has all members of a request."""
    return values.keys() >= _NAMES
