"""The poll reports one metric while something is wrong that only a person can help, and costs nothing before."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.polling.poll import MAX_OPEN_SECONDS, poll
from dropbatch.polling.resend import DELAYED_SECONDS
from tests.driving import QUEUES, RECIPE, deliver_next, drop, only_job, rows, run
from tests.fakes import FakeContext

HOUR = 3600


def stuck(fake: FakeContext) -> list[float]:
    """Return the values of `JobsStuck` since the last call."""
    found = [value for name, value, _ in fake.observer.metrics if name == "JobsStuck"]
    fake.observer.metrics.clear()
    return found


def pass_without(fake: FakeContext, disabled: str, seconds: float) -> None:
    """Poll each ten minutes for this time, and deliver the messages of all queues but one."""
    end = fake.clock() + seconds
    while fake.clock() < end:
        for name in QUEUES:
            while name != disabled and deliver_next(fake, name) is not None:
                pass
        poll(fake.context)
        fake.clock.sleep(600)


@pytest.mark.parametrize("disabled", ["dispatch", "collect"])
def test_messages_that_nobody_takes_from_a_queue_count_as_stuck_until_somebody_does(
    fake: FakeContext, disabled: str
) -> None:
    """As if its event source was disabled, or its function throttled for good."""
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(2))
    pass_without(fake, disabled, DELAYED_SECONDS)
    assert stuck(fake) == []

    pass_without(fake, disabled, 12 * HOUR)
    assert len(stuck(fake)) > 12 * HOUR / 600 - 6, "each poll reports it, also after messages were sent again"

    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    stuck(fake)
    poll(fake.context)
    assert stuck(fake) == []


def test_a_batch_that_is_open_after_its_cancel_counts_as_stuck(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    fake.openai.cancel = lambda _batch_id: None  # type: ignore[method-assign]  # it has no effect
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=37, step=HOUR)
    assert stuck(fake) == []

    run(fake, ticks=5, step=HOUR)
    assert fake.clock.now - (only_job(fake).created_at or 0) > MAX_OPEN_SECONDS
    assert stuck(fake)


def test_a_day_of_normal_work_reports_only_that_polls_finish(fake: FakeContext) -> None:
    """AWS bills a metric for each hour in which it is reported."""
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=200, step=300)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED

    billed = {name for name, _, _ in fake.observer.metrics} - fake.observer.job_metrics
    assert billed == {"BatchesOpen"}


@pytest.mark.parametrize(("minutes", "polls", "looks"), [(1, 15, 3), (2, 15, 6), (15, 4, 4)])
def test_dead_letters_are_looked_for_if_five_minutes_have_begun_however_rare_polls_are(
    fake: FakeContext, minutes: int, polls: int, looks: int
) -> None:
    """AWS bills each look at a queue."""
    taken = Counter[str]()
    for name, letters in fake.dead_letters.items():

        def counted(name: str = name, take: Callable[[], Any] = letters.take) -> Any:
            taken[name] += 1
            return take()

        letters.take = counted  # type: ignore[method-assign]  # as it is, and counted
    fake.clock.now = 1_750_000_200  # a multiple of five minutes
    for _ in range(polls):
        poll(fake.context)
        fake.clock.sleep(60 * minutes)
    assert set(taken.values()) == {looks}
