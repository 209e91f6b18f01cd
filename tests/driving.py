"""A driver for the use cases over fakes: it acts as the queues, the schedule, S3 and EventBridge."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from dropbatch.collection.collect import collect
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import ENDED_JOBS, JobState
from dropbatch.intake.intake import take_in
from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.ports import Notification
from dropbatch.reporting.event_members import results_prefix
from dropbatch.reporting.phrases import iso
from dropbatch.storage.repository import from_item
from dropbatch.submission.submit import submit
from tests.fakes import INBOX, RESULTS, FakeContext, FakeMessage, FakeQueue, Killed

RECIPE = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
"""

QUEUES = ("intake", "dispatch", "collect")

FUNCTIONS = {"intake": "submit", "dispatch": "submit", "collect": "collect"}
"""The function that processes the messages of a queue."""

FAILED_HIDDEN_SECONDS = 30
"""For this long a function hides a message on which it failed first, and twice as long after each further failure."""

KILLED_HIDDEN_SECONDS = 40
"""After this time the message of a killed function is visible again: it renewed the message with its lease."""


class Ending(Enum):
    """The end of an invocation."""

    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"


def drop(fake: FakeContext, key: str, data: bytes, **labels: str) -> str:
    """Upload a file as a user does, and send its event. Return the version."""
    version = fake.objects.drop(key, data, labels)
    fake.intake.send(object_created(fake, key, version, len(data)))
    return version


def object_created(fake: FakeContext, key: str, version: str, size: int) -> dict[str, Any]:
    """Return the event that EventBridge delivers, with the members that S3 fills in."""
    return {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": iso(int(fake.clock())),
        "detail": {
            "version": "0",
            "bucket": {"name": INBOX},
            "object": {"key": key, "size": size, "version-id": version, "sequencer": f"{int(fake.clock() * 1e6):018X}"},
            "reason": "PutObject",
        },
    }


def rows(count: int) -> bytes:
    """Return a csv of this number of rows."""
    return b"text\n" + b"".join(b"row %d\n" % number for number in range(1, count + 1))


ALMOST_NOTHING = Decimal("0.0000001")
"""A limit, in US dollars, that every request with a known price passes."""


def price_between(folder: Path, few: bytes, many: bytes, recipe: bytes = RECIPE) -> Decimal:
    """Return US dollars between the likely prices of two drops."""
    prices = []
    for number, data in enumerate((few, many)):
        fake = FakeContext(folder / f"priced-{number}")
        fake.objects.drop("recipe.yaml", recipe + b"hold: true\n")
        drop(fake, "a.csv", data)
        deliver(fake)
        quote = only_job(fake).quote
        assert quote is not None
        assert quote.price is not None
        prices.append(quote.price.likely)
    assert prices[0] < prices[1]
    return (prices[0] + prices[1]) / 2


def run(fake: FakeContext, *, ticks: int = 60, step: float = 60) -> bool:
    """Deliver messages and poll each `step` seconds, until nothing is open or `ticks` are over.

    Return whether nothing is open. After the last kill, polls are rarer while everything waits: nothing can go wrong
    there any more.
    """
    for _ in range(ticks):
        delivered = deliver(fake)
        if fake.killer:
            fake.killer.invoked()
        polled = survive(lambda: poll(fake.context))
        delivered += deliver(fake)
        is_open = not polled or any(
            True for kind in ("job", "batch", "outbox", "pending", "page") for _ in fake.table.open_items(kind)
        )
        if not is_open and not fake.intake.messages:
            return True
        waits = not delivered and fake.killer is not None and fake.killer.is_past
        fake.clock.sleep(5 * step if waits else step)
    return False


def pass_time(fake: FakeContext, seconds: float, *, step: float = 60) -> None:
    """Deliver messages and poll each `step` seconds during this time, whatever fails."""
    end = fake.clock() + seconds
    while fake.clock() < end:
        deliver(fake)
        invoke(fake, lambda: poll(fake.context))
        deliver(fake)
        fake.clock.sleep(step)


def deliver(fake: FakeContext) -> int:
    """Deliver messages until none is due. Return how many were processed."""
    count = 0
    while True:
        worked = sum(deliver_next(fake, name) is not None for name in QUEUES)
        if not worked:
            return count
        count += worked


def deliver_next(fake: FakeContext, name: str) -> FakeMessage | None:
    """Deliver the next message of a queue to its function. Return None if none is due."""
    queue: FakeQueue = getattr(fake, name)
    message = queue.receive()
    if message is None:
        return None
    if fake.chains.drops(FUNCTIONS[name], message):
        queue.bury(message)
    else:
        finish(fake, name, message, handle(fake, name, message))
    return message


def handle(fake: FakeContext, name: str, message: FakeMessage) -> Ending:
    """Process a message with the function of its queue."""
    body = message.body

    def step() -> None:
        if name == "intake":
            take_in(fake.context, IntakeMessage.from_json(body))
        elif name == "dispatch":
            submit(fake.context, BatchMessage.from_json(body))
        else:
            collect(fake.context, BatchMessage.from_json(body))

    with fake.chains.invoked(FUNCTIONS[name], message):
        return invoke(fake, step)


