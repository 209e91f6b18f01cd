"""The API key, in Secrets Manager, read through a cache.

The cache is not Powertools': that one loads boto3, 70 modules that every process would import before its first call to
OpenAI.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dropbatch.domain.errors import OpenAIAuthError, OpenAIOutcomeUnknownError

PLACEHOLDER = "replace-me"
"""The secret's content in a new stack, until its owner stores a key."""

CACHE_SECONDS = 300
"""How long a process keeps the key: AWS bills each read. A key that OpenAI refuses is read again at once, and so is the
key of a batch that is about to be created."""

_LASTING = {
    "ResourceNotFoundException": "no_secret",
    "InvalidRequestException": "no_secret",  # it is being deleted
    "AccessDeniedException": "secret_forbidden",
    "DecryptionFailure": "secret_forbidden",
}
"""The lasting errors of Secrets Manager, which somebody must correct, and Dropbatch's codes for them."""


class KeySecret:
    """A reader of the API key. The key's version is a fingerprint: a key that is stored again has its version again."""

    def __init__(self, client: Any, arn: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._arn = arn
        self._clock = clock
        self._cached = ""
        self._cached_until = clock()

    def __call__(self, fresh: bool) -> tuple[str, str]:
        """Return (key, version). A secret without a key is not cached.

        Raise OpenAIAuthError if the secret holds no key or may not be read, OpenAIOutcomeUnknownError if Secrets
        Manager does not answer.
        """
        key = self._read(fresh)
        if not is_key(key) and not fresh:
            key = self._read(True)
        if not is_key(key):
            raise OpenAIAuthError("no_key")
        return key, hashlib.sha256(b"dropbatch\0" + key.encode()).hexdigest()[:12]

    def _read(self, fresh: bool) -> str:
        try:
            return self._get(fresh)
        except OpenAIOutcomeUnknownError:
            return self._get(fresh)  # Secrets Manager may have been unavailable for a moment

    def _get(self, fresh: bool) -> str:
        if fresh or self._clock() >= self._cached_until:
            try:
                found = self._client.get_secret_value(SecretId=self._arn)
            except (BotoCoreError, ClientError) as error:
                lasting = _LASTING.get(_aws_code(error))
                raise (
                    OpenAIAuthError(lasting) if lasting else OpenAIOutcomeUnknownError("secret_unreadable")
                ) from error
            self._cached = str(found.get("SecretString", "")).strip()
            self._cached_until = self._clock() + CACHE_SECONDS
        return self._cached


def _aws_code(error: BotoCoreError | ClientError) -> str:
    """Return the code of AWS's error, or an empty one if AWS did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def is_key(text: str) -> bool:
    """Return whether a text may be an API key: it goes into a header."""
    return text not in ("", PLACEHOLDER) and text.isascii() and text.isprintable()
