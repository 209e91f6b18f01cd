"""Lasting faults, single and in pairs, over weeks: the invariants hold.

Every call of every port fails in every possible way, for half an hour up to for ever, about everything or one object.
`LASTING` sets the number of schedules, `LASTING_ONLY` selects one. Each schedule follows from its number.
"""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from math import inf
from pathlib import Path

import pytest

from tests.fakes import Fault
from tests.fakes.faults import HOUR, any_fault, calls, errors_of, may_fail_after
from tests.schedules.invariants import faults_text, problems_of
from tests.schedules.lives import SHAPES, Life, Schedule
from tests.schedules.timeline import Beginning, live

LASTING = int(os.environ.get("LASTING", "2100"))
ONLY = os.environ.get("LASTING_ONLY")
PARTS = 40
"""The number of tests over which the schedules are distributed, so that none is long, even beside others."""

SLOW_SECONDS = (20, 100, 400)
"""The seconds of slow calls: within a lease, longer than a lease, and longer than a function may run."""


FIRST_DRAWN = 2_000
LATER_CALLS = ("table.write_all", "openai.delete_file", "openai.has_model", "bus.publish", "table.newest")
"""Calls that came after the first pairs were drawn. Pairs of later numbers have them, so that the first ones stay."""


@cache
def alone() -> list[Fault]:
    """Return the single faults: each call fails in each way, before and after its effect, for hours or for ever."""
    found = []
    for number, call in enumerate(calls()):
        for error in errors_of(call):
            for after in (False, True)[: 1 + may_fail_after(call, error)]:
                # Each way has one length and one beginning. All calls together have them all.
                chance = random.Random(f"{call} {error} {after}")
                lasts = (3 * HOUR, 30 * HOUR, inf)[(number + len(found)) % 3]
                begins = chance.choice((0.0, 300.0, 900.0, 1800.0))
                found.append(Fault(call, error, begins, lasts, after))
                found.append(Fault(call, error, begins, inf, after, only=chance.randrange(4)))
        found.append(Fault(call, seconds=SLOW_SECONDS[number % 3], lasts=3 * HOUR))
    return found


@cache
def schedule(number: int) -> Schedule:
    """Return the schedule of this number: first the single faults, then random pairs, some with a kill."""
    chance = random.Random(number)
    if number < len(alone()):
        return Schedule(number % SHAPES, (alone()[number],))
    names = [call for call in calls() if call not in LATER_CALLS]
    one = chance.choice(names if number < FIRST_DRAWN else LATER_CALLS)
    pair = any_fault(chance, one), any_fault(chance, chance.choice(names))
    kills = (chance.randrange(600),) if chance.random() < 0.2 else ()
    return Schedule(chance.randrange(SHAPES), pair, kills)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Life]:
    """Return a function that simulates the life of a shape without faults, once."""
    return cache(lambda shape: live(tmp_path_factory.mktemp("healthy"), Schedule(shape)))


def test_invariants_hold_without_faults(healthy: Callable[[int], Life]) -> None:
    for shape in range(SHAPES):
        assert problems_of(healthy(shape), healthy(shape)) == []
        tried = {each.detail["tried"]["tried"] for _, _, each in healthy(shape).notified if "tried" in each.detail}
        assert tried == {2}, "a recipe is tried beside the drops"


@cache
def groups() -> list[list[int]]:
    """Return the numbers of the schedules by part. Lives that are the same for long are in one part."""
    every = sorted(range(max(LASTING, len(alone()))), key=lambda number: (schedule(number).shape, first(number)))
    size = -(-len(every) // PARTS)
    parts = [every[part * size : (part + 1) * size] for part in range(PARTS)]
    return [[number for number in part if ONLY in (None, str(number))] for part in parts]


def first(number: int) -> float:
    """Return the time at which the first fault of a schedule begins."""
    return min(fault.begins for fault in schedule(number).faults)


@pytest.mark.parametrize("part", range(PARTS))
def test_invariants_hold_under_faults_of_any_length(
    part: int, healthy: Callable[[int], Life], tmp_path: Path, tally: Counter[str]
) -> None:
    found = []
    shared: dict[int, Beginning] = defaultdict(Beginning)
    for number in groups()[part]:
        its = schedule(number)
        problems = problems_of(live(tmp_path, its, shared[its.shape]), healthy(its.shape))
        tally["lasting faults"] += 1
        if problems:
            found.append(f"LASTING_ONLY={number}, shape {its.shape}: {faults_text(its.faults)}: {'; '.join(problems)}")
        for path in tmp_path.iterdir():
            path.unlink()
    assert not found, f"{len(found)} schedules:\n" + "\n".join(found)


def test_shared_beginnings_change_nothing(tmp_path: Path) -> None:
    """Lives end in the same state as if each is simulated alone."""
    shared, shape = Beginning(), 1  # which takes longest
    for number in [number for number in range(2_100) if schedule(number).shape == shape][::25]:
        ends = [live(tmp_path, schedule(number), root) for root in (shared, Beginning())]
        assert everything_of(ends[0]) == everything_of(ends[1]), f"LASTING_ONLY={number}"


def everything_of(life: Life) -> list[object]:
    """Return the state of a life: its items, objects and remote files, its calls, and the observations of it."""
    fake, faults = life.fake, life.faults
    return [
        sorted(fake.table.texts()),
        fake.objects._objects,
        (fake.openai.batches, fake.openai.contents, fake.openai.files),
        (fake.topics.people, fake.topics.operators, fake.bus.published),
        fake.observer.lines,
        (faults.calls, faults.fired, faults.hit),
        (life.clock(), life.notified, life.invocations, life.dropped, life.ended, life.problems),
    ]


def test_every_call_of_every_port_has_a_fault() -> None:
    assert {fault.call for fault in alone()} == set(calls())
