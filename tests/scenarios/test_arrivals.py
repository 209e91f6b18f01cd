"""S3's events, never `LastModified`, say when an object arrived and which version is the newest; over fakes."""

import json
from typing import Any

import pytest

from dropbatch.domain.drops import is_later
from dropbatch.domain.states import JobState
from tests.driving import RECIPE, deliver, drop, jobs, result_json, rows, run
from tests.fakes import INBOX, RESULTS, FakeContext
from tests.schedules.invariants import check_pages


def upload(fake: FakeContext, key: str, data: bytes, began: float | None = None) -> dict[str, Any]:
    """Put an object, perhaps in parts since `began`, and return its event for the test to deliver."""
    version = fake.objects.drop(key, data, began=began)
    return fake.objects.event(INBOX, key, version)


@pytest.mark.parametrize(
    ("first", "second", "later"),
    [
        ("0055AED6DCD90281E5", "0055AED6DCD90281E6", False),
        ("0055AED6DCD90281E6", "0055AED6DCD90281E5", True),
        ("1A", "19FF", True),
        ("19FF", "1A", False),
        ("1A", "1A00", False),
        ("1a01", "1A00", True),
    ],
)
def test_sequencers_are_compared_with_zeros_on_the_right(first: str, second: str, later: bool) -> None:
    assert is_later(first, second) is later


def test_a_recipe_may_come_two_minutes_after_a_long_upload_has_ended(fake: FakeContext) -> None:
    event = upload(fake, "a.csv", rows(2), began=fake.clock() - 150)
    fake.intake.send(event)
    run(fake, ticks=1, step=20)
    fake.clock.sleep(20)
    drop(fake, "recipe.yaml", RECIPE)
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.SUCCEEDED]


def test_a_drop_without_a_recipe_is_rejected_after_two_minutes_with_few_checks(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=1)
    assert fake.topics.events() == []
    run(fake, ticks=4)
    assert fake.topics.events() == ["rejected"]
    assert fake.chains.stopped == 0


def test_a_cancel_for_the_running_job_spares_the_version_that_is_being_uploaded(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    began = fake.clock()
    fake.clock.sleep(60)
    drop(fake, "a.csv.cancel", b"")
    run(fake, ticks=3)
    fake.clock.sleep(60)
    fake.intake.send(upload(fake, "a.csv", rows(3), began=began))
    run(fake, ticks=3)
    older, newer = jobs(fake)
    assert older.cancel_requested
    assert not newer.cancel_requested


def test_the_version_that_was_completed_last_is_the_newest_though_it_began_first(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    began = fake.clock()
    fake.clock.sleep(30)
    drop(fake, "a.csv", rows(2))
    fake.clock.sleep(30)
    fake.intake.send(upload(fake, "a.csv", rows(3), began=began))
    run(fake, ticks=2)
    newest = next(job for job in jobs(fake) if job.rows == 3)
    assert result_json_of_key(fake)["job_id"] == newest.id


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_versions_of_one_second_the_later_is_the_newest_however_events_come(
    fake: FakeContext, order: tuple[int, int]
) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    events = [upload(fake, "a.csv", rows(count)) for count in (1, 2)]
    for number in order:
        fake.intake.send(events[number])
        deliver(fake)
    newest = next(job for job in jobs(fake) if job.rows == 2)
    assert result_json_of_key(fake)["job_id"] == newest.id
    drop(fake, "a.csv.cancel", b"")
    deliver(fake)
    assert {job.rows for job in jobs(fake) if job.cancel_requested} == {1, 2}, "both are open, and not newer"


def result_json_of_key(fake: FakeContext) -> Any:
    return json.loads(fake.objects.content(RESULTS, "a.csv/latest.json"))


def test_a_drop_in_the_first_minutes_of_a_new_stack_is_accepted_within_the_hour(fake: FakeContext) -> None:
    """S3 sends no events of objects before their bucket is some minutes old."""
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.objects.drop("before.csv", rows(1))
    fake.clock.sleep(40)
    run(fake, ticks=1)
    fake.clock.sleep(60)
    fake.objects.drop("after.csv", rows(2))
    for _ in range(75):
        run(fake, ticks=1)
        fake.clock.sleep(60)
    assert {job.drop.key: job.state for job in jobs(fake)} == dict.fromkeys(
        ("before.csv", "after.csv"), JobState.SUCCEEDED
    )
    assert result_json(fake, "summary.json", jobs(fake)[0])["status"] == "succeeded"


@pytest.mark.parametrize("is_first", [False, True], ids=["after the file", "before the file"])
@pytest.mark.parametrize("kind", ["cancel", "rerun", "retry", "approve"])
def test_a_marker_never_speaks_of_an_empty_file_that_was_replaced(fake: FakeContext, kind: str, is_first: bool) -> None:
    """Some programs create an empty file first. Of that one nobody hears, so a marker acts on the file that came."""
    fake.objects.drop("recipe.yaml", RECIPE)
    objects = [("a.csv", b""), ("a.csv", rows(2)), (f"a.csv.{kind}", b"")]
    for key, data in (objects[0], objects[2], objects[1]) if is_first else objects:
        drop(fake, key, data)
        fake.clock.sleep(1)
    run(fake)
    placeholder, *answered = jobs(fake)
    assert placeholder.state is JobState.REJECTED
    assert answered
    assert placeholder.id not in {notification.detail.get("job_id") for notification in fake.topics.published}
    check_pages(fake)


def test_the_end_of_an_empty_file_is_told_if_a_marker_has_acted_on_it(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", b"")
    deliver(fake)
    drop(fake, "a.csv.cancel", b"")
    deliver(fake)
    fake.clock.sleep(1)
    drop(fake, "a.csv", rows(2))
    run(fake)
    placeholder, answered = jobs(fake)
    assert (placeholder.state, answered.state) == (JobState.REJECTED, JobState.SUCCEEDED)
    told = [notification for notification in fake.topics.published if notification.detail["job_id"] == placeholder.id]
    assert [notification.event for notification in told] == ["marker", "rejected"]
    check_pages(fake)
