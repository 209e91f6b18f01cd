"""Time limits: no template of a recipe keeps a function busy, and interruptions do no harm."""

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from dropbatch.recipes.time_limit import TICK_SECONDS, TimeLimit, TimeLimitError


def forever() -> None:
    while True:
        pass


def swallows_exceptions() -> None:
    while True:
        with suppress(Exception):  # as Jinja and others do
            forever()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = signal.getsignal(signal.SIGPROF)
    yield
    assert signal.getsignal(signal.SIGPROF) is before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        forever,
        swallows_exceptions,
        lambda: re.search(r"^(a+)+$", "a" * 40 + "b"),
        lambda: sorted(range(9), key=lambda _: forever()),
        lambda: sum(0 for _ in iter(int, 1)),
    ],
)
def test_a_call_that_takes_too_long_is_interrupted(call: object) -> None:
    began = time.process_time()
    with pytest.raises(TimeLimitError) as late:
        TimeLimit(0.5, 60).run(call)  # type: ignore[arg-type]  # all of them can be called
    assert not late.value.total
    assert time.process_time() - began < 0.5 + 4 * TICK_SECONDS


def test_a_quick_call_returns_its_value() -> None:
    limit = TimeLimit(1, 1)
    assert limit.run(divmod, 7, 2) == (3, 1)
    with limit:
        assert [limit.run(abs, -n) for n in range(3)] == [0, 1, 2]
        with pytest.raises(ZeroDivisionError):
            limit.run(divmod, 1, 0)


@pytest.mark.slow
def test_the_sum_of_calls_is_bounded_as_well() -> None:
    limit = TimeLimit(60, 0.5)
    with limit:
        with pytest.raises(TimeLimitError) as late:
            limit.run(forever)
        assert late.value.total
        with pytest.raises(TimeLimitError):  # and is used up
            limit.run(int)
        limit.renew()
        assert limit.run(int) == 0


@pytest.mark.slow
def test_a_call_outside_of_a_block_has_a_sum_of_its_own() -> None:
    limit = TimeLimit(0.25, 0.25)
    for _ in range(2):
        with pytest.raises(TimeLimitError):
            limit.run(forever)


@pytest.mark.slow
def test_nothing_is_interrupted_between_calls() -> None:
    limit = TimeLimit(0.25, 0.25)
    with limit:
        until = time.process_time() + 3 * TICK_SECONDS
        while time.process_time() < until:
            pass
        assert limit.run(int) == 0


@pytest.mark.slow
def test_a_limit_within_another_gives_the_timer_back() -> None:
    outer = TimeLimit(0.5, 60)

    def nested() -> None:
        with pytest.raises(TimeLimitError):
            TimeLimit(0.25, 60).run(forever)
        forever()

    with pytest.raises(TimeLimitError):
        outer.run(nested)


@pytest.mark.slow
def test_another_timer_and_its_handler_are_given_back() -> None:
    rang: list[int] = []
    before = signal.signal(signal.SIGPROF, lambda number, _: rang.append(number))
    try:
        signal.setitimer(signal.ITIMER_PROF, 0.3)
        with pytest.raises(TimeLimitError):
            TimeLimit(0.5, 60).run(forever)
        assert rang == []
        until = time.process_time() + 2
        while not rang and time.process_time() < until:
            pass
        assert rang == [signal.SIGPROF]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.mark.slow
def test_in_another_thread_calls_are_made_without_a_limit() -> None:
    found: list[int] = []

    def spend() -> None:
        until = time.thread_time() + 0.6
        while time.thread_time() < until:
            pass
        found.append(1)

    thread = threading.Thread(target=TimeLimit(0.25, 0.25).run, args=(spend,))
    thread.start()
    thread.join()
    assert found == [1]
