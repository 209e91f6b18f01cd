"""Sweeps the inbox for drops whose event was lost, and has them taken in: hourly on the first day, then daily.

S3 nearly always delivers an event at least once, but only from some minutes after the bucket was created. Each poll
sweeps one page. To take a drop in twice changes nothing, so a sweep need not be exact.
"""

from dropbatch.domain.drops import ObjectKind, kind_of_object
from dropbatch.domain.errors import StaleItemError
from dropbatch.domain.markers import Marker, NearMarker
from dropbatch.domain.poller import SweepCursor
from dropbatch.jobs.pending import wait_for
from dropbatch.messages import IntakeMessage
from dropbatch.storage.context import Context

HOUR_SECONDS = 3600
DAY_SECONDS = 86_400

FIRST_SWEEP_SECONDS = 600
"""When a new stack sweeps first: S3's events begin about five minutes after the bucket was created (S3 User Guide)."""

EVENT_SECONDS = 900
"""How long an event may be on its way."""


def sweep(context: Context) -> None:
    """Sweep the next page of the inbox, if a sweep is due."""
    now = context.now()
    state = context.repository.sweep_cursor()
    if state.began_at and state.due_at > now:
        return
    if not state.began_at:
        state.began_at, state.due_at = now, now + FIRST_SWEEP_SECONDS
    else:
        _sweep_page(context, state)
    try:
        context.repository.save(state)
    except StaleItemError:
        return  # another poller was quicker


def _sweep_page(context: Context, state: SweepCursor) -> None:
    now = context.now()
    # The bucket is the stack's own: an object slightly older than the first poll came before its events did.
    first = state.began_at - HOUR_SECONDS
    is_new = now < state.began_at + DAY_SECONDS
    page = context.objects.names(context.buckets.inbox, state.after)
    lost = [
        key
        for key, modified in page
        if first <= modified <= now - EVENT_SECONDS and _is_unknown(context, key, modified, is_new=is_new)
    ]
    if lost and now < state.due_at + DAY_SECONDS and context.intake.depth():
        return  # these objects may have messages in the queue, which are not lost
    for key in lost:
        wait_for(context, IntakeMessage(context.buckets.inbox, key, None), failed=False)  # the poller sends it
    if lost:
        context.observer.warning("drops were found whose event was lost", drops=len(lost))
    state.after = page[-1][0] if page else ""
    if not page:
        state.due_at = now + (HOUR_SECONDS if is_new else DAY_SECONDS)


def _is_unknown(context: Context, key: str, modified: int, *, is_new: bool) -> bool:
    """Return whether the table knows nothing of the object as it is now: no job, and nothing pending or done.

    A marker is searched only on a new stack's first day: later, the record of its effect may have expired.
    """
    meaning = kind_of_object(key)
    if isinstance(meaning, Marker | NearMarker):
        return is_new and not context.repository.is_pending(context.buckets.inbox, key)
    if meaning is not ObjectKind.DROP:
        return False
    newest = context.repository.latest_job(context.buckets.inbox, key)
    if newest.job_id is not None and newest.modified >= modified:
        return False
    return not context.repository.is_pending(context.buckets.inbox, key)
