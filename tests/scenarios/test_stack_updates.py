"""A stack that is updated while jobs are open: the new release continues the items and messages of the one before."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.polling.poll import poll
from tests.driving import (
    deliver,
    drop,
    jobs,
    price_between,
    rows,
    run,
)
from tests.fakes import RESULTS, FakeContext, answer_ok, response_line
from tests.version_1 import as_version_1, message_as_version_1

RECIPE = b'model: gpt-6-luna\nprompt: "{{ text }}"\nnotify: [accepted, ended]\n'
QUEUES = ("intake", "dispatch", "collect")


class FailsOnce:
    """An answerer. Each seventh row fails temporarily the first time, and each twentieth row always."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        row = request["custom_id"]
        self.asked[row] += 1
        if int(row) % 20 == 0:
            return "error", response_line(request, 400, {"error": {"code": "bad_thing", "message": "no"}})
        if int(row) % 7 == 0 and self.asked[row] == 1:
            return "error", response_line(request, 500, {"error": {"code": "server_error", "message": "later"}})
        return answer_ok(request)


def make_version_1(fake: FakeContext) -> None:
    """Rewrite the content of the table and the queues as the release before wrote it."""
    for text in list(fake.table.texts()):
        item = msgspec.json.decode(text)
        fake.table.replace(as_version_1(item), item["rev"])
    for name in QUEUES:
        for message in getattr(fake, name).messages:
            message.body = message_as_version_1(message.body)


def life(folder: Path, *, is_updated: bool) -> FakeContext:
    """Run a drop that is held, approved, retried in part, and cancelled in a second run; and one without a recipe.

    With `is_updated`, every step finds only data of the release before.
    """
    fake = FakeContext(folder, limits=Limits(batch_requests=10), max_job_usd=price_between(folder, rows(10), rows(60)))
    fake.openai.answer = FailsOnce()
    fake.objects.drop("shop/recipe.yaml", RECIPE)
    drop(fake, "shop/reviews.csv", rows(60))
    drop(fake, "late/reviews.csv", rows(3))
    steps = {
        3: lambda: drop(fake, "shop/reviews.csv.approve", b""),
        6: lambda: drop(fake, "late/recipe.yaml", RECIPE),
        25: lambda: drop(fake, "shop/reviews.csv.retry", b""),
        40: lambda: drop(fake, "shop/reviews.csv.rerun", b""),
        42: lambda: drop(fake, "shop/reviews.csv.cancel", b""),
    }
    for tick in range(60):
        steps.get(tick, lambda: None)()
        for step in (lambda: deliver(fake), lambda: poll(fake.context)):
            if is_updated:
                make_version_1(fake)
            step()
        fake.clock.sleep(60)
    return fake


@pytest.mark.slow
def test_open_jobs_continue_after_an_update(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "updated").mkdir()
    before, updated = life(tmp_path / "before", is_updated=False), life(tmp_path / "updated", is_updated=True)

    assert answers(updated) == answers(before)
    assert states(updated) == states(before)
    assert {JobState.REJECTED, JobState.SUCCEEDED, JobState.PARTIAL, JobState.CANCELLED} == set(
        states(updated).values()
    )
    assert texts(updated) == texts(before)
    assert len(updated.openai.batches) == len(before.openai.batches)
    assert list(updated.context.repository.open_jobs()) == []
    assert updated.observer.warnings == before.observer.warnings


def answers(fake: FakeContext) -> dict[str, bytes]:
    keys = [key for key in fake.objects.keys(RESULTS, "") if key.endswith((".answers.csv", ".failed.csv"))]
    assert len(keys) > 5
    return {key: fake.objects.content(RESULTS, key) for key in keys}


def states(fake: FakeContext) -> dict[str, JobState]:
    return {job.id: job.state for job in jobs(fake)}


def texts(fake: FakeContext) -> list[list[str]]:
    topics = fake.topics
    return [[each.subject for each in published] for published in (topics.published, topics.people, topics.operators)]


def test_jobs_that_an_early_release_started_do_not_keep_others_from_being_collected(tmp_path: Path) -> None:
    """The early release left `sent_at` set on each job that it had started, as if its message took hours."""
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    for number in range(4):
        drop(fake, f"{number}.csv", rows(3 + number))
    run(fake, ticks=3)
    for text in list(fake.table.texts()):
        item = as_version_1(msgspec.json.decode(text))
        fake.table.replace({**item, "sent_at": 1} if item["sk"] == "job" else item, item["rev"])
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake, ticks=6)
    assert [job.state for job in jobs(fake)] == [JobState.SUCCEEDED] * 4
