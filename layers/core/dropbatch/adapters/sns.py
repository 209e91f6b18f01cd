"""Notifications, in SNS: one topic for people, one for programs.

They are two because SNS delivers message attributes only with a plain message, and drops them where a message has a
form for each protocol (`MessageStructure: json`).
"""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dropbatch.ports import Audience, Notification

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef

_REFUSED = frozenset({"InvalidParameter", "ParameterValueInvalid", "ValidationException"})
"""What SNS answers to what it cannot take, its size and its characters included."""


class SnsTopics:
    """`ports.Topics` on SNS."""

    def __init__(self, client: "SNSClient", notifications_arn: str, events_arn: str) -> None:
        self._client = client
        self._notifications = notifications_arn
        self._events = events_arn

    def publish(self, audience: Audience, notification: Notification) -> None:
        # A poll that has nothing to tell does without what this loads.
        from dropbatch.reporting.sns_limits import fitted, short_form

        try:
            self._publish(audience, fitted(notification))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _REFUSED:
                raise
            # Sending it again would be refused again, and what waits for it would wait for ever.
            self._publish(audience, short_form(notification))

    def _publish(self, audience: Audience, notification: Notification) -> None:
        from dropbatch.reporting.sns_limits import event_json

        attributes: dict[str, MessageAttributeValueTypeDef] = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in (
                ("event", notification.event),
                ("status", notification.status),
                ("folder", notification.folder),
            )
        }
        match audience:
            case Audience.PROGRAMS:
                self._client.publish(
                    TopicArn=self._events, Message=event_json(notification.detail), MessageAttributes=attributes
                )
            case Audience.PEOPLE:
                self._client.publish(
                    TopicArn=self._notifications,
                    Subject=notification.subject,
                    Message=notification.text,
                    MessageAttributes=attributes,
                )
