"""Phrases that all messages share: counts, times, commands to copy, subjects."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from urllib.parse import quote

from dropbatch.domain.drops import Drop, without_controls
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Notice, ProblemGroup, Problems
from dropbatch.domain.states import APPROVABLE, HeldReason

MAX_SUBJECT_UNITS = 99
"""SNS takes subjects of less than 100 characters, without defining these. Units of UTF-16 are the strictest count."""


MAX_FOLDERS = 50
"""How many folders a message may be about: each is a value of its attribute `folder`, which counts in its size."""


MAX_PROBLEMS = 5
"""How many causes a notification lists; rejected.json has more."""


def subject(name: str, verdict: str) -> str:
    """Return `<name>: <verdict>` in under 100 characters.

    A long name is cut from the left, because its end distinguishes it. The verdict, with its numbers, is never cut.
    """
    verdict = ": " + without_controls(verdict)
    return cut_from_left(without_controls(name), MAX_SUBJECT_UNITS - units(verdict)) + verdict


def run_name(job: Job) -> str:
    """Name a run of a drop in a subject: by its whole key, and from the second run on by its number."""
    return f"{job.drop.key}, run {job.run}" if job.run > 1 else job.drop.key


def cut_from_left(text: str, maximum: int) -> str:
    """Return a text of at most `maximum` units of UTF-16: of a longer one its end, after a mark."""
    if units(text) <= maximum:
        return text
    return "…" + _utf16(text)[-2 * max(0, maximum - 1) or len(_utf16(text)) :].decode("utf-16-le", "ignore")


def units(text: str) -> int:
    """Return the length of a text in units of UTF-16."""
    return len(_utf16(text)) // 2


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "replace")


def end_to_come(jobs: Sequence[Job], done: str) -> str:
    """Say when OpenAI answers, and whether people get a message at the end, as the recipes' `notify` says."""
    wanted = {next((kind for kind in ("ended", "problems") if kind in job.notify), None) for job in jobs}
    if wanted == {"ended"}:
        then = f"another message follows when {done}"
    elif wanted == {"problems"}:
        then = "another message follows only if something goes wrong, as the recipe's `notify` says"
    elif wanted == {None}:
        then = f"no message follows when {done}, as the recipe's `notify` says"
    else:
        then = "whether another message follows, the recipe's `notify` says"
    if all(job.quote is not None and not job.quote.requests for job in jobs):
        return f"{then[0].upper()}{then[1:]}."  # nothing is sent
    return f"OpenAI answers within 24 hours; {then}."


CENT = Decimal("0.01")
_LEAST = Decimal("0.00001")


def money(usd: Decimal) -> str:
    """Say a sum of US dollars as people do: `under a cent`, `3 cents`, `$1.24`, `$1,204.50`."""
    cents = round(usd * 100)
    if usd <= 0:
        return "nothing"
    if usd < CENT:
        return "under a cent"
    return counted(cents, "cent") if cents < 100 else f"${usd:,.2f}"


def shown(usd: Decimal) -> Decimal:
    """Return a sum of US dollars with five decimals, of which each shows; a sum that is not zero never becomes zero."""
    return round(usd, 5) or (_LEAST.copy_sign(usd) if usd else usd)


def dollars(usd: Decimal) -> float:
    """Return a sum as JSON shows it: a number of US dollars with at most five decimals."""
    return float(shown(usd))


def dollars_or_null(usd: Decimal | None) -> float | None:
    """Return the same; None for a sum that is not known, or a limit that nobody has set."""
    return None if usd is None else dollars(usd)


def read_dollars(written: float | None) -> Decimal | None:
    """Return a sum that JSON shows; None if it is not known."""
    return None if written is None else Decimal(str(written))


def money_limit(usd: Decimal) -> str:
    """Say a limit, which somebody wrote: `$500`, `$2.50`, and one of less than a cent with all its digits."""
    if 0 < usd < CENT:
        return f"${usd.normalize():f}"
    return f"${usd:,.0f}" if usd >= 1 and usd == usd.to_integral_value() else money(usd)


def about(usd: Decimal) -> str:
    """Say a sum that is calculated from a price list: `about 3 cents`; `under a cent` is vague enough."""
    return f"about {money(usd)}" if usd >= CENT else money(usd)


def percent(share: Decimal) -> str:
    """Say a share that somebody wrote, with all its digits: `90%`, `99.5%`."""
    return f"{(share * 100).normalize():f}%"


def local_time(seconds: int, zone: tzinfo) -> str:
    """Say a time in a time zone, to the minute: `27 Nov 2026, 06:23 CET`."""
    when = datetime.fromtimestamp(seconds, zone)
    name = when.tzname() or "UTC"
    return f"{when.day} {when:%b %Y, %H:%M} {name if name[0].isalpha() else 'UTC' + name}"


