"""Items of older releases: version 1 had other names for many members.

A stack is updated while jobs are in flight. Their items are read as they are, and the next change writes them in the
current version. Nothing rewrites the table.
"""

from collections.abc import Mapping
from typing import Any

from dropbatch.domain.batches import Batch
from dropbatch.domain.inbox import KnownRecipe, Pending, WaitingFile
from dropbatch.domain.items import Item
from dropbatch.domain.jobs import Job
from dropbatch.domain.outbox import Alert
from dropbatch.domain.poller import Poller
from dropbatch.domain.runs import Mirror
from dropbatch.domain.states import JobState

Names = Mapping[str, str]

_WORK_ITEM: Names = {"starts": "start_count", "kills": "kill_count"}

_OUTBOX_ITEM: Names = {
    **_WORK_ITEM,
    "untold": "outbox",
    "gathered": "digest_entries",
    "tell_after": "notify_after",
    "tell_failures": "notify_failures",
}

_DIGEST_ENTRY: Names = {"tell_after": "notify_after"}

_FOLLOW_UP: Names = {"is_halved": "must_split", "tries": "failed_attempts", "waits": "requeues"}

_VERSION_1: Mapping[type[Item], Names] = {
    Job: {
        **_OUTBOX_ITEM,
        "asked_at": "requested_at",
        "held_call": "held_batch",
        "judged": "recent_bad_batches",
        "replaces": "cancels_older",
        "reported": "status_digest",
        "went_on_by": "resumed_by",
    },
    Batch: {
        **_WORK_ITEM,
        **_FOLLOW_UP,
        "aged_at": "cancelled_for_age_at",
        "children": "follow_ups",
        "group": "model_group",
        "looked_at": "first_not_found_at",
        "never_ended": "assumed_ended",
        "seen_at": "last_retrieved_at",
        "unsure_at": "last_no_answer_at",
        "waited_with": "incomplete_digest",
    },
    Pending: {
        **_OUTBOX_ITEM,
        "first_taken": "first_resumed",
        "is_over": "is_done",
        "stays": "is_kept",
        "taken": "resumed_count",
        "time": "event_at",
    },
    Poller: {**_WORK_ITEM, "seen_at": "last_completed_at"},
    WaitingFile: {"asked_at": "requested_at", "noted_at": "recorded_at"},
    KnownRecipe: {"seen_at": "arrived_at", "told_at": "notified_at", "told_for": "notified_for"},
    Mirror: {"asked_at": "requested_at"},
    Alert: {"told_at": "notified_at"},
}
"""The renamed members by kind of item: their names in version 1, and now."""


def upgraded(item: Mapping[str, Any], kind: type[Item]) -> dict[str, Any]:
    """Return an item of version 1 with the names of the current version."""
    new = _renamed(item, _VERSION_1.get(kind, {}))
    if "follow_ups" in new:
        new["follow_ups"] = [_renamed(each, _FOLLOW_UP) for each in new["follow_ups"]]
    if "digest_entries" in new:
        new["digest_entries"] = {name: _renamed(each, _DIGEST_ENTRY) for name, each in new["digest_entries"].items()}
    if kind is Job and new.get("state") == JobState.RUNNING:
        # Before 0.2.0 it stayed set from the start of a job. Now it says that there is a message, and the poller sends
        # few while there are many. One message too many does no harm.
        new["sent_at"] = 0
    return new


def _renamed(members: Mapping[str, Any], names: Names) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in members.items()}
