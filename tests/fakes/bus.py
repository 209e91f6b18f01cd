"""EventBridge's default bus in memory."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from dropbatch.ports import Notification
from dropbatch.reporting.bus_events import SOURCE, detail_type
from dropbatch.reporting.message_length import event_json, fitted
from tests.fakes.refusal import refusal

MAX_BYTES = 262_144
"""The maximum size of an event."""

MAX_DETAIL_TYPE = 128
TIME_BYTES = 14


def check_as_eventbridge(source: str, kind: str, detail: str) -> None:
    """Raise the error of EventBridge for an event that it refuses."""
    if TIME_BYTES + sum(len(part.encode()) for part in (source, kind, detail)) > MAX_BYTES:
        raise refusal("PutEvents", "ValidationException", "Total size of the entries in the request is over the limit.")
    if not kind or len(kind) > MAX_DETAIL_TYPE or not isinstance(json.loads(detail), dict):
        raise refusal("PutEvents", "MalformedDetail", "Detail is malformed.")


class BusEvent(NamedTuple):
    """An event on the bus."""

    source: str
    detail_type: str
    detail: dict[str, Any]


class FakeBus:
    """The events as they were put on the bus. `inspect` is called with each as the JSON of its detail."""

    def __init__(self, inspect: Callable[[str], None] = lambda _: None) -> None:
        self._inspect = inspect
        self.published: list[BusEvent] = []

    def publish(self, notification: Notification) -> None:
        kind, detail = detail_type(notification.event), event_json(fitted(notification).detail)
        check_as_eventbridge(SOURCE, kind, detail)
        self._inspect(detail)
        self.published.append(BusEvent(SOURCE, kind, json.loads(detail)))

    def events(self) -> list[str]:
        """Return the `detail-type` of each event, in order."""
        return [event.detail_type for event in self.published]
