"""AWS with a person's own credentials: clients of its services, and its failures in sentences."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from dropbatch.adapters.clients import CONFIG, S3_CONFIG

_LOGIN = "log in (`aws sso login`, `aws configure`), or name another profile with AWS_PROFILE"

_UNREACHABLE = "AWS cannot be reached: check the network, the proxy and AWS_ENDPOINT_URL."

_SENTENCES: Mapping[type[Exception], str] = {
    exceptions.NoCredentialsError: f"There are no AWS credentials: {_LOGIN}.",
    exceptions.PartialCredentialsError: f"The AWS credentials are not complete: {_LOGIN}.",
    exceptions.CredentialRetrievalError: f"The AWS credentials could not be read: {_LOGIN}.",
    exceptions.SSOError: "Your login at AWS has expired: run `aws sso login`.",
    exceptions.TokenRetrievalError: "Your login at AWS has expired: run `aws sso login`.",
    exceptions.NoRegionError: "No AWS region is set: pass --region, or set AWS_DEFAULT_REGION.",
    exceptions.ConnectionError: _UNREACHABLE,
    exceptions.HTTPClientError: _UNREACHABLE,
}
"""What to do about failures before AWS answers. A more general type comes after its special ones."""

_FEW_TRIES = Config(retries={"mode": "standard", "total_max_attempts": 3})
"""A person waits: a function tries longer."""

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN_KEY = frozenset({"InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure"})
_FORBIDDEN = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "AuthorizationError", "Forbidden", "UnauthorizedOperation"}
)


class UserSession:
    """The credentials, the region and the endpoint that the `aws` command and boto3 find, by the same rules."""

    def __init__(self, region: str | None = None, profile: str | None = None) -> None:
        self._session = Session(profile=profile)
        self._region = region or os.environ.get("AWS_REGION") or None
        self.client = cache(self._client)

    def _client(self, service: str) -> Any:
        config = (S3_CONFIG if service == "s3" else CONFIG).merge(_FEW_TRIES)
        try:
            return self._session.create_client(service, region_name=self._region, config=config)
        except ValueError as error:
            if isinstance(error, BotoCoreError):
                raise
            # botocore says so of an AWS_ENDPOINT_URL that is no URL, and of nothing else.
            raise exceptions.EndpointConnectionError(endpoint_url="", error=error) from None


def failure_of(error: BaseException) -> str | None:
    """Say why AWS did not do what was wanted, and what to do; None for an error that is not AWS's."""
    if isinstance(error, ClientError):
        return _refusal(error)
    for kind, sentence in _SENTENCES.items():
        if isinstance(error, kind):
            return sentence
    if isinstance(error, BotoCoreError):
        return f"AWS could not be called: {str(error).rstrip('.')}."
    return None


def code_of(error: BaseException) -> str:
    """Return the code with which AWS refused a call; empty for another error."""
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def _refusal(error: ClientError) -> str:
    code, call = code_of(error), error.operation_name
    if code in _EXPIRED:
        return "Your login at AWS has expired: log in again (`aws sso login`)."
    if code in _UNKNOWN_KEY:
        return f"AWS does not know these credentials: {_LOGIN}."
    if code in _FORBIDDEN:
        return f"AWS does not let you call {call}: ask the stack's administrators for this right."
    return f"AWS refused {call}: {code}: {error.response['Error'].get('Message', '')}".rstrip(": ")
