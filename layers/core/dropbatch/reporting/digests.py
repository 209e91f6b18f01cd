"""Digests: one message for people about many drops of a folder.

The facts about each job are in the job's item, as numbers and codes. So a digest of hundreds of jobs reads only a few
of their notices: those with the sentences about the commonest problems.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from dropbatch.domain.drops import cut
from dropbatch.domain.jobs import Job
from dropbatch.domain.outbox import DigestEntry, DigestReason
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.pages import page_of_all
from dropbatch.ports import Notification
from dropbatch.reporting.advice import Cure, cures, remedy
from dropbatch.reporting.event_members import SCHEMA_VERSION
from dropbatch.reporting.month_lines import month_line
from dropbatch.reporting.phrases import (
    about,
    as_text,
    console_link,
    counted,
    end_to_come,
    marker_command,
    object_link,
    rows_counted,
    subject,
)
from dropbatch.reporting.quote_lines import quotes_line
from dropbatch.reporting.row_limit import rows_taken_together
from dropbatch.storage.context import Context

MAX_NAMED = 10
"""How many files a digest names."""

MAX_REASONS = 3
"""How many of the commonest problems a digest explains."""

MAX_VERDICT_BYTES = 200

OPEN_RUNS = "open_runs"
"""The code that says that an older run of the file was open when another one was accepted."""

_WORST = ("failed", "partial", "cancelled", "rejected", "held", "duplicate", "running", "succeeded")
"""The statuses of drops, the worst first."""

_EVENTS = frozenset({"accepted", "ended", "rejected", "duplicate"})
"""The events that may wait a minute for others of their kind. So may a hold that its owner cannot end."""


class Part(NamedTuple):
    """One of the jobs of a digest."""

    job: Job
    entry: DigestEntry


def can_wait(notification: Notification) -> bool:
    """Return whether a notification may be sent a little later, together with others of the folder."""
    return notification.event in _EVENTS or (notification.event == "held" and notification.operators is not None)


def digest_entry(now: int, notification: Notification) -> DigestEntry:
    """Return the facts of a notice that a digest needs."""
    detail = notification.detail
    rows, cost = detail.get("rows", {}), detail.get("cost", {})
    paid, saved = cost.get("paid"), cost.get("saved")
    return DigestEntry(
        notification.event,
        now,
        notification.status,
        cut(notification.verdict or notification.subject.rpartition(": ")[2], MAX_VERDICT_BYTES),
        rows.get("total", 0) - rows.get(str(Outcome.SKIPPED), 0),
        rows.get(str(Outcome.OK), 0),
        None if paid is None else round(paid * 1e6),
        0 if saved is None else round(saved * 1e6),
        None if cost.get("all_rows") is None else round(cost["all_rows"] * 1e6),
        any(cost.get(name) for name in ("unpriced_requests", "uncollected_requests", "unpriced_tool_calls")),
        _reasons(notification)[:MAX_REASONS],
    )


def _reasons(notification: Notification) -> list[DigestReason]:
    detail = notification.detail
    match notification.event:
        case "ended":
            return [
                DigestReason(reason["outcome"], reason["code"], reason.get("rows", 0))
                for reason in detail.get("reasons", ())
            ]
        case "rejected":
            return [DigestReason("", code, count) for code, count in _codes(detail["problems"]["first"]).items()]
        case "held":
            return [DigestReason("", detail["held_reason"], 1)]
    older = [DigestReason("", OPEN_RUNS, 1)] if detail.get("open_runs") else []
    return older + [DigestReason("", code, 1) for code in _codes(detail.get("notices", ()))]


def _codes(problems: Sequence[Mapping[str, str]]) -> Counter[str]:
    return Counter(problem["code"] for problem in problems)


def sentence_about(notification: Notification, code: str) -> str | None:
    """Return the sentence of a notice about the problem or the notice with this code."""
    detail = notification.detail
    if detail.get("held_reason") == code:
        return notification.text.partition("\n")[0].rpartition(": ")[2]
    said = [*detail.get("problems", {}).get("first", ()), *detail.get("notices", ())]
    return next((problem["message"] for problem in said if problem["code"] == code), None)


def explained(parts: Sequence[Part]) -> list[tuple[DigestReason, int, Part]]:
    """Return the commonest reasons: each with all its rows, with the number of jobs that have it, and one of them."""
    found: dict[tuple[str, str], tuple[DigestReason, int, Part]] = {}
    for part in parts:
        for reason in part.entry.reasons:
            key = reason.outcome, reason.code
            former, jobs, first = found.get(key, (DigestReason(*key, 0), 0, part))
            found[key] = DigestReason(*key, former.count + reason.count), jobs + 1, first
    return sorted(found.values(), key=lambda reason: (-reason[1], -reason[0].count))[:MAX_REASONS]


def digest(context: Context, parts: Sequence[Part], notices: Mapping[str, Notification]) -> Notification:
    """Return the digest of jobs with the same event. `notices` are examples of notices, by the code of their reason."""
    parts = sorted(parts, key=lambda part: (_rank(part.entry.status), part.job.drop.key))
    first = parts[0]
    event, status = first.entry.event, first.entry.status
    folders = sorted({part.job.drop.folder for part in parts})
    top = _common(folders)
    where = f"of {top}" if top != "/" else "of the inbox"
    verdict, opening, closing = _worded(event, f"{_files(parts)} {where}", parts)
    if event == "ended":
        opening.append(month_line(context, context.now()))
    text = [*opening, *_why(event, parts, notices), *_steps(parts, notices), "Files:"]
    text += [f"- {_short(part.job, top)}: {part.entry.verdict}" for part in parts[:MAX_NAMED]]
    if len(parts) > MAX_NAMED:
        text.append(f"- and {len(parts) - MAX_NAMED:,} more")
    prefix = "" if top == "/" else f"{top}/"
    text += [
        f"Results: s3://{context.buckets.results}/{prefix}",
        f"In the console: {console_link(context.region, context.buckets.results, prefix)}",
        f"Progress and reports: {object_link(context.region, context.buckets.results, page_of_all(folders))}",
        *closing,
    ]
    if any(part.job.recipe_path for part in parts):
        text.append("For a message for each file instead, put digest: off into the recipe.")
    detail = {
        "schema_version": SCHEMA_VERSION,
        "event": event,
        "status": status,
        "digest": [{"job_id": part.job.id, "key": part.job.drop.key, "status": part.entry.status} for part in parts],
    }
    return Notification(
        event,
        status,
        folders[0],
        subject("inbox" if top == "/" else top, verdict),
        as_text(text),
        detail,
        verdict,
        first.job.recipe_folder,
        tuple(folders[1:]),
    )


def _files(parts: Sequence[Part]) -> str:
    """Say how many files there are, and how many runs if a file has several."""
    files = counted(len({part.job.drop.key for part in parts}), "file")
    runs = counted(len(parts), "run")
    return files if files.partition(" ")[0] == runs.partition(" ")[0] else f"{runs} of {files}"


def _worded(event: str, files: str, parts: Sequence[Part]) -> tuple[str, list[str], list[str]]:
    """Return the verdict, the first lines and the last ones."""
    rows = rows_taken_together([part.job for part in parts])
    count = _files(parts)
    match event:
        case "accepted":
            return (
                f"{count} accepted, {rows.removesuffix(' (`limit`)')}",
                [
                    f"{files} were accepted: {rows}.",
                    *quotes_line([part.job.quote for part in parts]),
                    end_to_come([part.job for part in parts], "they are done"),
                ],
                [f"To stop one, and so for each: {marker_command(parts[0].job.drop, 'cancel')}"],
            )
        case "ended":
            return _ended(files, parts)
        case "rejected":
            return (
                f"{count} rejected",
                [f"{files} were rejected. Nothing was sent to OpenAI, and nothing is billed."],
                ["Each file's folder has a report.html with all its problems and what to do."],
            )
        case "duplicate":
            opening = (
                f"{files} were dropped again with the same content and recipe while their jobs are still open, so "
                "nothing was sent, and nothing is billed twice."
            )
            return f"{count} already being answered", [opening], []
    return (
        f"{count} wait for the administrators",
        [f"{files} wait for the stack's administrators, who were notified. Nothing is lost."],
        [f"To end one with what it has, and so for each: {marker_command(parts[0].job.drop, 'cancel')}"],
    )


def _ended(files: str, parts: Sequence[Part]) -> tuple[str, list[str], list[str]]:
    found = [part.entry for part in parts]
    rows, answered = sum(entry.rows for entry in found), sum(entry.answered for entry in found)
    statuses = Counter(entry.status for entry in found)
    bad = len(parts) - statuses["succeeded"]
    kinds = ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items(), key=lambda s: _rank(s[0])))
    count = _files(parts)
    verdict = (
        f"{count} ended, {f'{bad:,} with problems' if bad else 'all succeeded'}, {answered:,} of {rows:,} answered"
    )
    opening = [f"{files} ended: {kinds}. {answered:,} of {rows_counted(rows)} were answered.", _paid(found)]
    opening += [*_limited(parts), *_replaced(parts)]
    closing = [
        "Each file's folder has its answers, and a report.html that says what to do about rows without a good one.",
    ]
    return verdict, opening, [*closing, *_again(parts)]


def _limited(parts: Sequence[Part]) -> list[str]:
    """Say which rows were sent, and what all would cost, if a `limit` left some out."""
    if not any(part.job.limited for part in parts):
        return []
    costs = [part.entry.all_rows if part.job.limited else part.entry.paid for part in parts]
    more = "" if None in costs else f"; all of them would cost {about(_dollars(sum(filter(None, costs))))}"
    return [f"The runs asked {rows_taken_together([part.job for part in parts])}{more}."]


def _replaced(parts: Sequence[Part]) -> list[str]:
    found = [part for part in parts if part.job.replaced_by]
    if not found:
        return []
    which = f"{counted(len(found), 'run')}, such as that of {found[0].job.drop.name}"
    return [f"{which}: a newer version replaced the file, and the recipe says `replace: cancel`."]


def _again(parts: Sequence[Part]) -> list[str]:
    """Say how to retry rows without a good answer, as the message of one file does: of the first that allows it."""
    found = [(part, _cures(part)) for part in parts if part.entry.status != "succeeded"]
    for part, part_cures in found:
        if Cure.AGAIN in part_cures:
            return [f"To ask the failed rows of one again, and so for each: {marker_command(part.job.drop, 'retry')}"]
    changed = [part for part, part_cures in found if Cure.RECIPE in part_cures]
    if not changed:
        return []
    part = next((part for part in changed if part.entry.answered), changed[0])
    rows, kind = ("the failed rows", "retry") if part.entry.answered else ("all rows", "rerun")
    command = marker_command(part.job.drop, kind)
    return [f"Once the recipe is changed, to ask {rows} of one with it, and so for each: {command}"]


def _cures(part: Part) -> set[Cure]:
    reasons = [(Outcome(reason.outcome), reason.code) for reason in part.entry.reasons]
    return cures(reasons, has_recipe=part.job.recipe_sha256 is not None)


def _paid(found: Sequence[DigestEntry]) -> str:
    known = [entry for entry in found if entry.paid is not None]
    if not known:
        return "The cost is not known."
    paid, saved = (_dollars(sum(entry.paid or 0 for entry in known)), _dollars(sum(entry.saved for entry in known)))
    text = f"Paid {about(paid)}"
    if saved >= 0:
        text += f", and saved {about(saved)} by batching"
    if len(known) < len(found) or any(entry.unpriced for entry in found):
        return text + "; the cost of some requests is not known, and not in the sum."
    return text + "."


def _dollars(micros: int) -> Decimal:
    """Return an amount of an entry in dollars."""
    return Decimal(micros).scaleb(-6)


def _why(event: str, parts: Sequence[Part], notices: Mapping[str, Notification]) -> list[str]:
    lines = []
    for reason, jobs, part in explained(parts):
        example = part.job.drop.name
        sentence = sentence_about(notices[reason.code], reason.code) if reason.code in notices else None
        if reason.outcome:
            what = f"{rows_counted(reason.count)} {reason.outcome} ({reason.code}) in {counted(jobs, 'file')}"
            lines.append(f"- {what}: {_remedy(part.job, reason)}")
        elif reason.code == OPEN_RUNS:
            lines.append(f"- {counted(jobs, 'file')}, such as {example}: {_open_runs(part.job)}")
        elif sentence:
            which = f"{counted(jobs, 'file')}, such as {example}" if event != "accepted" else counted(jobs, "file")
            lines.append(f"- {which}: {sentence}")
        else:
            lines.append(f"- {counted(jobs, 'file')}: {reason.code}")
    return lines


def _steps(parts: Sequence[Part], notices: Mapping[str, Notification]) -> list[str]:
    """Return the steps against the commonest problem, from the message of one file that has it."""
    for reason, _, part in explained(parts):
        steps = notices[reason.code].steps if reason.code in notices else ()
        if steps:
            return [f"What to do, for example for {part.job.drop.name}:", *steps]
    return []


def _open_runs(job: Job) -> str:
    what = "an older run of the file is still open"
    if job.cancels_older:
        return f"{what}; the recipe says `replace: cancel`, so runs of older versions are cancelled"
    return f"{what}, and is paid, too; a .cancel beside the file ends all of its runs"


def _remedy(job: Job, reason: DigestReason) -> str:
    return remedy(Outcome(reason.outcome), reason.code, has_recipe=job.recipe_sha256 is not None)


def _short(job: Job, top: str) -> str:
    """Return a file's name relative to the folder that the digest is about."""
    name = job.drop.key if top == "/" else job.drop.key.removeprefix(f"{top}/")
    return f"{name}, run {job.run}" if job.run > 1 else name


def _common(folders: Sequence[str]) -> str:
    """Return the deepest folder that contains all of these."""
    if len(folders) == 1:
        return folders[0]
    parts = [folder.split("/") for folder in folders]
    shared = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return "/".join(shared) or "/"


def _rank(status: str) -> int:
    return _WORST.index(status) if status in _WORST else 0
