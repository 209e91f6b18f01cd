"""The wait of a failed step for its next try: each time twice as long."""

MAX_BACKOFF_SECONDS = 3600


def backoff_seconds(failures: int, *, first: int = 60, most: int = MAX_BACKOFF_SECONDS) -> int:
    """Return how many seconds to wait after failures in a row: `first`, twice as long each time, at most `most`."""
    return int(min(most, first * 2 ** min(max(failures - 1, 0), 20)))
