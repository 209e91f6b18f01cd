"""The time of a life, which passes in ticks, and the beginnings that lives share.

While nothing moves, the clock jumps to the next known date, or in growing steps if there is none. Lives of one shape
are the same until one of their faults applies, or a process is killed. Only one of them simulates this part.
"""

import pickle
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from dropbatch.domain.states import ENDED_JOBS
from tests.fakes import Fault
from tests.fakes.faults import is_everything
from tests.schedules.lives import (
    DAY,
    HOUR,
    LAST,
    LAST_DAY,
    MINUTE,
    START,
    Action,
    Life,
    Moment,
    Schedule,
    Step,
    actions_of,
)

LONGEST_STEP = DAY
LONGEST_TIMED_STEP = 5 * MINUTE
"""The step while the time of a drop is compared with that in the healthy life, if nothing is due sooner."""
MAX_TICKS = 12_000
"""A life that is not at rest after this number of polls has an endless loop."""

LATE_DAY = 28 * DAY
"""From then on steps are at most an hour, because jobs must end in this time."""

AFTER = 2 * DAY
"""After a fault that stopped on the last day, everything ends within this time."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of a tick, and the actions of users just before it."""

    now: float
    actions: tuple[Action, ...]


@dataclass(slots=True)
class Beginning:
    """The beginning of lives up to a step, in which no fault has applied yet.

    It is `saved` if a life has continued from here. `next` is by the tick that begins with the next step, if one does.
    """

    before: "Beginning | None" = None
    tick: Tick | None = None
    step: Step | None = None
    saved: bytes | None = None
    next: dict[Tick | None, "Beginning"] = field(default_factory=dict)

    def simulate(self, folder: Path, shape: int) -> Life:
        """Return a life without faults after this beginning."""
        ticks: list[Tick | None] = []
        last = self
        while last.saved is None and last.before:
            ticks.append(last.tick)
            last = last.before
        life: Life = pickle.loads(last.saved) if last.saved else Life(folder, Schedule(shape))
        for tick in reversed(ticks):
            if tick:
                life.begin_tick(tick.now, tick.actions)
            life.step()
        if ticks:
            self.saved = pickle.dumps(life)
        return life


class Timeline:
    """The time of a life. Its simulation begins where it differs from the beginnings that others share with it."""

    def __init__(self, folder: Path, schedule: Schedule, root: Beginning) -> None:
        self._folder, self._schedule = folder, schedule
        self._now, self._ticks = START, 0
        self._actions = actions_of(schedule)
        self._faults = list(schedule.faults)
        self._shared: Beginning | None = root
        self._life: Life | None = None

    def live(self) -> Life:
        is_at_rest = self._until(START + LAST_DAY)
        if not is_at_rest:
            life = self._simulated()
            life.faults.faults = self._faults = [f for f in self._faults if not (f.lasts == inf and _stops_all(f))]
            # A drop that was found late gets its own month.
            newest = max((job["created_at"] for job in life.jobs() if job["state"] not in ENDED_JOBS), default=0)
            self._until(max(START + LAST_DAY, newest + LAST_DAY) + AFTER)
        if not any(fault.ends == inf and self._is_of_all(fault) for fault in self._faults):
            # Another drop succeeds after every fault.
            over = [START + fault.ends for fault in self._faults if fault.ends < inf]
            self._now = max(self._now, *over, START) // 60 * 60
            self._actions = [Action(self._now, LAST, b"text\nlast\n")]
            self._until(self._now + DAY)
        life = self._simulated()
        life.clock.now = self._now
        return life

    def _simulated(self) -> Life:
        """Return the life, which is simulated from now on."""
        if self._life is None:
            assert self._shared
            self._life = self._shared.simulate(self._folder, self._schedule.shape)
            self._life.follow(self._schedule)
        return self._life

    def _until(self, end: float) -> bool:
        """Let the time pass until this one, or until the life is at rest. Return whether it is."""
        step = MINUTE
        while self._now < end:
            moment = self._tick()
            self._now = moment.now
            if not self._actions and moment.is_at_rest:
                return True
            if self._ticks > MAX_TICKS:
                self._simulated().problems["it never comes to rest"] = None
                break
            step = MINUTE if moment.has_moved else min(2 * step, LONGEST_STEP)
            is_timed = moment.is_compared and not any(f.only is None and self._is_active(f) for f in self._faults)
            if is_timed:
                step = MINUTE if moment.has_moved else LONGEST_TIMED_STEP
            if self._now > START + LATE_DAY:
                step = min(step, HOUR)
            # After a long time without moves, skip some of the retries.
            least = max(MINUTE, step / 8)
            due = min(moment.due, self._next_date())
            if is_timed and due < inf:
                due = -(-due // MINUTE) * MINUTE  # a poll comes on the minute
            self._now = max(self._now + least, min(self._now + step, due, end))
        return moment.is_at_rest

    def _tick(self) -> Moment:
        self._ticks += 1
        tick = Tick(self._now, tuple(action for action in self._actions if action.at <= self._now))
        self._actions = [action for action in self._actions if action.at > self._now]
        step = self._step(tick)
        while step.moment is None:
            step = self._step(None)
        return step.moment

    def _step(self, tick: Tick | None) -> Step:
        """Take the next step, which begins this tick if there is one."""
        if self._shared and not self._life:
            known = self._shared.next.get(tick)
            if known and known.step and not self._may_differ(known.step):
                self._shared = known
                return known.step
        life = self._simulated()
        if tick:
            life.begin_tick(tick.now, tick.actions)
        step = life.step()
        if self._shared and self._may_differ(step):
            self._shared = None
        elif self._shared:
            self._shared = self._shared.next.setdefault(tick, Beginning(self._shared, tick, step))
        return step

    def _may_differ(self, step: Step) -> bool:
        """Return whether a fault may have applied in this step, or a process was killed."""
        touching = (fault for fault in self._faults if fault.call in step.calls and self._is_active(fault))
        is_touched = any(fault.only is None or fault.only in step.calls[fault.call] for fault in touching)
        return is_touched or any(point // 2 in step.numbers for point in self._schedule.kills)

    def _next_date(self) -> float:
        """Return the next time at which a user acts, or a fault begins or ends."""
        dates = [action.at for action in self._actions]
        dates += [START + at for fault in self._faults for at in (fault.begins, fault.ends)]
        return min((date for date in dates if date > self._now), default=inf)

    def _is_active(self, fault: Fault) -> bool:
        return fault.begins <= self._now - START < fault.ends

    def _is_of_all(self, fault: Fault) -> bool:
        hits = self._life.faults.hit.get(fault) if self._life else None
        return (
            fault.only is None
            or fault.call == "table.open_items"
            or any(is_everything(fault.call, hit) for hit in hits or {""})  # nothing may have asked for it yet
        )


def _stops_all(fault: Fault) -> bool:
    """Return whether a fault stops everything: jobs end only with the table, and notifications need SNS."""
    return fault.call.startswith(("table.", "topics."))


def live(folder: Path, schedule: Schedule, root: Beginning | None = None) -> Life:
    """Return the life of a schedule. `root` is what lives of its shape share."""
    return Timeline(folder, schedule, root or Beginning()).live()
