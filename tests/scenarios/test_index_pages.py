"""The index pages: every change of a job comes to be on them, each page is written at most once a minute, and no fault
or kill loses a change."""

import json
from pathlib import Path
from typing import Any

import pytest

from dropbatch.domain.states import HeldReason, JobState, OpenAIStatus
from dropbatch.jobs import listing
from dropbatch.jobs.hold import hold, resume
from dropbatch.jobs.listing import list_job
from dropbatch.polling import index_pages
from dropbatch.polling.poll import poll
from tests.driving import RECIPE, deliver, drop, only_job, pass_time, rows, run, survive
from tests.fakes import RESULTS, FakeContext, Fault, Faults, Killer
from tests.whole_run import WholeRun

MINUTE = 60
HOUR = 3_600
DAY = 24 * HOUR


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.objects.drop("held/recipe.yaml", RECIPE + b"hold: true\n")
    return fake


def page(fake: FakeContext, folder: str = "") -> list[dict[str, Any]]:
    key = f"{folder}/index.json" if folder else "index.json"
    found: list[dict[str, Any]] = json.loads(fake.objects.content(RESULTS, key))["jobs"]
    return found


def states(fake: FakeContext, folder: str = "") -> list[tuple[str, str]]:
    return [(job["key"], job["status"]) for job in page(fake, folder)]


def versions(fake: FakeContext, key: str = "index.json") -> int:
    return len(fake.objects._objects.get((RESULTS, key), []))


def test_every_state_of_a_job_comes_to_be_on_the_pages_of_its_folder_and_of_all(fake: FakeContext) -> None:
    drop(fake, "held/a.csv", rows(3))
    deliver(fake)
    poll(fake.context)
    assert states(fake, "held") == states(fake) == [("held/a.csv", "held")]
    (job,) = page(fake)
    assert (job["state"], job["held_reason"], job["rows"]) == ("held", "requested", {"total": 3})
    assert job["quote_usd"]["likely"] > 0
    drop(fake, "held/a.csv.approve", b"")
    fake.openai.ending = None
    pass_time(fake, 3 * MINUTE)
    assert states(fake, "held") == states(fake) == [("held/a.csv", "running")]
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    (job,) = page(fake, "held")
    assert (job["state"], job["status"], job["rows"]) == ("succeeded", "succeeded", {"total": 3, "ok": 3})
    assert job["paid_usd"] > 0
    assert job["ended_at"]
    assert "held_reason" not in job
    assert page(fake) == [job]


def test_rejected_and_repeated_drops_are_listed_the_newest_first(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    deliver(fake)
    fake.clock.sleep(10)
    drop(fake, "b.csv", b"no_text\n1\n")
    fake.clock.sleep(10)
    drop(fake, "a.csv", rows(2))
    deliver(fake)
    poll(fake.context)
    assert states(fake) == [("a.csv", "duplicate"), ("b.csv", "rejected"), ("a.csv", "running")]


def test_a_hold_without_a_new_notice_and_its_end_are_listed_too(fake: FakeContext) -> None:
    """A hold that soon returns is the same: nobody is notified again, and still the page must be right."""
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    deliver(fake)
    for _ in range(2):
        hold(fake.context, only_job(fake), HeldReason.ACCOUNT, "insufficient_quota")
        pass_time(fake, MINUTE)
        assert states(fake) == [("a.csv", "held")]
        assert resume(fake.context, only_job(fake), HeldReason.ACCOUNT)
        pass_time(fake, 2 * MINUTE)
        assert states(fake) == [("a.csv", "running")]
    assert fake.topics.events().count("held") == 1


def test_a_page_is_written_once_however_many_jobs_changed(fake: FakeContext) -> None:
    fake.openai.ending = None
    for number in range(20):
        drop(fake, f"many/{number}.csv", rows(1))
    deliver(fake)
    poll(fake.context)
    assert (versions(fake), versions(fake, "many/index.html")) == (1, 1)
    assert len(page(fake, "many")) == 20


def test_a_page_is_written_at_most_once_a_minute_and_again_for_what_came_meanwhile(fake: FakeContext) -> None:
    fake.openai.ending = None
    for number in range(6):
        drop(fake, f"{number}.csv", rows(1))
        deliver(fake)
        poll(fake.context)
        fake.clock.sleep(20)
    assert versions(fake) == 2
    fake.clock.sleep(MINUTE)
    poll(fake.context)
    assert versions(fake) == 3
    assert len(page(fake)) == 6


def test_nothing_is_written_if_nothing_changed(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(1))
    run(fake)
    before = versions(fake)
    list_job(fake.context, only_job(fake))
    pass_time(fake, HOUR)
    assert versions(fake) == before + 1, "it was asked for once more"
    pass_time(fake, HOUR)
    assert versions(fake) == before + 1
    assert not list(fake.table.open_items("page"))


def test_a_page_lists_the_newest_jobs_and_no_more(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_pages, "MAX_LISTED", 3)
    for number in range(5):
        drop(fake, f"{number}.csv", rows(1))
        deliver(fake)
        fake.clock.sleep(1)
    run(fake)
    assert [job["key"] for job in page(fake)] == ["4.csv", "3.csv", "2.csv"]


def test_a_change_that_comes_while_a_page_is_written_is_on_it_soon(tmp_path: Path) -> None:
    """The writer has read the jobs before the change, and its page must not be the last."""
    whole = not_listed_yet(tmp_path)
    deliver(whole)
    assert whole.killer is not None
    poll(whole.context)
    fake = not_listed_yet(tmp_path)
    deliver(fake)
    assert fake.killer is not None

    def another_drop() -> None:
        drop(fake, "lake/b.csv", rows(1))
        deliver(fake)

    fake.killer.intrusions[whole.killer.calls.index("table.newest") + 1] = another_drop
    poll(fake.context)
    assert not fake.killer.intrusions
    assert states(fake) == [("lake/a.csv", "running")]
    fake.clock.sleep(MINUTE)
    poll(fake.context)
    assert {key for key, _ in states(fake)} == {"lake/a.csv", "lake/b.csv"}


def not_listed_yet(folder: Path) -> FakeContext:
    fake = FakeContext(folder, killer=Killer())
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "lake/a.csv", rows(1))
    return fake


