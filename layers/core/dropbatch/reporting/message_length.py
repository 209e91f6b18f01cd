"""The limits of SNS: a notification is cut to fit them, so that no contents can prevent its delivery.

A job's end must not depend on the length of a column's name. Users' names and values are cut here, in one place.
Notifications that fit, as nearly all do, stay as they are.
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from dropbatch.domain.drops import cut, without_controls
from dropbatch.json_encoding import replace_surrogates, to_json
from dropbatch.ports import Letter, Notification
from dropbatch.reporting.phrases import MAX_FOLDERS, MAX_SUBJECT_UNITS, cut_from_left, units

MAX_MESSAGE_BYTES = 200_000
"""SNS takes 262,144 bytes, with attributes. For queues and functions it wraps a message into JSON, which makes it
longer, and these have limits of their own."""

MAX_LINE_BYTES = 4_000
"""Of a text that is too long, long lines are cut first, so that people can read the lines after them. Our own longest
line is a link to a key of 1,024 bytes, each written as `%xx`."""

MAX_ATTRIBUTE_CHARACTERS = 256
"""SNS limits only the whole message. A filter that names a folder in full needs no more."""

CUT_NOTE = "\n[This message was too long to be sent in full.]\n"

_BOUNDS = ((10_000, 1_000), (1_024, 200), (1_024, 20))
"""How many characters of a text and how many members of a list an event keeps, tried in turn. A key has up to 1,024."""

_NONCHARACTERS = re.compile("[\ufffe\uffff]")
"""SQS refuses these characters, and SNS delivers to queues of SQS."""


def fitted(notification: Notification) -> Notification:
    """Return the notification as SNS takes it: unchanged if it fits, else cut."""
    event = _attribute(notification.event, "unknown")
    letter = _letter(Letter(notification.subject, notification.text), event)
    recipe_folder, operators = notification.recipe_folder, notification.operators
    return Notification(
        event=event,
        status=_attribute(notification.status, "unknown"),
        folder=_attribute(notification.folder, "/"),
        subject=letter.subject,
        text=letter.text,
        detail=_detail(notification),
        verdict=notification.verdict,
        recipe_folder=None if recipe_folder is None else _attribute(recipe_folder, "/"),
        more_folders=tuple(_attribute(folder, "/") for folder in notification.more_folders[: MAX_FOLDERS - 1]),
        operators=None if operators is None else _letter(operators, event),
        steps=notification.steps,
    )


def attributes(notification: Notification) -> dict[str, str | list[str]]:
    """Return the message attributes, by which subscriptions filter; one with several values is a list."""
    folder, more = notification.folder, notification.more_folders
    found: dict[str, str | list[str]] = {
        "event": notification.event,
        "status": notification.status,
        "folder": [folder, *more] if more else folder,
    }
    return found if notification.recipe_folder is None else {**found, "recipe_folder": notification.recipe_folder}


def short_form(notification: Notification) -> Notification:
    """Return the shortest notification, in plain ASCII, for one that SNS refuses for an unknown reason."""
    event, status, folder, recipe_folder = (
        _attribute(text.encode("ascii", "replace").decode(), "?")
        for text in (notification.event, notification.status, notification.folder, notification.recipe_folder or "?")
    )
    detail = _short_detail(notification)
    lines = [f"{event}: {status}"]
    if "job_id" in detail:
        lines.append(f"Job: {detail['job_id']}")
    if "results" in detail:
        lines.append(f"Results: s3://{detail['results']['bucket']}/{detail['results']['prefix']}")
    lines.append("This is a short form: the full message could not be sent.")
    letter = Letter(f"Dropbatch: {event[:30]}, {status[:30]}", "\n".join(lines))
    return Notification(
        event,
        status,
        folder,
        letter.subject,
        letter.text,
        detail,
        recipe_folder=None if notification.recipe_folder is None else recipe_folder,
        operators=None if notification.operators is None else letter,
    )


def event_json(detail: Mapping[str, Any]) -> str:
    """Return an event's detail as the JSON that is published. It is always valid; NaN becomes null."""
    text = to_json(detail).decode()
    return _NONCHARACTERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _letter(letter: Letter, event: str) -> Letter:
    """Return a letter with no empty part, and none that is too long."""
    subject = _subject(letter.subject) or _subject(f"Dropbatch: {event}")
    return Letter(subject, _text(letter.text) or subject)


