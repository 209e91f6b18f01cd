"""A world of a few drops that lives for weeks under faults that last, and what is seen of it meanwhile.

Nothing is waited for minute by minute while nothing moves: the clock goes on to the next date that is known, in the
table, in a queue or at OpenAI, and where none is known in growing steps.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import orjson

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import ENDED_JOBS, TERMINAL, OpenAIStatus
from dropbatch.polling.digest import QUIET_SECONDS
from dropbatch.polling.poll import poll
from dropbatch.ports import Audience, Notification, RemoteBatch
from tests.driving import QUEUES, RECIPE, deliver_next, drop, invoke, told_of_each
from tests.fakes import FakeContext, FakeOpenAI, Fault, Faults, answer_ok, response_line
from tests.fakes.faults import about, is_everything

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LONGEST_STEP = DAY
LONGEST_TIMED_STEP = 5 * MINUTE
"""While a drop's time is compared with a healthy one's, and nothing is known to be due sooner."""
MAX_TICKS = 12_000
"""A life that is not at rest after so many polls has something that goes round and round."""

LAST_DAY = 31 * DAY
"""By then every job has ended; faults that last for ever and let nothing end, or nothing be told, stop."""

LATE_DAY = 28 * DAY
"""From then on it is seen to the hour when jobs end, for that is when they must."""

AFTER = 2 * DAY
"""What is left of a fault that stopped on the last day is done within this time."""

SHAPES = 6
"""How many different worlds there are; each is also lived without any fault, to compare with."""

DATES = ("not_before", "lease_until", "deadline_at", "notify_after")
"""Members of items by which something is due."""

RAW, TABLE, BESIDE, LATE, LAST = "raw/raw.jsonl", "csv/table.csv", "beside/beside.csv", "late/late.csv", "last/last.csv"
NEIGHBOURS = (BESIDE, LATE, LAST)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens in a life. `shape` says which world it is, `kills` at which calls a process dies."""

    shape: int
    faults: tuple[Fault, ...] = ()
    kills: tuple[int, ...] = ()


class TimedOpenAI(FakeOpenAI):
    """FakeOpenAI whose batches take `seconds`, and whose answers say which batch and row they are of."""

    seconds = HOUR

    def _look(self, batch: RemoteBatch) -> RemoteBatch:
        done = self._clock() >= batch.created_at + self.seconds
        self.ending = OpenAIStatus.COMPLETED if done else None
        return super()._look(batch)

    def next_end(self) -> float:
        """When the next batch ends; infinite if none is under way."""
        ends = [b.created_at + self.seconds for b in self.batches.values() if b.status not in TERMINAL]
        return min((end for end in ends if end > self._clock()), default=inf)


