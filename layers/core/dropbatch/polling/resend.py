"""Sends the messages that are due, and sends again those that were lost: from a queue, or as dead letters.

A message names an item only. So a lost one costs nothing but time: the item says since when a message about it is under
way (`sent_at`), and the poll compares that with the depth of the queue.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.inbox import Pending
from dropbatch.domain.items import WorkItem
from dropbatch.domain.jobs import Job
from dropbatch.domain.poller import Poller
from dropbatch.domain.states import BatchState, JobState
from dropbatch.jobs.lease import defer
from dropbatch.jobs.pending import wait_for
from dropbatch.messages import BatchMessage, IntakeMessage, intake_message_for, message_for
from dropbatch.polling.pace import adjust
from dropbatch.polling.snapshot import Snapshot
from dropbatch.polling.time_shares import has_time
from dropbatch.ports import Queue
from dropbatch.storage.context import Context
from dropbatch.submission.admission import admit

QueueName = Literal["intake", "dispatch", "collect"]

LOST_SECONDS = 120
"""How long a message waits before it may count as lost: if its queue holds fewer messages than were sent."""

MAX_QUEUED_SECONDS = 7_200
"""How long a message waits before it is sent again, whatever its queue holds."""

DELAYED_SECONDS = 10_800
"""After this time without a process that received a message, its item counts as stuck: nobody takes from the queue."""


DEAD_LETTERS_SECONDS = 300
"""How often the queues of dead letters are read."""


class Messages:
    """The messages that are due, by queue: the poll's steps add to them, and one step sends them."""

    def __init__(self, context: Context) -> None:
        self._due: dict[QueueName, list[WorkItem]] = {"intake": [], "dispatch": [], "collect": []}
        self._queues: dict[QueueName, Queue] = {
            "intake": context.intake,
            "dispatch": context.dispatch,
            "collect": context.collect,
        }

    def add(self, name: QueueName, item: WorkItem) -> None:
        """Note that a message about an item is due, which may be under way already."""
        self._due[name].append(item)

    def delayed(self, now: int) -> int:
        """Return about how many items messages are under way that no process has received for hours."""
        return sum(
            now - (item.queued_since or item.sent_at) > DELAYED_SECONDS
            for items in self._due.values()
            for item in items
            if item.sent_at and not item.is_leased(now)
        )

    def send_all(self, context: Context, snapshot: Snapshot, poller: Poller) -> None:
        """Send the due messages, and admit waiting batches, as many as each queue has room for; notes the pace."""
        now, since = context.now(), poller.last_completed_at
        jobs = snapshot.jobs.values()
        unsent = snapshot.batches_in(BatchState.WAITING, BatchState.SUBMITTING)
        building: list[WorkItem] = [job for job in jobs if job.state is JobState.BUILDING]
        self._send(context, "intake", [*building, *snapshot.pending], None)
        room = adjust(poller.dispatch, unsent, since, now)
        sent = self._send(context, "dispatch", unsent, room)
        for batch in admit(context, snapshot.jobs, snapshot.batches, room - sent):
            if not has_time(context):
                break
            sent += self._send_one(context, batch, "dispatch")
        poller.dispatch.sent = sent
        at_work = [job for job in jobs if job.state is not JobState.BUILDING]
        collecting = [*snapshot.batches_in(BatchState.ENDED), *at_work]
        room = adjust(poller.collect, collecting, since, now)
        poller.collect.sent = self._send(context, "collect", collecting, room)

    def _send(self, context: Context, name: QueueName, items: Sequence[WorkItem], room: int | None) -> int:
        """Send a queue's messages, `room` at most, first those of the items that failed least; return how many."""
        now = context.now()
        under_way = [item for item in items if item.sent_at]
        due = [item for item in self._due[name] if not item.sent_at]
        due += self._lost(context, name, [item for item in self._due[name] if item.sent_at], len(under_way))
        sent = 0
        for item in sorted(due, key=lambda item: (item.deferrals, item.not_before)):
            if not has_time(context) or sent == room:
                break
            if not item.is_leased(now):
                sent += self._send_one(context, item, name)
        return sent

    def _lost(self, context: Context, name: QueueName, waiting: list[WorkItem], under_way: int) -> list[WorkItem]:
        """Return those of the items whose message is lost; `under_way` is how many were sent and are not done."""
        now = context.now()
        waiting = sorted((item for item in waiting if item.sent_at < now - LOST_SECONDS), key=lambda item: item.sent_at)
        if not waiting:
            return []
        lost = 0
        try:
            lost = under_way - self._queues[name].depth()
        except Exception:  # noqa: BLE001 - the depth is a hint: without it a message counts as lost later
            context.observer.exception("a queue's depth could not be read", queue=name)
        return [item for place, item in enumerate(waiting) if place < lost or item.sent_at < now - MAX_QUEUED_SECONDS]

    def _send_one(self, context: Context, item: WorkItem, name: QueueName) -> int:
        """Send a message about an item, unless another process has moved the item; return how many were sent."""
        item.queued_since = item.queued_since or item.sent_at
        item.sent_at = context.now()
        if isinstance(item, Batch) and item.state is BatchState.WAITING:
            item.admitted_at = item.admitted_at or item.sent_at
        try:
            context.repository.save(item)
            self._queues[name].send(_message(item))
        except StaleItemError:
            return 0
        except Exception:  # noqa: BLE001 - one item that fails must not stop the others; it is found again
            context.observer.exception("a message could not be sent", queue=name)
            return 0
        return 1


def _message(item: WorkItem) -> dict[str, object]:
    if isinstance(item, Job) and item.state is JobState.BUILDING:
        return intake_message_for(item.drop, item.rerun_version)
    if isinstance(item, Pending):
        version = item.version_id or None
        return IntakeMessage(
            item.bucket, item.key, version, item.rerun_version, item.event_at, item.sequencer
        ).to_json()
    if isinstance(item, Job | Batch):
        return message_for(item)
    raise AssertionError(f"no message is about a {type(item).__name__}")


def take_dead_letters(context: Context, since: int) -> None:
    """Have the items of dead letters tried again, as all items are, for a day.

    AWS bills a look at each queue, and these messages have failed for hours: a poll looks if five minutes have begun
    since the last one, which began at `since`.
    """
    if context.now() // DEAD_LETTERS_SECONDS == since // DEAD_LETTERS_SECONDS:
        return
    for name, queue in context.dead_letters.items():
        try:
            for receipt, message in queue.take():
                if _revive(context, message):
                    queue.delete(receipt)
                context.observer.metric("DeadLetters", 1)
        except Exception:  # noqa: BLE001 - one queue that fails must not stop the others
            context.observer.exception("dead letters could not be read", queue=name)


def _revive(context: Context, message: Mapping[str, object]) -> bool:
    """Have the poll send a dead message again when its item is due; False if the message is not Dropbatch's.

    Such a message stays in its queue, for a person to look at.
    """
    try:
        if "job_id" in message:
            work = BatchMessage.from_json(message)
        else:
            look = IntakeMessage.from_json(message)
    except (KeyError, TypeError):
        return False

    def forget(current: Job | Batch) -> bool:
        if current.is_leased(context.now()) or not current.sent_at:
            return False
        defer(context, current)
        if isinstance(current, Batch):
            current.admitted_at = 0
        return True

    if "job_id" not in message:
        wait_for(context, look, failed=True)
    elif work.batch is None:
        context.repository.change(lambda: context.repository.job(work.job_id), forget)
    else:
        context.repository.change(lambda: context.repository.batch(work.job_id, work.batch or ""), forget)
    return True
