"""A deployed stack, as its users see it: its names, its services, its queues."""

import json
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local import programs
from local.programs import LocalError

REGION = "eu-central-2"
"""A region in which version 1 of the `aws` command respects AWS_ENDPOINT_URL for `aws sqs`. In most regions it has a
fixed address for SQS, and calls AWS."""

KEY_ID = KEY = "test"
"""The credentials of ministack's owner."""

AWS, AWS_MARK = "aws", "local.embedded_aws"


def new_client(endpoint: str, service: str) -> Any:
    """Return a boto3 client of the embedded AWS. The environment's endpoint and credentials have no effect on it."""
    return boto3.client(  # type: ignore[call-overload]  # one method for every service
        service,
        endpoint_url=endpoint,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=KEY,
        region_name=REGION,
        # A poll may take as long as its function's timeout, and must not be sent twice. A proxy cannot reach the stack.
        config=Config(read_timeout=310, retries={"total_max_attempts": 1}, proxies={}),
    )


_shared_client = cache(new_client)  # making a client takes longer than most of its calls


@dataclass(frozen=True, slots=True)
class Deployed:
    """A running stack, as its users see it. `values` holds the variables that `stack.env` exports."""

    directory: Path
    values: dict[str, str]

    @classmethod
    def at(cls, directory: Path) -> "Deployed":
        """Return the stack that runs in this directory. Raise a LocalError if none does."""
        values = read_environment(directory / "stack.env")
        if not values or not programs.running(directory, AWS, AWS_MARK):
            raise LocalError("The embedded stack is not up: run `make up` first.")
        return cls(directory, values)

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service. All stacks of a process share it."""
        return _shared_client(self.values["AWS_ENDPOINT_URL"], service)

    def tick(self) -> None:
        """Poll now, not within a minute. Raise a LocalError if the poll fails."""
        answer = self.client("lambda").invoke(FunctionName=self.values["POLL_FUNCTION"], Payload=b"{}")
        if "FunctionError" in answer:
            said = json.loads(answer["Payload"].read())
            raise LocalError(f"The poll failed: {said.get('errorType')}: {said.get('errorMessage')}")

    def news(self) -> list[str]:
        """Return the subjects of the notifications since the last call. Wait two seconds for the first."""
        sqs, url = self.client("sqs"), self.values["NEWS_QUEUE_URL"]
        subjects: list[str] = []
        wait = 2
        while found := sqs.receive_message(QueueUrl=url, WaitTimeSeconds=wait, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                subjects.append(json.loads(message["Body"])["Subject"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            wait = 0
        return subjects

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs by names of environment variables: `InboxBucket` as `INBOX_BUCKET`."""
        described = self.client("cloudformation").describe_stacks(StackName=self.values["STACK_NAME"])
        found = described["Stacks"][0]["Outputs"]
        return {_variable(output["OutputKey"]): output["OutputValue"] for output in found}

    def store_key(self, key: str) -> None:
        """Store OpenAI's key in the stack's secret, as an owner does."""
        secrets = self.client("secretsmanager")
        secret = self.values["OPENAI_SECRET_ARN"]
        if secrets.get_secret_value(SecretId=secret)["SecretString"] != key:
            secrets.put_secret_value(SecretId=secret, SecretString=key)

    def subscribe(self, topic: str, name: str) -> str:
        """Subscribe a queue of this name to a topic. Return the queue's URL."""
        sqs, sns = self.client("sqs"), self.client("sns")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sns.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                    "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
                }
            ],
        }
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        existing = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        if arn not in {subscription["Endpoint"] for subscription in existing}:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return str(url)

    def write(self) -> None:
        """Write `stack.env`, which a shell reads with `. .local/stack.env`."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.values.items()]
        (self.directory / "stack.env").write_text("".join(lines))


def read_environment(path: Path) -> dict[str, str]:
    """Return the variables that a `stack.env` exports; none if the file does not exist."""
    try:
        words = shlex.split(path.read_text())
    except FileNotFoundError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def _variable(output: str) -> str:
    """Return `EVENTS_TOPIC_ARN` for `EventsTopicArn`, `OPENAI_SECRET_ARN` for `OpenAISecretArn`."""
    words = "".join(f" {letter}" if letter.isupper() else letter for letter in output.replace("OpenAI", "Openai"))
    return "_".join(words.split()).upper()
