"""Looks through the inbox, once a day, for drops whose event was lost, and has them taken in.

Events are delivered at least once, nearly always: a drop must not be lost to the rest. Each poll does a bounded part.
Taking in what was taken in before changes nothing, so that a sweep need not be exact.
"""

from dropbatch.domain.drops import Meaning, meaning_of
from dropbatch.domain.errors import ConditionFailed
from dropbatch.ledger import Ledger
from dropbatch.messages import Look
from dropbatch.ports import World

DAY_SECONDS = 86_400
EVENT_SECONDS = 3600
"""For so long an event may still be on its way."""


def sweep(world: World) -> None:
    """Does the next part of the day's sweep, if one is due: a page of the inbox."""
    ledger = Ledger(world.table)
    now = world.now()
    state = ledger.sweep()
    if state.since and state.due_at > now:
        return
    if not state.since:
        # What was in the bucket before the stack was is nobody's drop.
        state.since, state.due_at = now, now + DAY_SECONDS
    else:
        page = world.objects.names(world.buckets.inbox, state.after)
        found = 0
        for key, modified in page:
            if state.since <= modified <= now - EVENT_SECONDS and meaning_of(key) is Meaning.DROP:
                newest = ledger.newest(world.buckets.inbox, key)
                if newest.job_id is None or newest.modified < modified:
                    world.intake.send(Look(world.buckets.inbox, key, None).to_json())
                    found += 1
        if found:
            world.observer.warn("drops were found whose event was lost", drops=found)
        state.after = page[-1][0] if page else ""
        if not page:
            state.due_at = now + DAY_SECONDS
    try:
        ledger.save(state)
    except ConditionFailed:
        return  # another poller was quicker
