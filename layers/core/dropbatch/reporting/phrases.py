"""Words what is told in the same way everywhere: counts, times, commands to copy, subjects."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from urllib.parse import quote

from dropbatch.domain.drops import Drop, without_controls
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Notice, ProblemGroup, Problems
from dropbatch.domain.states import HeldReason

MAX_SUBJECT_UNITS = 99
"""SNS takes subjects of less than 100 characters. It does not say which: this counts as UTF-16, which finds most."""


MAX_FOLDERS = 50
"""How many folders a message is about at most: each is a value of its attribute `folder`, which counts in its size."""


TOLD_PROBLEMS = 5
"""How many causes a notification lists; rejected.json has more."""


def subject(name: str, verdict: str) -> str:
    """`<name>: <verdict>` in under 100 characters. The name is cut from the left, as its end tells it from others.

    The verdict, which has the numbers, is never cut.
    """
    verdict = ": " + without_controls(verdict)
    return cut_from_left(without_controls(name), MAX_SUBJECT_UNITS - units(verdict)) + verdict


def run_name(job: Job) -> str:
    """Name a run of a drop in a subject: by its whole key, and from the second run on by its number."""
    return f"{job.drop.key}, run {job.run}" if job.run > 1 else job.drop.key


def cut_from_left(text: str, most: int) -> str:
    """Return the end of a text that has more than `most` units of UTF-16, with a mark; others as they are."""
    if units(text) <= most:
        return text
    return "…" + _utf16(text)[-2 * max(0, most - 1) or len(_utf16(text)) :].decode("utf-16-le", "ignore")


def units(text: str) -> int:
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
    return f"OpenAI answers within 24 hours; {then}."


def money(usd: float) -> str:
    """Say a sum of US dollars as people do: `under a cent`, `3 cents`, `$1.24`, `$1,204.50`."""
    cents = round(usd * 100)
    if usd <= 0:
        return "nothing"
    if usd < 0.01:
        return "under a cent"
    return counted(cents, "cent") if cents < 100 else f"${usd:,.2f}"


def about(usd: float) -> str:
    """Say a sum that is calculated from a price list: `about 3 cents`; `under a cent` is vague enough."""
    return f"about {money(usd)}" if usd >= 0.01 else money(usd)


def local_time(seconds: int, zone: tzinfo) -> str:
    """Say a time in a time zone, to the minute: `27 Nov 2026, 06:23 CET`."""
    when = datetime.fromtimestamp(seconds, zone)
    name = when.tzname() or "UTC"
    return f"{when.day} {when:%b %Y, %H:%M} {name if name[0].isalpha() else 'UTC' + name}"


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def console_link(region: str, bucket: str, prefix: str) -> str:
    host = next((host for start, host in _CONSOLES.items() if region.startswith(start)), "console.aws.amazon.com")
    return f"https://{region}.{host}/s3/buckets/{bucket}?region={region}&prefix={quote(prefix)}"


_CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
"""The console of regions that are not in AWS's main partition, by how their names begin."""


def problem_lines(problems: Problems, unit: str = "line") -> list[str]:
    """Return a line for each of the first causes, with how many lines of the file have it, and how many causes follow.

    `unit` is what a problem's line counts in a file: a table has rows. A problem of a recipe is in one place.
    """
    told = [f"- {_grouped(group, unit)}" for group in problems.groups[:TOLD_PROBLEMS]]
    more = problems.causes - len(told)
    return [*told, f"- and {more:,} more"] if more else told


def unit_of(drop: Drop) -> str:
    """Return what a problem's line counts in a drop: a table has rows."""
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
    return [f"- {notice.message}" for notice in notices]


def as_text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def rows_counted(count: int) -> str:
    return counted(count, "row")


def batches_counted(count: int) -> str:
    return f"{count:,} batch{'' if count == 1 else 'es'}"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def marker_line(drop: Drop, kind: str) -> str:
    """Return the command that puts a marker beside a drop."""
    target = f"s3://{drop.bucket}/{drop.key}.{kind}"
    return f"echo | aws s3 cp - {shlex.quote(target)}"


def marker_command(drop: Drop, kind: str) -> str:
    """Return the same, and on the line below it how the S3 console does."""
    return marker_line(drop, kind) + in_console(f"make a folder `{drop.name}.{kind}` beside the file")


def copy_command(drop: Drop, sources: Sequence[str], targets: Sequence[str]) -> str:
    """Return the line that copies objects of a drop's bucket, and below it how the S3 console does."""
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
    """Return the line that uploads a file in place of a drop, and below it how the S3 console does."""
    target = f"s3://{drop.bucket}/{drop.key}"
    return f"aws s3 cp {shlex.quote(drop.name)} {shlex.quote(target)}{in_console(f'upload it into {place(drop)}')}"


def waits(job: Job) -> str:
    """Say behind `waits` for what, or why."""
    return _WAITS[job.held_reason] if job.held_reason else "no more"


_WAITS = {
    HeldReason.SIZE: "for your approval",
    HeldReason.REPEATED: "for your approval",
    HeldReason.PERMISSION: "because the API key lacks a permission",
    HeldReason.ACCOUNT: "because OpenAI takes no work from the account",
    HeldReason.STUCK: "because a step of it fails again and again",
    HeldReason.KEY: "for an OpenAI API key",
    HeldReason.KEY_CHANGED: "because the API key was changed",
    HeldReason.FAILING: "because too few rows were answered",
}


def in_console(way: str) -> str:
    """Return the line below a command for people who have no command line."""
    return f"\n  or, in the S3 console, {without_controls(way)}"


def place(drop: Drop) -> str:
    """Name the folder of a drop."""
    return "the bucket itself, into no folder" if drop.folder == "/" else f"the folder `{drop.folder}/`"
