"""Words what is told in the same way everywhere: counts, times, commands to copy, subjects."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from dropbatch.domain.drops import Drop, without_controls
from dropbatch.domain.problems import Notice, Problems

SUBJECT_CHARACTERS = 99
"""SNS takes subjects of less than 100 characters."""


TOLD_PROBLEMS = 5
"""How many problems a notification lists; rejected.json has more."""


def subject(name: str, verdict: str) -> str:
    """`<name>: <verdict>` in under 100 characters; the name is cut, the verdict never."""
    name, verdict = without_controls(name), without_controls(verdict)
    room = SUBJECT_CHARACTERS - len(verdict) - 2
    return f"{name if len(name) <= room else name[: room - 1] + '…'}: {verdict}"


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
