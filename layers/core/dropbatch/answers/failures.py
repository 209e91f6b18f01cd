"""The errors in answer lines: the code and the outcome of a row that got an error instead of a response."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dropbatch.answers.answer import UNREADABLE, Answer
from dropbatch.answers.raw_json import DECODE_ERRORS
from dropbatch.batch_api.error_codes import CONTENT_CODES, TEMPORARY_CODES, TEMPORARY_STATUSES, implied_code
from dropbatch.domain.outcomes import Outcome
from dropbatch.json_encoding import as_mapping

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_NOT_RUN = {
    "batch_expired": Outcome.EXPIRED,
    "batch_cancelled": Outcome.CANCELLED,
    "batch_canceled": Outcome.CANCELLED,
}

UNREADABLE_LINE = Answer(Outcome.ERROR, UNREADABLE, None, None)


def read_not_run(error: Any) -> Answer:
    """Return the outcome of a line without a response, by its `error`: the request was not run."""
    if not isinstance(error, Mapping):
        code = loggable_code(error)
        return Answer(Outcome.ERROR, code, None, None) if code else UNREADABLE_LINE
    code = error_code(error, "error")
    outcome = _NOT_RUN.get(code) or outcome_of(code)
    return Answer(outcome, code, None, None, is_temporary=code in TEMPORARY_CODES, failed=True)


def read_failed(status: float, body: bytes) -> Answer:
    """Return the outcome of a request that got an HTTP status other than success; 0 says that no reply came."""
    if status == 0 and not isinstance(status, bool):
        return Answer(Outcome.ERROR, "no_response", None, None, is_temporary=True)
    code = _body_code(body, f"http_{status}")
    outcome = outcome_of(code)
    is_temporary = outcome is Outcome.ERROR and (status in TEMPORARY_STATUSES or status >= 500)
    return Answer(outcome, code, None, None, is_temporary, failed=True)


def outcome_of(code: str) -> Outcome:
    """Return the outcome of a row that ended with an error of this code."""
    return Outcome.REFUSED if code in CONTENT_CODES else Outcome.ERROR


def error_code(error: Any, otherwise: str) -> str:
    """Return the code of an error that says most.

    A code of declined content comes first, then the error's own code, then the one that its message implies.
    """
    found = as_mapping(error)
    code, kind = loggable_code(found.get("code")), loggable_code(found.get("type"))
    inner = as_mapping(found.get("innererror") or found.get("inner_error"))
    for each in (code, loggable_code(inner.get("code")), kind):
        if each in CONTENT_CODES:
            return each
    message = found.get("message")
    implied = implied_code(message) if code is None and isinstance(message, str) else None
    return implied or code or kind or otherwise


def loggable_code(code: Any) -> str | None:
    """Return a code that may be logged; None for one of another form, which could hold anything."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _body_code(body: bytes, otherwise: str) -> str:
    """Return the code that an error's body gives; some servers give its members without `error` around them."""
    try:
        members = as_mapping(msgspec.json.decode(body))
    except DECODE_ERRORS:
        return otherwise
    return error_code(members.get("error", members), otherwise)
