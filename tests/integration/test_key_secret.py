"""The API key, read from Secrets Manager."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from dropbatch.adapters.secrets import CACHE_SECONDS, PLACEHOLDER, KeySecret
from dropbatch.domain.errors import ErrorKind, OpenAIAuthError, OpenAIOutcomeUnknownError


def store(value: str) -> None:
    client = boto3.client("secretsmanager")
    if client.list_secrets()["SecretList"]:
        client.put_secret_value(SecretId="key", SecretString=value)
    else:
        client.create_secret(Name="key", SecretString=value)


@pytest.mark.parametrize("value", [PLACEHOLDER, " ", "sk-schlüssel", "sk-a\tb"])
def test_a_text_that_is_not_a_key_is_distinguished_from_one(aws: None, value: str) -> None:
    store(value)
    with pytest.raises(OpenAIAuthError) as raised:
        KeySecret(boto3.client("secretsmanager"), "key")(False)
    assert raised.value.code == "no_key"


def test_a_secret_that_is_gone_holds_no_key(aws: None) -> None:
    with pytest.raises(OpenAIAuthError) as raised:
        KeySecret(boto3.client("secretsmanager"), "key")(False)
    assert raised.value.code == "no_secret"


def test_a_secret_that_is_being_deleted_holds_no_key(aws: None) -> None:
    store("sk-good")
    boto3.client("secretsmanager").delete_secret(SecretId="key")
    with pytest.raises(OpenAIAuthError) as raised:
        KeySecret(boto3.client("secretsmanager"), "key")(False)
    assert raised.value.code == "no_secret"


def failing(monkeypatch: pytest.MonkeyPatch, times: int, error: Exception) -> Any:
    """Return a client that fails this number of times."""
    client, left = boto3.client("secretsmanager"), [error] * times
    get = client.get_secret_value

    def failing_get(**arguments: Any) -> Any:
        if left:
            raise left.pop()
        return get(**arguments)

    monkeypatch.setattr(client, "get_secret_value", failing_get)
    return client


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetSecretValue")


def test_a_secret_that_may_not_be_read_holds_no_key(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    store("sk-good")
    with pytest.raises(OpenAIAuthError) as raised:
        KeySecret(failing(monkeypatch, 1, refused("AccessDeniedException")), "key")(False)
    assert raised.value.code == "secret_forbidden"


@pytest.mark.parametrize(
    "error",
    [
        refused("InternalServiceError"),
        refused("ThrottlingException"),
        EndpointConnectionError(endpoint_url="https://secretsmanager"),
    ],
    ids=type,
)
def test_an_unavailable_secrets_manager_is_not_a_missing_key(
    aws: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store("sk-good")
    assert KeySecret(failing(monkeypatch, 1, error), "key")(False)[0] == "sk-good", "it is tried twice"
    with pytest.raises(OpenAIOutcomeUnknownError) as raised:
        KeySecret(failing(monkeypatch, 2, error), "key")(False)
    assert (raised.value.code, raised.value.kind) == ("secret_unreadable", ErrorKind.PASSING)


def test_a_key_may_end_in_a_line_feed_as_echo_gives_it(aws: None) -> None:
    store("sk-good\n")
    assert KeySecret(boto3.client("secretsmanager"), "key")(False)[0] == "sk-good"


def test_a_key_that_is_stored_for_the_first_time_is_used_at_once(aws: None) -> None:
    read = KeySecret(boto3.client("secretsmanager"), "key")
    store(PLACEHOLDER)
    with pytest.raises(OpenAIAuthError):
        read(False)
    store("sk-good")
    assert read(False)[0] == "sk-good"


def test_a_key_is_cached_until_a_fresh_one_is_requested_and_recognised_by_its_version(aws: None) -> None:
    read = KeySecret(boto3.client("secretsmanager"), "key")
    store("sk-first")
    first = read(False)
    store("sk-second")
    assert read(False) == first
    second = read(True)
    assert second == read(False)
    assert (first[0], second[0]) == ("sk-first", "sk-second")
    assert first[1] != second[1]
    store("sk-first")
    assert read(True) == first
    assert "sk-" not in first[1] + second[1]


def test_a_key_is_read_again_after_a_while(aws: None) -> None:
    now = [0.0]
    read = KeySecret(boto3.client("secretsmanager"), "key", lambda: now[0])
    store("sk-first")
    assert read(False)[0] == "sk-first"
    store("sk-second")
    now[0] = CACHE_SECONDS - 1
    assert read(False)[0] == "sk-first"
    now[0] = CACHE_SECONDS
    assert read(False)[0] == "sk-second"
