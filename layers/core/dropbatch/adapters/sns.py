"""Notifications, in SNS: one topic for people, one for programs.

They are two because SNS delivers message attributes only with a plain message, and drops them where a message has a
form for each protocol (`MessageStructure: json`).
"""

import json
from typing import TYPE_CHECKING

from dropbatch.ports import Notification

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef


class SnsTopics:
    """`ports.Topics` on SNS."""

    def __init__(self, client: "SNSClient", notifications_arn: str, events_arn: str) -> None:
        self._client = client
        self._notifications = notifications_arn
        self._events = events_arn

    def publish(self, notification: Notification) -> None:
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in (
                ("event", notification.event),
                ("status", notification.status),
                ("folder", notification.folder),
            )
        }
        self._client.publish(
            TopicArn=self._events,
            Message=json.dumps(notification.detail, ensure_ascii=False),
            MessageAttributes=attributes,
        )
        self._client.publish(
            TopicArn=self._notifications,
            Subject=notification.subject,
            Message=notification.text,
            MessageAttributes=attributes,
        )
