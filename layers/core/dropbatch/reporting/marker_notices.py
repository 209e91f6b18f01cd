"""Notifications about markers: that one has acted, or why it does nothing, and what works instead.

`source` is the object in the inbox, a file or a folder, whose name is the marker.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dropbatch.domain.drops import Drop, without_controls
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import Marker, MarkerKind, MarkerObject, MarkerReason, MarkerStatus, NearMarker
from dropbatch.domain.states import APPROVABLE, ENDED_JOBS, JobState
from dropbatch.ports import Notification
from dropbatch.reporting.event_members import SCHEMA_VERSION
from dropbatch.reporting.notifications import notification_of
from dropbatch.reporting.phrases import as_text, cut_from_left, marker_line, subject, waits
from dropbatch.storage.context import Context

MAX_NAME = 200
"""How many characters of a name a text shows."""

MAX_VERDICT_NAME = 40
"""The same for a verdict, which shares the subject with the marker's own name."""


def cancelling(context: Context, jobs: Sequence[Job], source: MarkerObject, *, is_sent: bool) -> Notification:
    """Say that jobs of a key are being cancelled; `is_sent` says whether OpenAI has some of their rows already."""
    job = jobs[-1]
    if is_sent:
        what = (
            "Dropbatch sends no more rows, asks OpenAI to stop the others, and keeps the answers that it has given, "
            "which are paid."
        )
    else:
        what = "Nothing of it was sent to OpenAI, and nothing is billed."
    if len(jobs) > 1:
        runs = " and ".join(filter(None, (", ".join(_number(each) for each in jobs[:-1]), _number(job))))
        lines = [f"{_shown(job.drop.name)}: {runs} are being cancelled, as {source.name} asks. {what}"]
    else:
        lines = [f"{_start(job)} is being cancelled, as {source.name} asks. {what}"]
    lines.append(f"Another message follows when {'they have' if len(jobs) > 1 else 'it has'} ended.")
    more = {"cancelled_jobs": [each.id for each in jobs]}
    return _of_job(context, job, source, MarkerKind.CANCEL, MarkerReason.CANCELLING, "is being cancelled", lines, more)


def too_late(context: Context, job: Job, source: MarkerObject) -> Notification:
    """Say that a job has no more rows to cancel, although it has not ended yet."""
    lines = [
        f"{source.name} came too late to stop anything: all rows of {_name(job)} that were sent had come back. They "
        "are kept and paid; rows that failed are not sent again.",
        "Another message follows when the results are there.",
    ]
    return _of_job(context, job, source, MarkerKind.CANCEL, MarkerReason.TOO_LATE, "too late to cancel", lines)


def approved(context: Context, job: Job, source: MarkerObject) -> Notification:
    """Say that a job has its approval."""
    if job.state in ENDED_JOBS:
        lines = [f"{_start(job)} had the approval of {source.name}, and has ended ({job.state})."]
    else:
        is_sent = any(batch.openai_id or batch.creating_at for batch in context.repository.batches(job.id))
        rows = "the rows that were not sent yet" if is_sent else "its rows"
        lines = [
            f"{_start(job)} continues, as {source.name} asks: {rows} go to OpenAI.",
            _to("stop it", job.drop, MarkerKind.CANCEL),
        ]
    return _of_job(context, job, source, MarkerKind.APPROVE, MarkerReason.APPROVED, "approved", lines)


def resumed(context: Context, job: Job, source: MarkerObject) -> Notification:
    """Say that a held job continues with its recipe."""
    lines = [
        f"{_start(job)} continues with the recipe as it was, as {source.name} asks.",
        _to("stop it", job.drop, MarkerKind.CANCEL),
    ]
    return _of_job(context, job, source, MarkerKind.RETRY, MarkerReason.RESUMED, "continues", lines)


def waits_no_more(context: Context, job: Job, source: MarkerObject) -> Notification:
    """Say that no other recipe takes up a rejected file any more."""
    lines = [
        f"{_start(job)} was rejected, and as {source.name} asks, no other recipe has it read again automatically.",
        _to("have it read again", job.drop, MarkerKind.RERUN),
    ]
    verdict = "is not read again automatically"
    return _of_job(context, job, source, MarkerKind.CANCEL, MarkerReason.WAITS_NO_MORE, verdict, lines)


def refused(context: Context, job: Job, source: MarkerObject, kind: MarkerKind, reason: MarkerReason) -> Notification:
    """Say that a marker does nothing because of the state of a job, and what works instead."""
    verdict, lines = _refusal(job, source, kind, reason)
    return _of_job(context, job, source, kind, reason, verdict, lines)


def _refusal(job: Job, source: MarkerObject, kind: MarkerKind, reason: MarkerReason) -> tuple[str, list[str]]:
    """Return the verdict and the lines about a marker that does nothing."""
    name, start, nothing = _name(job), _start(job), f"so {source.name} does nothing."
    match reason:
        case MarkerReason.OLDER:
            return f".{kind} is older than it, and does nothing", [
                f"{source.name} is older than what {name} is now, {nothing}",
                f"To do it now, make it again: {_how(job.drop, kind)}",
            ]
        case MarkerReason.ALREADY:
            return "is being cancelled already", [f"{start} is being cancelled already, {nothing}"]
        case MarkerReason.REJECTED:
            return _refusal_of_rejected(job, kind, nothing)
        case MarkerReason.RUNNING:
            return "is still running, there is nothing to retry yet", [
                f"{start} is still running, {nothing} Rows that fail temporarily are sent again automatically.",
                f"If rows have failed at its end, make the marker again then: {_how(job.drop, kind)}",
            ]
        case MarkerReason.HELD:
            return _refusal_of_held(job, kind, nothing)
        case MarkerReason.BEING_READ:
            return "is still being read, there is nothing to approve yet", [
                f"{start} is still being read, {nothing} If it needs an approval, a message names its price. Make the "
                f"marker again then: {_how(job.drop, kind)}"
            ]
        case MarkerReason.BEFORE_QUOTE:
            return "is older than the question, and does nothing", [
                f"{source.name} came before the message that names the price of {name}, {nothing}",
                f"To approve that price, make the marker again: {_how(job.drop, kind)}",
            ]
        case MarkerReason.NOT_HELD:
            return _refusal_of_approval(job, nothing)
        case MarkerReason.ENDED:
            return f"has ended, there is nothing to {kind}", [
                f"{start} has ended ({job.state}), and {source.name} came too late to {kind} it."
            ]
        case MarkerReason.NOTHING_TO_RETRY:
            return _refusal_of_retry(job, nothing)
    raise AssertionError(f"{reason} does not follow from a job's state")


def _refusal_of_rejected(job: Job, kind: MarkerKind, nothing: str) -> tuple[str, list[str]]:
    start = _start(job)
    if kind is not MarkerKind.RETRY:
        return f"was rejected, there is nothing to {kind}", [f"{start} was rejected, {nothing}"]
    return "was rejected, there is nothing to retry", [
        f"{start} was rejected, and none of its rows was asked, {nothing}",
        "If the recipe was wrong: correct it and upload it; the file is then read again.",
        "If the file was wrong: correct it and drop it again.",
        _to("have it read again as it is", job.drop, MarkerKind.RERUN),
    ]


def _refusal_of_held(job: Job, kind: MarkerKind, nothing: str) -> tuple[str, list[str]]:
    lines = [f"{_start(job)} waits {waits(job)}, {nothing}"]
    if job.held_reason in APPROVABLE:
        lines.append(_to("have it answered", job.drop, MarkerKind.APPROVE))
    lines.append(_to("end it with what it has", job.drop, MarkerKind.CANCEL))
    return f"waits {waits(job)}, there is nothing to {kind}", lines


def _refusal_of_approval(job: Job, nothing: str) -> tuple[str, list[str]]:
    start = _start(job)
    if job.cancel_requested:
        return "is being cancelled, there is nothing to approve", [f"{start} is being cancelled, {nothing}"]
    if job.state is not JobState.HELD:
        return "needs no approval", [f"{start} does not wait for an approval: it is {job.state}, {nothing}"]
    return f"waits {waits(job)}, not for an approval", [
        f"{start} waits {waits(job)}, and not for an approval, {nothing} The message that it waits says how "
        "to continue it."
    ]


def _refusal_of_retry(job: Job, nothing: str) -> tuple[str, list[str]]:
    name, again = _name(job), _to("ask all rows again", job.drop, MarkerKind.RERUN)
    if job.state is JobState.SUCCEEDED:
        return "every row is done, there is nothing to retry", [
            f"Every row of {name} that could be asked is done, {nothing}",
            again,
        ]
    return "no row can be sent again, there is nothing to retry", [
        f"No row of {name} can be sent again as it is, {nothing}",
        "Some may be paid already; if there is a failed file, correct the rows in it, and drop it.",
        again,
    ]


def no_such_file(marker: Marker, source: MarkerObject, near: Sequence[str]) -> Notification:
    """Say that there is no file beside a marker, and suggest others: `near` are their keys."""
    drop = _drop(source, marker.drop_key)
    lines = [f"There is no file `{_shown(drop.name)}` here, so {source.name} does nothing."]
    for key in near:
        meant = _drop(source, key)
        lines.append(f"Did you mean `{_shown(meant.name)}`? Then {_how(meant, marker.kind)}")
    if not near:
        lines.append(
            "A marker is named as the file is, with its ending, and lies beside it: for `reviews.csv`, "
            f"`reviews.csv.{marker.kind}`."
        )
    verdict = f"there is no file {_short(drop.name)} here"
    return _of_file(
        source, marker, MarkerStatus.REFUSED, MarkerReason.NO_SUCH_FILE, verdict, lines, {"near": list(near)}
    )


def not_begun(marker: Marker, source: MarkerObject) -> Notification:
    """Say that a file has no job yet, and what the marker does for it."""
    name, short = _shown(_drop(source, marker.drop_key).name), _short(_drop(source, marker.drop_key).name)
    if marker.kind in (MarkerKind.RERUN, MarkerKind.RETRY):
        lines = [
            f"{name} had not been read yet. That begins now: all of its rows are asked, with today's recipe. Other "
            "messages follow as the recipe's `notify` says."
        ]
        return _of_file(source, marker, MarkerStatus.DONE, MarkerReason.TAKEN_IN, f"{short} is read now", lines)
    if marker.kind is MarkerKind.APPROVE:
        lines = [
            f"{name} has not been read yet, so {source.name} does nothing. If it needs an approval, a message names "
            "its price. Make the marker again then."
        ]
        verdict = f"{short} has not begun yet, there is nothing to approve"
        return _of_file(source, marker, MarkerStatus.REFUSED, MarkerReason.NOT_BEGUN, verdict, lines)
    lines = [f"{name} has not been read yet. {source.name} is kept for it: when its job begins, it is cancelled."]
    return _of_file(
        source, marker, MarkerStatus.KEPT, MarkerReason.NOT_BEGUN, f"kept, {short} has not begun yet", lines
    )


def no_drop(marker: Marker, source: MarkerObject) -> Notification:
    """Say that the file beside a marker has no rows."""
    name = _shown(_drop(source, marker.drop_key).name)
    lines = [f"{name} is not a file of rows, so {source.name} does nothing. Make it beside such a file."]
    return _of_file(source, marker, MarkerStatus.REFUSED, MarkerReason.NO_DROP, f"{name} has no rows to answer", lines)


def forgotten(marker: Marker, source: MarkerObject) -> Notification:
    """Say that the job's item was deleted, and what still works."""
    drop = _drop(source, marker.drop_key)
    lines = [
        f"{_shown(drop.name)} ended more than three months ago, and the outcomes of its rows are no longer kept, so "
        f"{source.name} does nothing.",
        _to("ask all rows again with today's recipe", drop, MarkerKind.RERUN),
    ]
    verdict = f"ended long ago, there is nothing to {marker.kind}"
    return _of_file(source, marker, MarkerStatus.REFUSED, MarkerReason.FORGOTTEN, verdict, lines)


def misspelt(marker: NearMarker, source: MarkerObject) -> Notification:
    """Say that an ending is not a marker, and suggest one."""
    drop = _drop(source, marker.drop_key)
    kinds = ", ".join(f".{kind}" for kind in MarkerKind)
    lines = [
        f"`{marker.ending}` is not a marker, so {source.name} does nothing; did you mean `.{marker.kind}`?",
        f"Then {_how(drop, marker.kind)}",
        f"The markers are {kinds}.",
    ]
    verdict = f"is not a marker, did you mean .{marker.kind}?"
    return _of_file(source, marker, MarkerStatus.REFUSED, MarkerReason.MISSPELT, verdict, lines)


def given_up(marker: Marker | NearMarker, source: MarkerObject) -> Notification:
    """Say that a marker could not be read for a day."""
    lines = [
        f"Dropbatch could not look at {source.name}, although it tried for a day, so it does nothing. Make it again: "
        f"{_how(_drop(source, marker.drop_key), marker.kind)}"
    ]
    return _of_file(source, marker, MarkerStatus.REFUSED, MarkerReason.GAVE_UP, "could not be looked at", lines)


_STATUS = {
    MarkerReason.CANCELLING: MarkerStatus.DONE,
    MarkerReason.APPROVED: MarkerStatus.DONE,
    MarkerReason.RESUMED: MarkerStatus.DONE,
    MarkerReason.WAITS_NO_MORE: MarkerStatus.DONE,
}
"""The status of a marker that found a job; for any other reason it was refused."""


def _of_job(
    context: Context,
    job: Job,
    source: MarkerObject,
    kind: MarkerKind,
    reason: MarkerReason,
    verdict: str,
    lines: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> Notification:
    """Build the notification about a marker of a job."""
    detail = {"reason": str(reason), "marker": source.to_json(kind), **(more or {})}
    status = _STATUS.get(reason, MarkerStatus.REFUSED)
    return notification_of(context, job, "marker", str(status), verdict, lines, detail)


def _of_file(
    source: MarkerObject,
    marker: Marker | NearMarker,
    status: MarkerStatus,
    reason: MarkerReason,
    verdict: str,
    lines: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> Notification:
    """Build the notification about a marker without a known job."""
    detail = {
        "schema_version": SCHEMA_VERSION,
        "event": "marker",
        "status": str(status),
        "reason": str(reason),
        "marker": source.to_json(marker.kind),
        "drop": {"bucket": source.bucket, "key": marker.drop_key, "version_id": None},
        "labels": {},
        **(more or {}),
    }
    folder = _drop(source, marker.drop_key).folder
    return Notification("marker", str(status), folder, subject(source.key.rstrip("/"), verdict), as_text(lines), detail)


def _name(job: Job) -> str:
    """Name a job within a sentence: by its file, and from the second run on by its number."""
    name = _shown(job.drop.name)
    return f"run {job.run} of {name}" if job.run > 1 else name


def _start(job: Job) -> str:
    """Name it at the start of a sentence."""
    return _name(job).replace("run", "Run", 1) if job.run > 1 else _name(job)


def _number(job: Job) -> str:
    return f"run {job.run}" if job.run else f"the job {job.id}"


def _shown(name: str) -> str:
    return without_controls(name)[:MAX_NAME]


def _short(name: str) -> str:
    """Return a name for a verdict, cut from the left."""
    return cut_from_left(without_controls(name), MAX_VERDICT_NAME)


def _drop(source: MarkerObject, key: str) -> Drop:
    return Drop(source.bucket, key, "", 0)


def _to(what: str, drop: Drop, kind: MarkerKind) -> str:
    return f"To {what}: {_how(drop, kind)}"


def _how(drop: Drop, kind: MarkerKind) -> str:
    """Say how to make a marker, in the console and by a command."""
    return f"make a folder `{_shown(drop.name)}.{kind}` beside the file, or: {marker_line(drop, kind)}"
