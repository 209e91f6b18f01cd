"""Errors of OpenAI and its SDK as errors of the project."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from dropbatch.batch_api.error_codes import BILLING_CODES
from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIError,
    OpenAINotFoundError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
    OpenAIRequestError,
)

if TYPE_CHECKING:
    import openai


T = TypeVar("T")

BUSY_SECONDS = 60
"""How long to wait after a 429 that does not say it."""


MAX_BUSY_SECONDS = 900


def code_of(code: object, otherwise: str) -> str:
    """Return OpenAI's code if it looks like one, and may go to logs and to the table; `otherwise` if not."""
    fits = isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code)
    return str(code) if fits else otherwise


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise exceptions of the SDK and of its HTTP library as errors of the project, without their texts."""
    import httpx2
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise _error_of(error) from None
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        raise OpenAIOutcomeUnknownError(type(error).__name__) from None


def _error_of(error: openai.APIStatusError) -> OpenAIError:
    """Return the error that an answer with an error status means."""
    status = error.status_code
    # For an account without money, sometimes `code` says it and sometimes `type`.
    billing = next((code for code in (error.code, error.type) if isinstance(code, str) and code in BILLING_CODES), None)
    code = code_of(billing or error.code or error.type, f"http_{status}")
    if status >= 500 or status == 408:
        return OpenAIOutcomeUnknownError(code)
    if status in (403, 404) and not is_object(error.response.content):
        # From a proxy: it says nothing about the key, the file or the batch.
        return OpenAIOutcomeUnknownError(code)
    if code in BILLING_CODES:
        return OpenAIBillingError(code)
    if status == 401:
        return OpenAIAuthError(code)
    if status == 403:
        return OpenAIPermissionError(code)
    if status == 429:
        return OpenAIRateLimitError(code, _retry_after(error.response.headers))
    # "No such File object": only the text tells a file that is gone, or not visible yet, from other faults.
    if status == 404 or "no such file" in error.message.lower() or "cannot find file" in error.message.lower():
        return OpenAINotFoundError(code, status)
    return OpenAIRequestError(code, status)


def is_refused_request(error: openai.APIStatusError) -> bool:
    """Return whether an error says that the request itself is wrong, and nothing about key, account or server."""
    return is_object(error.response.content) and isinstance(_error_of(error), OpenAIRequestError)


def unless_unsupported(call: Callable[[], T]) -> T | None:
    """Return the result of a call; None if the server has no such call: 405, 501, or a page with 404."""
    import openai

    try:
        return call()
    except openai.APIStatusError as error:
        is_page = error.status_code == 404 and not is_object(error.response.content)
        if not is_page and error.status_code not in (405, 501):
            raise
        return None


def is_object(content: bytes) -> bool:
    """Return whether an answer is one of the API, and not a page of another server."""
    try:
        return isinstance(msgspec.json.decode(content), dict)
    except msgspec.DecodeError:
        return False


def _retry_after(headers: Mapping[str, str]) -> int:
    """Return how many seconds to wait: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        text = headers.get(name, "")
        try:
            seconds = float(text) / divisor
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return math.ceil(min(max(seconds, 1), MAX_BUSY_SECONDS))
    return BUSY_SECONDS
