"""SQS in memory."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class FakeQueue:
    """Messages with the time from which they may be taken."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.messages: list[tuple[float, dict[str, Any]]] = []

    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        assert 0 <= delay_seconds <= 900
        self.messages.append((self._clock() + delay_seconds, json.loads(json.dumps(message))))

    def take(self) -> dict[str, Any] | None:
        for index, (due, message) in enumerate(self.messages):
            if due <= self._clock():
                del self.messages[index]
                return message
        return None


class FakeDeadLetters:
    """What was taken stays hidden."""

    def __init__(self) -> None:
        self._receipts = itertools.count(1)
        self._visible: list[dict[str, Any]] = []
        self._hidden: dict[str, dict[str, Any]] = {}

    def put(self, message: Mapping[str, Any]) -> None:
        self._visible.append(json.loads(json.dumps(message)))

    def take(self) -> Sequence[tuple[str, dict[str, Any]]]:
        taken, self._visible = self._visible[:10], self._visible[10:]
        found = [(f"receipt-{next(self._receipts)}", message) for message in taken]
        self._hidden.update(found)
        return found

    def delete(self, receipt: str) -> None:
        del self._hidden[receipt]

    @property
    def left(self) -> int:
        return len(self._visible) + len(self._hidden)
