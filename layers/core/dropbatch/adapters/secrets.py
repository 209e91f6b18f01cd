"""The API key, in Secrets Manager, read through Powertools' cache."""

import hashlib

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from dropbatch.domain.errors import OpenAIKeyRejected

PLACEHOLDER = "replace-me"
"""What the stack puts into the secret until its owner stores a key."""

CACHE_SECONDS = 60


class KeySecret:
    """Reads the API key. Its version is a fingerprint, so that a key that is put back is known again."""

    def __init__(self, provider: SecretsProvider, arn: str) -> None:
        self._provider = provider
        self._arn = arn

    def __call__(self, fresh: bool) -> tuple[str, str]:
        """(key, version); OpenAIKeyRejected while the secret holds none."""
        try:
            value = self._provider.get(self._arn, max_age=CACHE_SECONDS, force_fetch=fresh)
        except GetParameterError as error:
            raise OpenAIKeyRejected("secret_unreadable") from error
        key = str(value or "").strip()
        if not key.isascii() or not key.isprintable() or key in ("", PLACEHOLDER):
            raise OpenAIKeyRejected("no_key")
        return key, hashlib.sha256(b"dropbatch\0" + key.encode()).hexdigest()[:12]