def finish(fake: FakeContext, name: str, message: FakeMessage, ending: Ending) -> None:
    """Delete, hide or keep a message, as the wrapper of its function or SQS does after the invocation."""
    queue: FakeQueue = getattr(fake, name)
    if ending is Ending.DONE:
        queue.delete(message.receipt)
    elif ending is Ending.KILLED:
        queue.hide(message.receipt or "", KILLED_HIDDEN_SECONDS)
    else:
        seconds = FAILED_HIDDEN_SECONDS * 2 ** (message.receives - 1)
        invoke(fake, lambda: getattr(fake.context, name).hide(message.receipt, seconds))


def invoke(fake: FakeContext, step: Callable[[], None]) -> Ending:
    """Run a step as Lambda does: log its exceptions, except failed assertions, which the test has to see."""
    if fake.killer:
        fake.killer.invoked()
    try:
        step()
    except Killed:
        return Ending.KILLED
    except AssertionError:
        raise
    except Exception:  # noqa: BLE001 - whatever it was, Lambda logs it, and SQS delivers the message again
        fake.observer.exception("an invocation failed")
        return Ending.FAILED
    return Ending.DONE


def survive(step: Callable[[], None]) -> bool:
    """Run a step. Return False if the process was killed in it."""
    try:
        step()
    except Killed:
        return False
    return True


@dataclass
class Functions:
    """The functions of a queue: at most `most` at once, and each takes `seconds` until its work is done.

    Until then its message is hidden, as SQS hides it. `longest` is the greatest depth of the queue.
    """

    fake: FakeContext
    name: str
    most: int
    seconds: float
    running: list[tuple[float, FakeMessage]] = field(default_factory=list)
    invocations: int = 0
    longest: int = 0
    endings: Counter[Ending] = field(default_factory=Counter)

    def step(self) -> None:
        """Finish the invocations that have ended by now, and start new ones up to the maximum."""
        queue: FakeQueue = getattr(self.fake, self.name)
        now = self.fake.clock()
        while self.running and self.running[0][0] <= now:
            _, message = self.running.pop(0)
            ending = handle(self.fake, self.name, message)
            self.endings[ending] += 1
            finish(self.fake, self.name, message, ending)
        while len(self.running) < self.most and (taken := queue.receive()) is not None:
            self.running.append((now + self.seconds, taken))
            self.invocations += 1

    def due(self) -> float | None:
        """Return the time of the next step. Return None if none is known."""
        queue: FakeQueue = getattr(self.fake, self.name)
        if self.running and (len(self.running) == self.most or not queue.messages):
            return self.running[0][0]
        times = [message.due for message in queue.messages if message.due > self.fake.clock()]
        times += [end for end, _ in self.running[:1]]
        return self.fake.clock() if queue.waiting() else min(times, default=None)

    def measure(self) -> None:
        self.longest = max(self.longest, getattr(self.fake, self.name).waiting())


def jobs(fake: FakeContext) -> list[Job]:
    items = [json.loads(text) for text in fake.table.texts()]
    found = [from_item(item, Job) for item in items if item["sk"] == "job"]
    return sorted(found, key=lambda job: (job.created_at, job.id))


def batches(fake: FakeContext) -> list[Batch]:
    items = [json.loads(text) for text in fake.table.texts()]
    return [from_item(item, Batch) for item in items if item["sk"].startswith("batch#")]


def only_job(fake: FakeContext) -> Job:
    (job,) = jobs(fake)
    return job


def notification_of_each_job(notification: Notification) -> list[Notification]:
    """Return a notification for each job: those that a digest combines, or the notification itself."""
    digest = notification.detail.get("digest")
    if digest is None:
        return [notification]
    return [replace(notification, status=its["status"], detail={**notification.detail, **its}) for its in digest]


def published(fake: FakeContext, event: str) -> list[Notification]:
    """Return the notifications of an event to programs, in order."""
    return [notification for notification in fake.topics.published if notification.event == event]


def only_event(fake: FakeContext, event: str) -> Notification:
    """Return the notification of an event to programs, which must be the only one."""
    (found,) = published(fake, event)
    return found


def last_message(fake: FakeContext, event: str) -> Notification:
    """Return the last notification of an event to people."""
    return [notification for notification in fake.topics.people if notification.event == event][-1]


def ended(job: Job) -> bool:
    return job.state in ENDED_JOBS and job.state is not JobState.REJECTED


def result(fake: FakeContext, name: str, job: Job | None = None) -> bytes:
    job = job or only_job(fake)
    return fake.objects.content(RESULTS, results_prefix(job) + name)


def result_json(fake: FakeContext, name: str, job: Job | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result(fake, name, job))
    return found


def sent_rows(fake: FakeContext) -> list[list[int]]:
    """Return the rows of every batch that was created, in order."""
    files = [fake.openai.contents[batch.input_file_id] for batch in fake.openai.batches.values()]
    return [[int(json.loads(line)["custom_id"]) for line in file.split(b"\n") if line] for file in files]
