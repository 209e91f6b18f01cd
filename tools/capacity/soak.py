"""A month of a busy account with faults of every kind. The study checks the invariants every day.

Drops come as in `tools.capacity.simulation`, 200 a day. Each day some calls of some ports fail, for minutes to two
days, for all keys or for one. Each job is checked and then deleted, so that a month needs no more memory than a day.

`make soak` (`HOURS=`, `SEED=`) ends with the month, or after the maximum of hours, one if none is given.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import ENDED_JOBS
from dropbatch.polling.poll import poll
from dropbatch.ports import Audience, Notification
from tests.driving import Functions, drop, invoke, notification_of_each_job
from tests.fakes import Fault, Faults
from tests.fakes.faults import any_fault, calls
from tests.schedules.invariants import problems_of_jobs
from tools.capacity.simulation import (
    BATCH_REQUESTS,
    DAY,
    HOUR,
    MODELS,
    RECIPE,
    WORKERS,
    Account,
    arrivals_of,
    next_moment,
)

DROPS_A_DAY, DAYS = 200, 30
FAULTS_A_DAY = 4
MAX_ROWS = 60
MAX_FAULT_DAYS = 2
"""Maximum duration of a fault. The notifications that it delays come within the next days."""

CHECKED_AFTER = 4 * DAY
"""The time after which an ended job is checked and deleted. Its notifications must have come by then."""

MAX_JOB_DAYS = 31
TOKENS_A_DAY = 20_000
"""Maximum number of enqueued tokens of a model. The busy hours need more."""


@dataclass
class Soak:
    """The account with its observed jobs and notifications (an `invariants.Seen`), and the counts of deleted jobs."""

    fake: Account
    notified: list[tuple[float, Audience, Notification]] = field(default_factory=list)
    dropped: dict[str, float] = field(default_factory=dict)  # by key
    counts: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0  # from a drop to its end
    most_notifications: int = 0  # of a job, to one audience

    @property
    def faults(self) -> Faults:
        assert isinstance(self.fake.killer, Faults)
        return self.fake.killer

    def items(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.fake.table.texts()]

    def jobs(self) -> list[dict[str, Any]]:
        return [item for item in self.items() if item["sk"] == "job"]

    def lasting_faults(self) -> list[Fault]:
        return [fault for fault in self.faults.faults if fault.lasts == inf]


def soak(folder: Path, *, days: int = DAYS, drops: int = DROPS_A_DAY, hours: float = inf, seed: int = 1) -> Soak:
    """Simulate `days` days. Raise an AssertionError, which names the seed, if an invariant does not hold."""
    chance = random.Random(seed)
    account = Account(
        folder, limits=Limits(batch_requests=BATCH_REQUESTS), token_limit=TOKENS_A_DAY, seed=seed, faulty=True
    )
    seen = Soak(account)
    seen.faults.watchers["topics.publish"] = lambda audience, notification: seen.notified.extend(
        (account.clock(), audience, each) for each in notification_of_each_job(notification)
    )
    clock, started, began = account.clock, monotonic(), account.clock.now
    for model in set(MODELS):
        account.objects.drop(f"{model}/recipe.yaml", RECIPE % model.encode())
    functions = [Functions(account, name, *work) for name, work in WORKERS.items()]
    for day in range(days + MAX_JOB_DAYS):
        is_over = day >= days or monotonic() - started > hours * HOUR
        coming = [] if is_over else sorted((clock.now + at for at in arrivals_of(chance, drops, DAY)), reverse=True)
        seen.faults.faults = [] if is_over else [f for f in seen.faults.faults if began + f.ends > clock.now]
        if not is_over:
            seen.faults.faults += [_fault(chance, day) for _ in range(FAULTS_A_DAY)]
            seen.counts["faults"] += FAULTS_A_DAY
        _live(seen, functions, coming, began + (day + 1) * DAY, chance)
        seen.counts["days"] += not is_over
        print(f"  day {day + 1}: {seen.counts['drops']:,} drops, {monotonic() - started:,.0f} s", flush=True)
        _check(seen, seed, day, everything=False)
        if is_over and not any(account.table.open(kind) for kind in ("job", "batch", "outbox", "pending", "page")):
            break
    _check(seen, seed, days, everything=True)
    seen.counts["invocations"] = sum(its.invocations for its in functions)
    return seen


def _fault(chance: random.Random, day: int) -> Fault:
    drawn = any_fault(chance, chance.choice(list(calls())))
    lasts = min(drawn.lasts, chance.choice((600.0, HOUR, 6 * HOUR, MAX_FAULT_DAYS * DAY)))
    begins = (day * DAY + chance.uniform(0, DAY)) // 60 * 60
    return Fault(drawn.call, drawn.error, begins, lasts, drawn.after, drawn.only)


def _live(seen: Soak, functions: list[Functions], coming: list[float], until: float, chance: random.Random) -> None:
    account, clock = seen.fake, seen.fake.clock
    while clock.now < until:
        clock.now = next_moment(account, functions, coming[-1] if coming else inf)
        while coming and coming[-1] <= clock.now:
            coming.pop()
            key = f"{chance.choice(MODELS)}/{seen.counts['drops']:06d}.csv"
            count = min(MAX_ROWS, max(1, int(chance.lognormvariate(0, 1) * 8)))
            data = b"text\n" + b"".join(b"row %d of %s\n" % (row, key.encode()) for row in range(count))
            seen.dropped[key] = clock.now
            seen.counts["drops"] += 1
            seen.counts["rows"] += count
            drop(account, key, data)
        account.openai.move()
        for its in functions:
            its.step()
        if int(clock.now) % 60 == 0:
            invoke(account, lambda: poll(account.context))
            seen.counts["polls"] += 1


def _check(seen: Soak, seed: int, day: int, *, everything: bool) -> None:
    """Check the jobs that ended some days ago, or all, and delete them."""
    now = seen.fake.clock.now
    jobs = seen.jobs()
    late = [job["drop"]["key"] for job in jobs if job["state"] not in ENDED_JOBS]
    if everything:
        assert not late, f"seed {seed}: {len(late)} jobs never end, one is {late[0]}"
        lost = seen.dropped.keys() - {job["drop"]["key"] for job in jobs}
        assert not lost, f"seed {seed}: {len(lost)} drops have no job, one is {min(lost)}"
    due = [job for job in jobs if job["state"] in ENDED_JOBS and (everything or job["ended_at"] < now - CHECKED_AFTER)]
    problems = [*problems_of_jobs(seen, due)]
    assert not problems, f"seed {seed}, day {day}: {Counter(problems).most_common()}"
    for job in due:
        _forget(seen, job)


def _forget(seen: Soak, job: Mapping[str, Any]) -> None:
    account, key, job_id = seen.fake, job["drop"]["key"], job["id"]
    mine = [entry for entry in seen.notified if entry[2].detail.get("job_id") == job_id]
    audiences = Counter(audience for _, audience, _ in mine)
    seen.counts["notifications"] += len(mine)
    seen.counts["held"] += sum(notification.event == "held" for _, _, notification in mine)
    seen.counts[f"jobs {job['state']}"] += 1
    seen.most_notifications = max(seen.most_notifications, *audiences.values(), 0)
    seen.longest = max(seen.longest, job["ended_at"] - seen.dropped.pop(key, job["ended_at"]))
    seen.notified = [entry for entry in seen.notified if entry not in mine]
    account.topics.published.clear()
    account.topics.people.clear()
    account.topics.operators.clear()
    account.bus.published.clear()
    account.observer.lines.clear()
    account.table._partitions.pop(f"job#{job_id}", None)
    for bucket, name in [at for at in account.objects._objects if job_id in at[1] or at[1].startswith(key)]:
        account.objects.forget(bucket, name)
    account.openai.forget(job_id)


def report(seen: Soak, seed: int) -> str:
    counts = seen.counts
    jobs = {name.removeprefix("jobs "): count for name, count in sorted(counts.items()) if name.startswith("jobs ")}
    lines = {
        "seed": seed,
        "days": counts["days"],
        "drops": counts["drops"],
        "rows": counts["rows"],
        "faults": counts["faults"],
        "calls that failed": sum(seen.faults.fired.values()),
        "jobs": ", ".join(f"{count:,} {state}" for state, count in jobs.items()),
        "invocations a drop": round(counts["invocations"] / max(1, counts["drops"]), 1),
        "polls": counts["polls"],
        "notifications a drop": round(counts["notifications"] / 2 / max(1, counts["drops"]), 2),
        "most notifications of a job": seen.most_notifications,
        "of these held": counts["held"] // 2,
        "longest from drop to end, hours": round(seen.longest / HOUR, 1),
    }
    return "\n".join(
        f"  {name:<34}{f'{value:,}' if isinstance(value, int) else value}" for name, value in lines.items()
    )


def main(hours: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(report(soak(Path(folder), hours=hours, seed=seed), seed))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
