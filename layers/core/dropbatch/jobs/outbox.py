"""The outbox: what is to be told is written down with the change it tells of, and told for as long as that takes.

A notice is written into the work bucket first, then named in the item (`untold`) by the very write that changes its
state. The process that finds a name there publishes the notice and takes the name out. So no state depends on SNS, and
what is told is told at least once. Each audience is told by itself, in order: programs of everything, people of what
the recipe's `notify` says, operators of what only they can correct.

What people may be told together with other jobs of the folder waits (`digest_entries`); `jobs/digest.py` sends it.

What ends because its date has come must end even if S3 takes nothing: those notices follow from the item alone, and are
named without being written (`TELLERS`).
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
from dropbatch.ports import JSON, Audience, Letter, Notification
from dropbatch.reporting import digests, end_notices, notifications, rejection_notices
from dropbatch.storage.context import Context
from dropbatch.storage.item_keys import notices_prefix
from dropbatch.storage.job_ends import whole

Teller = TypeVar("Teller", Job, Pending)
"""An item with an outbox."""

TELLERS: dict[str, Callable[[Context, Job], Notification]] = {
    "gave-up": rejection_notices.drop_given_up,
    "results-gave-up": end_notices.results_given_up,
}
"""The notices that follow from the job alone."""

INLINE_SECONDS = 60
"""How long a notice is left to the process that wrote it, before the poller tells it."""

MAX_TELL_SECONDS = 2 * 86_400
"""How long after a failure a notice is tried again, at most: few tries, for each may have been heard."""

MAX_UNREAD = 8
"""After how many failures, four hours in all, a notice that S3 does not give is told in short, from the job alone."""

SAME_ALERT_SECONDS = 86_400
"""Operators are notified of the same problem once in this time, however many jobs have it."""

CLAIM_SECONDS = 60
"""How long a process may take to notify the operators before another does."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that is written: the entries that it has in the outbox, and what a digest needs of those that wait."""

    entries: tuple[str, ...] = ()
    digest_entries: Mapping[str, DigestEntry] = field(default_factory=dict)


UNTOLD = Notice()
"""Nothing to tell."""


def write(
    context: Context, item: Job | Pending, name: str, notification: Notification, *, people: bool = True
) -> Notice:
    """Write a notice down; returns what to put into the item's outbox. One that was written before stays.

    Without `people`, it is for programs alone: people are told the same by another.
    """
    data = msgspec.json.encode(notification)
    context.objects.put_new(context.buckets.work, f"{notices_prefix(item)}{name}.json", data, JSON)
    return _notice(context, item, name, notification, people=people)


def unwritten(context: Context, job: Job, name: str) -> Notice:
    """Return what to put into a job's outbox for one of TELLERS."""
    return _notice(context, job, name, TELLERS[name](context, job))


def _notice(
    context: Context, item: Job | Pending, name: str, notification: Notification, *, people: bool = True
) -> Notice:
    entries, waiting = [f"{Audience.PROGRAMS}:{name}"], {}
    if people and (isinstance(item, Pending) or _is_wanted(item, notification)):
        entries.append(f"{Audience.PEOPLE}:{name}")
        answers_marker = isinstance(item, Job) and item.marker is not None and notification.event != "ended"
        if isinstance(item, Job) and item.digest and digests.can_wait(notification) and not answers_marker:
            waiting[entries[-1]] = digests.digest_entry(context.now(), notification)
    if notification.operators is not None:
        entries.append(f"{Audience.OPERATORS}:{name}")
    return Notice(tuple(entries), waiting)


def _is_wanted(job: Job, notification: Notification) -> bool:
    """Return whether people are told of it, as the recipe's `notify` says. A rejection or a hold always is."""
    match notification.event:
        case "accepted" | "duplicate":
            return "accepted" in job.notify or job.marker is not None  # it answers the marker, too
        case "ended":
            has_problems = notification.status != str(JobState.SUCCEEDED)
            was_promised = job.cancel_requested and not job.replaced_by  # a marker said that its end is told
            return "ended" in job.notify or ("problems" in job.notify and has_problems) or was_promised
    return True


