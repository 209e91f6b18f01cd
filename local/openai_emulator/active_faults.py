"""The faults that are set at the moment: which of them strikes a row, a batch or a call, and how often each has.

They are kept in memory: a restart forgets them.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from threading import RLock
from typing import TypeVar

from local.openai_emulator.faults import BatchFault, CallFault, Delay, Fault, RenameStatus, RowFault

F = TypeVar("F", bound=Fault)
R = TypeVar("R", bound=RowFault)
B = TypeVar("B", bound=BatchFault)
C = TypeVar("C", bound=CallFault)


@dataclass(slots=True)
class _ActiveFault:
    """A fault that is set, and what it has struck."""

    fault: Fault
    struck: set[str] = field(default_factory=set)
    strikes: int = 0
    bodies: Counter[bytes] = field(default_factory=Counter)

    def strike_body(self, fault: RowFault, body: bytes) -> bool:
        """Use up one of the times, and one of the body's own: a row that is retried may have another id."""
        if fault.each is None:
            return self.strike()
        digest = hashlib.blake2b(body, digest_size=16).digest()
        if self.bodies[digest] >= fault.each or not self.strike():
            return False
        self.bodies[digest] += 1
        return True

    def strike(self, key: str | None = None) -> bool:
        """Use up one of the times; the same `key` uses up only one."""
        if key is not None and key in self.struck:
            return True
        if self.fault.times is not None and self.strikes >= self.fault.times:
            return False
        self.strikes += 1
        if key is not None:
            self.struck.add(key)
        return True


class ActiveFaults:
    """The faults that are set, safe to use from several threads."""

    def __init__(self) -> None:
        self._active: list[_ActiveFault] = []
        self._lock = RLock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._active.extend(_ActiveFault(fault) for fault in faults)

    def clear(self) -> None:
        with self._lock:
            self._active.clear()

    def listed(self) -> list[tuple[Fault, int]]:
        """Return every fault, with how often it has struck."""
        with self._lock:
            return [(active.fault, active.strikes) for active in self._active]

    def of_kind(self, kind: type[F], model: str) -> Iterator[F]:
        """Yield the faults that apply to a model, without using up a time."""
        for active in self._of(kind, model):
            if isinstance(active.fault, kind):
                yield active.fault

    def for_row(self, kind: type[R], model: str, number: int, custom_id: str, line: bytes, body: bytes) -> R | None:
        """Return the first fault of this kind that strikes the row."""
        with self._lock:
            for active in self._of(kind, model):
                fault = active.fault
                if not isinstance(fault, kind) or not fault.selects(number, custom_id, line, body):
                    continue
                if active.strike_body(fault, body):
                    return fault
        return None

    def for_batch(self, kind: type[B], model: str, batch_id: str) -> B | None:
        """Return the first fault of this kind that strikes the batch, or has struck it before."""
        with self._lock:
            for active in self._of(kind, model):
                if isinstance(active.fault, kind) and active.strike(batch_id):
                    return active.fault
        return None

    def delay(self, phase: str, model: str, batch_id: str) -> float | None:
        """Return the seconds that a fault makes the batch spend in `phase`; None if no fault does."""
        with self._lock:
            for active in self._of(Delay, model):
                fault = active.fault
                if isinstance(fault, Delay) and fault.phase == phase and active.strike(batch_id):
                    return fault.seconds
        return None

    def renamed(self, status: str, model: str, batch_id: str) -> str:
        """Return the word that the batch says for `status`."""
        with self._lock:
            for active in self._of(RenameStatus, model):
                fault = active.fault
                if isinstance(fault, RenameStatus) and fault.status == status and active.strike(batch_id):
                    return fault.name
        return status

    def for_call(self, kind: type[C], method: str, path: str) -> C | None:
        """Return the first fault of this kind that strikes the call."""
        with self._lock:
            for active in self._of(kind, None):
                if isinstance(active.fault, kind) and active.fault.selects(method, path) and active.strike():
                    return active.fault
        return None

    def has_row_faults(self, model: str) -> bool:
        """Return whether a fault may strike rows of the model at all."""
        with self._lock:
            return bool(self._of(RowFault, model))

    def _of(self, kind: type[Fault], model: str | None) -> list[_ActiveFault]:
        with self._lock:
            return [
                active
                for active in self._active
                if isinstance(active.fault, kind) and (model is None or fnmatchcase(model, active.fault.model))
            ]
