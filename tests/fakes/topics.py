"""SNS in memory."""

import json
import re
from collections.abc import Callable, Mapping

from dropbatch.ports import Audience, Notification
from dropbatch.reporting.message_length import attributes, event_json, fitted
from tests.fakes.refusal import refusal

MAX_BYTES = 262_144
"""The maximum size of a message with its attributes."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NO_MESSAGE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that a queue refuses, to which SNS delivers."""


def check_as_sns(message: str, attributes: Mapping[str, str | list[str]], subject: str | None = None) -> None:
    """Raise the error of SNS for a message that it refuses."""
    values = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in attributes.items()
    }
    if subject is not None and (
        not subject.strip() or len(subject.encode("utf-16-le")) // 2 >= 100 or _CONTROLS.search(subject)
    ):
        raise refusal("Publish", "InvalidParameter", "Invalid parameter: Subject")
    for name, value in values.items():
        if not value.strip() or _CONTROLS.search(value):
            raise refusal("Publish", "ParameterValueInvalid", f"The message attribute '{name}' is empty or invalid")
    if not message.strip() or _NO_MESSAGE.search(message):
        raise refusal("Publish", "InvalidParameter", "Invalid parameter: Empty or invalid message")
    sizes = (len(part.encode()) for name, value in values.items() for part in (name, "String", value))
    if len(message.encode()) + sum(sizes) > MAX_BYTES:
        raise refusal("Publish", "InvalidParameter", "Invalid parameter: Message too long")


class FakeTopics:
    """The notifications as they were sent: `published` to programs, `people` to people, `operators` to operators.

    `inspect` is called with each event as the JSON that is published.
    """

    def __init__(self, inspect: Callable[[str], None] = lambda _: None) -> None:
        self._inspect = inspect
        self.published: list[Notification] = []
        self.people: list[Notification] = []
        self.operators: list[Notification] = []

    def publish(self, audience: Audience, notification: Notification) -> None:
        told = fitted(notification)
        match audience:
            case Audience.PROGRAMS:
                event = event_json(told.detail)
                check_as_sns(event, attributes(told))
                self._inspect(event)
                self.published.append(told)
            case Audience.PEOPLE:
                check_as_sns(told.text, attributes(told), told.subject)
                self.people.append(told)
            case Audience.OPERATORS:
                assert told.operators is not None
                check_as_sns(told.operators.text, attributes(told), told.operators.subject)
                self.operators.append(told)

    def events(self) -> list[str]:
        return [notification.event for notification in self.published]
