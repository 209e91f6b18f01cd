"""The API key as it is read out of Secrets Manager."""

from collections.abc import Iterator

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from moto import mock_aws

from dropbatch.adapters.secrets import PLACEHOLDER, KeySecret
from dropbatch.domain.errors import OpenAIKeyRejected


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


def store(value: str) -> None:
    client = boto3.client("secretsmanager")
    if client.list_secrets()["SecretList"]:
        client.put_secret_value(SecretId="key", SecretString=value)
    else:
        client.create_secret(Name="key", SecretString=value)


@pytest.mark.parametrize("value", [PLACEHOLDER, " ", "sk-schlüssel", "sk-a\tb"])
def test_what_is_no_key_is_told_from_one(aws: None, value: str) -> None:
    store(value)
    with pytest.raises(OpenAIKeyRejected) as raised:
        KeySecret(SecretsProvider(), "key")(False)
    assert raised.value.code == "no_key"


def test_a_secret_that_cannot_be_read_holds_no_key(aws: None) -> None:
    with pytest.raises(OpenAIKeyRejected) as raised:
        KeySecret(SecretsProvider(), "key")(False)
    assert raised.value.code == "secret_unreadable"


def test_a_key_may_end_in_a_line_feed_as_echo_gives_it(aws: None) -> None:
    store("sk-good\n")
    assert KeySecret(SecretsProvider(), "key")(False)[0] == "sk-good"


def test_a_key_stored_in_place_of_none_is_seen_at_once(aws: None) -> None:
    read = KeySecret(SecretsProvider(), "key")
    store(PLACEHOLDER)
    with pytest.raises(OpenAIKeyRejected):
        read(False)
    store("sk-good")
    assert read(False)[0] == "sk-good"


def test_a_key_is_cached_until_a_fresh_one_is_asked_for_and_known_again_by_its_version(aws: None) -> None:
    read = KeySecret(SecretsProvider(), "key")
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
