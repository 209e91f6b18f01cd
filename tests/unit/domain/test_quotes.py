"""The history of a recipe's usage."""

from dropbatch.domain.quotes import MAX_HISTORY, JobUsage, UsageHistory


def usage(ended_at: int) -> JobUsage:
    return JobUsage(ended_at, 1, 2, 3, 4, 5, 6, 7)


def test_a_job_counts_once_however_often_it_is_remembered() -> None:
    history = UsageHistory(recipe="r", endpoint="e", model="m")
    for _ in range(3):
        history.remember("a", usage(1))
    assert history.total == JobUsage(0, 1, 2, 3, 4, 5, 6, 7)


def test_the_oldest_jobs_are_forgotten_whatever_order_they_end_in() -> None:
    history = UsageHistory(recipe="r", endpoint="e", model="m")
    for number in (5, 3, *range(6, 6 + MAX_HISTORY), 4):
        history.remember(f"job-{number}", usage(number))
    assert sorted(history.jobs) == sorted(f"job-{number}" for number in range(6, 6 + MAX_HISTORY))
