"""The check of a deployment: each finding, and its remedy."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dropbatch.client import doctor
from dropbatch.client.aws_errors import translating
from dropbatch.client.doctor import Finding, Level, examine
from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
)
from dropbatch.polling.poll import poll
from tests.fakes import FakeContext
from tests.stacks import FakeServices, fake_stack

SUBSCRIBED = {"SubscriptionArn": "arn:aws:sns:x", "Endpoint": "ann@example.com"}
PENDING = {"SubscriptionArn": "PendingConfirmation", "Endpoint": "bob@example.com"}


def healthy() -> FakeServices:
    """Return services of a stack without faults."""
    services = FakeServices()
    services.answers |= {
        ("cloudformation", "describe_stacks"): {"Stacks": [{"StackStatus": "UPDATE_COMPLETE"}]},
        ("secretsmanager", "get_secret_value"): {"SecretString": "sk-1"},
        ("lambda", "get_function_configuration"): {"Environment": {"Variables": {"OPENAI_BASE_URL": "http://x/v1"}}},
        ("lambda", "get_account_settings"): {
            "AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
        },
        ("cloudwatch", "describe_alarms"): {"MetricAlarms": [{"AlarmName": "a-StepsFailed", "StateValue": "OK"}]},
        ("sqs", "get_queue_attributes"): {"Attributes": {"ApproximateNumberOfMessages": "0"}},
        ("sns", "list_subscriptions_by_topic"): {"Subscriptions": [SUBSCRIBED]},
    }
    return services


@pytest.fixture
def has_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Return a function that sets what OpenAI says about models; at first it has each."""

    def says(answer: Any) -> None:
        def asked(*_: object) -> bool | None:
            if isinstance(answer, OpenAIError):
                raise answer
            return answer if answer is None else bool(answer)

        monkeypatch.setattr(doctor.OpenAIBatches, "has_model", asked)

    says(True)
    return says


def findings(fake: FakeContext, services: FakeServices) -> list[Finding]:
    stack = fake_stack(fake, lambda name: translating(services(name)))  # type: ignore[arg-type]  # as `find` does
    return list(examine(stack))


def only_problem(fake: FakeContext, services: FakeServices, check: str) -> Finding:
    """Return the only finding that is not well, which must be of this check and have a remedy."""
    poll(fake.context)
    (found,) = [each for each in findings(fake, services) if each.level is not Level.OK]
    assert found.check == check
    assert found.remedy
    return found


@pytest.mark.usefixtures("has_model")
def test_a_healthy_stack_has_no_finding(fake: FakeContext) -> None:
    poll(fake.context)
    found = findings(fake, healthy())
    assert {each.level for each in found} == {Level.OK}
    assert {each.check for each in found} == {"stack", "models", *doctor.CHECKS}


SETTINGS: list[tuple[tuple[str, str], Any, str, str]] = [
    (
        ("cloudformation", "describe_stacks"),
        {"Stacks": [{"StackStatus": "UPDATE_ROLLBACK_COMPLETE"}]},
        "outputs",
        "did not",
    ),
    (("secretsmanager", "get_secret_value"), {"SecretString": "replace-me"}, "key", "No OpenAI API key"),
    (
        ("lambda", "get_account_settings"),
        {"AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 5}},
        "quotas",
        "Only 5 of 10",
    ),
    (
        ("cloudwatch", "describe_alarms"),
        {"MetricAlarms": [{"AlarmName": "a-StepsFailed", "StateValue": "ALARM"}]},
        "alarms",
        "a-StepsFailed",
    ),
    (("cloudwatch", "describe_alarms"), {"MetricAlarms": []}, "alarms", "has no alarms"),
    (("sqs", "get_queue_attributes"), {"Attributes": {"ApproximateNumberOfMessages": "3"}}, "queues", "3 messages"),
]


@pytest.mark.usefixtures("has_model")
@pytest.mark.parametrize(("call", "answer", "check", "sentence"), SETTINGS, ids=[each[2] for each in SETTINGS])
def test_each_fault_is_found(fake: FakeContext, call: tuple[str, str], answer: Any, check: str, sentence: str) -> None:
    services = healthy()
    services.answers[call] = answer
    assert sentence in only_problem(fake, services, check).sentence


@pytest.mark.parametrize(
    ("said", "level", "sentence"),
    [
        (OpenAIAuthError("invalid_api_key"), Level.PROBLEM, "does not accept the API key"),
        (OpenAIPermissionError("http_403"), Level.PROBLEM, "lacks a right"),
        (OpenAIBillingError("insufficient_quota"), Level.PROBLEM, "takes no work"),
        (OpenAIRateLimitError("rate_limit", 1), Level.WARNING, "slower calls"),
        (OpenAIOutcomeUnknownError("timeout"), Level.WARNING, "did not answer as expected"),
    ],
)
def test_what_openai_says_about_the_key_is_found(
    fake: FakeContext, has_model: Callable[[Any], None], said: OpenAIError, level: Level, sentence: str
) -> None:
    has_model(said)
    found = only_problem(fake, healthy(), "key")
    assert (found.level, sentence in found.sentence) == (level, True)


def test_a_key_without_models_is_found(fake: FakeContext, has_model: Callable[[Any], None]) -> None:
    has_model(False)
    assert "has no model" in only_problem(fake, healthy(), "models").sentence


@pytest.mark.usefixtures("has_model")
def test_a_schedule_that_does_not_run_is_found(fake: FakeContext) -> None:
    (never,) = [each for each in findings(fake, healthy()) if each.level is not Level.OK]
    assert "No poll" in never.sentence

    poll(fake.context)
    fake.clock.sleep(3600)
    (late,) = [each for each in findings(fake, healthy()) if each.level is not Level.OK]
    assert (late.check, "60 minutes ago" in late.sentence) == ("schedule", True)


@pytest.mark.usefixtures("has_model")
def test_subscriptions_that_nobody_confirmed_are_found(fake: FakeContext) -> None:
    poll(fake.context)
    services = healthy()
    services.answers["sns", "list_subscriptions_by_topic"] = {"Subscriptions": [SUBSCRIBED, PENDING]}
    assert [each.sentence for each in findings(fake, services) if each.level is Level.WARNING] == [
        "bob@example.com has not confirmed to get notifications.",
        "bob@example.com has not confirmed to get alarms.",
    ]
    services.answers["sns", "list_subscriptions_by_topic"] = {"Subscriptions": []}
    assert "Nobody gets alarms." in [each.sentence for each in findings(fake, services)]


@pytest.mark.usefixtures("has_model")
def test_what_may_not_be_checked_is_said(fake: FakeContext) -> None:
    services = healthy()
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "DescribeAlarms")
    services.answers["cloudwatch", "describe_alarms"] = denied
    found = only_problem(fake, services, "alarms")
    assert found.level is Level.UNKNOWN
    assert "does not let you call DescribeAlarms" in found.sentence
