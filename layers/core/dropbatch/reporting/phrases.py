"""Words what is told in the same way everywhere: counts, times, commands to copy, subjects."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from urllib.parse import quote

from dropbatch.domain.drops import Drop, without_controls
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Notice, Problems

MAX_SUBJECT_UNITS = 99
"""SNS takes subjects of less than 100 characters. It does not say which: this counts as UTF-16, which finds most."""


MAX_FOLDERS = 50
"""How many folders a message is about at most: each is a value of its attribute `folder`, which counts in its size."""


TOLD_PROBLEMS = 5
"""How many problems a notification lists; rejected.json has more."""


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


def problem_lines(problems: Problems) -> list[str]:
    told = [f"- {problem.message}" for problem in problems.kept[:TOLD_PROBLEMS]]
    more = problems.total - len(told)
    return [*told, f"- and {more:,} more"] if more else told


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


def marker_command(drop: Drop, kind: str) -> str:
    target = f"s3://{drop.bucket}/{drop.key}.{kind}"
    return f"echo | aws s3 cp - {shlex.quote(target)}"


def drop_command(drop: Drop) -> str:
    target = f"s3://{drop.bucket}/{drop.key}"
    return f"aws s3 cp {shlex.quote(drop.name)} {shlex.quote(target)}"
