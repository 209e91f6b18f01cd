"""A process that can be killed at any call."""

from collections.abc import Callable
from functools import partial
from typing import Any


class Killed(BaseException):
    """The process is gone. Nothing in the project may catch it."""


READS = frozenset(
    {"get", "query", "open_items", "head", "blocks", "read_range", "names", "depth", "take"}
    | {"key_version", "retrieve", "newest", "sees", "streaming"}
)
"""The calls that change nothing."""


class Killer:
    """Counts the calls to the world, and kills the process at one: before it takes effect, or just after.

    The point `2n` is before the n-th call (from 0), `2n + 1` after it. `intrusions` run before the n-th call, as
    another process would that is quicker.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.begun: list[int] = []  # which call was the first of each invocation
        self.points: set[int] = set()
        self.intrusions: dict[int, Callable[[], None]] = {}

    def invoked(self) -> None:
        """Another invocation begins."""
        self.begun.append(len(self.calls))

    @property
    def is_past(self) -> bool:
        """Whether it killed, and will not kill again."""
        return bool(self.points) and 2 * len(self.calls) > max(self.points)

    def all_points(self) -> list[int]:
        """Every point at which a kill differs from all others, of the calls that were made.

        Between two calls that change something nothing is different, whatever is read there: the points are before an
        invocation's first call, and after each call that has an effect.
        """
        effects = {2 * n + 1 for n, call in enumerate(self.calls) if call.rpartition(".")[2] not in READS}
        return sorted(effects | {2 * n for n in self.begun if n < len(self.calls)})

    def wrap(self, name: str, port: Any) -> Any:
        if isinstance(port, dict):  # the dead letters of every queue
            return {member: self.wrap(f"{name}.{member}", its) for member, its in port.items()}
        return _Killable(name, port, self)

    def around(self, name: str, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        number = len(self.calls)
        self.calls.append(name)
        if 2 * number in self.points:
            raise Killed(name)
        intrude = self.intrusions.pop(number, None)
        if intrude:
            intrude()
        result = call(*args, **more)
        if 2 * number + 1 in self.points:
            raise Killed(name)
        return result


class _Killable:
    def __init__(self, name: str, port: Any, killer: Killer) -> None:
        self._name, self._port, self._killer = name, port, killer

    def __getattr__(self, member: str) -> Any:
        found = getattr(self._port, member)
        if not callable(found):
            return found
        return partial(self._killer.around, f"{self._name}.{member}", found)
