"""Cut a notification to what SNS takes, so that nothing it says can keep it from being sent.

A job's end must not depend on the length of a column's name. Whatever holds users' names and values is cut here, in one
place; what fits, as nearly all do, stays as it is.
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from dropbatch.domain.drops import cut, without_controls
from dropbatch.json_encoding import sound, to_json
from dropbatch.ports import Letter, Notification
from dropbatch.reporting.phrases import MAX_FOLDERS, MAX_SUBJECT_UNITS, cut_from_left, units

MAX_MESSAGE_BYTES = 200_000
"""SNS takes 262,144 bytes, attributes included. It wraps a message into JSON for queues and functions, which escapes
it and makes it longer, and these have bounds of their own."""

MAX_LINE_BYTES = 4_000
"""Where a text is too long, its lines are cut first, so that what follows a long one is still read. The longest of our
own is a link to a key of 1,024 bytes, each written as `%xx`."""

MAX_ATTRIBUTE_CHARACTERS = 256
"""SNS bounds only the whole. A filter that names a folder in full needs no more."""

CUT_NOTE = "\n[This message was too long to be sent in full.]\n"

_BOUNDS = ((10_000, 1_000), (1_024, 200), (1_024, 20))
"""How many characters of a text and how many members of a list an event keeps, tried in turn. A key has up to 1,024."""

_NONCHARACTERS = re.compile("[\ufffe\uffff]")
"""A queue refuses them, and SNS delivers to queues."""


def fitted(notification: Notification) -> Notification:
    """Return the notification as SNS takes it: unchanged where it fits, cut where it does not."""
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
    """Return the least that says what happened, in plain ASCII: for what SNS refuses for a reason not known here."""
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
    """Return an event's detail as the JSON that is published: valid whatever it holds, with null for NaN."""
    text = to_json(detail).decode()
    return _NONCHARACTERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _letter(letter: Letter, event: str) -> Letter:
    """A letter of which nothing is empty, and nothing too long."""
    subject = _subject(letter.subject) or _subject(f"Dropbatch: {event}")
    return Letter(subject, _text(letter.text) or subject)


def _subject(text: str) -> str:
    """`<name>: <verdict>`, the name cut from the left as far as that does, for the verdict has the numbers."""
    text = _clean(text).strip()
    if units(text) <= MAX_SUBJECT_UNITS:
        return text
    name, colon, verdict = text.rpartition(": ")
    room = MAX_SUBJECT_UNITS - units(colon + verdict)
    if room < 2 or not name:
        return _cut_units(text, MAX_SUBJECT_UNITS - 1) + "…"
    return cut_from_left(name, room) + colon + verdict


def _text(text: str) -> str:
    """The text without what cannot be shown; empty where nothing is left of it."""
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
    for longest, most in _BOUNDS:
        shown = {**_shrunk(detail, longest, most), "cut": True}
        if _fits(shown):
            return shown
    return _short_detail(notification)


def _fits(detail: Mapping[str, Any]) -> bool:
    return len(event_json(detail).encode()) <= MAX_MESSAGE_BYTES


def _shrunk(value: Any, longest: int, most: int) -> Any:
    """`value` with its texts, names, lists and mappings cut; `<name>_cut` says how many members `<name>` has lost."""
    match value:
        case str():
            return value if len(value) <= longest else value[:longest] + "…"
        case Mapping():
            shown: dict[str, Any] = {}
            for name, member in islice(value.items(), most):
                name = _shrunk(str(name), longest, most)
                shown[name] = _shrunk(member, longest, most)
                if isinstance(member, Mapping | list | tuple) and len(member) > most:
                    shown[f"{name}_cut"] = len(member) - most
            return shown
        case list() | tuple():
            return [_shrunk(member, longest, most) for member in value[:most]]
    return value


def _short_detail(notification: Notification) -> dict[str, Any]:
    """What identifies the job and its results, as far as it is plain; the rest stands in the results bucket."""
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
    """A message attribute, which SNS does not take where it is empty."""
    value = _clean(value)[:MAX_ATTRIBUTE_CHARACTERS]
    return value if value.strip() else otherwise


def _clean(text: str) -> str:
    return _NONCHARACTERS.sub("\ufffd", without_controls(sound(text)))


def _cut_units(text: str, most: int) -> str:
    return text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "ignore")
