"""A poll reads the statuses of many batches in few calls, and misses none."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import OpenAINotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import BatchState, JobState, OpenAIStatus
from dropbatch.polling import batch_status
from dropbatch.polling.batch_status import update_statuses
from dropbatch.polling.poll import _Tick, poll
from dropbatch.ports import RemoteBatch
from tests.fakes import INBOX, FakeContext, FakeOpenAI

PAGE = 100
NOW = 1_750_000_000


class Account(FakeOpenAI):
    """An account of batches that do not change, in pages of a hundred. It counts calls. `all` has the newest last."""

    def __init__(self, fake: FakeContext) -> None:
        super().__init__(fake.clock)
        self.all: dict[str, RemoteBatch] = {}
        self.unlisted: set[str] = set()
        self.calls: Counter[str] = Counter()
        self.retrieved: list[str] = []

    def add(self, name: str, status: OpenAIStatus = OpenAIStatus.IN_PROGRESS, completed: int = 0) -> None:
        self.all[name] = RemoteBatch(name, status, NOW, f"file-{name}", completed=completed)

    def retrieve(self, batch_id: str) -> RemoteBatch:
        self.calls["retrieve"] += 1
        self.retrieved.append(batch_id)
        if batch_id not in self.all:
            raise OpenAINotFoundError("no_batch", 404)
        return self.all[batch_id]

    def newest(self, after: str | None = None) -> Iterator[Sequence[RemoteBatch]]:
        listed = [batch for batch in reversed(self.all.values()) if batch.id not in self.unlisted]
        for start in range(0, len(listed), PAGE):
            self.calls["list"] += 1
            yield listed[start : start + PAGE]


class Following:
    """Fakes with one job, its submitted batches, and an account."""

    def __init__(self, folder: Path) -> None:
        self.fake = FakeContext(folder)
        self.fake.clock.now = NOW
        self.account = self.fake.openai = Account(self.fake)
        self.repository = self.fake.context.repository
        self.job = Job("j", Drop(INBOX, "a.csv", "v", NOW), NOW, state=JobState.RUNNING, sent_at=NOW)
        self.repository.add(self.job)
        self.count = 0

    def others(self, count: int) -> None:
        for number in range(count):
            self.account.add(f"other-{len(self.account.all)}-{number}")

    def ours(self, count: int, status: OpenAIStatus = OpenAIStatus.IN_PROGRESS) -> list[str]:
        names = [f"ours-{number:05d}" for number in range(self.count, self.count + count)]
        for name in names:
            self.account.add(name, status)
            self.repository.add(
                Batch("j", self.count, 0, "/v1/e", "m", 100, 1, NOW, state=BatchState.SUBMITTED, openai_id=name,
                      openai_status=OpenAIStatus.IN_PROGRESS, submitted_at=NOW)
            )  # fmt: skip
            self.count += 1
        return names

    def poll(self, minutes: int = 1) -> int:
        """Poll once a minute, and return the number of calls."""
        before = self.account.calls.total()
        for _ in range(minutes):
            self.fake.clock.sleep(60)
            submitted = [batch for batch in self.repository.open_batches() if batch.state is BatchState.SUBMITTED]
            update_statuses(self.fake.context, submitted, {"j": self.job})
        return self.account.calls.total() - before

    def states(self) -> Counter[str]:
        return Counter(str(batch.state) for batch in self.repository.batches("j"))


@pytest.fixture
def following_(tmp_path: Path) -> Following:
    return Following(tmp_path)


@pytest.mark.slow
def test_few_batches_are_retrieved_whatever_the_account_lists(following_: Following) -> None:
    following_.ours(10)
    following_.others(50_000)
    assert following_.poll() == 10
    assert following_.account.calls["list"] == 0


def test_many_batches_are_read_from_the_list_a_hundred_a_call(following_: Following) -> None:
    following_.ours(2_000)
    assert following_.poll() == 20 + batch_status.MAX_UNMOVED
    assert following_.account.calls["list"] == 20


@pytest.mark.slow
def test_ten_thousand_batches_take_105_calls(following_: Following) -> None:
    following_.ours(10_000)
    assert following_.poll() == 105


def test_ended_batches_are_found_however_long_the_list(following_: Following) -> None:
    following_.others(250)
    following_.ours(300, OpenAIStatus.COMPLETED)
    following_.ours(100)
    following_.others(250)
    following_.poll()
    assert following_.states() == {"ended": 300, "submitted": 100}


@pytest.mark.slow
def test_a_queue_gets_no_more_than_the_functions_take_and_no_batch_is_given_up(following_: Following) -> None:
    """Batches that end together are dispatched as fast as the collectors process them, two a minute."""
    following_.ours(60, OpenAIStatus.COMPLETED)
    queue = following_.fake.collect
    most = 0
    for _ in range(120):
        poll(following_.fake.context)
        sent = [b for b in following_.repository.batches("j") if b.state is BatchState.ENDED and b.sent_at]
        most = max(most, len(sent))
        assert len(queue.messages) <= len(sent) + 1, "one message a batch"
        collected = 0
        while collected < 2 and (message := queue.take()):
            batch = following_.repository.batch("j", message["batch"]) if message["batch"] else None
            if batch is not None and batch.state is BatchState.ENDED:
                batch.move(BatchState.COLLECTED)
                following_.repository.save(batch)
                collected += 1
        following_.fake.clock.sleep(60)
    assert following_.states() == {"collected": 60}
    assert most <= 8


def test_batches_far_apart_in_the_list_are_retrieved(following_: Following) -> None:
    for _ in range(30):
        following_.ours(1, OpenAIStatus.COMPLETED)
        following_.others(1_666)
    assert following_.poll() <= 2 * 30
    assert following_.states() == {"ended": 30}


@pytest.mark.slow
def test_batches_of_others_in_the_list_hide_no_batch(following_: Following) -> None:
    following_.ours(3_000, OpenAIStatus.COMPLETED)
    following_.others(20_000)
    following_.ours(10)
    following_.poll()
    assert following_.states()["ended"] == 3_000


@pytest.mark.slow
def test_unlisted_batches_take_turns(following_: Following) -> None:
    """More batches are missing than a poll may retrieve: after enough polls each one was retrieved."""
    following_.account.unlisted = set(following_.ours(1_000))
    following_.ours(200)
    polls = -(-1_000 // batch_status.MAX_CALLS) + 1
    assert following_.poll(polls) <= polls * batch_status.MAX_CALLS
    assert set(following_.account.retrieved) >= following_.account.unlisted


@pytest.mark.slow
def test_stragglers_take_turns_beside_ten_thousand_batches(following_: Following) -> None:
    following_.account.unlisted = set(following_.ours(15, OpenAIStatus.COMPLETED))
    following_.ours(10_000)
    following_.poll(3)
    assert following_.states()["ended"] == 15


def test_progress_is_written_for_the_batches_with_the_most(
    following_: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_status, "MAX_PROGRESS_WRITES", 5)
    for number, name in enumerate(following_.ours(30)):
        following_.account.all[name] = replace(following_.account.all[name], completed=number)
    monkeypatch.setattr(batch_status, "MAX_UNMOVED", 0)
    following_.poll()
    assert sorted(batch.completed for batch in following_.repository.batches("j")) == [0] * 25 + [25, 26, 27, 28, 29]
    following_.poll(6)
    assert sorted(batch.completed for batch in following_.repository.batches("j")) == list(range(30)), "all come to it"


def test_the_poll_after_one_that_ran_out_of_time_begins_with_other_jobs(
    following_: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll has time for a few jobs. Those that it left out come first in one of the next polls."""
    jobs = [f"job-{number:02d}" for number in range(20)]
    for name in jobs:
        following_.repository.add(Job(name, Drop(INBOX, "a.csv", name, NOW), NOW, state=JobState.RUNNING))
    clock, looked = following_.fake.clock, Counter[str]()

    def slow(_tick: object, _context: object, job_id: str) -> None:
        looked[job_id] += 1
        clock.sleep(30)

    monkeypatch.setattr(_Tick, "_move_job", slow)
    for _ in range(30):
        clock.sleep(60)
        before, ends = looked.total(), clock() + 300
        poll(replace(following_.fake.context, seconds_left=lambda ends=ends: ends - clock()))  # type: ignore[misc]  # of one poll
        assert looked.total() - before <= 5, "each step has its share of the time"
    assert set(looked) >= set(jobs)


@pytest.mark.parametrize("count", [3, 200])
def test_a_batch_whose_item_cannot_be_written_stops_no_other(
    following_: Following, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    following_.ours(count, OpenAIStatus.COMPLETED)
    replace_item = following_.fake.table.replace

    def failing(item: Mapping[str, Any], rev: int) -> None:
        if item["sk"] == "batch#000000#000#0":
            raise RuntimeError
        replace_item(item, rev)

    monkeypatch.setattr(following_.fake.table, "replace", failing)
    following_.poll()
    assert following_.states() == {"submitted": 1, "ended": count - 1}
