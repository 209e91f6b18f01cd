"""The clock that tests move."""


class FakeClock:
    """Seconds since 1970, moved by hand."""

    def __init__(self, now: float = 1_750_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
