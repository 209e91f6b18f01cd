"""An emulator for tests: a real server on a free port, whose clock, faults and state the test can change.

with running_emulator(tmp_path) as emulator:
    client = openai.OpenAI(base_url=emulator.base_url, api_key=emulator.api_key)
    emulator.faults.add(ListLag(kind="list_lag", seconds=30))
    emulator.advance(3600)
"""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn

from local.openai_emulator.active_faults import ActiveFaults
from local.openai_emulator.app import create_app
from local.openai_emulator.emulator import Emulator
from local.openai_emulator.settings import Delays, Settings
from local.openai_emulator.store import Batch, Store


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """A server that is up. `base_url` ends in `/v1`, `control_url` in `/_emulator`; neither in a slash."""

    base_url: str
    control_url: str
    api_key: str
    emulator: Emulator

    @property
    def faults(self) -> ActiveFaults:
        return self.emulator.faults

    @property
    def store(self) -> Store:
        return self.emulator.store

    @property
    def delays(self) -> Delays:
        return self.emulator.runner.delays

    @property
    def batches(self) -> list[Batch]:
        """Return every batch ever created, oldest first."""
        return list(self.store.batches.values())

    def advance(self, seconds: float) -> None:
        """Put the clock forward, and return when all batches have done what is then due."""
        self.emulator.advance(seconds)

    def finish(self) -> None:
        """Put the clock forward, phase by phase, until every batch has ended (at most a day)."""
        for _ in range(48):
            if not self.store.open_batches():
                return
            self.advance(1800.0)


class _Server(uvicorn.Server):
    async def main_loop(self) -> None:
        """Check a hundred times a second whether to stop, not ten times: a test waits for it."""
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)


@contextmanager
def running_emulator(directory: Path, **settings: Any) -> Iterator[RunningEmulator]:
    """Run an emulator with its state in `directory` on a free port of 127.0.0.1; `settings` are those of Settings.

    Without `delays` every phase takes no time.
    """
    chosen = replace(Settings(directory, delays=Delays(0, 0, 0, 0)), **settings)
    emulator = Emulator(chosen)
    config = uvicorn.Config(create_app(emulator), log_level="critical", ws="none", timeout_graceful_shutdown=1)
    server = _Server(config)
    # asyncio sends small answers at once only on sockets that say that they are TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="openai-emulator")
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
            key = next(iter(chosen.keys))
            yield RunningEmulator(f"{origin}/v1", f"{origin}/_emulator", key, emulator)
        finally:
            server.should_exit = True
            thread.join()
