"""Markers: each version of one gets exactly one answer, in any state of its file; over fakes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.deadlines import RETENTION_SECONDS
from dropbatch.domain.markers import EXTENSIONS, MarkerKind, MarkerReason, MarkerStatus
from dropbatch.domain.states import BatchState, HeldReason, JobState, OpenAIStatus
from dropbatch.formats.file_types import KINDS
from dropbatch.messages import IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.ports import Notification
from dropbatch.reporting.notifications import progress_lines
from dropbatch.reporting.quote_lines import quote_lines
from dropbatch.reporting.runs import run_line
from tests import event_contract
from tests.driving import (
    ALMOST_NOTHING,
    RECIPE,
    deliver,
    deliver_next,
    drop,
    jobs,
    object_created,
    only_job,
    pass_time,
    result,
    result_json,
    rows,
    run,
    sent_rows,
)
from tests.fakes import INBOX, FakeContext, answer_ok, response_line
from tests.fakes.killer import Killer

DAY = 86_400
RERUN = "echo | aws s3 cp - s3://the-inbox/a.csv.rerun"


def fresh(tmp_path: Path, **more: Any) -> FakeContext:
    fake = FakeContext(tmp_path, **more)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    return fresh(tmp_path)


def bad(request: dict[str, Any]) -> Any:
    return "error", response_line(request, 400, {"error": {"code": "lasting", "message": "no"}})


def second_is_bad(request: dict[str, Any]) -> Any:
    return bad(request) if request["custom_id"] == "2" else answer_ok(request)


# States that a file may be in


def no_file(fake: FakeContext) -> None:
    """Drop no file at all."""


def not_begun(fake: FakeContext) -> None:
    fake.objects.drop("a.csv", rows(3))  # its event is lost
    fake.clock.sleep(5)


def building(fake: FakeContext) -> None:
    fake.objects.remove(INBOX, "recipe.yaml")
    drop(fake, "a.csv", rows(3))
    deliver(fake)
    assert only_job(fake).state is JobState.BUILDING


def running(fake: FakeContext) -> None:
    fake.openai.answer, fake.openai.ending = lambda _request: None, None
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=4)  # the accepted message is published
    assert only_job(fake).state is JobState.RUNNING


def all_back(fake: FakeContext) -> None:
    running(fake)
    fake.openai.answer, fake.openai.ending = answer_ok, OpenAIStatus.COMPLETED
    poll(fake.context)
    assert only_job(fake).state is JobState.RUNNING
    assert [batch.state for batch in fake.context.repository.batches(only_job(fake).id)] == [BatchState.ENDED]


def assembling(fake: FakeContext) -> None:
    all_back(fake)
    repository = fake.context.repository
    job = only_job(fake)
    job.move(JobState.ASSEMBLING)
    repository.save(job)


def cancelling(fake: FakeContext) -> None:
    running(fake)
    drop(fake, "a.csv.cancel", b"")
    deliver(fake)
    fake.clock.sleep(5)


def held_for_its_cost(fake: FakeContext) -> None:
    fake.max_job_usd = ALMOST_NOTHING
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=2)
    assert only_job(fake).held_reason is HeldReason.COST


def held_for_a_key(fake: FakeContext) -> None:
    fake.openai.key = None
    drop(fake, "a.csv", rows(3))
    run(fake, ticks=3)
    assert only_job(fake).held_reason is HeldReason.KEY


def held_for_bad_answers(fake: FakeContext) -> None:
    fake.limits = Limits(batch_requests=2)
    fake.token_limits = {"*": 50}
    fake.openai.answer = bad
    drop(fake, "a.csv", rows(10))
    run(fake, ticks=10)
    assert only_job(fake).held_reason is HeldReason.FAILING


def rejected(fake: FakeContext) -> None:
    drop(fake, "a.csv", b"other\nx\n")
    run(fake)
    assert only_job(fake).state is JobState.REJECTED


def succeeded(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(3))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def partial(fake: FakeContext) -> None:
    fake.openai.answer = second_is_bad
    drop(fake, "a.csv", rows(3))
    run(fake)
    assert only_job(fake).state is JobState.PARTIAL


def forgotten(fake: FakeContext) -> None:
    succeeded(fake)
    fake.clock.sleep(RETENTION_SECONDS + 3 * DAY)
    for item in [json.loads(text) for text in fake.table.texts()]:
        if item.get("expires_at", fake.clock()) < fake.clock():
            fake.table.delete(item["pk"], item["sk"], item["rev"])  # as DynamoDB does
    assert jobs(fake) == []


Expected = tuple[str, str, str]
"""Status, reason and subject of the marker's own message; or status, event and subject of its run's first one."""

NO_FILE = "there is no file a.csv here"

TABLE: list[tuple[Callable[[FakeContext], None], str, Expected]] = [
    (no_file, "cancel", ("refused", "no_such_file", f"a.csv.cancel: {NO_FILE}")),
    (no_file, "approve", ("refused", "no_such_file", f"a.csv.approve: {NO_FILE}")),
    (no_file, "retry", ("refused", "no_such_file", f"a.csv.retry: {NO_FILE}")),
    (no_file, "rerun", ("refused", "no_such_file", f"a.csv.rerun: {NO_FILE}")),
    (not_begun, "cancel", ("kept", "not_begun", "a.csv.cancel: kept, a.csv has not begun yet")),
    (
        not_begun,
        "approve",
        ("refused", "not_begun", "a.csv.approve: a.csv has not begun yet, there is nothing to approve"),
    ),
    (not_begun, "retry", ("done", "taken_in", "a.csv.retry: a.csv is read now")),
    (not_begun, "rerun", ("done", "taken_in", "a.csv.rerun: a.csv is read now")),
    (building, "cancel", ("done", "cancelling", "a.csv: is being cancelled")),
    (
        building,
        "approve",
        ("refused", "being_read", "a.csv: is still being read, there is nothing to approve yet"),
    ),
    (building, "retry", ("refused", "running", "a.csv: is still running, there is nothing to retry yet")),
    (running, "cancel", ("done", "cancelling", "a.csv: is being cancelled")),
    (running, "approve", ("refused", "not_held", "a.csv: needs no approval")),
    (running, "retry", ("refused", "running", "a.csv: is still running, there is nothing to retry yet")),
    (running, "rerun", ("duplicate", "duplicate", "a.csv: already being answered")),
    (all_back, "cancel", ("refused", "too_late", "a.csv: too late to cancel")),
    (assembling, "cancel", ("refused", "too_late", "a.csv: too late to cancel")),
    (cancelling, "cancel", ("refused", "already", "a.csv: is being cancelled already")),
    (held_for_its_cost, "cancel", ("done", "cancelling", "a.csv: is being cancelled")),
    (held_for_its_cost, "approve", ("done", "approved", "a.csv: approved")),
    (held_for_its_cost, "retry", ("refused", "held", "a.csv: waits for your approval, there is nothing to retry")),
    (held_for_a_key, "cancel", ("done", "cancelling", "a.csv: is being cancelled")),
    (held_for_a_key, "approve", ("refused", "not_held", "a.csv: waits for an OpenAI API key, not for an approval")),
    (held_for_a_key, "retry", ("refused", "held", "a.csv: waits for an OpenAI API key, there is nothing to retry")),
    (held_for_bad_answers, "cancel", ("done", "cancelling", "a.csv: is being cancelled")),
    (
        held_for_bad_answers,
        "approve",
        ("refused", "not_held", "a.csv: waits because too few rows were answered, not for an approval"),
    ),
    (held_for_bad_answers, "retry", ("done", "resumed", "a.csv: continues")),
    (rejected, "cancel", ("done", "waits_no_more", "a.csv: is not read again automatically")),
    (rejected, "approve", ("refused", "rejected", "a.csv: was rejected, there is nothing to approve")),
    (rejected, "retry", ("refused", "rejected", "a.csv: was rejected, there is nothing to retry")),
    (rejected, "rerun", ("rejected", "rejected", "a.csv, run 2: rejected, 1 problem")),
    (succeeded, "cancel", ("refused", "ended", "a.csv: has ended, there is nothing to cancel")),
    (succeeded, "approve", ("refused", "ended", "a.csv: has ended, there is nothing to approve")),
    (succeeded, "retry", ("refused", "nothing_to_retry", "a.csv: every row is done, there is nothing to retry")),
    (succeeded, "rerun", ("held", "held", "a.csv, run 2: waits for your approval, answered before")),
    (partial, "cancel", ("refused", "ended", "a.csv: has ended, there is nothing to cancel")),
    (partial, "retry", ("running", "accepted", "a.csv, run 2: accepted, 3 rows")),
    (partial, "rerun", ("held", "held", "a.csv, run 2: waits for your approval, answered before")),
    (forgotten, "cancel", ("refused", "forgotten", "a.csv.cancel: ended long ago, there is nothing to cancel")),
    (forgotten, "approve", ("refused", "forgotten", "a.csv.approve: ended long ago, there is nothing to approve")),
    (forgotten, "retry", ("refused", "forgotten", "a.csv.retry: ended long ago, there is nothing to retry")),
    (forgotten, "rerun", ("running", "accepted", "a.csv, run 2: accepted, 3 rows")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "kind", "expected"), TABLE, ids=[f"{state.__name__}-{kind}" for state, kind, _ in TABLE]
)
def test_a_marker_has_one_answer_in_every_state(
    fake: FakeContext, state: Callable[[FakeContext], None], kind: str, expected: Expected
) -> None:
    state(fake)
    before = len(fake.topics.published)
    version = drop(fake, f"a.csv.{kind}", b"")
    _intake(fake)
    if state in (no_file, not_begun):
        assert fake.topics.published[before:] == [], "it may come"
        pass_time(fake, 180, step=30)
    published = fake.topics.published[before:]
    mine = [each for each in published if each.event == "marker"]
    first = mine[0] if mine else published[0]
    assert (first.status, _reason(first), first.subject) == expected
    assert [each.subject for each in fake.topics.people[before:]][published.index(first)] == first.subject
    if mine:
        assert first.detail["marker"] == {"kind": kind, "key": f"a.csv.{kind}", "version_id": version}
        assert first.detail["drop"]["key"] == "a.csv"
        assert ("job_id" in first.detail) is (state not in (no_file, not_begun, forgotten))
    else:
        again = (
            f", which has acted now. To ask once more, make it again: a folder of the same name, or `a.csv.{kind}2`."
        )
        assert first.text.splitlines()[1] == f"Asked for by a.csv.{kind}" + (
            again if first.event == "accepted" else "."
        )
        assert first.detail["asked_by"] == {"kind": kind, "version_id": version}
    # Repeated deliveries cause neither a second message nor a second run.
    runs = len(jobs(fake))
    for _ in range(2):
        fake.intake.send(object_created(fake, f"a.csv.{kind}", version, 0))
        _intake(fake)
    fake.openai.answer, fake.openai.ending, fake.openai.key = answer_ok, OpenAIStatus.COMPLETED, "sk-fake"
    run(fake, ticks=10)
    fake.clock.sleep(20 * DAY)
    fake.intake.send(object_created(fake, f"a.csv.{kind}", version, 0))
    run(fake, ticks=10)
    assert sum(each.event == "marker" for each in fake.topics.published[before:]) == len(mine)
    if state is not_begun:  # a sweep of the inbox finds it
        assert only_job(fake).state is (JobState.CANCELLED if kind == "cancel" else JobState.SUCCEEDED)
    else:
        assert len(jobs(fake)) == runs


def _intake(fake: FakeContext) -> None:
    """Deliver the messages of the intake queue only."""
    while deliver_next(fake, "intake"):
        pass


def _reason(message: Notification) -> str:
    return str(message.detail["reason"]) if message.event == "marker" else message.event


def last(fake: FakeContext) -> list[str]:
    return fake.topics.people[-1].text.splitlines()


# Texts of the messages


def test_a_marker_of_an_unknown_file_suggests_the_intended_one(fake: FakeContext) -> None:
    drop(fake, "umfrage/recipe.yaml", RECIPE)
    drop(fake, "umfrage/Umfrage Q4.csv", rows(2))
    run(fake)
    drop(fake, "umfrage/Umfrage Q4.rerun/", b"")
    run(fake)
    assert fake.topics.people[-1].subject == "umfrage/Umfrage Q4.rerun: there is no file Umfrage Q4 here"
    assert last(fake) == [
        "There is no file `Umfrage Q4` here, so Umfrage Q4.rerun does nothing.",
        "Did you mean `Umfrage Q4.csv`? Then make a folder `Umfrage Q4.csv.rerun` beside the file, or: "
        "echo | aws s3 cp - 's3://the-inbox/umfrage/Umfrage Q4.csv.rerun'",
    ]
    assert fake.topics.published[-1].detail["near"] == ["umfrage/Umfrage Q4.csv"]
    assert fake.topics.published[-1].folder == "umfrage"


@pytest.mark.parametrize(
    ("typed", "file"),
    [
        ("umfrage q4.csv", "Umfrage Q4.csv"),
        ("Umfrage  Q4.csv", "Umfrage Q4.csv"),
        ("Umfrage_Q4.csv", "Umfrage Q4.csv"),
        ("Umfrage Q4", "Umfrage Q4.csv.gz"),
        ("Umfrage Q4.csv", "Umfrage Q4.tsv"),
        ("Umfrage Q4.xlsx", "Umfrage Q4.csv"),
        ("Umfarge Q4.csv", "Umfrage Q4.csv"),
        ("Umfrage Q4.cvs", "Umfrage Q4.csv"),
        ("Umfrage", "Umfrage Q4.csv"),
        ("übersicht.csv", "Übersicht.csv"),
    ],
)
def test_a_marker_suggests_a_file_with_a_similar_name(fake: FakeContext, typed: str, file: str) -> None:
    for name in ("Another.csv", "recipe.yaml", "deeper/Umfrage Q4.csv", "Umfrage Q4.csv.cancel", file):
        fake.objects.drop(f"folder/{name}", b"")
    fake.objects.drop("Umfrage Q4.csv", b"")
    drop(fake, f"folder/{typed}.cancel", b"")
    pass_time(fake, 300)
    (message,) = fake.topics.published
    assert message.detail["near"] == [f"folder/{file}"]


@pytest.mark.slow
def test_a_marker_suggests_a_file_in_a_folder_of_thousands(fake: FakeContext) -> None:
    for number in range(2_500):
        fake.objects.drop(f"f/part-{number:05d}.csv", b"")
    fake.objects.drop("f/Reviews.csv", b"")
    fake.objects.drop("f/zones.csv", b"")
    for name in ("reviews.csv", "Zones", "part-02400"):
        drop(fake, f"f/{name}.cancel", b"")
    pass_time(fake, 300)
    near = {message.detail["marker"]["key"]: message.detail["near"] for message in fake.topics.published}
    assert near["f/reviews.csv.cancel"] == ["f/Reviews.csv"]
    assert near["f/Zones.cancel"] == ["f/zones.csv"]
    assert near["f/part-02400.cancel"][0] == "f/part-02400.csv"


def test_a_marker_in_an_empty_folder_explains_how_to_name_one(fake: FakeContext) -> None:
    drop(fake, "reviews.rerun", b"")
    pass_time(fake, 300)
    assert last(fake) == [
        "There is no file `reviews` here, so reviews.rerun does nothing.",
        "A marker is named as the file is, with its ending, and lies beside it: for `reviews.csv`, "
        "`reviews.csv.rerun`.",
    ]


def test_a_name_that_looks_the_same_is_the_same_file(fake: FakeContext) -> None:
    """macOS writes the dots of an umlaut as a letter of their own; a browser does not."""
    fake.openai.answer, fake.openai.ending = lambda _request: None, None
    drop(fake, "U\u0308bersicht.csv", rows(2))
    run(fake, ticks=2)
    drop(fake, "\u00dcbersicht.csv.cancel/", b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED
    assert fake.topics.events() == ["accepted", "marker", "ended"]


def test_a_long_name_leaves_room_for_the_verdict(fake: FakeContext) -> None:
    drop(fake, f"lake/{'reviews-of-' * 14}2026.csv.rerun", b"")
    run(fake)
    message = fake.topics.people[-1]
    name, _, verdict = message.subject.partition(": ")
    assert len(message.subject) == 99
    assert name.endswith("reviews-of-2026.csv.rerun")
    assert verdict == "there is no file …views-of-reviews-of-reviews-of-2026.csv here"


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (".rertry", "retry"),
        (".re-try", "retry"),
        (".retry.txt", "retry"),
        (".Retry.TXT", "retry"),
        (".restart", "rerun"),
        (".re-run", "rerun"),
        (".canceled", "cancel"),
        (".cancelled", "cancel"),
        (".CANCELLED", "cancel"),
        (".stop", "cancel"),
        (".cancle", "cancel"),
        (".approved", "approve"),
        (".aprove", "approve"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_misspelt_ending_suggests_the_right_one(fake: FakeContext, ending: str, kind: str, slash: str) -> None:
    drop(fake, f"lake/reviews.csv{ending}{slash}", b"\n")
    run(fake)
    (message,) = fake.topics.people
    assert message.subject == f"lake/reviews.csv{ending}: is not a marker, did you mean .{kind}?"
    assert message.text.splitlines() == [
        f"`{ending}` is not a marker, so reviews.csv{ending} does nothing; did you mean `.{kind}`?",
        f"Then make a folder `reviews.csv.{kind}` beside the file, or: "
        f"echo | aws s3 cp - s3://the-inbox/lake/reviews.csv.{kind}",
        "The markers are .approve, .cancel, .rerun, .retry.",
    ]
    assert (message.event, message.status, message.folder) == ("marker", "refused", "lake")
    assert jobs(fake) == []


def test_a_data_file_never_counts_as_a_misspelt_marker(fake: FakeContext) -> None:
    data = b"".join(b"this is row %d\n" % number for number in range(100))
    drop(fake, "reviews.csv.retry.txt", data)
    drop(fake, "reviews.csv.summary.txt", b"one row\n")
    run(fake)
    assert [job.rows for job in jobs(fake) if job.state is JobState.SUCCEEDED] == [100, 1]


@pytest.mark.parametrize(
    "name", ["a.csv.Cancel", "a.csv.CANCEL/", "a.csv.cancel2", "a.csv.cancel 3/", "a.csv.cancel (1)"]
)
def test_capitals_and_a_number_after_a_marker_are_ignored(fake: FakeContext, name: str) -> None:
    running(fake)
    drop(fake, name, b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED


def test_a_marker_of_a_recipe_is_refused_at_once(fake: FakeContext) -> None:
    drop(fake, "recipe.yaml.rerun", b"")
    run(fake)
    assert fake.topics.people[-1].subject == "recipe.yaml.rerun: recipe.yaml has no rows to answer"


@pytest.mark.parametrize("kind", ["cancel", "approve", "rerun", "retry"])
def test_a_marker_older_than_the_file_says_so(fake: FakeContext, kind: str) -> None:
    marker = fake.objects.drop(f"a.csv.{kind}", b"")
    event = object_created(fake, f"a.csv.{kind}", marker, 0)
    fake.clock.sleep(60)
    succeeded(fake)
    before = len(fake.topics.people)
    fake.intake.send(event)
    run(fake)
    (message,) = fake.topics.people[before:]
    assert message.subject == f"a.csv: .{kind} is older than it, and does nothing"
    assert message.text.splitlines() == [
        f"a.csv.{kind} is older than what a.csv is now, so a.csv.{kind} does nothing.",
        f"To do it now, make it again: make a folder `a.csv.{kind}` beside the file, or: "
        f"echo | aws s3 cp - s3://the-inbox/a.csv.{kind}",
        run_line(only_job(fake)),
    ]
    assert only_job(fake).state is JobState.SUCCEEDED


def test_a_cancel_is_confirmed_and_the_end_lists_the_answers(fake: FakeContext) -> None:
    running(fake)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert fake.topics.events() == ["accepted", "marker", "ended"]
    message = fake.topics.people[1]
    assert message.text.splitlines() == [
        "a.csv is being cancelled, as a.csv.cancel asks. Dropbatch sends no more rows, asks OpenAI to stop the "
        "others, and keeps the answers that it has given, which are paid.",
        "Another message follows when it has ended.",
        run_line(only_job(fake)),
    ]
    assert fake.topics.published[1].detail["job_id"] == only_job(fake).id
    assert fake.topics.people[2].status == "cancelled"


def test_a_cancel_of_what_was_never_sent_says_that_nothing_is_billed(fake: FakeContext) -> None:
    held_for_its_cost(fake)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert fake.topics.people[1].text.splitlines()[0] == (
        "a.csv is being cancelled, as a.csv.cancel asks. Nothing of it was sent to OpenAI, and nothing is billed."
    )


def test_a_cancel_after_all_answers_came_says_so_at_once_and_at_the_end(fake: FakeContext) -> None:
    all_back(fake)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    marker, ended = fake.topics.people[1:]
    assert marker.text.splitlines() == [
        "a.csv.cancel came too late to stop anything: all rows of a.csv that were sent had come back. They are kept "
        "and paid; rows that failed are not sent again.",
        "Another message follows when the results are there.",
        run_line(only_job(fake)),
    ]
    assert ended.status == "succeeded"
    assert "The cancellation came too late to stop anything: all rows had come back." in ended.text


def test_the_end_says_that_a_cancel_had_no_effect(fake: FakeContext) -> None:
    """OpenAI has ended the batch already, and Dropbatch does not know."""
    running(fake)
    fake.openai.answer, fake.openai.ending = answer_ok, OpenAIStatus.COMPLETED
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert [message.subject for message in fake.topics.people[1:]] == [
        "a.csv: is being cancelled",
        "a.csv: 3 of 3 answered",
    ]
    assert "The cancellation came too late to stop anything" in fake.topics.people[-1].text


def test_a_cancel_stops_every_open_run_of_the_file_and_names_them(fake: FakeContext) -> None:
    running(fake)
    fake.clock.sleep(60)
    drop(fake, "a.csv", rows(4))
    run(fake, ticks=2)
    fake.clock.sleep(60)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.CANCELLED] * 2
    markers = [each for each in fake.topics.published if each.event == "marker"]
    assert [each.text.splitlines()[0] for each in markers] == [
        "a.csv: run 1 and run 2 are being cancelled, as a.csv.cancel asks. Dropbatch sends no more rows, asks "
        "OpenAI to stop the others, and keeps the answers that it has given, which are paid.",
    ]
    assert markers[0].detail["cancelled_jobs"] == [job.id for job in jobs(fake)]
    assert (markers[0].subject, markers[0].detail["run"]) == ("a.csv, run 2: is being cancelled", 2)


def test_a_cancel_stops_the_older_run_that_is_open_though_the_newest_has_ended(fake: FakeContext) -> None:
    running(fake)
    fake.clock.sleep(60)
    drop(fake, "a.csv", b"other\nx\n")
    run(fake, ticks=5)
    assert [job.state for job in jobs(fake)] == [JobState.RUNNING, JobState.REJECTED]
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.CANCELLED, JobState.REJECTED]
    (message,) = [each for each in fake.topics.published if each.event == "marker"]
    assert message.subject == "a.csv: is being cancelled, older version"
    assert message.detail["run"] == 1


def test_a_cancel_keeps_a_rejected_file_from_being_read_again(fake: FakeContext) -> None:
    rejected(fake)
    for _ in range(2):
        drop(fake, "a.csv.cancel", b"")
        run(fake)
    first, second = [message for message in fake.topics.people if message.event == "marker"]
    assert first.text.splitlines()[:2] == [
        "a.csv was rejected, and as a.csv.cancel asks, no other recipe has it read again automatically.",
        f"To have it read again: make a folder `a.csv.rerun` beside the file, or: {RERUN}",
    ]
    assert second.subject == "a.csv: was rejected, there is nothing to cancel"


def test_a_retry_of_a_rejected_file_is_refused_with_the_command_that_works(fake: FakeContext) -> None:
    rejected(fake)
    drop(fake, "a.csv.retry", b"")
    run(fake)
    assert last(fake) == [
        "a.csv was rejected, and none of its rows was asked, so a.csv.retry does nothing.",
        "If the recipe was wrong: correct it and upload it; the file is then read again.",
        "If the file was wrong: correct it and drop it again.",
        f"To have it read again as it is: make a folder `a.csv.rerun` beside the file, or: {RERUN}",
        run_line(only_job(fake)),
    ]


# Unchanged reruns


def test_an_unchanged_rerun_needs_an_approval_and_names_the_former_cost(fake: FakeContext) -> None:
    succeeded(fake)
    first = only_job(fake)
    drop(fake, "a.csv.rerun/", b"")
    run(fake, ticks=3)
    again = jobs(fake)[-1]
    assert (again.state, again.held_reason) == (JobState.HELD, HeldReason.REPEATED)
    message = fake.topics.people[-1]
    paid = result_json(fake, "summary.json", first)["cost"]["paid"]
    assert message.text.splitlines() == [
        "a.csv waits: the same 3 rows with the same recipe were answered by run 1. That cost under a cent, and another "
        "run would cost as much. Nothing was sent to OpenAI yet, and nothing is billed.",
        "Asked for by a.csv.rerun.",
        *quote_lines(again.quote),
        "To have it answered again anyway: echo | aws s3 cp - s3://the-inbox/a.csv.approve",
        "  or, in the S3 console, make a folder `a.csv.approve` beside the file",
        "To drop it: echo | aws s3 cp - s3://the-inbox/a.csv.cancel",
        "  or, in the S3 console, make a folder `a.csv.cancel` beside the file",
        "Without an approval it is cancelled after 14 days.",
        *progress_lines(fake.context, again),
        "As a page, to decide with others: https://us-east-1.console.aws.amazon.com/s3/object/the-results"
        f"?region=us-east-1&prefix=a.csv/{again.id}/approval.html",
        run_line(again),
    ]
    assert "answered by run 1" in result(fake, "approval.html", again).decode()
    assert fake.topics.published[-1].detail["answered_by"] == {"job_id": first.id, "paid": paid}
    assert fake.topics.published[-1].detail["held_reason"] == "answered_before"
    assert len(sent_rows(fake)) == 1
    drop(fake, "a.csv.approve/", b"")
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert sent_rows(fake) == [[1, 2, 3]] * 2
    assert fake.topics.events() == ["accepted", "ended", "held", "marker", "ended"]


@pytest.mark.slow
def test_a_rerun_that_is_not_approved_is_cancelled_by_a_marker_or_after_two_weeks(fake: FakeContext) -> None:
    succeeded(fake)
    drop(fake, "a.csv.rerun/", b"")
    run(fake, ticks=3)
    drop(fake, "a.csv.cancel/", b"")
    run(fake)
    assert jobs(fake)[-1].state is JobState.CANCELLED
    fake.clock.sleep(60)
    drop(fake, "a.csv.rerun/", b"")
    run(fake, ticks=13 * 24, step=3600)
    assert jobs(fake)[-1].held_reason is HeldReason.REPEATED, "the first run still answered it"
    run(fake, ticks=3 * 24, step=3600)
    assert jobs(fake)[-1].state is JobState.CANCELLED
    assert len(sent_rows(fake)) == 1


def test_the_end_of_a_rerun_that_was_not_approved_offers_no_way_around_the_question(fake: FakeContext) -> None:
    succeeded(fake)
    drop(fake, "a.csv.rerun/", b"")
    run(fake, ticks=3)
    drop(fake, "a.csv.cancel/", b"")
    run(fake)
    ended = fake.topics.people[-1]
    assert ended.subject == "a.csv, run 2: 0 of 3 answered"
    assert (
        "- 3 rows cancelled (cancelled), the first is row 1: they were cancelled; another run has answered them; a "
        ".rerun beside the drop asks all rows, once approved"
    ) in last(fake)
    assert f"To ask all rows again, once that is approved: {RERUN}" in last(fake)
    assert ".retry" not in ended.text + json.dumps(ended.detail)
    fake.clock.sleep(60)
    drop(fake, "a.csv.retry/", b"")
    run(fake)
    assert fake.topics.people[-1].detail["reason"] == "nothing_to_retry"
    fake.clock.sleep(60)
    drop(fake, "a.csv.rerun/", b"")
    run(fake, ticks=3)
    assert jobs(fake)[-1].held_reason is HeldReason.REPEATED
    assert len(sent_rows(fake)) == 1


def test_a_rerun_with_another_recipe_or_after_a_failure_starts_at_once(fake: FakeContext) -> None:
    fake.openai.answer = bad
    drop(fake, "a.csv", rows(3))
    run(fake)
    assert only_job(fake).state is JobState.FAILED
    fake.openai.answer = answer_ok
    fake.clock.sleep(10)
    drop(fake, "a.csv.rerun/", b"")
    run(fake)
    fake.clock.sleep(10)
    fake.objects.drop("recipe.yaml", RECIPE.replace(b"gpt-6-luna", b"gpt-6-sol"))
    drop(fake, "a.csv.rerun/", b"")
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.FAILED, JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert "held" not in fake.topics.events()


def test_a_second_rerun_says_what_the_first_one_waits_for_and_how_it_continues(fake: FakeContext) -> None:
    succeeded(fake)
    for name in ("a.csv.rerun/", "a.csv.rerun2/"):
        fake.clock.sleep(60)
        drop(fake, name, b"")
        run(fake, ticks=3)
    standing = jobs(fake)[1]
    assert last(fake) == [
        f"a.csv.rerun2 asks for the same content and recipe while its job {standing.id} is still open, so nothing was "
        "sent, and nothing is billed twice.",
        "Asked for by a.csv.rerun2.",
        "That job waits for your approval.",
        "To have it answered: echo | aws s3 cp - s3://the-inbox/a.csv.approve",
        "  or, in the S3 console, make a folder `a.csv.approve` beside the file",
        "To end it with what it has: echo | aws s3 cp - s3://the-inbox/a.csv.cancel",
        "  or, in the S3 console, make a folder `a.csv.cancel` beside the file",
        f"Its results will be in s3://the-results/a.csv/{standing.id}/",
        "To have it answered once more, make a folder `a.csv.rerun3` beside the file, when that job has ended.",
    ]


@pytest.mark.parametrize(
    ("name", "following"),
    [
        ("a.csv.retry", "a.csv.retry2"),
        ("a.csv.retry2/", "a.csv.retry3"),
        ("a.csv.Retry (4)", "a.csv.Retry5"),
        ("a.csv.retry999", "a.csv.retry1"),
    ],
)
def test_a_run_names_the_marker_that_requested_it_and_the_next_one(
    fake: FakeContext, name: str, following: str
) -> None:
    partial(fake)
    drop(fake, name, b"")
    run(fake, ticks=1)
    assert last(fake)[1] == (
        f"Asked for by {name.rstrip('/')}, which has acted now. To ask once more, make it again: a folder of the same "
        f"name, or `{following}`."
    )


def test_a_recreated_folder_is_a_new_marker(fake: FakeContext) -> None:
    fake.openai.answer = second_is_bad
    drop(fake, "a.csv", rows(3))
    run(fake)
    for _ in range(2):
        fake.clock.sleep(60)
        drop(fake, "a.csv.retry/", b"")
        run(fake)
    assert sent_rows(fake) == [[1, 2, 3], [2], [2]]


def test_a_retry_without_a_row_to_send_is_one_message(fake: FakeContext) -> None:
    succeeded(fake)
    drop(fake, "a.csv.retry", b"")
    run(fake)
    assert fake.topics.events() == ["accepted", "ended", "marker"]
    assert last(fake)[0].endswith("so a.csv.retry does nothing.")


def test_a_marker_is_answered_though_its_recipe_disables_messages(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"notify: []\n")
    succeeded(fake)
    assert fake.topics.people == []
    fake.clock.sleep(10)
    fake.objects.drop("recipe.yaml", RECIPE.replace(b"gpt-6-luna", b"gpt-6-sol") + b"notify: []\n")
    drop(fake, "a.csv.rerun/", b"")
    run(fake)
    assert [message.event for message in fake.topics.people] == ["accepted"]
    drop(fake, "a.csv.cancel/", b"")
    run(fake)
    assert [message.event for message in fake.topics.people] == ["accepted", "marker"]


def test_a_duplicate_names_the_marker_that_requested_it(fake: FakeContext) -> None:
    running(fake)
    drop(fake, "a.csv.rerun", b"")
    run(fake, ticks=2)
    assert fake.topics.events() == ["accepted", "duplicate"]
    assert last(fake)[1].startswith("Asked for by a.csv.rerun")


# Faults


def test_a_marker_works_though_its_content_may_not_be_read(fake: FakeContext) -> None:
    """Only its name counts: its content may be encrypted with any key."""
    running(fake)
    fake.objects.forbidden.add("a.csv.cancel")
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED


def test_a_marker_that_cannot_be_processed_for_a_day_is_reported_once(fake: FakeContext) -> None:
    fake.objects.forbidden.add("a.csv.rertry")
    version = fake.objects.drop("a.csv.rertry", b"")
    for _ in range(2):
        fake.intake.send(object_created(fake, "a.csv.rertry", version, 0))
        pass_time(fake, 600)
    (message,) = fake.topics.people
    assert message.subject == "a.csv.rertry: could not be looked at"


@pytest.mark.parametrize("kind", ["cancel", "approve", "rerun", "retry"])
def test_two_simultaneous_events_of_a_marker_get_one_answer(fake: FakeContext, kind: str) -> None:
    partial(fake)
    before = len(fake.topics.published)
    version = drop(fake, f"a.csv.{kind}", b"")
    fake.intake.send(object_created(fake, f"a.csv.{kind}", version, 0))
    fake.intake.send(IntakeMessage(INBOX, f"a.csv.{kind}", version).to_json())
    run(fake, ticks=3)
    first = [message for message in fake.topics.published[before:] if message.event != "ended"]
    assert len(first) == 1


def test_a_processed_marker_is_kept_in_one_small_item_that_expires(fake: FakeContext) -> None:
    succeeded(fake)
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    items = [json.loads(text) for text in fake.table.texts()]
    (item,) = [item for item in items if item["pk"].startswith("pending#")]
    assert "open" not in item
    assert item["expires_at"] >= fake.clock() + RETENTION_SECONDS - DAY
    assert len(json.dumps(item)) < 1_000


def test_the_files_that_a_marker_may_be_misspelt_beside_are_those_that_are_read() -> None:
    assert set(EXTENSIONS) == set(KINDS)


def test_the_page_about_markers_names_every_marker_and_reason() -> None:
    page = (Path(__file__).parents[2] / "docs" / "markers.md").read_text()
    for name in [*(f".{kind}" for kind in MarkerKind), *MarkerStatus, *MarkerReason]:
        assert f"`{name}`" in page, name
    members = event_contract.schema("marker")["properties"]
    assert set(members["reason"]["enum"]) == set(MarkerReason)
    assert set(members["status"]["enum"]) == set(MarkerStatus)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (no_file, "rerun"),
        (building, "approve"),
        (running, "cancel"),
        (running, "retry"),
        (held_for_its_cost, "approve"),
        (held_for_bad_answers, "retry"),
        (partial, "retry"),
        (succeeded, "rerun"),
        (forgotten, "rerun"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_a_kill_at_any_call_does_not_change_the_answer(
    tmp_path: Path, state: Callable[[FakeContext], None], kind: str
) -> None:
    def prepared() -> tuple[FakeContext, int]:
        fake = fresh(tmp_path, killer=Killer())
        state(fake)
        drop(fake, f"a.csv.{kind}", b"")
        return fake, len(fake.topics.published)

    def answers(fake: FakeContext, before: int) -> tuple[set[tuple[str, str, str]], int]:
        """Return the distinct messages, because delivery is at least once, and the number of jobs."""
        published = fake.topics.published[before:]
        return {(each.event, _reason(each), each.subject) for each in published}, len(jobs(fake))

    whole, before = prepared()
    assert isinstance(whole.killer, Killer)
    first = len(whole.killer.calls)
    _intake(whole)
    last_call = len(whole.killer.calls)
    pass_time(whole, 600)
    expected = answers(whole, before)
    for point in [point for point in whole.killer.all_points() if 2 * first <= point < 2 * last_call]:
        fake, before = prepared()
        assert isinstance(fake.killer, Killer)
        fake.killer.points = {point}
        pass_time(fake, 600)
        assert answers(fake, before) == expected, f"killed at {whole.killer.calls[point // 2]}, point {point}"


@pytest.mark.slow
def test_a_marker_of_a_new_stacks_first_minutes_is_found_and_answered(fake: FakeContext) -> None:
    """S3 sends no events of objects before their bucket is some minutes old."""
    fake.max_job_usd = ALMOST_NOTHING
    fake.objects.drop("a.csv", rows(3))
    fake.clock.sleep(20)
    fake.objects.drop("a.csv.cancel/", b"")
    fake.objects.drop("a.csv.rertry", b"")
    pass_time(fake, 3 * DAY, step=600)
    assert only_job(fake).state is JobState.CANCELLED
    assert sorted(fake.topics.events()) == ["ended", "held", "marker", "marker"]


@pytest.mark.slow
def test_a_marker_without_an_event_is_ignored_once_the_stack_is_a_day_old(fake: FakeContext) -> None:
    """Dropbatch may have done its work long ago, and have deleted the item."""
    succeeded(fake)
    pass_time(fake, 2 * DAY, step=600)
    fake.objects.drop("a.csv.rerun/", b"")
    pass_time(fake, 3 * DAY, step=600)
    assert fake.topics.events() == ["accepted", "ended"]


@pytest.mark.parametrize("kind", ["cancel", "rerun"])
def test_the_longest_names_are_answered_too(fake: FakeContext, kind: str) -> None:
    name = "ü" * ((1_024 - len(f"f/.csv.{kind}")) // 2)
    fake.objects.drop(f"f/{name[:-1]}o.csv", b"")
    drop(fake, f"f/{name}.csv.{kind}", b"")
    drop(fake, f"{'d' * 200}/{'e' * 700}/a.csv.{kind}", b"")
    pass_time(fake, 600)
    assert [message.detail["reason"] for message in fake.topics.published] == ["no_such_file"] * 2


@pytest.mark.parametrize(
    ("state", "kind", "reason", "sentence"),
    [
        (held_for_its_cost, "approve", "not_held", "a.csv is being cancelled, so a.csv.approve does nothing."),
        (held_for_its_cost, "retry", "running", "so a.csv.retry does nothing."),
        (held_for_bad_answers, "retry", "running", "so a.csv.retry does nothing."),
    ],
)
def test_no_marker_continues_a_held_run_that_is_being_cancelled(
    fake: FakeContext, state: Callable[[FakeContext], None], kind: str, reason: str, sentence: str
) -> None:
    """The `.cancel` has acted, and the poll has not ended the run yet."""
    state(fake)
    fake.clock.sleep(5)
    drop(fake, "a.csv.cancel", b"")
    _intake(fake)
    fake.clock.sleep(5)
    drop(fake, f"a.csv.{kind}", b"")
    _intake(fake)
    told = fake.topics.published[-1]
    assert (told.status, told.detail["reason"]) == ("refused", reason)
    assert sentence in told.text
    assert only_job(fake).state is JobState.HELD
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED
