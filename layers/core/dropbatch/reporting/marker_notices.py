"""Makes the notifications about markers: that one has acted, or why it does not, and what works instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from dropbatch.domain.drops import Drop, without_controls
from dropbatch.domain.jobs import Job
from dropbatch.domain.markers import Marker, MarkerKind, MarkerObject, MarkerReason, MarkerStatus, NearMarker
from dropbatch.domain.states import APPROVABLE, ENDED_JOBS, JobState
from dropbatch.ports import Notification
from dropbatch.reporting.details import SCHEMA_VERSION
from dropbatch.reporting.notifications import notification_of
from dropbatch.reporting.phrases import as_text, cut_from_left, marker_line, rows_counted, subject, waits
from dropbatch.storage.context import Context

MAX_NAME = 200
"""How many characters of a name stand in a text."""

MAX_IN_VERDICT = 40


def cancelling(context: Context, jobs: Sequence[Job], asker: MarkerObject, *, is_sent: bool) -> Notification:
    """That jobs of a key are being cancelled; `is_sent` says whether OpenAI has something of them already."""
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
        lines = [f"{_shown(job.drop.name)}: {runs} are being cancelled, as {asker.name} asks. {what}"]
    else:
        lines = [f"{_start(job)} is being cancelled, as {asker.name} asks. {what}"]
    lines.append(f"Another message follows when {'they have' if len(jobs) > 1 else 'it has'} ended.")
    more = {"cancelled_jobs": [each.id for each in jobs]}
    return _about(context, job, asker, MarkerKind.CANCEL, MarkerReason.CANCELLING, "is being cancelled", lines, more)


def too_late(context: Context, job: Job, asker: MarkerObject) -> Notification:
    """That nothing is left to be cancelled of a job that has not ended yet."""
    lines = [
        f"{asker.name} came too late to stop anything: all rows of {_name(job)} that were sent had come back. They are "
        "kept and paid; rows that failed are not sent again.",
        "Another message follows when the results are there.",
    ]
    return _about(context, job, asker, MarkerKind.CANCEL, MarkerReason.TOO_LATE, "too late to cancel", lines)


def approved(context: Context, job: Job, asker: MarkerObject) -> Notification:
    if job.state in ENDED_JOBS:
        lines = [f"{_start(job)} had the approval of {asker.name}, and has ended ({job.state})."]
    else:
        lines = [
            f"{_start(job)} continues, as {asker.name} asks: its {rows_counted(job.rows)} are sent to OpenAI.",
            _to("stop it", job.drop, MarkerKind.CANCEL),
        ]
    return _about(context, job, asker, MarkerKind.APPROVE, MarkerReason.APPROVED, "approved", lines)


def resumed(context: Context, job: Job, asker: MarkerObject) -> Notification:
    lines = [
        f"{_start(job)} continues with the recipe as it was, as {asker.name} asks.",
        _to("stop it", job.drop, MarkerKind.CANCEL),
    ]
    return _about(context, job, asker, MarkerKind.RETRY, MarkerReason.RESUMED, "continues", lines)


def being_read(context: Context, job: Job, asker: MarkerObject) -> Notification:
    lines = [
        f"{_start(job)} is still being read. If it turns out to need an approval, it has that of {asker.name}, and "
        "continues without a question."
    ]
    return _about(context, job, asker, MarkerKind.APPROVE, MarkerReason.BEING_READ, "approved beforehand", lines)


def waits_no_more(context: Context, job: Job, asker: MarkerObject) -> Notification:
    """That a file which was rejected is not taken up by another recipe any more."""
    lines = [
        f"{_start(job)} was rejected, and as {asker.name} asks, no other recipe has it read again automatically.",
        _to("have it read again", job.drop, MarkerKind.RERUN),
    ]
    verdict = "is not read again automatically"
    return _about(context, job, asker, MarkerKind.CANCEL, MarkerReason.WAITS_NO_MORE, verdict, lines)


def refused(context: Context, job: Job, asker: MarkerObject, kind: MarkerKind, reason: MarkerReason) -> Notification:
    """That a marker does nothing because of the state that a job is in, and what works."""
    verdict, lines = _refusal(job, asker, kind, reason)
    return _about(context, job, asker, kind, reason, verdict, lines)


def _refusal(job: Job, asker: MarkerObject, kind: MarkerKind, reason: MarkerReason) -> tuple[str, list[str]]:
    name, start, nothing = _name(job), _start(job), f"so {asker.name} does nothing."
    match reason:
        case MarkerReason.OLDER:
            return f".{kind} is older than it, and does nothing", [
                f"{asker.name} is older than what {name} is now, {nothing}",
                f"To do it now, make it again: {_how(job.drop, kind)}",
            ]
        case MarkerReason.ALREADY:
            return "is being cancelled already", [f"{start} is being cancelled already, {nothing}"]
        case MarkerReason.REJECTED if kind is MarkerKind.RETRY:
            return "was rejected, there is nothing to retry", [
                f"{start} was rejected, and none of its rows was asked, {nothing}",
                "If the recipe was wrong: correct it and upload it; the file is then read again.",
                "If the file was wrong: correct it and drop it again.",
                _to("have it read again as it is", job.drop, MarkerKind.RERUN),
            ]
        case MarkerReason.REJECTED:
            return f"was rejected, there is nothing to {kind}", [f"{start} was rejected, {nothing}"]
        case MarkerReason.RUNNING:
            return "is still running, there is nothing to retry yet", [
                f"{start} is still running, {nothing} Rows that fail temporarily are sent again automatically.",
                f"If rows have failed at its end, make the marker again then: {_how(job.drop, kind)}",
            ]
        case MarkerReason.HELD:
            lines = [f"{start} waits {waits(job)}, {nothing}"]
            if job.held_reason in APPROVABLE:
                lines.append(_to("have it answered", job.drop, MarkerKind.APPROVE))
            lines.append(_to("end it with what it has", job.drop, MarkerKind.CANCEL))
            return f"waits {waits(job)}, there is nothing to {kind}", lines
        case MarkerReason.NOT_HELD if job.state is JobState.HELD:
            return f"waits {waits(job)}, not for an approval", [
                f"{start} waits {waits(job)}, and not for an approval, {nothing} The message that it waits says how "
                "to continue it."
            ]
        case MarkerReason.NOT_HELD:
            return "needs no approval", [f"{start} does not wait for an approval: it is {job.state}, {nothing}"]
        case MarkerReason.ENDED:
            return f"has ended, there is nothing to {kind}", [
                f"{start} has ended ({job.state}), and {asker.name} came too late to {kind} it."
            ]
        case MarkerReason.NOTHING_TO_RETRY:
            again = _to("ask all rows again", job.drop, MarkerKind.RERUN)
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
    raise AssertionError(f"{reason} does not follow from a job's state")


def no_such_file(marker: Marker, asker: MarkerObject, near: Sequence[str]) -> Notification:
    """That there is no file beside which a marker stands, and which one was perhaps meant: `near` are their keys."""
    drop = _drop(asker, marker.drop_key)
    lines = [f"There is no file `{_shown(drop.name)}` here, so {asker.name} does nothing."]
    for key in near:
        meant = _drop(asker, key)
        lines.append(f"Did you mean `{_shown(meant.name)}`? Then {_how(meant, marker.kind)}")
    if not near:
        lines.append(
            "A marker is named as the file is, with its ending, and lies beside it: for `reviews.csv`, "
            f"`reviews.csv.{marker.kind}`."
        )
    verdict = f"there is no file {_short(drop.name)} here"
    return _alone(asker, marker, MarkerStatus.REFUSED, MarkerReason.NO_SUCH_FILE, verdict, lines, {"near": list(near)})


def not_begun(marker: Marker, asker: MarkerObject) -> Notification:
    """That a file has no job yet."""
    name, short = _shown(_drop(asker, marker.drop_key).name), _short(_drop(asker, marker.drop_key).name)
    if marker.kind in (MarkerKind.RERUN, MarkerKind.RETRY):
        lines = [
            f"{name} had not been read yet. That begins now: all of its rows are asked, with today's recipe. Other "
            "messages follow as the recipe's `notify` says."
        ]
        return _alone(asker, marker, MarkerStatus.DONE, MarkerReason.TAKEN_IN, f"{short} is read now", lines)
    what = "is cancelled" if marker.kind is MarkerKind.CANCEL else "needs no other approval"
    lines = [f"{name} has not been read yet. {asker.name} is kept for it: when its job begins, it {what}."]
    return _alone(asker, marker, MarkerStatus.KEPT, MarkerReason.NOT_BEGUN, f"kept, {short} has not begun yet", lines)


def no_drop(marker: Marker, asker: MarkerObject) -> Notification:
    name = _shown(_drop(asker, marker.drop_key).name)
    lines = [f"{name} is not a file of rows, so {asker.name} does nothing. Make it beside such a file."]
    return _alone(asker, marker, MarkerStatus.REFUSED, MarkerReason.NO_DROP, f"{name} has no rows to answer", lines)


def forgotten(marker: Marker, asker: MarkerObject) -> Notification:
    """That the job has been deleted, and what still works."""
    drop = _drop(asker, marker.drop_key)
    lines = [
        f"{_shown(drop.name)} ended more than three months ago, and the outcomes of its rows are no longer kept, so "
        f"{asker.name} does nothing.",
        _to("ask all rows again with today's recipe", drop, MarkerKind.RERUN),
    ]
    verdict = f"ended long ago, there is nothing to {marker.kind}"
    return _alone(asker, marker, MarkerStatus.REFUSED, MarkerReason.FORGOTTEN, verdict, lines)


def misspelt(marker: NearMarker, asker: MarkerObject) -> Notification:
    drop = _drop(asker, marker.drop_key)
    kinds = ", ".join(f".{kind}" for kind in MarkerKind)
    lines = [
        f"`{marker.ending}` is not a marker, so {asker.name} does nothing; did you mean `.{marker.kind}`?",
        f"Then {_how(drop, marker.kind)}",
        f"The markers are {kinds}.",
    ]
    verdict = f"is not a marker, did you mean .{marker.kind}?"
    return _alone(asker, marker, MarkerStatus.REFUSED, MarkerReason.MISSPELT, verdict, lines)


def given_up(marker: Marker | NearMarker, asker: MarkerObject) -> Notification:
    lines = [
        f"Dropbatch could not look at {asker.name}, although it tried for a day, so it does nothing. Make it again: "
        f"{_how(_drop(asker, marker.drop_key), marker.kind)}"
    ]
    return _alone(asker, marker, MarkerStatus.REFUSED, MarkerReason.GAVE_UP, "could not be looked at", lines)


_STATUS = {
    MarkerReason.CANCELLING: MarkerStatus.DONE,
    MarkerReason.APPROVED: MarkerStatus.DONE,
    MarkerReason.RESUMED: MarkerStatus.DONE,
    MarkerReason.WAITS_NO_MORE: MarkerStatus.DONE,
    MarkerReason.BEING_READ: MarkerStatus.KEPT,
}
"""What became of a marker that found a job; for any other reason it was refused."""


def _about(
    context: Context,
    job: Job,
    asker: MarkerObject,
    kind: MarkerKind,
    reason: MarkerReason,
    verdict: str,
    lines: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> Notification:
    """Say it of a job."""
    detail = {"reason": str(reason), "marker": asker.to_json(kind), **(more or {})}
    status = _STATUS.get(reason, MarkerStatus.REFUSED)
    return notification_of(context, job, "marker", str(status), verdict, lines, detail)


def _alone(
    asker: MarkerObject,
    marker: Marker | NearMarker,
    status: MarkerStatus,
    reason: MarkerReason,
    verdict: str,
    lines: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> Notification:
    """Say it where no job is known."""
    detail = {
        "schema_version": SCHEMA_VERSION,
        "event": "marker",
        "status": str(status),
        "reason": str(reason),
        "marker": asker.to_json(marker.kind),
        "drop": {"bucket": asker.bucket, "key": marker.drop_key, "version_id": None},
        "labels": {},
        **(more or {}),
    }
    folder = _drop(asker, marker.drop_key).folder
    return Notification("marker", str(status), folder, subject(asker.key.rstrip("/"), verdict), as_text(lines), detail)


def _name(job: Job) -> str:
    """Name a job within a sentence: by its file, and from the second run on by its number."""
    name = _shown(job.drop.name)
    return f"run {job.run} of {name}" if job.run > 1 else name


def _start(job: Job) -> str:
    """The same at the start of a sentence."""
    return _name(job).replace("run", "Run", 1) if job.run > 1 else _name(job)


def _number(job: Job) -> str:
    return f"run {job.run}" if job.run else f"the job {job.id}"


def _shown(name: str) -> str:
    return without_controls(name)[:MAX_NAME]


def _short(name: str) -> str:
    """A name as it stands in a verdict, which a subject has room for beside the marker's own name."""
    return cut_from_left(without_controls(name), MAX_IN_VERDICT)


def _drop(asker: MarkerObject, key: str) -> Drop:
    return Drop(asker.bucket, key, "", 0)


def _to(what: str, drop: Drop, kind: MarkerKind) -> str:
    return f"To {what}: {_how(drop, kind)}"


def _how(drop: Drop, kind: MarkerKind) -> str:
    """How to make a marker, in the console and by a command."""
    return f"make a folder `{_shown(drop.name)}.{kind}` beside the file, or: {marker_line(drop, kind)}"
