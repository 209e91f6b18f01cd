"""A simulated life of a few drops over weeks under lasting faults, and the observations of it.

`timeline.py` moves its clock. A life can be pickled between two steps.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Set
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
from tests.driving import QUEUES, RECIPE, deliver_next, drop, invoke, notification_of_each_job
from tests.fakes import FakeClock, FakeContext, FakeOpenAI, Fault, Faults, answer_ok, response_line
from tests.fakes.faults import about

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LAST_DAY = 31 * DAY
"""Every job has ended by then. Faults that last for ever and prevent every end or every notification stop."""

START = FakeClock()() // 3600 * 3600
"""The beginning of every life: a full hour."""

SHAPES = 6
"""The number of different sets of drops. Each also has a life without faults, for comparison."""

DATES = ("not_before", "lease_until", "deadline_at", "notify_after")
"""Members of items with a due date."""

RAW, TABLE, BESIDE, LATE, LAST = "raw/raw.jsonl", "csv/table.csv", "beside/beside.csv", "late/late.csv", "last/last.csv"
NEIGHBOURS = (BESIDE, LATE, LAST)
TRIED = "tried/recipe.yaml"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The plan of a life. `shape` selects the drops, `kills` the calls at which a process dies."""

    shape: int
    faults: tuple[Fault, ...] = ()
    kills: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """An object that a user puts at a time: a drop, or an empty marker."""

    at: float
    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Moment:
    """The observations after a tick, on which the time of the next one depends."""

    now: float
    due: float  # the next date in the table, in a queue or at OpenAI; infinity if there is none
    has_moved: bool
    is_at_rest: bool
    is_compared: bool  # an open drop is compared with that of the healthy life


@dataclass(frozen=True, slots=True)
class Step:
    """The calls of a step, and the moment after it if it is the last one of its tick."""

    calls: Mapping[str, Set[int]]  # by name, with the numbers of their subjects
    numbers: range  # of the calls, as kills count them
    moment: Moment | None


class TimedOpenAI(FakeOpenAI):
    """FakeOpenAI whose batches take `seconds`, and whose answers name their batch and row."""

    seconds = HOUR

    def _look(self, batch: RemoteBatch) -> RemoteBatch:
        done = self._clock() >= batch.created_at + self.seconds
        self.ending = OpenAIStatus.COMPLETED if done else None
        return super()._look(batch)

    def next_end(self) -> float:
        """Return the time of the next end of a batch; infinity if none is running."""
        ends = [b.created_at + self.seconds for b in self.batches.values() if b.status not in TERMINAL]
        return min((end for end in ends if end > self._clock()), default=inf)


