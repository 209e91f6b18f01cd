"""Errors of S3 as errors of the project."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from dropbatch.domain.errors import ObjectForbiddenError, ObjectNotFoundError, StaleItemError

_MISSING = frozenset({"404", "405", "MethodNotAllowed", "NoSuchKey", "NoSuchVersion", "NotFound"})
"""405 stands for a version that is a delete marker."""

_FORBIDDEN = frozenset({"403", "AccessDenied", "Forbidden", "InvalidObjectState", "InvalidRequest"})
"""The codes that S3 returns until somebody changes the object or its permissions.

`InvalidObjectState` stands for an archived object, `InvalidRequest` for one under a key of the customer (SSE-C). Codes
of KMS come on top of these.
"""

_TEMPORARY_KMS = ("Internal", "LimitExceeded", "Throttl", "Timeout", "Unavailable")
"""Parts of the names of temporary KMS errors. The others are about the key: disabled, deleted, not allowed."""

UNUSABLE = frozenset(
    {"EntityTooSmall", "InvalidPart", "InvalidPartOrder", "InvalidRequest", "NoSuchKey", "NoSuchVersion"}
)
"""The codes for an upload that can never become an object: its parts do not fit, or a source is gone."""

_LOST = frozenset({"ConditionalRequestConflict", "NoSuchKey", "PreconditionFailed"})
"""The codes for a conditional write that lost: another object is there, is being written, or the object is gone."""

BROKEN = (ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


@contextmanager
def translate_read_errors() -> Iterator[None]:
    """Raise ObjectNotFoundError or ObjectForbiddenError if S3 says so in the block."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _MISSING:
            raise ObjectNotFoundError(code) from error
        if code in _FORBIDDEN or (code.startswith("KMS.") and not any(part in code for part in _TEMPORARY_KMS)):
            raise ObjectForbiddenError(code) from error
        raise


@contextmanager
def conditional_write(instead_of: str | None) -> Iterator[dict[str, Any]]:
    """Yield the arguments of a write that replaces only the object with this ETag, or none if the ETag is empty.

    Raise StaleItemError if the write lost. With None, the write is not conditional.
    """
    if instead_of is None:
        yield {}
        return
    try:
        yield {"IfMatch": instead_of} if instead_of else {"IfNoneMatch": "*"}
    except ClientError as error:
        if error.response["Error"]["Code"] in _LOST:
            raise StaleItemError from error
        raise