@pytest.mark.slow
def test_a_page_is_right_in_the_end_though_a_process_dies_at_any_call(tmp_path: Path) -> None:
    whole = WholeRun(not_listed_yet(tmp_path))
    points = whole.killer.all_points()
    assert len(points) > 100
    for point in points:
        fake = whole.before(point // 2)
        assert fake.killer is not None
        fake.killer.points = {point}
        assert run(fake, ticks=200)
        assert states(fake) == states(fake, "lake") == [("lake/a.csv", "succeeded")], point
        assert page(fake)[0]["rows"] == {"total": 1, "ok": 1}, point


@pytest.mark.parametrize("call", ["objects.put", "table.newest"])
def test_a_page_that_cannot_be_written_holds_up_nothing_and_is_tried_less_and_less_often(
    tmp_path: Path, call: str
) -> None:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.killer = faults = Faults(fake.clock)
    drop(fake, "a.csv", rows(1))
    deliver(fake)
    if call == "objects.put":  # only of the page
        put = fake.objects.put

        def refuse(bucket: str, key: str, *more: Any, **options: Any) -> None:
            if key.endswith(("index.json", "index.html")):
                refused.append(fake.clock())
                raise OSError("no page")
            put(bucket, key, *more, **options)

        refused: list[float] = []
        fake.objects.put = refuse  # type: ignore[method-assign]  # for this test
    else:
        faults.faults.append(Fault(call, "denied"))
        refused = []
    pass_time(fake, 5 * HOUR)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert fake.topics.events() == ["accepted", "ended"]
    tries = len(refused) or faults.made[call]
    assert 6 <= tries <= 20
    if call == "objects.put":
        fake.objects.put = put  # type: ignore[method-assign]  # as it was
    faults.faults.clear()
    pass_time(fake, 2 * HOUR)
    assert states(fake) == [("a.csv", "succeeded")]


def test_a_change_that_the_table_never_takes_is_given_up_after_some_tries(fake: FakeContext) -> None:
    """A job must not stay open for its place on a page."""
    fake.killer = Faults(fake.clock)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(1))
    deliver(fake)
    insert = fake.table.insert

    def refuse(item: Any) -> None:
        if item["pk"].startswith("listed#"):
            raise OSError("not this item")
        insert(item)

    fake.table.insert = refuse  # type: ignore[method-assign]  # for this test
    fake.openai.ending = OpenAIStatus.COMPLETED
    pass_time(fake, 2 * DAY, step=10 * MINUTE)
    assert (only_job(fake).state, only_job(fake).outbox) == (JobState.SUCCEEDED, [])
    assert fake.topics.events() == ["accepted", "ended"]
    fake.table.insert = insert  # type: ignore[method-assign]  # as it was


def test_an_older_writer_does_not_bring_back_an_older_state(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(1))
    deliver(fake)
    running = only_job(fake)
    hold(fake.context, running, HeldReason.ACCOUNT, "insufficient_quota")
    stale = running
    repository = fake.context.repository
    listed = repository.listed_job("", running.id)
    assert listed.state == "held"
    assert not listing._update(fake.context, listed, stale, None)
    assert repository.listed_job("", running.id).state == "held"


def test_a_second_writer_at_the_same_time_has_the_page_written_once_more(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(1))
    deliver(fake)
    repository = fake.context.repository
    (found,) = repository.changed_pages()
    first = repository.update(found, lambda page: index_pages._begin(fake.context, page))
    assert first is not None
    fake.clock.sleep(5)
    second = repository.update(found, lambda page: index_pages._begin(fake.context, page))
    assert second is not None
    repository.update(first, lambda page: index_pages._finish(fake.context, page, first.begun_at))
    assert list(repository.changed_pages()), "nobody knows whose page is there"
    fake.clock.sleep(MINUTE)
    assert survive(lambda: poll(fake.context))
    assert not list(repository.changed_pages())


def test_a_poll_without_time_leaves_pages_to_the_next(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "a.csv", rows(1))
    deliver(fake)
    fake.seconds_left = lambda: 1.0
    poll(fake.context)
    assert not versions(fake)
    fake.seconds_left = lambda: 300.0
    poll(fake.context)
    assert versions(fake) == 1


def test_old_versions_of_pages_are_not_kept_for_long(fake: FakeContext) -> None:
    drop(fake, "lake/a.csv", rows(1))
    run(fake)
    names = {f"{prefix}index.{ending}" for prefix in ("", "lake/") for ending in ("json", "html")}
    assert {(RESULTS, name) for name in names} <= fake.objects.progress
    assert not any(key.endswith(("summary.json", ".csv", "report.html")) for _, key in fake.objects.progress)
