"""SQS in memory, as strict as the service: sizes, receipts, visibility, dead letters, and Lambda's end of loops."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.names import Numbers

MAX_MESSAGE_BYTES = 262_144
MAX_DELAY_SECONDS = 900
MAX_HIDDEN_SECONDS = 43_200
MAX_RECEIVES = 5
"""The number of deliveries in the template's queues before a message becomes a dead letter."""

VISIBILITY_SECONDS = 1_800
"""The seconds for which the template's queues hide a received message."""

DEAD_HIDDEN_SECONDS = 300
"""The seconds for which a received dead letter is hidden."""

MAX_LOOPS = 16
"""Lambda drops the next message of a chain after this number of invocations of one function."""


@dataclass(eq=False)
class FakeMessage:
    """A message, and the time from which it may be received. It unpacks into these two, the time first."""

    due: float
    body: dict[str, Any]
    chain: Counter[str] = field(default_factory=Counter)  # how often each function was invoked to send it
    receives: int = 0
    receipt: str | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.due, self.body))


class Chains:
    """The chains of messages: a message that a function sends while it handles another one continues that one's chain.

    Lambda ends a chain at the 16th invocation of one function (recursive loop detection), unless the function allows
    recursion. `stopped` counts the ends that were due, allowed or not.
    """

    def __init__(self, *, allowed: bool = True) -> None:
        self.allowed = allowed
        self.stopped = 0
        self._current: Counter[str] = Counter()

    def drops(self, function: str, message: FakeMessage) -> bool:
        """Return whether Lambda drops the message instead of invoking the function."""
        ended = message.chain[function] >= MAX_LOOPS
        self.stopped += ended
        return ended and not self.allowed

    @contextmanager
    def invoked(self, function: str, message: FakeMessage) -> Iterator[None]:
        former = self._current
        self._current = message.chain + Counter([function])
        try:
            yield
        finally:
            self._current = former

    def current(self) -> Counter[str]:
        return Counter(self._current)


class FakeDeadLetters:
    """The messages that a queue gave up. One that was taken and not deleted shows again after five minutes."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._receipts = Numbers()
        self._letters: list[FakeMessage] = []

    def put(self, message: Mapping[str, Any]) -> None:
        self._letters.append(FakeMessage(self._clock(), json.loads(json.dumps(message))))

    def take(self) -> Sequence[tuple[str, dict[str, Any]]]:
        visible = [letter for letter in self._letters if letter.due <= self._clock()][:10]
        for letter in visible:
            letter.due = self._clock() + DEAD_HIDDEN_SECONDS
            letter.receipt = f"receipt-{next(self._receipts)}"
        return [(letter.receipt or "", json.loads(json.dumps(letter.body))) for letter in visible]

    def delete(self, receipt: str) -> None:
        self._letters = [letter for letter in self._letters if letter.receipt != receipt]

    @property
    def left(self) -> int:
        return len(self._letters)


class FakeQueue:
    """Messages, of which those that are due may be received; several deliveries can be under way at once."""

    def __init__(
        self, clock: Callable[[], float], dead: FakeDeadLetters | None = None, chains: Chains | None = None
    ) -> None:
        self._clock = clock
        self._dead = dead
        self._chains = chains or Chains()
        self._receipts = Numbers()
        self.messages: list[FakeMessage] = []

    def send(self, message: Mapping[str, Any], delay_seconds: int = 0) -> None:
        text = json.dumps(message)
        if len(text.encode()) > MAX_MESSAGE_BYTES:
            raise ValueError(f"InvalidParameterValue: a message must be shorter than {MAX_MESSAGE_BYTES} bytes")
        if not 0 <= delay_seconds <= MAX_DELAY_SECONDS:
            raise ValueError(f"InvalidParameterValue: a delay of {delay_seconds} s")
        self.messages.append(FakeMessage(self._clock() + delay_seconds, json.loads(text), self._chains.current()))

    def receive(self) -> FakeMessage | None:
        """Return the next message that is due, and hide it from others; None if there is none."""
        now = self._clock()
        for message in [message for message in self.messages if message.due <= now]:
            if self._dead is not None and message.receives >= MAX_RECEIVES:
                self.bury(message)
                continue
            message.receives += 1
            message.receipt = f"receipt-{next(self._receipts)}"
            message.due = now + VISIBILITY_SECONDS
            return message
        return None

    def bury(self, message: FakeMessage) -> None:
        """Move a message to the dead letters."""
        self.messages.remove(message)
        if self._dead is not None:
            self._dead.put(message.body)

    def delete(self, receipt: str | None) -> None:
        self.messages[:] = [message for message in self.messages if receipt is None or message.receipt != receipt]

    def hide(self, receipt: str, seconds: int) -> None:
        if not 0 <= seconds <= MAX_HIDDEN_SECONDS:
            raise ValueError(f"InvalidParameterValue: a visibility timeout of {seconds} s")
        for message in self.messages:
            if message.receipt == receipt:
                message.due = self._clock() + seconds

    def depth(self) -> int:
        return len(self.messages)

    def waiting(self) -> int:
        """Return the number of messages that could be received now."""
        return sum(message.due <= self._clock() for message in self.messages)

    def take(self) -> dict[str, Any] | None:
        """Receive a message and delete it at once. Return its body, or None if none is due."""
        message = self.receive()
        if message is None:
            return None
        self.messages.remove(message)
        return message.body
