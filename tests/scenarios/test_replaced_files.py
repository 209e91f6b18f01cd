"""A file that is replaced while the job of an older version is open: the messages, and the end; over fakes."""

from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import BatchState, HeldReason, JobState, OpenAIStatus
from tests.driving import (
    ALMOST_NOTHING,
    RECIPE,
    batches,
    deliver,
    drop,
    jobs,
    price_between,
    published,
    rows,
    run,
)
from tests.fakes import INBOX, FakeContext, answer_ok, response_line

REPLACING = RECIPE + b"replace: cancel\n"


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    """Return fakes with a recipe, in which batches never end."""
    fake = FakeContext(tmp_path, limits=Limits(batch_requests=10))
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    return fake


def replace(fake: FakeContext, data: bytes, ticks: int = 3) -> None:
    """Drop the file again after a while."""
    fake.clock.sleep(600)
    drop(fake, "a.csv", data)
    run(fake, ticks=ticks)


def expensive(request: dict[str, Any]) -> Any:
    where, line = answer_ok(request)
    line["response"]["body"]["usage"] = {"prompt_tokens": 20_000, "completion_tokens": 0, "total_tokens": 20_000}
    return where, line


def collect_first_batch(fake: FakeContext) -> None:
    """Let the first of the open batches end."""
    fake.openai.answer = expensive
    first = next(iter(fake.openai.batches))
    fake.openai._end(fake.openai.batches[first], OpenAIStatus.COMPLETED)
    run(fake, ticks=3)


def test_the_accepted_message_names_the_older_job_and_what_it_has_cost(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=3)
    collect_first_batch(fake)
    assert sum(batch.state is BatchState.COLLECTED for batch in batches(fake)) == 1
    replace(fake, rows(5))
    older, newer = jobs(fake)
    accepted = published(fake, "accepted")[-1]
    lines = accepted.text.splitlines()
    assert lines[:3] == [
        "a.csv was accepted: 5 rows, of which 5 go to OpenAI in 1 batch.",
        "Run 1, of an older version of the file, is still open: 10 of 25 rows are back, about 1 cent so far.",
        "A .cancel beside the file ends this job and the older ones; `replace: cancel` in the recipe ends those of "
        "older versions automatically.",
    ]
    (run_before,) = accepted.detail["open_runs"]
    assert run_before["cost"].pop("paid") == pytest.approx(0.01, rel=0.3)
    assert run_before == {
        "job_id": older.id,
        "run": 1,
        "version_id": older.drop.version_id,
        "rows": {"total": 25, "back": 10},
        "cost": {"unpriced_requests": 0},
    }
    assert (newer.run, older.cancel_requested, newer.cancel_requested) == (2, False, False)


def test_a_cost_that_is_not_known_is_reported_as_unknown(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE.replace(b"gpt-6-luna", b"our-model"))
    drop(fake, "a.csv", rows(25))
    run(fake, ticks=3)
    collect_first_batch(fake)
    replace(fake, rows(5))
    assert published(fake, "accepted")[-1].text.splitlines()[1] == (
        "Run 1, of an older version of the file, is still open: 10 of 25 rows are back, nothing so far, without 10 "
        "requests of unknown price."
    )


