"""Items and messages of version 1, which an updated stack may still contain.

`version_1.json` has one of each kind, as that release wrote it.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from dropbatch.storage.item_keys import KEYS

_WRITTEN = json.loads((Path(__file__).parent / "version_1.json").read_text())

MESSAGES: list[dict[str, Any]] = _WRITTEN["messages"]

_KINDS = {"CreateCount": "Creates", "SweepCursor": "Sweep"}
"""Kinds that have another name now."""

NAMES: Mapping[str, Mapping[str, str]] = {
    "Job": {
        "asked_at": "requested_at", "gathered": "digest_entries", "held_call": "held_batch", "kills": "kill_count",
        "judged": "recent_bad_batches", "replaces": "cancels_older", "reported": "status_digest",
        "starts": "start_count", "tell_after": "notify_after", "tell_failures": "notify_failures",
        "untold": "outbox", "went_on_by": "resumed_by",
    },
    "Batch": {
        "aged_at": "cancelled_for_age_at", "children": "follow_ups", "group": "model_group", "is_halved": "must_split",
        "kills": "kill_count", "looked_at": "first_not_found_at", "never_ended": "assumed_ended",
        "seen_at": "last_retrieved_at", "starts": "start_count", "tries": "failed_attempts",
        "unsure_at": "last_no_answer_at", "waited_with": "incomplete_digest", "waits": "requeues",
    },
    "Pending": {
        "first_taken": "first_resumed", "gathered": "digest_entries", "is_over": "is_done", "kills": "kill_count",
        "starts": "start_count", "stays": "is_kept", "taken": "resumed_count", "tell_after": "notify_after",
        "tell_failures": "notify_failures", "time": "event_at", "untold": "outbox",
    },
    "Poller": {"kills": "kill_count", "seen_at": "last_completed_at", "starts": "start_count"},
    "WaitingFile": {"asked_at": "requested_at", "noted_at": "recorded_at"},
    "KnownRecipe": {"seen_at": "arrived_at", "told_at": "notified_at", "told_for": "notified_for"},
    "Mirror": {"asked_at": "requested_at"},
    "Alert": {"told_at": "notified_at"},
}  # fmt: skip  # names, some to a line
"""Members that have another name now, by the kind of item: the old names and the new ones."""

_FOLLOW_UP = {"is_halved": "must_split", "tries": "failed_attempts", "waits": "requeues"}
_DIGEST_ENTRY = {"tell_after": "notify_after"}


def had(kind: str) -> bool:
    """Return whether version 1 had a kind of items."""
    return _KINDS.get(kind, kind) in _WRITTEN["items"]


def item_of(kind: str) -> dict[str, Any]:
    """Return the item of a kind, given by its current name."""
    found: dict[str, Any] = deepcopy(_WRITTEN["items"][_KINDS.get(kind, kind)])
    return found


def as_version_1(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a current item as version 1 wrote it."""
    old = _renamed(item, NAMES.get(_kind(item), {}))
    if "children" in old:
        old["children"] = [_renamed(each, _FOLLOW_UP) for each in old["children"]]
    if "gathered" in old:
        old["gathered"] = {name: _renamed(each, _DIGEST_ENTRY) for name, each in old["gathered"].items()}
    return {**old, "v": 1}


def message_as_version_1(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a current message as version 1 sent it. An event of S3 stays unchanged."""
    return {**_renamed(message, {"time": "event_at"}), "v": 1} if "v" in message else dict(message)


def _renamed(members: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    then = {now: before for before, now in names.items()}
    return {then.get(name, name): value for name, value in members.items()}


def _kind(item: Mapping[str, Any]) -> str:
    """Return the kind of an item, which follows from its keys."""
    old = [kind.__name__ for kind in KEYS if had(kind.__name__)]
    places = {(item_of(name)["pk"].partition("#")[0], _sort(item_of(name))): name for name in old}
    return places.get((item["pk"].partition("#")[0], _sort(item)), "")


def _sort(item: Mapping[str, Any]) -> str:
    """Return the part of a sort key that names the kind."""
    return str(item["sk"]).partition("#")[0] if item["pk"].partition("#")[0] in ("job", "drop") else ""
