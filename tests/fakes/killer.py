"""A process that can be killed at any call."""

from collections.abc import Callable
from functools import partial
from typing import Any


class Killed(BaseException):
    """The process is gone. Nothing in the project may catch it."""


READS = frozenset(
    {"get", "query", "open_items", "head", "blocks", "read_range", "read_many", "names", "depth", "take"}
    | {"key_version", "retrieve", "newest", "sees", "streaming", "has_model"}
)
"""The calls that change nothing."""


class Killer:
    """A counter of the calls to ports, which kills the process at one: before its effect or just after it.

    The point `2n` is before the n-th call (from 0), `2n + 1` after it. `intrusions` run before the n-th call, like the
    calls of a faster process.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.begun: list[int] = []  # the first call of each invocation
        self.points: set[int] = set()
        self.intrusions: dict[int, Callable[[], None]] = {}

    def invoked(self) -> None:
        """Record that another invocation begins."""
        self.begun.append(len(self.calls))

    @property
    def is_past(self) -> bool:
        """True if it has killed, and will not kill again."""
        return bool(self.points) and 2 * len(self.calls) > max(self.points)

    def all_points(self) -> list[int]:
        """Return each point of the made calls at which a kill has an effect of its own.

        Reads between two writes make no difference: the points are before the first call of an invocation, and after
        each call that changes something.
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
