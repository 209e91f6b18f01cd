"""The outbox of an item: the notices about its changes, until they are published.

A notice is written into the work bucket first. The write that changes the item's state also puts the notice's name into
its `outbox`. A process that finds a name there publishes the notice and removes the name. So no state depends on SNS,
and every notice is published at least once. Each reader has its own entries, in order: programs get every notice, and
so does EventBridge's bus; people get those that the recipe's `notify` asks for, operators those that only they can act
on. A failure for one reader does not stop the others. The index pages are a reader, too: they list the job as the table
has it now.

Notices for people that may share a message with other jobs of the folder wait (`digest_entries`); `polling/digest.py`
sends them.

A job that ends by its date must end even if S3 takes nothing. Its notices follow from the job alone, and are not
written (`DERIVED_NOTICES`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from dropbatch.domain.errors import ObjectNotFoundError, StaleItemError
from dropbatch.domain.inbox import Pending
from dropbatch.domain.jobs import Job
from dropbatch.domain.outbox import Alert, DigestEntry
from dropbatch.domain.states import JobState
from dropbatch.jobs.backoff import backoff_seconds
from dropbatch.jobs.listing import list_job
from dropbatch.ports import JSON, Audience, Letter, Notification
from dropbatch.reporting import digests, end_notices, notifications, rejection_notices
from dropbatch.storage.context import Context
from dropbatch.storage.item_keys import notices_prefix
from dropbatch.storage.objects import read_object

BUS, INDEX = "bus", "index"
"""Readers besides the audiences of the topics: EventBridge's default bus, and the index pages of the results bucket."""

READERS = (Audience.PROGRAMS, BUS, Audience.PEOPLE, Audience.OPERATORS, INDEX)

OutboxItem = TypeVar("OutboxItem", Job, Pending)
"""An item with an outbox."""

DERIVED_NOTICES: dict[str, Callable[[Context, Job], Notification]] = {
    "gave-up": rejection_notices.drop_given_up,
    "results-gave-up": end_notices.results_given_up,
}
"""The notices that follow from the job alone, by name."""

INLINE_SECONDS = 60
"""How long a notice is left to the process that wrote it, before the poller publishes it."""

MAX_RETRY_SECONDS = 2 * 86_400
"""How long after a failure a notice is tried again at most. Few tries, because each may have reached its readers."""

MAX_UNREAD = 8
"""After how many failures, four hours in all, the short form of a notice is published, if S3 does not give it."""

MAX_TRIES = 11
"""After how many failures in a row, 17 hours in all, an entry for the bus or the pages is given up.

An ended job stays open until its outbox is empty, and an account may forbid events for ever. Entries for the topics are
kept: people wait for them.
"""

SAME_ALERT_SECONDS = 86_400
"""Operators are notified of the same problem once in this time, however many jobs have it."""

CLAIM_SECONDS = 60
"""How long a process may take to notify the operators before another does."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that is written: its entries in the outbox, and what a digest needs of those that wait."""

    entries: tuple[str, ...] = ()
    digest_entries: Mapping[str, DigestEntry] = field(default_factory=dict)


NO_NOTICE = Notice()
"""No entries."""


def write(
    context: Context, item: Job | Pending, name: str, notification: Notification, *, people: bool = True
) -> Notice:
    """Write a notice to the work bucket, and return it for the item's outbox. One that was written before stays.

    Without `people`, it is for programs alone: another notice says the same to people.
    """
    data = msgspec.json.encode(notification)
    context.objects.put_new(context.buckets.work, f"{notices_prefix(item)}{name}.json", data, JSON)
    return _notice(context, item, name, notification, people=people)


def derived(context: Context, job: Job, name: str) -> Notice:
    """Return one of DERIVED_NOTICES for a job's outbox."""
    return _notice(context, job, name, DERIVED_NOTICES[name](context, job))


def _notice(
    context: Context, item: Job | Pending, name: str, notification: Notification, *, people: bool = True
) -> Notice:
    entries, waiting = [f"{Audience.PROGRAMS}:{name}", f"{BUS}:{name}"], {}
    if people and (isinstance(item, Pending) or _is_wanted(item, notification)):
        entries.append(f"{Audience.PEOPLE}:{name}")
        answers_marker = isinstance(item, Job) and item.marker is not None and notification.event != "ended"
        if isinstance(item, Job) and item.digest and digests.can_wait(notification) and not answers_marker:
            waiting[entries[-1]] = digests.digest_entry(context.now(), notification)
    if notification.operators is not None:
        entries.append(f"{Audience.OPERATORS}:{name}")
    if isinstance(item, Job):
        entries.append(f"{INDEX}:{name}")
    return Notice(tuple(entries), waiting)


def _is_wanted(job: Job, notification: Notification) -> bool:
    """Return whether people get a notification, as the recipe's `notify` says. They get each rejection and hold."""
    match notification.event:
        case "accepted" | "duplicate":
            return "accepted" in job.notify or job.marker is not None  # it answers the marker, too
        case "ended":
            has_problems = notification.status != str(JobState.SUCCEEDED)
            was_promised = job.cancel_requested and not job.replaced_by  # a marker promised a message about the end
            return "ended" in job.notify or ("problems" in job.notify and has_problems) or was_promised
    return True


def post(context: Context, item: Job | Pending, notice: Notice) -> None:
    """Put a notice into the item's outbox. The caller saves the item together with the change."""
    item.outbox = [*item.outbox, *(entry for entry in notice.entries if entry not in item.outbox)]
    item.digest_entries = {**item.digest_entries, **notice.digest_entries}
    item.notify_after, item.notify_failures = context.now() + INLINE_SECONDS, 0


