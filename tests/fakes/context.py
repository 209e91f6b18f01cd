"""All fakes together, and a Context of them."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

from dropbatch.batch_api.limits import Limits
from dropbatch.storage.context import Buckets, Context
from tests import event_contract
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.killer import Killer
from tests.fakes.names import INBOX, RESULTS, WORK, Numbers
from tests.fakes.objects import FakeObjects
from tests.fakes.observer import FakeObserver
from tests.fakes.openai import FakeOpenAI
from tests.fakes.queues import Chains, FakeDeadLetters, FakeQueue
from tests.fakes.table import FakeTable
from tests.fakes.topics import FakeTopics

DEAD_LETTERS = ("intake", "dispatch", "collect", "drop_events")


def _all_seconds_left() -> float:
    return 300.0


@dataclass
class FakeContext:
    """The fakes, and the Context for use cases, whose calls go through the killer if there is one.

    They can be pickled between two invocations, if what a test has put into them can be.
    """

    scratch: Path
    clock: FakeClock = field(default_factory=FakeClock)
    limits: Limits = field(default_factory=Limits)
    killer: Killer | None = None
    token_limits: dict[str, int] = field(default_factory=dict)
    seconds_left: Callable[[], float] = _all_seconds_left
    max_job_usd: Decimal | None = None
    max_month_usd: Decimal | None = None
    zone: tzinfo = UTC
    openai_base_url: str = ""
    tries_at_once: bool = True
    scratch_bytes: int | None = None  # the size of the disk; None: unlimited

    def __post_init__(self) -> None:
        self.objects = FakeObjects(self.clock)
        self.table = FakeTable(self.clock)
        self.chains = Chains()
        self.dead_letters = {name: FakeDeadLetters(self.clock) for name in DEAD_LETTERS}
        self.intake, self.dispatch, self.collect = (
            FakeQueue(self.clock, self.dead_letters[name], self.chains) for name in ("intake", "dispatch", "collect")
        )
        self.topics = FakeTopics(event_contract.check)
        self.bus = FakeBus(event_contract.check)
        self.openai = FakeOpenAI(self.clock)
        self.observer = FakeObserver()
        self._tokens = Numbers()

    @property
    def dead_intake(self) -> FakeDeadLetters:
        return self.dead_letters["intake"]

    @property
    def context(self) -> Context:
        def seen(name: str, port: Any) -> Any:
            if self.scratch_bytes is not None and name in ("objects", "openai"):  # files on disk come from these
                port = _OnDisk(port, self.scratch, self.scratch_bytes)
            return self.killer.wrap(name, port) if self.killer else port

        return Context(
            objects=seen("objects", self.objects),
            table=seen("table", self.table),
            intake=seen("intake", self.intake),
            dispatch=seen("dispatch", self.dispatch),
            collect=seen("collect", self.collect),
            dead_letters=seen("dead_letters", self.dead_letters),
            topics=seen("topics", self.topics),
            bus=seen("bus", self.bus),
            openai=seen("openai", self.openai),
            observer=self.observer,
            buckets=Buckets(INBOX, RESULTS, WORK),
            clock=self.clock,
            seconds_left=self.seconds_left,
            scratch=self.scratch,
            new_token=lambda: f"token-{next(self._tokens)}",
            max_job_usd=self.max_job_usd,
            max_month_usd=self.max_month_usd,
            limits=self.limits,
            token_limits=self.token_limits,
            secret_name="the-secret",
            openai_base_url=self.openai_base_url,
            zone=self.zone,
            answering=seen("answering", self.openai) if self.tries_at_once else None,
        )


class _OnDisk:
    """A port beside a disk of limited size. When the disk is full, the next call fails like a write."""

    def __init__(self, port: Any, folder: Path, size: int) -> None:
        self._port, self._folder, self._size = port, folder, size

    def __getattr__(self, member: str) -> Any:
        found = getattr(self._port, member)

        def called(*args: Any, **more: Any) -> Any:
            if sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file()) > self._size:
                raise OSError(errno.ENOSPC, "No space left on device")
            return found(*args, **more)

        return called if callable(found) else found
