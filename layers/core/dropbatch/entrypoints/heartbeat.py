"""The heartbeat: while a step runs, it renews the step's leases and keeps its message hidden.

Both times are short, so that another process takes over within a minute if the process of a step is killed. The
heartbeat ends with the process, the message becomes visible again, and the lease has ended by then.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from dropbatch.domain.errors import StaleItemError
from dropbatch.jobs.lease import BEAT_SECONDS, LEASE_SECONDS
from dropbatch.storage.context import Context

HIDDEN_SECONDS = LEASE_SECONDS + 5
"""How long a message stays hidden after a beat: a little longer than the lease, so that it does not come too early."""


class Heartbeat:
    """A thread that beats while a block runs. `hide` hides the step's message, if it has one."""

    def __init__(
        self, context: Context, hide: Callable[[int], None] = lambda _seconds: None, beat_seconds: float = BEAT_SECONDS
    ) -> None:
        self._context, self._hide, self._beat_seconds = context, hide, beat_seconds
        self._leases: set[tuple[str, str, str]] = set()
        self._lock = Lock()
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    @contextmanager
    def keeping(self, pk: str, sk: str, lease: str) -> Iterator[None]:
        """Keep the lease of the item (pk, sk) while the block runs; see `Context.keeping`."""
        held = (pk, sk, lease)
        with self._lock:
            self._leases.add(held)
        try:
            yield
        finally:
            with self._lock:
                self._leases.discard(held)

    def __enter__(self) -> Self:
        # The first call is from this thread, because botocore's clients must be made in it.
        self._hide(HIDDEN_SECONDS)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(timeout=self._beat_seconds)

    def _run(self) -> None:
        while not self._stopped.wait(self._beat_seconds):
            with self._lock:
                leases = list(self._leases)
            for pk, sk, lease in leases:
                self._beat(partial(self._context.table.renew, pk, sk, lease, self._context.now() + LEASE_SECONDS))
            self._beat(partial(self._hide, HIDDEN_SECONDS))

    def _beat(self, call: Callable[[], None]) -> None:
        try:
            call()
        except StaleItemError:
            return  # the step has released its lease, or lost it
        except Exception:  # noqa: BLE001 - the next beat retries; three may fail
            self._context.observer.info("a heartbeat failed")
