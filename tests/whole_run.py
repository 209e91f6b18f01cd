"""A run without kills, from which runs with kills start: each in the minute of its first kill."""

import pickle
from bisect import bisect_right
from collections.abc import Set

from tests.driving import run
from tests.fakes import FakeContext


class WholeRun:
    """The run without kills: its calls, and the state of the fakes at the beginning of each minute and in the end.

    A killed run is the same until its first kill, so it starts in that minute.
    """

    def __init__(self, fake: FakeContext) -> None:
        assert fake.killer is not None
        self.fake, self.killer = fake, fake.killer
        self._begun: list[int] = []  # the number of calls before each minute
        self._minutes: list[bytes] = []
        is_over = False
        while not is_over:
            self._begun.append(len(self.killer.calls))
            self._minutes.append(pickle.dumps(fake))
            is_over = run(fake, ticks=1)

    def before(self, call: int) -> FakeContext:
        """Return the fakes at the beginning of the minute of this call."""
        fake: FakeContext = pickle.loads(self._minutes[bisect_right(self._begun, call) - 1])
        return fake

    def killed(self, points: Set[int], *, ticks: int = 300) -> FakeContext:
        """Return the fakes after a run whose process is killed at these points."""
        fake = self.before(min(points) // 2)
        assert fake.killer is not None
        fake.killer.points = set(points)
        run(fake, ticks=ticks)
        return fake
