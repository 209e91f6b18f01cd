"""The shares of a poll's time: each step has one, and stops before the invocation's end."""

from dropbatch.storage.context import Context

HANDOVER_SECONDS = 30
"""With less time left a step of the poll stops. The next poll continues."""


def has_time(context: Context) -> bool:
    """Return whether a step has time for the next item."""
    return context.seconds_left() >= HANDOVER_SECONDS


def with_share(context: Context, share: float) -> Context:
    """Return the context with a share of the time that is left before HANDOVER_SECONDS."""
    end = context.clock() + share * max(0.0, context.seconds_left() - HANDOVER_SECONDS)
    return context.with_seconds_left(lambda: min(context.seconds_left(), HANDOVER_SECONDS + end - context.clock()))
