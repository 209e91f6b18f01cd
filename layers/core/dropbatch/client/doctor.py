"""The check of a deployment from outside: what is wrong with it, and what to do about each finding."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.adapters.secrets import is_key
from dropbatch.batch_api.models import EXAMPLE_MODEL
from dropbatch.batch_api.servers import OPENAI_HOST, host_of
from dropbatch.client.errors import DropbatchClientError
from dropbatch.domain.errors import (
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
)

if TYPE_CHECKING:
    from dropbatch.client.stack import Stack

MAX_POLL_AGE_SECONDS = 20 * 60
"""After this time without a completed poll the schedule does not run: it runs every 15 minutes at least."""

MIN_CONCURRENCY = 10
"""How many functions an account must be able to run at the same time: the stack alone uses up to nine."""

DEAD_LETTERS = "DeadLettersUrl"
"""The end of the names of the outputs with queues of messages that were given up."""


class Level(StrEnum):
    """The seriousness of a finding."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"  # it could not be checked


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of one check, in a sentence, and what to do about it."""

    check: str
    level: Level
    sentence: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return {"check": self.check, "level": str(self.level), "finding": self.sentence, "remedy": self.remedy}


def examine(stack: "Stack") -> Iterator[Finding]:
    """Yield the findings of all checks, one after another. A check that is not allowed is a finding, too."""
    yield Finding("stack", Level.OK, f"{stack.name}: inbox s3://{stack.inbox}/, results s3://{stack.results_bucket}/")
    for name, check in CHECKS.items():
        try:
            yield from check(stack)
        except DropbatchClientError as error:
            yield Finding(name, Level.UNKNOWN, f"Not checked. {error}", "Run it with an administrator's rights.")


def _outputs(stack: "Stack") -> Iterator[Finding]:
    status = stack.service("cloudformation").describe_stacks(StackName=stack.name)["Stacks"][0]["StackStatus"]
    if status.endswith("_COMPLETE") and "ROLLBACK" not in status:
        yield Finding("outputs", Level.OK, f"The deployment is complete ({status}).")
        return
    remedy = "Look at the stack's events in CloudFormation, and run `make deploy` again."
    yield Finding("outputs", Level.WARNING, f"The last deployment did not succeed ({status}).", remedy)


def _key(stack: "Stack") -> Iterator[Finding]:
    """Check the key that is stored, and which models the server has for it."""
    arn = stack.outputs["OpenAISecretArn"]
    store = f"Store a key: aws secretsmanager put-secret-value --secret-id {arn} --secret-string sk-…"
    key = stack.openai_key()
    if not is_key(key):
        yield Finding("key", Level.PROBLEM, "No OpenAI API key is stored, so all jobs wait.", store)
        return
    url = stack.openai_url()
    server = host_of(url) or OPENAI_HOST
    openai = OpenAIBatches(lambda _: (key, ""), url)
    try:
        has_model = openai.has_model(EXAMPLE_MODEL)
    except OpenAIError as error:
        yield _refused(error, server, store)
        return
    yield Finding("key", Level.OK, f"{server} accepts the API key that is stored.")
    if has_model is False:
        remedy = "Let the key's project use the models that your recipes name."
        yield Finding("models", Level.WARNING, f"The key's project has no model {EXAMPLE_MODEL}.", remedy)
    else:
        yield Finding("models", Level.OK, f"Models of {server} can be reached.")


def _refused(error: OpenAIError, server: str, store: str) -> Finding:
    if isinstance(error, OpenAIAuthError):
        return Finding("key", Level.PROBLEM, f"{server} does not accept the API key that is stored.", store)
    if isinstance(error, OpenAIPermissionError):
        remedy = "Give the key the rights that docs/security.md lists."
        return Finding("key", Level.PROBLEM, f"The API key lacks a right at {server}.", remedy)
    if isinstance(error, OpenAIBillingError):
        remedy = "Add credit, or raise the spending limit, in the account's billing settings."
        return Finding("key", Level.PROBLEM, f"{server} takes no work from the account ({error.code}).", remedy)
    if isinstance(error, OpenAIRateLimitError):
        return Finding(
            "key", Level.WARNING, f"{server} asks for slower calls ({error.code}).", "Try again in a minute."
        )
    remedy = "Check the network of this machine, and the stack's parameter OpenAIBaseUrl."
    return Finding("key", Level.WARNING, f"{server} did not answer as expected ({error.code}).", remedy)


def _schedule(stack: "Stack") -> Iterator[Finding]:
    polled = stack.repository.poller().last_completed_at
    age = stack.clock() - polled
    remedy = "Look at the schedule's dead letters and at the poll function's log, and at the alarm SilentPollAlarm."
    if not polled:
        yield Finding("schedule", Level.PROBLEM, "No poll has ever completed.", remedy)
    elif age > MAX_POLL_AGE_SECONDS:
        yield Finding("schedule", Level.PROBLEM, f"The last complete poll began {age / 60:,.0f} minutes ago.", remedy)
    else:
        yield Finding("schedule", Level.OK, f"The last complete poll began {age:,.0f} seconds ago.")


def _alarms(stack: "Stack") -> Iterator[Finding]:
    found = stack.service("cloudwatch").describe_alarms(AlarmNamePrefix=f"{stack.name}-")["MetricAlarms"]
    active = [alarm["AlarmName"] for alarm in found if alarm["StateValue"] == "ALARM"]
    for name in active:
        yield Finding("alarms", Level.PROBLEM, f"The alarm {name} is active.", "docs/operations.md says what to do.")
    if not found:
        remedy = "Nobody gets a message if the stack stops working. Set its parameter Alarms to essential."
        yield Finding("alarms", Level.WARNING, "The stack has no alarms.", remedy)
    elif not active:
        yield Finding("alarms", Level.OK, "No alarm is active.")


def _dead_letters(stack: "Stack") -> Iterator[Finding]:
    sqs, asked = stack.service("sqs"), "ApproximateNumberOfMessages"
    full = False
    for name, url in stack.outputs.items():
        if not name.endswith(DEAD_LETTERS):
            continue
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[asked])["Attributes"]
        if count := int(answer[asked]):
            full = True
            remedy = "The poll sends them again; if they stay, docs/operations.md says what to do."
            yield Finding("queues", Level.WARNING, f"{name.removesuffix('Url')} has {count:,} messages.", remedy)
    if not full:
        yield Finding("queues", Level.OK, "No message was given up.")


def _quotas(stack: "Stack") -> Iterator[Finding]:
    limits = stack.service("lambda").get_account_settings()["AccountLimit"]
    most, free = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
    if free < MIN_CONCURRENCY:
        remedy = "Raise the quota “Concurrent executions” of AWS Lambda in Service Quotas, or reserve less."
        yield Finding("quotas", Level.WARNING, f"Only {free:,} of {most:,} functions may run at the same time.", remedy)
    else:
        yield Finding("quotas", Level.OK, f"{free:,} functions may run at the same time.")


def _subscriptions(stack: "Stack") -> Iterator[Finding]:
    sns = stack.service("sns")
    for output, what in (("NotificationsTopicArn", "notifications"), ("AlarmsTopicArn", "alarms")):
        listed = sns.list_subscriptions_by_topic(TopicArn=stack.outputs[output])["Subscriptions"]
        pending = [each for each in listed if each["SubscriptionArn"] == "PendingConfirmation"]
        for each in pending:
            remedy = "Open the link in AWS's mail; if it is older than three days, subscribe again."
            yield Finding(
                "subscriptions", Level.WARNING, f"{each['Endpoint']} has not confirmed to get {what}.", remedy
            )
        if not listed:
            remedy = f"aws sns subscribe --topic-arn {stack.outputs[output]} --protocol email --notification-endpoint …"
            yield Finding("subscriptions", Level.WARNING, f"Nobody gets {what}.", remedy)
        elif not pending:
            yield Finding("subscriptions", Level.OK, f"{len(listed):,} confirmed to get {what}.")


CHECKS: Mapping[str, Callable[["Stack"], Iterator[Finding]]] = {
    "outputs": _outputs,
    "key": _key,
    "schedule": _schedule,
    "alarms": _alarms,
    "queues": _dead_letters,
    "quotas": _quotas,
    "subscriptions": _subscriptions,
}
"""The checks by name, in the order in which people read their findings."""
