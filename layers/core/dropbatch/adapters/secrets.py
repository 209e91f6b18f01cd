"""The API key, in Secrets Manager, read through Powertools' cache."""

import hashlib
from typing import TYPE_CHECKING

from dropbatch.domain.errors import OpenAIKeyRejected

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

PLACEHOLDER = "replace-me"
"""What the stack puts into the secret until its owner stores a key."""

CACHE_SECONDS = 60


class KeySecret:
    """Reads the API key. Its version is a fingerprint, so that a key that is put back is known again."""

    def __init__(self, provider: "SecretsProvider", arn: str) -> None:
        self._provider = provider
        self._arn = arn

    def __call__(self, fresh: bool) -> tuple[str, str]:
        """(key, version); OpenAIKeyRejected while the secret holds none. No cache keeps that it held none."""
        key = self._read(fresh)
        if not _is_key(key) and not fresh:
            key = self._read(True)
        if not _is_key(key):
            raise OpenAIKeyRejected("no_key")
        return key, hashlib.sha256(b"dropbatch\0" + key.encode()).hexdigest()[:12]

    def _read(self, fresh: bool) -> str:
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

        try:
            value = self._provider.get(self._arn, max_age=CACHE_SECONDS, force_fetch=fresh)
        except GetParameterError as error:
            raise OpenAIKeyRejected("secret_unreadable") from error
        return str(value or "").strip()


def _is_key(text: str) -> bool:
    return text not in ("", PLACEHOLDER) and text.isascii() and text.isprintable()