def iso(seconds: int) -> str:
    """Return a time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def console_link(region: str, bucket: str, prefix: str) -> str:
    """Return the address of the S3 console for objects with this prefix."""
    return f"{_console(region)}/s3/buckets/{bucket}?region={region}&prefix={quote(prefix)}"


def object_link(region: str, bucket: str, key: str) -> str:
    """Return the address of the S3 console for one object, which its button *Open* shows in the browser."""
    return f"{_console(region)}/s3/object/{bucket}?region={region}&prefix={quote(key)}"


def _console(region: str) -> str:
    host = next((host for start, host in _CONSOLES.items() if region.startswith(start)), "console.aws.amazon.com")
    return f"https://{region}.{host}"


_CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
"""The consoles of regions outside AWS's main partition, by the start of the region's name."""


def problem_lines(problems: Problems, unit: str = "line") -> list[str]:
    """Return a line for each of the first causes, with the number of lines that have it, and count the other causes.

    `unit` is the unit of the file's line numbers: a table has rows. A problem of a recipe is in one place.
    """
    lines = [f"- {_grouped(group, unit)}" for group in problems.groups[:MAX_PROBLEMS]]
    more = problems.causes - len(lines)
    return [*lines, f"- and {more:,} more"] if more else lines


def unit_of(drop: Drop) -> str:
    """Return the unit of a drop's line numbers: a table has rows."""
    return "row" if drop.key.lower().endswith(".parquet") else "line"


def _grouped(group: ProblemGroup, unit: str) -> str:
    message = group.first.message
    if group.count == 1 or group.first.path is not None:
        return message
    if not group.lines:
        return f"{group.count:,} times: {message}"
    if group.count <= len(group.lines):
        return f"{counted(group.count, unit)} ({listed_numbers(group.lines)}): {message}"
    if len(group.lines) == 1:
        return f"{counted(group.count, unit)}, the first is {group.lines[0]:,}: {message}"
    return f"{counted(group.count, unit)}, the first are {listed_numbers(group.lines)}: {message}"


def listed_numbers(numbers: Sequence[int]) -> str:
    """Return `2, 3 and 4`."""
    written = [f"{number:,}" for number in numbers]
    return " and ".join([*([", ".join(written[:-1])] if written[1:] else []), written[-1]])


def notice_lines(notices: Sequence[Notice]) -> list[str]:
    """Return a line for each notice."""
    return [f"- {notice.message}" for notice in notices]


def as_text(lines: Sequence[str]) -> str:
    """Return lines as one text."""
    return "\n".join(lines) + "\n"


def rows_counted(count: int) -> str:
    """Say a number of rows."""
    return counted(count, "row")


def batches_counted(count: int) -> str:
    """Say a number of batches."""
    return f"{count:,} batch{'' if count == 1 else 'es'}"


def counted(count: int, noun: str) -> str:
    """Say a number of things, such as `1 row` or `1,204 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def marker_line(drop: Drop, kind: str) -> str:
    """Return the command that puts a marker beside a drop."""
    target = f"s3://{drop.bucket}/{drop.key}.{kind}"
    return f"echo | aws s3 cp - {shlex.quote(target)}"


def marker_command(drop: Drop, kind: str) -> str:
    """Return the same command, and below it how to do it in the S3 console."""
    return marker_line(drop, kind) + in_console(f"make a folder `{drop.name}.{kind}` beside the file")


def copy_command(drop: Drop, sources: Sequence[str], targets: Sequence[str]) -> str:
    """Return the command that copies objects of a drop's bucket, and below it how to do it in the S3 console."""
    commands = []
    by_folder: dict[str, list[str]] = {}
    for source, target in zip(sources, targets, strict=True):
        source_name, target_name = (shlex.quote(f"s3://{drop.bucket}/{key}") for key in (source, target))
        commands.append(f"aws s3 cp {source_name} {target_name}")
        by_folder.setdefault(target.rpartition("/")[0], []).append(f"`{source}`")
    ways = [
        f"copy {', '.join(names)} {f'into the folder `{folder}/`' if folder else 'to the top of the bucket'}"
        for folder, names in by_folder.items()
    ]
    return " && ".join(commands) + in_console("; ".join(ways))


def drop_command(drop: Drop) -> str:
    """Return the command that uploads a file in place of a drop, and below it how to do it in the S3 console."""
    target = f"s3://{drop.bucket}/{drop.key}"
    return f"aws s3 cp {shlex.quote(drop.name)} {shlex.quote(target)}{in_console(f'upload it into {place(drop)}')}"


def waits(job: Job) -> str:
    """Return the words after `waits`: for what, or why."""
    return _WAITS[job.held_reason] if job.held_reason else "no more"


_WAITS = {
    **dict.fromkeys(APPROVABLE, "for your approval"),
    HeldReason.PERMISSION: "because the API key lacks a permission",
    HeldReason.ACCOUNT: "because OpenAI takes no work from the account",
    HeldReason.STUCK: "because a step of it fails again and again",
    HeldReason.KEY: "for an OpenAI API key",
    HeldReason.KEY_CHANGED: "because the API key was changed",
    HeldReason.FAILING: "because too few rows were answered",
}


def in_console(way: str) -> str:
    """Return the line below a command, for people without a command line."""
    return f"\n  or, in the S3 console, {without_controls(way)}"


def place(drop: Drop) -> str:
    """Name the folder of a drop."""
    return "the bucket itself, into no folder" if drop.folder == "/" else f"the folder `{drop.folder}/`"


def duration(seconds: int) -> str:
    """Say how long something took, in at most two units: `40 s`, `3 min`, `3 h 12 min`, `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"
