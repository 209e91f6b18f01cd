"""A busy account, smaller than that of the benchmarks but as crowded: all jobs end within all limits, none starves."""

from pathlib import Path
from statistics import median

import pytest

from dropbatch.domain.states import JobState
from dropbatch.polling.batch_status import MAX_CALLS, MAX_ONE_BY_ONE, MAX_UNMOVED
from tests.driving import jobs
from tools.capacity import simulation
from tools.capacity.simulation import BATCH_SECONDS, Day, report, simulate

DROPS = 300


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Return a simulated day whose jobs have ended, with checked invariants."""
    return simulate(DROPS, folder=tmp_path_factory.mktemp("scratch"))


def test_every_drop_is_answered(day: Day) -> None:
    found = jobs(day.account)
    assert len(found) == DROPS
    assert {job.state for job in found} <= {JobState.SUCCEEDED, JobState.PARTIAL}


def test_enqueued_tokens_come_near_the_limit_and_few_batches_are_refused(day: Day) -> None:
    limit = DROPS * simulation.TOKENS_A_DROP
    assert max(day.account.openai.most_enqueued.values()) > 0.8 * limit, "the account is busy"
    assert day.account.openai.refused["tokens"] < 0.3 * len(day.account.openai.batches)


def test_drops_wait_for_their_turn_and_none_starves(day: Day) -> None:
    assert max(day.waits["drop → accepted"]) < 600
    assert median(day.waits["accepted → submitted"]) < BATCH_SECONDS
    assert max(day.waits["accepted → submitted"]) < 12 * 3600


def test_a_poll_makes_few_calls(day: Day) -> None:
    assert day.most_calls_a_poll <= MAX_CALLS
    assert day.account.calls["openai.retrieve"] <= day.polls * max(MAX_ONE_BY_ONE, MAX_UNMOVED)


def test_more_creates_than_an_hour_allows_wait_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides know the limit. Dropbatch respects it, so OpenAI never has to refuse."""
    monkeypatch.setattr(simulation, "MAX_BATCHES_PER_HOUR", 20)
    monkeypatch.setattr("dropbatch.submission.creates_per_hour.MAX_BATCHES_PER_HOUR", 20)
    day = simulate(60, folder=tmp_path, hours=1, token_limit=10**9)
    assert max(day.account.openai.creates.values()) == 20
    assert day.account.openai.refused["creates"] == 0
    assert max(day.waits["accepted → submitted"]) > 3600, report(day)
