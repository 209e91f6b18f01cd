"""A client's stack over the fakes: uploads send their events, and a caller that waits makes the fakes' time pass."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dropbatch.client.runs import Run
from dropbatch.client.stack import Stack
from dropbatch.client.uploads import Progress
from dropbatch.polling.poll import poll
from tests.driving import deliver, drop
from tests.fakes import INBOX, RESULTS, FakeContext

OUTPUTS = {
    "InboxBucket": INBOX,
    "ResultsBucket": RESULTS,
    "OpenAISecretArn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:key",
    "Table": "table",
    "SubmitFunction": "submit",
    "NotificationsTopicArn": "arn:aws:sns:us-east-1:111122223333:notifications",
    "AlarmsTopicArn": "arn:aws:sns:us-east-1:111122223333:alarms",
    "IntakeDeadLettersUrl": "https://sqs/intake",
}


class FakeUploads:
    """Uploads into the fakes' inbox, each with its event."""

    def __init__(self, fake: FakeContext) -> None:
        self._fake = fake
        self.keys: list[str] = []

    def put(self, bucket: str, key: str, data: bytes) -> str:
        self.keys.append(key)
        return drop(self._fake, key, data)

    def put_file(self, bucket: str, key: str, path: Path, progress: Progress | None, labels: Mapping[str, str]) -> str:
        self.keys.append(key)
        return drop(self._fake, key, path.read_bytes(), **labels)


class FakeServices:
    """Clients of AWS's services, which give the answers that a test has set: `services.answers["sns", "publish"]`."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Any] = {}

    def __call__(self, service: str) -> Any:
        return _Service(self.answers, service)


class _Service:
    def __init__(self, answers: Mapping[tuple[str, str], Any], name: str) -> None:
        self._answers, self._name = answers, name

    def __getattr__(self, operation: str) -> Any:
        def call(**arguments: Any) -> Any:
            answer = self._answers[self._name, operation]
            found = answer(**arguments) if callable(answer) else answer
            if isinstance(found, Exception):
                raise found
            return found

        return call


def fake_stack(fake: FakeContext, services: FakeServices | None = None) -> Stack:
    """Return a stack over the fakes. While it sleeps, messages are delivered, and the poll runs each minute."""
    due = fake.clock()

    def sleep(seconds: float) -> None:
        nonlocal due
        deliver(fake)
        fake.clock.sleep(seconds)
        if fake.clock() >= due:
            due = fake.clock() + 60
            poll(fake.context)
            deliver(fake)

    return Stack(
        name="a-stack",
        outputs=OUTPUTS,
        objects=fake.objects,
        uploads=FakeUploads(fake),
        table=lambda: fake.table,
        service=services or FakeServices(),
        clock=fake.clock,
        sleep=sleep,
    )


def settle(fake: FakeContext, stack: Stack, key: str) -> Run:
    """Let time pass until the newest run of a key has ended, and return it."""
    return stack.follow(stack.run(key), stop_if_held=False)
