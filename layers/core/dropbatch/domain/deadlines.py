"""The dates by which a job stops retrying, ends, and is deleted."""

MAX_JOB_SECONDS = 28 * 86_400
"""A job ends at the latest this long after its creation, whatever holds it: within the work bucket's 60 days."""

MAX_HELD_DAYS = 14
"""How long a job is held for one reason."""

MAX_CANCEL_SECONDS = 3 * 86_400
"""A job ends at the latest this long after it was cancelled: after the bound for a batch (50 hours) and a day."""

GRACE_SECONDS = 86_400
"""How long after its last date Dropbatch still tries to assemble a job's results."""

RETENTION_SECONDS = 90 * 86_400
"""How long the items of an ended job are kept."""

ITEM_LIFETIME_SECONDS = MAX_JOB_SECONDS + RETENTION_SECONDS
"""How long after the creation of its job an item is kept."""


def latest_end(created_at: int, cancelled_at: int | None) -> int:
    """Return the time by which a job ends in any case; `cancelled_at` is None if nobody cancelled it."""
    latest = created_at + MAX_JOB_SECONDS
    return latest if cancelled_at is None else min(latest, cancelled_at + MAX_CANCEL_SECONDS)


def deadline_after_hold(deadline_at: int, held_seconds: int, created_at: int) -> int:
    """Return a job's deadline after a hold: later by the time that it was held, within MAX_JOB_SECONDS."""
    return min(max(deadline_at, created_at + MAX_JOB_SECONDS), deadline_at + held_seconds)
