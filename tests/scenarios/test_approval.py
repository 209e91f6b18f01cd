"""A drop that could cost more than its owner expects waits for an `.approve`; over fakes."""

import gzip
from pathlib import Path

import pytest

from dropbatch.domain.states import HeldReason, JobState
from dropbatch.messages import IntakeMessage
from tests.driving import RECIPE, deliver, drop, only_job, result_json, rows, run
from tests.fakes import INBOX, FakeContext

DAY = 86_400


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path, hold_above_rows=10)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


def test_a_drop_of_more_rows_is_held_and_nothing_is_sent(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(11))
    run(fake, ticks=60)
    job = only_job(fake)
    assert (job.state, job.held_reason) == (JobState.HELD, HeldReason.SIZE)
    assert fake.openai.files == {}
    (told,) = fake.topics.published
    assert told.event == "held"
    assert "11 rows" in told.subject
    assert "a.csv.approve" in told.text


def test_a_drop_of_exactly_the_maximum_needs_no_approval(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(10))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


@pytest.mark.parametrize("marker", ["a.csv.approve", "a.csv.approve/"])
def test_an_approve_resumes_a_held_job(fake: FakeContext, marker: str) -> None:
    drop(fake, "a.csv", rows(11))
    run(fake, ticks=30)
    drop(fake, marker, b"")
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert result_json(fake, "summary.json")["rows"]["ok"] == 11
    assert fake.topics.events() == ["held", "marker", "ended"]


def test_an_approve_that_comes_before_its_drops_event_is_kept_for_it(fake: FakeContext) -> None:
    version = fake.objects.drop("a.csv", rows(11))
    drop(fake, "a.csv.approve", b"")
    deliver(fake)
    fake.intake.send(IntakeMessage(INBOX, "a.csv", version, event_at=int(fake.clock())).to_json())
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert fake.topics.events() == ["accepted", "ended", "marker"]
    assert fake.topics.published[-1].detail["reason"] == "approved"


def test_an_approve_that_is_older_than_the_drop_has_no_effect(fake: FakeContext) -> None:
    drop(fake, "a.csv.approve", b"")
    deliver(fake)
    fake.clock.sleep(5)
    drop(fake, "a.csv", rows(11))
    run(fake, ticks=10)
    assert only_job(fake).state is JobState.HELD


def test_a_cancel_ends_a_held_job_without_a_cost(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(11))
    run(fake, ticks=3)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED
    assert fake.openai.files == {}


@pytest.mark.slow
def test_a_held_job_is_cancelled_after_two_weeks_without_an_approve(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(11))
    run(fake, ticks=13 * 24, step=3600)
    assert only_job(fake).state is JobState.HELD
    run(fake, ticks=3 * 24, step=3600)
    assert only_job(fake).state is JobState.CANCELLED
    assert fake.topics.events() == ["held", "ended"]


@pytest.mark.parametrize(("count", "waits"), [(3_000, True), (900, False)])
def test_a_file_with_an_extreme_compression_ratio_is_held_unless_it_is_small(
    tmp_path: Path, count: int, waits: bool
) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    data = b"text\n" + b"the same again and again and again\n" * count
    packed = gzip.compress(data)
    assert len(data) > 50 * len(packed)
    drop(fake, "a.csv.gz", packed)
    run(fake, ticks=5)
    assert only_job(fake).state is (JobState.HELD if waits else JobState.SUCCEEDED)