def post(context: Context, item: Job | Pending, notice: Notice) -> None:
    """Put a notice into the item's outbox; the caller saves the item with the change that the notice tells of."""
    item.outbox = [*item.outbox, *(entry for entry in notice.entries if entry not in item.outbox)]
    item.digest_entries = {**item.digest_entries, **notice.digest_entries}
    item.notify_after, item.notify_failures = context.now() + INLINE_SECONDS, 0


def tell_now(context: Context, item: Teller) -> None:
    """Tell what the item has untold. Whatever fails is logged, and left to the poller: the state is written already."""
    try:
        tell(context, item)
    except Exception:  # noqa: BLE001 - telling must not undo, or repeat, what it tells of
        context.observer.exception("a notification could not be sent yet")


def tell(context: Context, item: Teller) -> None:
    """Tell what the item has untold, but for what waits, and take it out of its outbox. What fails is tried again."""
    told: list[str] = []
    failed = False
    for audience in Audience:
        for entry in [entry for entry in item.due_entries if entry.startswith(f"{audience}:")]:
            try:
                if not tell_entry(context, item, entry):
                    break
            except Exception:  # noqa: BLE001 - whatever keeps SNS from it, it is tried again
                context.observer.exception("a notification could not be published; it is kept and tried again")
                failed = True
                break
            told.append(entry)
    if told or failed:
        take_out(context, item, told, failed=failed)


def take_out(context: Context, item: Teller, told: Iterable[str], *, failed: bool = False) -> None:
    """Take out of an item's outbox what has been told; if something failed, the rest is tried again later."""
    gone = frozenset(told)

    def change(current: Teller) -> bool:
        is_changed = failed or not gone.isdisjoint(current.outbox)
        current.outbox = [entry for entry in current.outbox if entry not in gone]
        current.digest_entries = {entry: its for entry, its in current.digest_entries.items() if entry not in gone}
        if failed:
            current.notify_failures += 1
            current.notify_after = _next_try(context, current.notify_failures)
        return is_changed

    context.repository.update(item, change)


def put_off(context: Context, job: Job, entry: str) -> None:
    """Have an entry that waits, and could not be told, tried again later. The other audiences wait for nothing."""

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
    """When what failed so often is tried again."""
    return context.now() + context.scaled(min(MAX_TELL_SECONDS, 60 * 2 ** min(failures - 1, 12)))


def tell_entry(context: Context, item: Job | Pending, entry: str) -> bool:
    """Publish one entry of an outbox; False if another process is about to tell the same."""
    audience = Audience(entry.partition(":")[0])
    notification = read_notice(context, item, entry)
    if audience is Audience.OPERATORS:
        return _alert(context, notification)
    context.topics.publish(audience, notification)
    return True


def remind(context: Context, notification: Notification) -> None:
    """Notify the operators again, a day after they were, of what a job still waits for."""
    if context.repository.alert(
        _problem(notification)
    ).notified_at:  # else its own entry in an outbox is still to be told
        _alert(context, notification)


def _problem(notification: Notification) -> str:
    return str(notification.detail.get("held_reason", notification.event))


def _alert(context: Context, notification: Notification) -> bool:
    """Notify the operators, unless they were of the same within a day; False if another process is about to."""
    if notification.operators is None:  # it is told in short, because S3 does not give the notice
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
    """Read the notice that an entry of an outbox names; after many failures the one that follows from the job alone."""
    name = entry.partition(":")[2]
    if name in TELLERS and isinstance(item, Job):
        return TELLERS[name](context, item)
    try:
        data = whole(context.objects, context.buckets.work, f"{notices_prefix(item)}{name}.json")
    except Exception as error:
        waiting = item.digest_entries.get(entry)
        failures = waiting.failures if waiting else item.notify_failures
        if not isinstance(item, Job) or (failures < MAX_UNREAD and not isinstance(error, ObjectNotFoundError)):
            raise
        context.observer.exception("a notice cannot be read; its short form is sent", name=name)
        return notifications.in_short(context, item, name)
    return msgspec.json.decode(data, type=Notification)
