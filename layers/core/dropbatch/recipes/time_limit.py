"""The time limit of a recipe's programs: templates, expressions, patterns.

They run over rows and answers that anybody may have written, so any of them may never end. A timer interrupts them,
both loops in Python and matches of regular expressions. A single call that would keep the C library busy or take all
memory has to be refused before, by its size (`recipes.sizes`).

The timer counts the process's processor time, so that no row is slow because the machine is busy with something else. A
signal reaches only the main thread, in which Lambda calls its handlers: in any other thread nothing is interrupted.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

TICK_SECONDS = 0.25
"""The interval at which the time of a call is checked: short enough for limits of a second or more."""


class TimeLimitError(BaseException):
    """A call took too long, or with `total` the sum of all calls.

    It is not an Exception, because the libraries that run under a limit (Jinja, JMESPath, jsonschema) catch those.
    """

    def __init__(self, *, total: bool) -> None:
        super().__init__("a limit of time was reached")
        self.total = total


class TimeLimit:
    """A limit for each of many short calls, and for their sum since `renew`.

    Entering it starts the timer, once for all calls within the block, because that takes as long as rendering a row.
    Between the calls nothing is interrupted. A call outside of a block gets a block, and a sum, of its own. The former
    timer and its handler are paused until the end of the block.
    """

    def __init__(self, each_seconds: float, total_seconds: float) -> None:
        self._each = round(each_seconds / TICK_SECONDS)
        self._total = round(total_seconds / TICK_SECONDS)
        self._ticks = 0  # of the call that runs
        self._sum = 0
        self._is_running = False
        self._is_entered = False
        self._former: tuple[Any, tuple[float, float]] | None = None

    def renew(self) -> None:
        """Set the sum to zero."""
        self._sum = 0

    def __enter__(self) -> Self:
        self._is_entered = True
        if threading.current_thread() is threading.main_thread():
            handler = signal.signal(signal.SIGPROF, self._tick)
            self._former = handler, signal.setitimer(signal.ITIMER_PROF, TICK_SECONDS, TICK_SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._former is not None:
            handler, timer = self._former
            self._former = None
            signal.setitimer(signal.ITIMER_PROF, 0)  # a tick of ours would end a process that has no handler for it
            signal.signal(signal.SIGPROF, signal.SIG_DFL if handler is None else handler)
            signal.setitimer(signal.ITIMER_PROF, *timer)
        self._is_entered = False

    def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of `call`; raise TimeLimitError if it takes too long, or if the sum is used up already."""
        if not self._is_entered:
            self.renew()
            with self:
                return self.run(call, *args, **kwargs)
        if self._sum >= self._total:
            raise TimeLimitError(total=True)
        self._ticks = 0
        try:
            try:
                self._is_running = True
                return call(*args, **kwargs)
            finally:
                self._is_running = False
        finally:
            self._is_running = False  # the tick that raises may have come just before the line above

    def _tick(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._is_running:
            return
        self._ticks += 1
        self._sum += 1
        if self._ticks >= self._each or self._sum >= self._total:
            # It is raised again with each tick, should the call have swallowed it.
            raise TimeLimitError(total=self._ticks < self._each)
