"""The emulator's clock: a day of batches can pass in minutes."""

import time


class Clock:
    """Unix seconds, which pass as usual and can be put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
