"""The waits between tries."""

import pytest

from dropbatch.jobs.backoff import MAX_BACKOFF_SECONDS, backoff_seconds


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 60), (1, 60), (2, 120), (3, 240), (6, 1_920), (7, MAX_BACKOFF_SECONDS), (10_000, MAX_BACKOFF_SECONDS)],
)
def test_the_wait_doubles_up_to_its_bound(failures: int, seconds: int) -> None:
    assert backoff_seconds(failures) == seconds


def test_the_first_wait_and_the_bound_may_be_given() -> None:
    assert [backoff_seconds(failures, first=5, most=12) for failures in (1, 2, 3)] == [5, 10, 12]
