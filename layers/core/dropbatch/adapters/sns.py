"""Notifications, in SNS: one topic for people, one for programs, one for operators.

People and programs have a topic each because SNS delivers message attributes only with a plain message, and drops them
if a message has a form for each protocol (`MessageStructure: json`).
"""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dropbatch.ports import Audience, Letter, Notification

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef

_REFUSED = frozenset({"InvalidParameter", "ParameterValueInvalid", "ValidationException"})
"""The codes for a message that SNS does not take, such as one with too many bytes or with forbidden characters."""


class SnsTopics:
    """`ports.Topics` on SNS."""

    def __init__(self, client: "SNSClient", notifications_arn: str, events_arn: str, alarms_arn: str) -> None:
        self._client = client
        self._notifications = notifications_arn
        self._events = events_arn
        self._alarms = alarms_arn

    def publish(self, audience: Audience, notification: Notification) -> None:
        # Imported here, because an idle poll does not need it.
        from dropbatch.reporting.message_length import fitted, short_form

        try:
            self._publish(audience, fitted(notification))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _REFUSED:
                raise
            # SNS would refuse it again, and the notifications after it would wait for ever.
            self._publish(audience, short_form(notification))

    def _publish(self, audience: Audience, notification: Notification) -> None:
        from dropbatch.reporting.message_length import attributes, event_json

        typed = {name: _attribute(value) for name, value in attributes(notification).items()}
        match audience:
            case Audience.PROGRAMS:
                self._client.publish(
                    TopicArn=self._events, Message=event_json(notification.detail), MessageAttributes=typed
                )
            case Audience.PEOPLE:
                letter = Letter(notification.subject, notification.text)
                self._send(self._notifications, letter, typed)
            case Audience.OPERATORS:
                if notification.operators is None:
                    raise AssertionError(f"a notification of {notification.event} has nothing for operators")
                self._send(self._alarms, notification.operators, typed)

    def _send(self, topic: str, letter: Letter, attributes: "dict[str, MessageAttributeValueTypeDef]") -> None:
        self._client.publish(TopicArn=topic, Subject=letter.subject, Message=letter.text, MessageAttributes=attributes)


def _attribute(value: str | list[str]) -> "MessageAttributeValueTypeDef":
    """Return an attribute as SNS takes it: several values are a JSON array, and a filter may match each of them."""
    if isinstance(value, str):
        return {"DataType": "String", "StringValue": value}
    return {"DataType": "String.Array", "StringValue": json.dumps(value, ensure_ascii=False)}