def test_a_rerun_names_the_open_job_of_the_same_file(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    fake.clock.sleep(600)
    fake.objects.drop("recipe.yaml", RECIPE + b"prefix: my_\n")
    drop(fake, "a.csv.rerun", b"")
    run(fake, ticks=2)
    assert published(fake, "accepted")[-1].text.splitlines()[2:4] == [
        "Run 1, of the same file, is still open: 0 of 2 rows are back, nothing so far.",
        "A .cancel beside the file ends this job and the older ones.",
    ]


def test_an_ended_job_is_not_named(fake: FakeContext) -> None:
    drop(fake, "a.csv", b"other\n1\n")
    run(fake)
    replace(fake, rows(2))
    assert "is still open" not in published(fake, "accepted")[-1].text
    assert "open_runs" not in published(fake, "accepted")[-1].detail


def test_of_many_open_jobs_the_latest_are_described(fake: FakeContext) -> None:
    for count in range(1, 9):
        replace(fake, rows(count), ticks=2)
    lines = published(fake, "accepted")[-1].text.splitlines()
    assert [line.split(",")[0] for line in lines[1:6]] == [f"Run {run}" for run in (7, 6, 5, 4, 3)]
    assert lines[6] == "2 more jobs of the file are still open."
    assert len(published(fake, "accepted")[-1].detail["open_runs"]) == 5


def test_a_cancel_ends_every_open_job_that_is_not_newer(fake: FakeContext) -> None:
    fake.openai.answer = lambda _request: None
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    replace(fake, rows(3))
    fake.clock.sleep(60)
    version = fake.objects.drop("a.csv.cancel", b"")
    event = fake.objects.event(INBOX, "a.csv.cancel", version)
    replace(fake, rows(4))
    fake.intake.send(event)
    run(fake, ticks=10)
    assert [(job.run, job.state) for job in jobs(fake)] == [
        (1, JobState.CANCELLED),
        (2, JobState.CANCELLED),
        (3, JobState.RUNNING),
    ]


def test_a_cancel_reaches_an_older_version_whose_event_comes_after_it(fake: FakeContext) -> None:
    fake.openai.answer = lambda _request: None
    version = fake.objects.drop("a.csv", rows(2))
    event = fake.objects.event(INBOX, "a.csv", version)
    replace(fake, rows(3))
    fake.clock.sleep(60)
    drop(fake, "a.csv.cancel", b"")
    run(fake, ticks=2)
    fake.intake.send(event)
    run(fake)
    assert {job.state for job in jobs(fake)} == {JobState.CANCELLED}


def test_an_approve_applies_to_the_newest_version_only(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_job_usd=ALMOST_NOTHING)
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    for count in (2, 3):
        replace(fake, rows(count), ticks=2)
    fake.clock.sleep(60)
    drop(fake, "a.csv.approve", b"")
    run(fake, ticks=2)
    assert [(job.run, job.state) for job in jobs(fake)] == [(1, JobState.HELD), (2, JobState.RUNNING)]


def test_replace_cancel_cancels_the_replaced_job(fake: FakeContext) -> None:
    fake.openai.answer = lambda _request: None
    fake.objects.drop("recipe.yaml", REPLACING)
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    replace(fake, rows(3), ticks=10)
    older, newer = jobs(fake)
    assert (older.state, newer.state, newer.cancels_older) == (JobState.CANCELLED, JobState.RUNNING, False)
    assert published(fake, "accepted")[-1].text.splitlines()[2] == (
        "The recipe says `replace: cancel`: jobs of older versions are cancelled once this one runs."
    )
    (ended,) = published(fake, "ended")
    assert "Run 2 replaced the file, and its recipe says `replace: cancel`." in ended.text.splitlines()


def test_a_rerun_replaces_no_run_of_the_same_version(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", REPLACING)
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    fake.clock.sleep(60)
    fake.objects.drop("recipe.yaml", REPLACING + b"prefix: my_\n")
    drop(fake, "a.csv.rerun", b"")
    run(fake, ticks=2)
    assert [job.cancel_requested for job in jobs(fake)] == [False, False]


def test_an_older_version_that_comes_late_is_replaced_as_well(fake: FakeContext) -> None:
    fake.openai.answer = lambda _request: None
    fake.objects.drop("recipe.yaml", REPLACING)
    version = fake.objects.drop("a.csv", rows(2))
    event = fake.objects.event(INBOX, "a.csv", version)
    fake.clock.sleep(60)
    fake.intake.send(fake.objects.event(INBOX, "a.csv", fake.objects.drop("a.csv", rows(3))))
    run(fake, ticks=2)
    fake.intake.send(event)
    run(fake, ticks=10)
    by_rows = {job.rows: job.state for job in jobs(fake)}
    assert by_rows == {2: JobState.CANCELLED, 3: JobState.RUNNING}
    lines = published(fake, "accepted")[-1].text.splitlines()
    assert lines[0] == (
        "a.csv was accepted: 2 rows. Run 1 has replaced the file already, and its recipe says `replace: cancel`: "
        "nothing is sent to OpenAI, and nothing is billed."
    )
    assert "It is being cancelled; another message follows when it has ended." in lines
    assert not [line for line in lines if line.startswith("To stop it")]


def test_no_end_message_is_promised_for_a_replaced_version_whose_recipe_disables_it(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", REPLACING + b"notify: [accepted]\n")
    event = fake.objects.event(INBOX, "a.csv", fake.objects.drop("a.csv", rows(2)))
    fake.clock.sleep(60)
    fake.intake.send(fake.objects.event(INBOX, "a.csv", fake.objects.drop("a.csv", rows(3))))
    run(fake, ticks=2)
    fake.intake.send(event)
    run(fake, ticks=10)
    assert "It is being cancelled." in published(fake, "accepted")[-1].text.splitlines()
    assert [notification.detail["run"] for notification in published(fake, "ended")] == [2]
    assert {notification.event for notification in fake.topics.people} == {"accepted"}


def with_a_late_older_version(tmp_path: Path, recipe: bytes) -> FakeContext:
    """Run a file of two rows, then deliver the event of its older version, whose three rows need an approval."""
    fake = FakeContext(tmp_path, max_job_usd=price_between(tmp_path, rows(2), rows(3)))
    fake.objects.drop("recipe.yaml", recipe)
    fake.openai.ending = None
    event = fake.objects.event(INBOX, "a.csv", fake.objects.drop("a.csv", rows(3)))
    fake.clock.sleep(60)
    fake.intake.send(fake.objects.event(INBOX, "a.csv", fake.objects.drop("a.csv", rows(2))))
    run(fake, ticks=2)
    fake.intake.send(event)
    return fake


def test_an_older_version_that_is_replaced_already_waits_for_no_approval(tmp_path: Path) -> None:
    fake = with_a_late_older_version(tmp_path, REPLACING)
    run(fake, ticks=10)
    assert {job.rows: job.state for job in jobs(fake)} == {2: JobState.RUNNING, 3: JobState.CANCELLED}
    assert published(fake, "held") == []


def second_fails(outcome: str) -> Any:
    """Return an answerer that fails the second row: `again` with a temporary error, `recipe` with a permanent one."""

    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        if request["custom_id"] == "2":
            if outcome == "again":
                return "error", response_line(request, 500, {"error": {"code": "server_error", "message": "no"}})
            line["response"]["body"]["choices"][0]["finish_reason"] = "length"
        return where, line

    return answer


@pytest.mark.parametrize(
    ("outcome", "step"),
    [
        ("again", "To ask the failed ones again, as a file of their own"),
        ("recipe", "Once the recipe is changed, to ask these rows with it, as a file of their own"),
    ],
)
def test_the_end_of_an_older_version_offers_its_failed_file_and_no_marker(
    fake: FakeContext, outcome: str, step: str
) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"attempts: 1\n")
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    replace(fake, rows(3))
    fake.openai.ending, fake.openai.answer = OpenAIStatus.COMPLETED, second_fails(outcome)
    run(fake)
    older, newer = sorted(published(fake, "ended"), key=lambda each: each.detail["run"])
    failed = f"s3://the-results/a.csv/{older.detail['job_id']}/a.failed.csv"
    assert f"{step}: aws s3 cp {failed} s3://the-inbox/a.failed.csv" in older.text.splitlines()
    assert ".retry" not in older.text + str(older.detail)
    assert ".rerun" not in older.text + str(older.detail)
    assert ".retry" in newer.text


def test_the_hold_of_an_older_version_says_that_a_marker_applies_to_the_newer_one(tmp_path: Path) -> None:
    fake = with_a_late_older_version(tmp_path, RECIPE)
    run(fake, ticks=2)
    (held,) = published(fake, "held")
    assert "Another version of the file has come since, and a marker beside the file is for that one." in held.text
    assert "Without an approval it is cancelled after 14 days." in held.text
    assert not [line for line in held.text.splitlines() if ".approve" in line or "a.csv.cancel" in line]


def test_a_version_that_waits_for_an_approval_replaces_nothing_until_then(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_job_usd=price_between(tmp_path, rows(2), rows(3)))
    fake.objects.drop("recipe.yaml", REPLACING)
    fake.openai.ending = None
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    replace(fake, rows(3), ticks=2)
    older, newer = jobs(fake)
    assert (newer.held_reason, older.cancel_requested) == (HeldReason.COST, False)
    assert published(fake, "held")[0].text.splitlines()[1:3] == [
        "Run 1, of an older version of the file, is still open: 0 of 2 rows are back, nothing so far.",
        "The recipe says `replace: cancel`: jobs of older versions are cancelled once this one runs.",
    ]
    fake.clock.sleep(60)
    drop(fake, "a.csv.approve", b"")
    run(fake, ticks=3)
    older, newer = jobs(fake)
    assert (newer.state, older.cancel_requested, older.replaced_by) == (JobState.RUNNING, True, 2)


def test_a_message_about_an_older_version_says_so_in_its_subject(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    replace(fake, rows(3))
    fake.openai.ending = OpenAIStatus.COMPLETED
    fake.openai.answer = answer_ok
    run(fake)
    subjects = {notification.detail["run"]: notification.subject for notification in published(fake, "ended")}
    assert subjects[1].endswith(": 2 of 2 answered, older version")
    assert subjects[2].endswith(": 3 of 3 answered")


def test_the_first_of_two_reruns_is_not_an_older_version(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(2))
    run(fake, ticks=2)
    fake.clock.sleep(60)
    fake.objects.drop("recipe.yaml", RECIPE + b"prefix: my_\n")
    drop(fake, "a.csv.rerun", b"")
    deliver(fake)
    fake.openai.ending = OpenAIStatus.COMPLETED
    run(fake)
    assert not [n.subject for n in fake.topics.published if "older version" in n.subject]
