"""Queues, in SQS."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

HIDDEN_SECONDS = 300
"""How long received dead letters are hidden from other receivers: longer than a poll runs."""

MAX_HIDDEN_SECONDS = 43_200
"""SQS hides a message for at most 12 hours after it was received."""

_COUNTS: "Sequence[QueueAttributeNameType]" = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)

_GONE = frozenset({"InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid"})
"""The codes for a receipt that has expired, or whose message was deleted or has been hidden for 12 hours."""


class SqsQueue:
    """`ports.Queue` on SQS."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps(message), DelaySeconds=delay_seconds)

    def depth(self) -> int:
        answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=_COUNTS)
        return sum(int(answer["Attributes"][name]) for name in _COUNTS)

    def hide(self, receipt: str, seconds: int) -> None:
        if not 0 <= seconds <= MAX_HIDDEN_SECONDS:
            raise ValueError(f"a message can be hidden for up to {MAX_HIDDEN_SECONDS} seconds, not {seconds}")
        try:
            self._client.change_message_visibility(QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds)
        except ClientError as error:
            # The older one of SQS's two protocols puts a namespace before the code.
            if error.response["Error"]["Code"].rpartition(".")[2] not in _GONE:
                raise


class SqsDeadLetters:
    """`ports.DeadLetters` on SQS. A message that is not JSON stays in the queue, for a person to look at."""

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
