"""The API key, in Secrets Manager, read through Powertools' cache."""

import hashlib
from typing import TYPE_CHECKING

from dropbatch.domain.errors import OpenAIAuthError, OpenAIOutcomeUnknownError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

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

    def __init__(self, provider: "SecretsProvider", arn: str) -> None:
        self._provider = provider
        self._arn = arn

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
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

        try:
            value = self._provider.get(self._arn, max_age=CACHE_SECONDS, force_fetch=fresh)
        except GetParameterError as error:
            lasting = _LASTING.get(_aws_code(error))
            raise (OpenAIAuthError(lasting) if lasting else OpenAIOutcomeUnknownError("secret_unreadable")) from error
        return str(value or "").strip()


def _aws_code(error: BaseException) -> str:
    """Return the code of AWS's error, which is the cause or the context of Powertools' error."""
    response = getattr(error.__cause__ or error.__context__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def is_key(text: str) -> bool:
    """Return whether a text may be an API key: it goes into a header."""
    return text not in ("", PLACEHOLDER) and text.isascii() and text.isprintable()
