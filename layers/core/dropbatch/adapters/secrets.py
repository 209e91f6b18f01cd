"""The API key, in Secrets Manager, read through Powertools' cache."""

import hashlib
from typing import TYPE_CHECKING

from dropbatch.domain.errors import OpenAIAuthError, OpenAIOutcomeUnknownError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

PLACEHOLDER = "replace-me"
"""What the stack puts into the secret until its owner stores a key."""

CACHE_SECONDS = 60

_LASTING = {
    "ResourceNotFoundException": "no_secret",
    "InvalidRequestException": "no_secret",  # it is being deleted
    "AccessDeniedException": "secret_forbidden",
    "DecryptionFailure": "secret_forbidden",
}
"""What Secrets Manager says while there is no key to be had until somebody does something, and our code for it."""


class KeySecret:
    """Reads the API key. Its version is a fingerprint, so that a key that is put back is known again."""

    def __init__(self, provider: "SecretsProvider", arn: str) -> None:
        self._provider = provider
        self._arn = arn

    def __call__(self, fresh: bool) -> tuple[str, str]:
        """Return (key, version). No cache keeps that the secret held no key.

        OpenAIAuthError if it holds none or may not be read.
        OpenAIOutcomeUnknownError if Secrets Manager does not answer.
        """
        key = self._read(fresh)
        if not _is_key(key) and not fresh:
            key = self._read(True)
        if not _is_key(key):
            raise OpenAIAuthError("no_key")
        return key, hashlib.sha256(b"dropbatch\0" + key.encode()).hexdigest()[:12]

    def _read(self, fresh: bool) -> str:
        try:
            return self._get(fresh)
        except OpenAIOutcomeUnknownError:
            return self._get(fresh)  # Secrets Manager may have been away for a moment

    def _get(self, fresh: bool) -> str:
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

        try:
            value = self._provider.get(self._arn, max_age=CACHE_SECONDS, force_fetch=fresh)
        except GetParameterError as error:
            lasting = _LASTING.get(_aws_code(error))
            raise (OpenAIAuthError(lasting) if lasting else OpenAIOutcomeUnknownError("secret_unreadable")) from error
        return str(value or "").strip()


def _aws_code(error: BaseException) -> str:
    """Return the code with which Secrets Manager refused: Powertools' error has AWS's own as its context."""
    response = getattr(error.__cause__ or error.__context__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _is_key(text: str) -> bool:
    return text not in ("", PLACEHOLDER) and text.isascii() and text.isprintable()