@dataclass
class Life:
    """The simulation of a schedule."""

    folder: Path
    schedule: Schedule
    invocations: Counter[tuple[str, int]] = field(default_factory=Counter)  # by function and hour
    notified: list[tuple[float, Audience, Notification]] = field(default_factory=list)
    dropped: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)  # by job id
    problems: dict[str, None] = field(default_factory=dict)  # observed problems, in order

    def __post_init__(self) -> None:
        shape = self.schedule.shape
        chance = random.Random(shape)
        self.fake = FakeContext(self.folder, FakeClock(START), limits=Limits(batch_requests=3))
        self.clock = self.fake.clock
        self.start = START
        self.faults = Faults(self.clock)
        self.fake.killer = self.faults
        self.fake.chains.allowed = False
        self.fake.seconds_left = self.faults.seconds_left
        self.openai = TimedOpenAI(self.clock)
        self.openai.seconds = chance.choice((5 * MINUTE, 10 * MINUTE, 20 * MINUTE))
        self.openai.answer = self._answer
        self.fake.openai = self.openai
        self.faults.watchers["topics.publish"] = self._record
        self._tries: Counter[str] = Counter()
        self._ended_open: dict[str, int] = {}
        self._changed = self._moves = self._moves_before = 0
        self._has_polled = False  # in this tick
        self._states: dict[tuple[str, str], set[Any]] = {}
        self._read_at = -1  # the number of changes at which the table was read
        self._known: dict[str, dict[str, Any]] = {}  # its items, by their texts
        self._by_open: dict[str, list[dict[str, Any]]] = {}
        for name in ("insert", "replace", "write_all", "delete", "renew"):
            self.faults.watchers[f"table.{name}"] = self._count_change
        for folder in ("csv", "beside", "late", "last"):
            self.fake.objects.drop(f"{folder}/recipe.yaml", RECIPE.replace(b"4o-mini", folder.encode()))
        self.fake.objects.drop("csv/recipe.yaml", RECIPE + b"mirror: true\n")
        self.follow(self.schedule)

    def follow(self, schedule: Schedule) -> None:
        """Go on with another schedule."""
        self.schedule = schedule
        self.faults.faults = list(schedule.faults)
        self.faults.points = set(schedule.kills)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_read_at": -1, "_known": {}, "_by_open": {}}

    # Events from outside

    def _drop(self, action: Action) -> None:
        if action.data and action.key != TRIED:
            self.dropped[action.key] = self.clock()
        drop(self.fake, action.key, action.data)

    def _answer(self, request: dict[str, Any]) -> Any:
        """Answer a request. Row 2 fails temporarily the first time, row 4 permanently."""
        row, text = request["custom_id"], json.dumps(request["body"])
        self._tries[text] += 1
        if row == "2" and self._tries[text] == 1:
            return "error", response_line(request, 500, {"error": {"code": "server_error", "message": "no"}})
        if row == "4":
            return "error", response_line(request, 400, {"error": {"code": "bad", "message": "no"}})
        return answer_ok(request)

    # The simulation

    def begin_tick(self, now: float, actions: Iterable[Action]) -> None:
        """Let users act at this time."""
        self.clock.now = now
        self._moves_before = self._moves
        for action in actions:
            self._drop(action)

    def step(self) -> Step:
        """Deliver messages, or poll: in a tick, due messages are delivered before the poll and after it."""
        begun, touched = len(self.faults.calls), defaultdict[str, set[int]](set)
        self.faults.touched = touched
        is_over = False
        if not self._deliver():
            is_over = self._has_polled
            if not is_over:
                invoke(self.fake, lambda: poll(self.fake.context))
            self._has_polled = not is_over
        return Step(touched, range(begun, len(self.faults.calls)), self._moment() if is_over else None)

    def _deliver(self) -> bool:
        """Deliver a message of each queue. Return whether there was one."""
        delivered = False
        for name in QUEUES:
            message = deliver_next(self.fake, name)
            if message is not None:
                delivered = True
                # SQS redelivers a failed message at most five times: count only messages that were sent.
                self.invocations[name, int((self.clock() - self.start) // HOUR)] += message.receives == 1
        return delivered

    def _moment(self) -> Moment:
        self._observe()
        has_moved = self._moves > self._moves_before
        return Moment(self.clock(), self._next_date(), has_moved, self._is_at_rest(), self._is_compared())

    def _next_date(self) -> float:
        """Return the next time at which the table, a queue or OpenAI has something due."""
        now, dates = self.clock(), [self.openai.next_end()]
        dates += [m.due for name in QUEUES for m in getattr(self.fake, name).messages]
        for kind in ("job", "batch", "outbox", "pending"):
            for item in self._open(kind):
                dates += [item[name] for name in DATES if item.get(name)]
                dates += [item.get("remote_files", {}).get("not_before", 0)]
                for gathered in item.get("digest_entries", {}).values():
                    dates += [gathered["since"] + QUIET_SECONDS, gathered["notify_after"]]
        return min((date for date in dates if date > now), default=inf)

    def _open(self, kind: str) -> list[dict[str, Any]]:
        self.items()
        return self._by_open.get(kind, [])

    def _is_at_rest(self) -> bool:
        """Return whether nothing is left to do in the table, in the queues, and among the dead letters."""
        fake = self.fake
        open_kinds = any(self._open(kind) for kind in ("job", "batch", "outbox", "pending"))
        messages = any(getattr(fake, name).messages for name in QUEUES)
        dead = any(letters.left for letters in fake.dead_letters.values())
        return not (open_kinds or messages or dead or self._awaits_sweep())

    def _awaits_sweep(self) -> bool:
        """Return whether a drop has no job yet but may get one: a sweep of the inbox finds it within a day."""
        known = {job["drop"]["key"] for job in self.jobs()}
        return any(key not in known and self.clock() < at + 2 * DAY for key, at in self.dropped.items())

    def _is_compared(self) -> bool:
        """Return whether the time of an open drop is compared with that in the healthy life."""
        done = {item["drop"]["key"] for item in self.jobs() if item["state"] in ENDED_JOBS}
        times = [at for key, at in self.dropped.items() if key in NEIGHBOURS and key not in done]
        return any(self.clock() < at + 3 * HOUR for at in times)

    # Observations

    def lasting_faults(self) -> list[Fault]:
        return [fault for fault in self.schedule.faults if fault.lasts == inf]

    @property
    def last_day(self) -> float:
        return LAST_DAY

    def took(self, key: str) -> float:
        """Return the time from a drop until the end of its first job; infinity if there is no end."""
        ids = [job["id"] for job in self.jobs() if job["drop"]["key"] == key]
        return min((self.ended.get(job_id, inf) for job_id in ids), default=inf) - self.dropped[key]

    def _count_change(self, item: Mapping[str, Any] | str, *_: Any) -> None:
        """Count writes, and those that move an item to a new state. A repeated failure or hold is not a move."""
        self._changed += 1
        if not isinstance(item, str) and "state" in item:
            state = item["state"], len(item.get("outbox", ()))
            seen = self._states.setdefault((item["pk"], item["sk"]), set())
            self._moves += state not in seen
            seen.add(state)

    def _record(self, audience: Audience, notification: Notification) -> None:
        self.notified += [(self.clock(), audience, each) for each in notification_of_each_job(notification)]

    def items(self) -> Collection[dict[str, Any]]:
        """Return the items of the table, read again only after a change."""
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
        """Check the invariants at any time: an ended job has no open item, and an open item has one message."""
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


def actions_of(schedule: Schedule) -> list[Action]:
    """Return the actions of the users, the first one first."""
    first = min((fault.begins for fault in schedule.faults), default=0.0)
    actions = [
        Action(START, RAW, raw_lines()),
        Action(START, TABLE, b"text\n" + b"".join(b"t %d\n" % n for n in range(1, 6))),
        Action(START, BESIDE, b"text\nx\ny\n"),
        Action(START, TRIED, RECIPE + b"try: [{text: tried 1}, {text: tried 2}]\n"),
        Action(START + first + 30 * MINUTE, LATE, b"text\nz\n"),
    ]
    if schedule.shape % 3 == 1:
        actions.append(Action(START + 2 * DAY, f"{TABLE}.retry", b""))
    if schedule.shape % 3 == 2:
        actions.append(Action(START + 2 * HOUR, f"{RAW}.cancel", b""))
    return sorted(actions, key=lambda action: action.at)


def raw_lines() -> bytes:
    """Return four requests to two models."""
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