@dataclass
class Life:
    """A schedule as it is lived."""

    folder: Path
    schedule: Schedule
    invocations: Counter[tuple[str, int]] = field(default_factory=Counter)  # by function and hour
    told: list[tuple[float, Audience, Notification]] = field(default_factory=list)
    dropped: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)  # by job id
    problems: dict[str, None] = field(default_factory=dict)  # what was seen to be wrong meanwhile, in order
    ticks: int = 0

    def __post_init__(self) -> None:
        shape = self.schedule.shape
        self.chance = random.Random(shape)
        self.fake = FakeContext(self.folder, limits=Limits(batch_requests=3))
        self.clock = self.fake.clock
        self.clock.now -= self.clock.now % 3600
        self.start = self.clock.now
        self.faults = Faults(self.clock, self.schedule.faults)
        self.faults.points = set(self.schedule.kills)
        self.fake.killer = self.faults
        self.fake.chains.allowed = False
        self.fake.seconds_left = lambda: self.faults.seconds_left
        self.openai = TimedOpenAI(self.clock)
        self.openai.seconds = self.chance.choice((5 * MINUTE, 10 * MINUTE, 20 * MINUTE))
        self.openai.answer = self._answer
        self.fake.openai = self.openai
        self.faults.watchers["topics.publish"] = self._hear
        self._tries: Counter[str] = Counter()
        self._ended_open: dict[str, int] = {}
        self._actions = sorted(self._plan(), key=lambda action: action[0])
        self._changed = self._moves = 0
        self._states: dict[tuple[str, str], set[Any]] = {}
        self._read_at = -1  # after how many changes the table was read
        self._known: dict[str, dict[str, Any]] = {}  # its items, by their texts
        self._by_open: dict[str, list[dict[str, Any]]] = {}
        for name in ("insert", "replace", "delete", "renew"):
            self.faults.watchers[f"table.{name}"] = self._count_change

    # What happens from without.

    def _plan(self) -> Iterator[tuple[float, Callable[[], object]]]:
        """What its users do, and when."""
        shape = self.schedule.shape
        for folder in ("csv", "beside", "late", "last"):
            self.fake.objects.drop(f"{folder}/recipe.yaml", RECIPE.replace(b"4o-mini", folder.encode()))
        self.fake.objects.drop("csv/recipe.yaml", RECIPE + b"mirror: true\n")
        yield self.start, lambda: self._drop(RAW, raw_lines())
        yield self.start, lambda: self._drop(TABLE, b"text\n" + b"".join(b"t %d\n" % n for n in range(1, 6)))
        yield self.start, lambda: self._drop(BESIDE, b"text\nx\ny\n")
        first = min((fault.begins for fault in self.schedule.faults), default=0.0)
        yield self.start + first + 30 * MINUTE, lambda: self._drop(LATE, b"text\nz\n")
        if shape % 3 == 1:
            yield self.start + 2 * DAY, lambda: drop(self.fake, f"{TABLE}.retry", b"")
        if shape % 3 == 2:
            yield self.start + 2 * HOUR, lambda: drop(self.fake, f"{RAW}.cancel", b"")

    def _drop(self, key: str, data: bytes) -> None:
        self.dropped[key] = self.clock()
        drop(self.fake, key, data)

    def _answer(self, request: dict[str, Any]) -> Any:
        """Row 2 fails for a passing reason where it is asked first; row 4 for good."""
        row, text = request["custom_id"], json.dumps(request["body"])
        self._tries[text] += 1
        if row == "2" and self._tries[text] == 1:
            return "error", response_line(request, 500, {"error": {"code": "server_error", "message": "no"}})
        if row == "4":
            return "error", response_line(request, 400, {"error": {"code": "bad", "message": "no"}})
        return answer_ok(request)

    # How it is lived.

    def live(self) -> None:
        self._until(self.start + LAST_DAY)
        if not self._is_at_rest():
            self.faults.faults = [f for f in self.faults.faults if not (f.lasts == inf and _stops_all(f))]
            # A drop that was found late has its own month.
            newest = max((job["created_at"] for job in self.jobs() if job["state"] not in ENDED_JOBS), default=0)
            self._until(max(self.start + LAST_DAY, newest + LAST_DAY) + AFTER)
        if not any(fault.ends == inf and self._is_of_all(fault) for fault in self.faults.faults):
            # Whatever was broken: another drop finds its way.
            over = [self.start + fault.ends for fault in self.faults.faults if fault.ends < inf]
            self.clock.now = max(self.clock(), *over, self.start) // 60 * 60
            self._actions = [(self.clock(), lambda: self._drop(LAST, b"text\nlast\n"))]
            self._until(self.clock() + DAY)

    def _is_of_all(self, fault: Fault) -> bool:
        hits = self.faults.hit.get(fault, set())
        return (
            fault.only is None
            or fault.call == "table.open_items"
            or any(is_everything(fault.call, hit) for hit in hits)
        )

    def _until(self, end: float) -> None:
        step = MINUTE
        while self.clock() < end:
            while self._actions and self._actions[0][0] <= self.clock():
                self._actions.pop(0)[1]()
            before = self._moves
            self._tick()
            if not self._actions and self._is_at_rest():
                return
            if self.ticks > MAX_TICKS:
                self.problems["it never comes to rest"] = None
                return
            step = MINUTE if self._moves > before else min(2 * step, LONGEST_STEP)
            if self._is_timed():
                step = MINUTE if self._moves > before else LONGEST_TIMED_STEP
            if self.clock() > self.start + LATE_DAY:
                step = min(step, HOUR)
            # What has not moved for long is not looked at for each of its tries.
            least = max(MINUTE, step / 8)
            due = self._next_date()
            if self._is_timed() and due < inf:
                due = -(-due // MINUTE) * MINUTE  # a poll comes on the minute
            self.clock.now = max(self.clock() + least, min(self.clock() + step, due, end))

    def _tick(self) -> None:
        """A minute: what is due is delivered before and after a poll."""
        self.ticks += 1
        self._deliver()
        invoke(self.fake, lambda: poll(self.fake.context))
        self._deliver()
        self._observe()

    def _deliver(self) -> None:
        busy = True
        while busy:
            busy = False
            for name in QUEUES:
                message = deliver_next(self.fake, name)
                if message is not None:
                    busy = True
                    # SQS delivers one that failed five times at most: what counts is how many are sent.
                    self.invocations[name, int((self.clock() - self.start) // HOUR)] += message.receives == 1

    def _next_date(self) -> float:
        """The next moment of which it is known that something is due."""
        now, dates = self.clock(), [self.openai.next_end()]
        dates += [at for at, _ in self._actions]
        dates += [m.due for name in QUEUES for m in getattr(self.fake, name).messages]
        dates += [self.start + at for fault in self.faults.faults for at in (fault.begins, fault.ends)]
        for kind in ("job", "batch", "outbox", "pending"):
            for item in self._open(kind):
                dates += [item[name] for name in DATES if item.get(name)]
                for gathered in item.get("digest_entries", {}).values():
                    dates += [gathered["since"] + QUIET_SECONDS, gathered["notify_after"]]
        return min((date for date in dates if date > now), default=inf)

    def _open(self, kind: str) -> list[dict[str, Any]]:
        self.items()
        return self._by_open.get(kind, [])

    def _is_at_rest(self) -> bool:
        """Whether nothing is to be done any more: in the table, in the queues, or among the dead letters."""
        fake = self.fake
        open_kinds = any(self._open(kind) for kind in ("job", "batch", "outbox", "pending"))
        messages = any(getattr(fake, name).messages for name in QUEUES)
        dead = any(letters.left for letters in fake.dead_letters.values())
        return not (open_kinds or messages or dead or self._awaits_sweep())

    def _awaits_sweep(self) -> bool:
        """Whether a drop has no job yet, and may get one: a sweep of the inbox finds it within a day."""
        known = {job["drop"]["key"] for job in self.jobs()}
        return any(key not in known and self.clock() < at + 2 * DAY for key, at in self.dropped.items())

    def _is_timed(self) -> bool:
        """Whether a drop is under way whose time is compared with a healthy one's: then no minute is left out."""
        if any(fault.only is None and self.faults.is_active(fault) for fault in self.faults.faults):
            return False
        done = {item["drop"]["key"] for item in self.jobs() if item["state"] in ENDED_JOBS}
        times = [at for key, at in self.dropped.items() if key in NEIGHBOURS and key not in done]
        return any(self.clock() < at + 3 * HOUR for at in times)

    # What is seen of it.

    def lasting_faults(self) -> list[Fault]:
        return [fault for fault in self.schedule.faults if fault.lasts == inf]

    @property
    def last_day(self) -> float:
        return LAST_DAY

    def took(self, key: str) -> float:
        """How long a drop took until its first job had ended; infinite if it has not."""
        ids = [job["id"] for job in self.jobs() if job["drop"]["key"] == key]
        return min((self.ended.get(job_id, inf) for job_id in ids), default=inf) - self.dropped[key]

    def _count_change(self, item: Mapping[str, Any] | str, *_: Any) -> None:
        """Counts writes, and among them moves: what only fails again, or is held again, does not move."""
        self._changed += 1
        if not isinstance(item, str) and "state" in item:
            state = item["state"], len(item.get("outbox", ()))
            seen = self._states.setdefault((item["pk"], item["sk"]), set())
            self._moves += state not in seen
            seen.add(state)

    def _hear(self, audience: Audience, notification: Notification) -> None:
        self.told += [(self.clock(), audience, told) for told in told_of_each(notification)]

    def items(self) -> Collection[dict[str, Any]]:
        """The table, read again only if an item has changed."""
        if self._read_at != self._changed:
            before, self._known = self._known, {}
            for text in self.fake.table.texts():
                self._known[text] = before.get(text) or orjson.loads(text)
            self._by_open = defaultdict(list)
            for item in self._known.values():
                if "open" in item:
                    self._by_open[item["open"]].append(item)
            self._read_at = self._changed
        return self._known.values()

    def jobs(self) -> list[dict[str, Any]]:
        return [item for item in self.items() if item["sk"] == "job"]

    def _observe(self) -> None:
        """What must hold at any time: no open item of an ended job; one message an open item."""
        jobs = {item["id"]: item for item in self.jobs()}
        for job_id, its in jobs.items():
            if its["state"] in ENDED_JOBS:
                self.ended.setdefault(job_id, self.clock())
        orphans = set()
        for batch in self._open("batch"):
            job = jobs.get(batch["job_id"])
            if job is not None and job["state"] in ENDED_JOBS:
                orphans.add(f"{batch['pk']} {batch['sk']}")
        self._ended_open = {name: self._ended_open.get(name, 0) + 1 for name in orphans}
        if any(polls > 2 for polls in self._ended_open.values()) and not self._is_hit("table."):
            self.problems["an open item of an ended job"] = None
        under_way = Counter(
            (name, about(message.body)) for name in QUEUES for message in getattr(self.fake, name).messages
        )
        allowed = 1 + any(f.after and f.call.endswith(".send") and self.faults.fired[f] for f in self.schedule.faults)
        for (name, _), count in under_way.items():
            if count > allowed:
                self.problems[f"{name}: more than one message about an item is under way"] = None

    def _is_hit(self, port: str) -> bool:
        return any(f.call.startswith(port) and self.faults.is_active(f) for f in self.faults.faults)


def _stops_all(fault: Fault) -> bool:
    """Without the table nothing can be ended, and without SNS nothing told."""
    return fault.call.startswith(("table.", "topics."))


def raw_lines() -> bytes:
    """Four requests to two models."""
    return b"".join(
        json.dumps(
            {
                "custom_id": f"mine-{row}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": f"m{row % 2}", "messages": [{"role": "user", "content": f"raw {row}"}]},
            }
        ).encode()
        + b"\n"
        for row in range(1, 5)
    )


def live(folder: Path, schedule: Schedule) -> Life:
    life = Life(folder, schedule)
    life.live()
    return life
