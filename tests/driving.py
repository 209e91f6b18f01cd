"""Runs the use cases over fakes as the queues and the schedule would."""

import json
from collections.abc import Callable
from typing import Any

from dropbatch.collect import collect
from dropbatch.domain.errors import TryLater
from dropbatch.domain.jobs import ENDED_JOBS, Job, JobState
from dropbatch.ledger import from_item
from dropbatch.messages import Look, Work
from dropbatch.poll import poll
from dropbatch.submit import submit
from dropbatch.take_in import take_in
from dropbatch.telling import results_prefix
from tests.fakes import INBOX, RESULTS, FakeQueue, FakeWorld, Killed

RECIPE = b"""\
model: gpt-4o-mini
prompt: "{{ text }}"
"""


def drop(fake: FakeWorld, key: str, data: bytes, **labels: str) -> str:
    """A user's upload, and the event that tells of it. Returns the version."""
    version = fake.objects.drop(key, data, labels)
    fake.intake.send(Look(INBOX, key, version).to_json())
    return version


def rows(count: int) -> bytes:
    """A csv of so many rows."""
    return b"text\n" + b"".join(b"row %d\n" % number for number in range(1, count + 1))


def run(fake: FakeWorld, *, ticks: int = 60, step: float = 60) -> None:
    """Delivers messages and polls each `step` seconds until nothing is open, or `ticks` are over.

    A process that is killed leaves its message in the queue, to be delivered again.
    """
    for _ in range(ticks):
        deliver(fake)
        survive(lambda: poll(fake.world))
        deliver(fake)
        if not any(True for _ in fake.table.open_items("job")) and not fake.intake.messages:
            return
        fake.clock.sleep(step)


def deliver(fake: FakeWorld) -> None:
    """Delivers what is due, until nothing is."""
    busy = True
    while busy:
        busy = _next(fake.intake, lambda m: take_in(fake.world, Look.from_json(m)))
        busy |= _next(fake.dispatch, lambda m: submit(fake.world, Work.from_json(m)))
        busy |= _next(fake.collect, lambda m: _collect(fake, m))


def _collect(fake: FakeWorld, message: dict[str, Any]) -> None:
    try:
        collect(fake.world, Work.from_json(message))
    except TryLater as later:
        fake.collect.send(message, later.seconds)


def _next(queue: FakeQueue, handle: Callable[[dict[str, Any]], None]) -> bool:
    message = queue.take()
    if message is None:
        return False
    if not survive(lambda: handle(message)):
        queue.send(message, 900)  # its visibility timeout
    return True


def survive(step: Callable[[], None]) -> bool:
    """Runs a step; False where the process was killed in it."""
    try:
        step()
    except Killed:
        return False
    return True


def jobs(fake: FakeWorld) -> list[Job]:
    items = [json.loads(line) for line in fake.table.everything().splitlines()]
    found = [from_item(item, Job) for item in items if item["sk"] == "job"]
    return sorted(found, key=lambda job: (job.created_at, job.id))


def only_job(fake: FakeWorld) -> Job:
    (job,) = jobs(fake)
    return job


def ended(job: Job) -> bool:
    return job.state in ENDED_JOBS and job.state is not JobState.REJECTED


def result(fake: FakeWorld, name: str, job: Job | None = None) -> bytes:
    job = job or only_job(fake)
    return fake.objects.content(RESULTS, results_prefix(job) + name)


def result_json(fake: FakeWorld, name: str, job: Job | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result(fake, name, job))
    return found


def asked(fake: FakeWorld) -> list[list[int]]:
    """The rows of every batch that was created, in order."""
    files = [fake.openai.files[batch.input_file_id] for batch in fake.openai.batches.values()]
    return [[int(json.loads(line)["custom_id"]) for line in file.split(b"\n") if line] for file in files]