def _subject(text: str) -> str:
    """Return `<name>: <verdict>` with the name cut from the left if possible, because the verdict has the numbers."""
    text = _clean(text).strip()
    if units(text) <= MAX_SUBJECT_UNITS:
        return text
    name, colon, verdict = text.rpartition(": ")
    room = MAX_SUBJECT_UNITS - units(colon + verdict)
    if room < 2 or not name:
        return _cut_units(text, MAX_SUBJECT_UNITS - 1) + "…"
    return cut_from_left(name, room) + colon + verdict


def _text(text: str) -> str:
    """Return the text without characters that cannot be shown; empty if only white space remains."""
    lines = [_clean(line) for line in text.split("\n")]
    whole = "\n".join(lines)
    if len(whole.encode()) > MAX_MESSAGE_BYTES:
        lines = [line if len(line.encode()) <= MAX_LINE_BYTES else cut(line, MAX_LINE_BYTES) + "…" for line in lines]
        whole = cut("\n".join(lines), MAX_MESSAGE_BYTES - len(CUT_NOTE)) + CUT_NOTE
    return whole if whole.strip() else ""


def _detail(notification: Notification) -> Mapping[str, Any]:
    detail = notification.detail
    if _fits(detail):
        return detail
    for max_characters, max_members in _BOUNDS:
        shown = {**_shrunk(detail, max_characters, max_members), "cut": True}
        if _fits(shown):
            return shown
    return _short_detail(notification)


def _fits(detail: Mapping[str, Any]) -> bool:
    return len(event_json(detail).encode()) <= MAX_MESSAGE_BYTES


def _shrunk(value: Any, max_characters: int, max_members: int) -> Any:
    """Return `value` with its texts, names, lists and mappings cut; `<name>_cut` counts the lost members."""
    match value:
        case str():
            return value if len(value) <= max_characters else value[:max_characters] + "…"
        case Mapping():
            shown: dict[str, Any] = {}
            for name, member in islice(value.items(), max_members):
                name = _shrunk(str(name), max_characters, max_members)
                shown[name] = _shrunk(member, max_characters, max_members)
                if isinstance(member, Mapping | list | tuple) and len(member) > max_members:
                    shown[f"{name}_cut"] = len(member) - max_members
            return shown
        case list() | tuple():
            return [_shrunk(member, max_characters, max_members) for member in value[:max_members]]
    return value


def _short_detail(notification: Notification) -> dict[str, Any]:
    """Return the members that identify the job and its results, if they are plain. The results bucket has all."""
    detail = notification.detail
    names = {"event": notification.event, "status": notification.status, "job_id": detail.get("job_id")}
    short: dict[str, Any] = {name: value for name, value in names.items() if _is_plain(value)} | {"cut": True}
    if isinstance(detail.get("schema_version"), int):
        short["schema_version"] = detail["schema_version"]
    results = detail.get("results")
    if isinstance(results, Mapping) and all(_is_plain(results.get(name)) for name in ("bucket", "prefix")):
        short["results"] = {"bucket": results["bucket"], "prefix": results["prefix"]}
    return short


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1_024 and value.isascii() and value.isprintable()


def _attribute(value: str, otherwise: str) -> str:
    """Return a value for a message attribute, which must not be empty."""
    value = _clean(value)[:MAX_ATTRIBUTE_CHARACTERS]
    return value if value.strip() else otherwise


def _clean(text: str) -> str:
    return _NONCHARACTERS.sub("\ufffd", without_controls(replace_surrogates(text)))


def _cut_units(text: str, maximum: int) -> str:
    return text.encode("utf-16-le")[: 2 * maximum].decode("utf-16-le", "ignore")
