"""The outbox: what is to be told is written down with the change it tells of, and told for as long as that takes.

A notice is written into the work bucket first, then named in the item (`untold`) by the very write that changes its
state. The process that finds a name there publishes the notice and takes the name out. So no state depends on SNS, and
what is told is told at least once. Each audience is told by itself, in order.

What ends because its date has come must end even if S3 takes nothing: those notices follow from the item alone, and are
named without being written (`TELLERS`).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from dropbatch.domain.errors import ObjectMissing
from dropbatch.domain.jobs import Job, Pending
from dropbatch.ledger import Ledger
from dropbatch.ports import JSON, Audience, Notification, World
from dropbatch.reporting import notifications
from dropbatch.storage.job_ends import whole

Teller = TypeVar("Teller", Job, Pending)
"""An item with an outbox."""

TELLERS: dict[str, Callable[[World, Job], Notification]] = {
    "gave-up": notifications.drop_given_up,
    "results-gave-up": notifications.results_given_up,
}
"""The notices that follow from the job alone."""

INLINE_SECONDS = 60
"""How long a notice is left to the process that wrote it, before the poller tells it."""

MAX_TELL_SECONDS = 2 * 86_400
"""How long after a failure a notice is tried again, at most: few tries, for each may have been heard."""

MAX_UNREAD = 8
"""After how many failures, four hours in all, a notice that S3 does not give is told in short, from the job alone."""


def write(world: World, item: Job | Pending, name: str, notification: Notification) -> list[str]:
    """Write a notice down; returns the names to put into the item's outbox. One that was written before stays."""
    data = msgspec.json.encode(notification)
    world.objects.put_new(world.buckets.work, f"{item.notices}{name}.json", data, JSON)
    return [f"{audience}:{name}" for audience in Audience]


def unwritten(name: str) -> list[str]:
    """Return the names to put into a job's outbox for one of TELLERS."""
    return [f"{audience}:{name}" for audience in Audience]


def post(world: World, item: Job | Pending, names: Sequence[str]) -> None:
    """Put names into the item's outbox; the caller saves it with the change that they tell of."""
    item.untold = [*item.untold, *(name for name in names if name not in item.untold)]
    item.tell_after, item.tell_failures = world.now() + INLINE_SECONDS, 0


def tell_now(world: World, ledger: Ledger, item: Teller) -> None:
    """Tell what the item has untold. Whatever fails is logged, and left to the poller: the state is written already."""
    try:
        tell(world, ledger, item)
    except Exception:  # noqa: BLE001 - telling must not undo, or repeat, what it tells of
        world.observer.failed("what is to be told could not be told yet")


def tell(world: World, ledger: Ledger, item: Teller) -> None:
    """Tell what the item has untold, and take it out of its outbox. What cannot be told now is tried again later."""
    told: list[str] = []
    failed = False
    for audience in Audience:
        for entry in [entry for entry in item.untold if entry.startswith(f"{audience}:")]:
            try:
                world.topics.publish(audience, _read(world, item, entry.partition(":")[2]))
            except Exception:  # noqa: BLE001 - whatever keeps SNS from it, it is tried again
                world.observer.failed("a notification could not be published; it is kept and tried again")
                failed = True
                break
            told.append(entry)

    def take_out(current: Teller) -> bool:
        current.untold = [entry for entry in current.untold if entry not in told]
        if failed:
            current.tell_failures += 1
            wait = min(MAX_TELL_SECONDS, 60 * 2 ** min(current.tell_failures - 1, 12))
            current.tell_after = world.now() + world.scaled(wait)
        return bool(told) or failed

    if told or failed:
        ledger.update(item, take_out)


def _read(world: World, item: Job | Pending, name: str) -> Notification:
    if name in TELLERS and isinstance(item, Job):
        return TELLERS[name](world, item)
    try:
        data = whole(world.objects, world.buckets.work, f"{item.notices}{name}.json")
    except Exception as error:
        if not isinstance(item, Job) or (item.tell_failures < MAX_UNREAD and not isinstance(error, ObjectMissing)):
            raise
        world.observer.failed("a notice cannot be read; it is told in short", name=name)
        return notifications.in_short(world, item, name)
    return msgspec.json.decode(data, type=Notification)