def list_again(context: Context, job: Job) -> None:
    """Have the index pages list a change of a job without a notice. The caller saves the job."""
    others = [entry for entry in job.outbox if not entry.startswith(_LISTING)]
    job.outbox = [*others, f"{_LISTING}{job.state}-{context.now()}"]


_LISTING = f"{INDEX}:listing-"
"""The beginning of entries of changes without a notice."""


def publish_now(context: Context, item: OutboxItem) -> None:
    """Publish the due notices of an item. A failure is logged, and left to the poller: the state is already written."""
    try:
        publish(context, item)
    except Exception:  # noqa: BLE001 - a notice must not undo, or repeat, the change it is about
        context.observer.exception("a notification could not be sent yet")


def publish(context: Context, item: OutboxItem) -> None:
    """Publish the due notices of an item, except those that wait, and remove them. A failed one is tried again."""
    published: list[str] = []
    failed = False
    read: dict[str, Notification] = {}
    for reader in READERS:
        for entry in [entry for entry in item.due_entries if entry.startswith(f"{reader}:")]:
            try:
                if not publish_entry(context, item, entry, read):
                    break
            except Exception:  # noqa: BLE001 - whatever keeps AWS from it, it is tried again
                failed = True
                if reader in (BUS, INDEX) and item.notify_failures + 1 >= MAX_TRIES:
                    context.observer.exception("an event, or a place on a page, is given up", reader=reader)
                else:
                    context.observer.exception("a notification could not be published; it is kept and tried again")
                    break
            published.append(entry)
    if published or failed:
        remove(context, item, published, failed=failed)


def remove(context: Context, item: OutboxItem, published: Iterable[str], *, failed: bool = False) -> None:
    """Remove published entries from an item's outbox. If one `failed`, the others are tried again later."""
    gone = frozenset(published)

    def change(current: OutboxItem) -> bool:
        is_changed = failed or not gone.isdisjoint(current.outbox)
        current.outbox = [entry for entry in current.outbox if entry not in gone]
        current.digest_entries = {entry: its for entry, its in current.digest_entries.items() if entry not in gone}
        if failed:
            current.notify_failures += 1
            current.notify_after = _next_try(context, current.notify_failures)
        return is_changed

    context.repository.update(item, change)


def defer(context: Context, job: Job, entry: str) -> None:
    """Have an entry that waits, and could not be published, tried again later. Other audiences do not wait for it."""

    def change(current: Job) -> bool:
        waiting = current.digest_entries.get(entry)
        if waiting is None:
            return False
        failures = waiting.failures + 1
        later = replace(waiting, failures=failures, notify_after=_next_try(context, failures))
        current.digest_entries = {**current.digest_entries, entry: later}
        return True

    context.repository.update(job, change)


def _next_try(context: Context, failures: int) -> int:
    """Return when a notice that failed this often is tried again."""
    return context.now() + context.scaled(backoff_seconds(failures, most=MAX_RETRY_SECONDS))


def publish_entry(
    context: Context, item: Job | Pending, entry: str, read: dict[str, Notification] | None = None
) -> bool:
    """Publish one entry of an outbox; False if another process is about to publish the same.

    `read` has the notices that were read, by name: each has several readers.
    """
    reader, _, name = entry.partition(":")
    if entry.startswith(_LISTING) and isinstance(item, Job):
        list_job(context, item)
        return True
    read = {} if read is None else read
    notification = read[name] = read.get(name) or read_notice(context, item, entry)
    match reader:
        case _ if reader == INDEX and isinstance(item, Job):
            list_job(context, item, notification)
        case _ if reader == BUS:
            context.bus.publish(notification)
        case Audience.OPERATORS:
            return _alert(context, notification)
        case _:
            context.topics.publish(Audience(reader), notification)
    return True


def remind(context: Context, notification: Notification) -> None:
    """Notify the operators again, a day after they were, of what a job still waits for."""
    if context.repository.alert(_problem(notification)).notified_at:  # else an outbox still has its own entry
        _alert(context, notification)


def _problem(notification: Notification) -> str:
    return str(notification.detail.get("held_reason", notification.event))


def _alert(context: Context, notification: Notification) -> bool:
    """Notify the operators, unless they were of the same problem within a day; False if another process is about to."""
    if notification.operators is None:  # a short form, because S3 does not give the notice
        notification = replace(notification, operators=Letter(notification.subject, notification.text))
    now = context.now()
    alert = context.repository.alert(_problem(notification))
    if alert.notified_at and now - alert.notified_at < SAME_ALERT_SECONDS:
        return True
    if alert.claimed_until > now:
        return False
    alert.claimed_until = now + CLAIM_SECONDS
    try:
        context.repository.save(alert)
    except StaleItemError:
        return False
    context.topics.publish(Audience.OPERATORS, notification)

    def done(current: Alert) -> bool:
        current.notified_at, current.claimed_until = now, 0
        return True

    context.repository.update(alert, done)
    return True


def read_notice(context: Context, item: Job | Pending, entry: str) -> Notification:
    """Read the notice that an entry of an outbox names; after many failures, return its short form."""
    name = entry.partition(":")[2]
    if name in DERIVED_NOTICES and isinstance(item, Job):
        return DERIVED_NOTICES[name](context, item)
    try:
        data = read_object(context.objects, context.buckets.work, f"{notices_prefix(item)}{name}.json")
    except Exception as error:
        waiting = item.digest_entries.get(entry)
        failures = waiting.failures if waiting else item.notify_failures
        if not isinstance(item, Job) or (failures < MAX_UNREAD and not isinstance(error, ObjectNotFoundError)):
            raise
        context.observer.exception("a notice cannot be read; its short form is sent", name=name)
        return notifications.in_short(context, item, name)
    return msgspec.json.decode(data, type=Notification)
