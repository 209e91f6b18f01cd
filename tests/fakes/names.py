"""The fake stack's buckets."""

INBOX, RESULTS, WORK = "the-inbox", "the-results", "the-work"


class Numbers:
    """A counter of numbers from 1. Unlike `itertools.count`, it can be pickled."""

    def __init__(self) -> None:
        self._last = 0

    def __next__(self) -> int:
        self._last += 1
        return self._last
