"""The state of the app: files and batches, and the faults and the clock, which tests may change."""

from local.openai_emulator.active_faults import ActiveFaults
from local.openai_emulator.clock import Clock
from local.openai_emulator.runner import Runner
from local.openai_emulator.settings import Settings
from local.openai_emulator.store import Store


class Emulator:
    """One emulator's files and batches, the thread that moves batches on, the faults and the clock."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.faults = ActiveFaults()
        self.store = Store(settings.directory)
        self.runner = Runner(self.store, settings, self.faults, self.clock)

    def advance(self, seconds: float) -> None:
        """Put the clock forward, and return when all batches have done what is then due."""
        self.clock.advance(seconds)
        self.runner.run_due()
