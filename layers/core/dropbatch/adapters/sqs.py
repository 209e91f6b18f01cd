"""Queues, in SQS."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


HIDDEN_SECONDS = 300
"""For how long dead letters are hidden from others that were taken: longer than a poll runs."""


class SqsQueue:
    """`ports.Queue` on SQS."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps(message), DelaySeconds=delay_seconds)


class SqsDeadLetters:
    """`ports.DeadLetters` on SQS. What is no JSON stays where it is, for a person to look at."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def take(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        answer = self._client.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=0, VisibilityTimeout=HIDDEN_SECONDS
        )
        found = []
        for message in answer.get("Messages", []):
            try:
                body = json.loads(message["Body"])
            except ValueError:
                continue
            found.append((message["ReceiptHandle"], body))
        return found

    def delete(self, receipt: str) -> None:
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)
