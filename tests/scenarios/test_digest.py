"""Many drops of a folder make one message of a kind for people; programs get an event for each."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dropbatch.domain.jobs import Job
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.polling.poll import poll
from dropbatch.ports import Audience, Notification
from tests.driving import RECIPE, deliver, drop, jobs, notification_of_each_job, pass_time, result_json, run, survive
from tests.fakes import FakeContext, Fault, Faults, Killer, answer_ok, response_line

FOLDER = "lake/reviews/dt=2026-11-27"


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("lake/recipe.yaml", RECIPE)
    return fake


def parts(fake: FakeContext, count: int, folder: str = FOLDER, rows: int = 2, first: int = 1) -> None:
    for number in range(first, first + count):
        drop(fake, f"{folder}/part-{number:04}.jsonl", b'{"text": "x"}\n' * rows)


def tick(fake: FakeContext, seconds: float = 60) -> None:
    deliver(fake)
    poll(fake.context)
    deliver(fake)
    fake.clock.sleep(seconds)


def kinds(fake: FakeContext) -> list[str]:
    return [message.event for message in fake.topics.people]


def of(fake: FakeContext, event: str) -> Notification:
    (found,) = [message for message in fake.topics.people if message.event == event]
    return found


@pytest.mark.slow
def test_twenty_parts_make_one_accepted_and_one_ended_message(fake: FakeContext) -> None:
    parts(fake, 20, rows=50)
    run(fake)
    assert kinds(fake) == ["accepted", "ended"]
    accepted, ended = fake.topics.people
    assert accepted.subject == f"{FOLDER}: 20 files accepted, 1,000 rows"
    assert accepted.text.splitlines()[:5] == [
        f"20 files of {FOLDER} were accepted: 1,000 rows.",
        "They will cost about 18 cents together (at most 84 cents).",
        "OpenAI answers within 24 hours; another message follows when they are done.",
        "Files:",
        "- part-0001.jsonl: accepted, 50 rows",
    ]
    assert "- and 10 more" in accepted.text
    assert f"echo | aws s3 cp - s3://the-inbox/{FOLDER}/part-0001.jsonl.cancel" in accepted.text
    assert ended.subject == f"{FOLDER}: 20 files ended, all succeeded, 1,000 of 1,000 answered"
    lines = ended.text.splitlines()
    assert lines[0] == f"20 files of {FOLDER} ended: 20 succeeded. 1,000 of 1,000 rows were answered."
    assert lines[1].startswith("Paid under a cent, and saved under a cent by batching")
    assert f"Results: s3://the-results/{FOLDER}/" in lines
    assert lines[-1] == "For a message for each file instead, put digest: off into the recipe."
    assert (ended.status, ended.folder, ended.recipe_folder) == ("succeeded", FOLDER, "lake")
    assert Counter(fake.topics.events()) == {"accepted": 20, "ended": 20}, "programs hear of each"
    assert not any(job.outbox or job.digest_entries for job in jobs(fake))
    assert all(job.is_clean for job in jobs(fake))


def test_a_notice_of_the_model_is_in_a_digest_once(fake: FakeContext) -> None:
    fake.clock.now = 1_796_428_800.0  # 5 December 2026, six days before its end
    model = "gpt-5-mini"
    fake.objects.drop("lake/recipe.yaml", RECIPE.replace(b"gpt-6-luna", model.encode()))
    fake.openai.ending = None
    parts(fake, 3)
    run(fake, ticks=4)
    notices = [
        line for line in of(fake, "accepted").text.splitlines() if f"OpenAI shuts the model {model} down" in line
    ]
    assert len(notices) == 1
    assert notices[0].startswith("- 3 files: ")


def test_files_that_are_replaced_while_they_run_are_named(fake: FakeContext) -> None:
    fake.openai.ending = None
    parts(fake, 3)
    run(fake, ticks=4)
    fake.topics.people.clear()
    parts(fake, 3, rows=3)
    run(fake, ticks=4)
    accepted = of(fake, "accepted")
    assert accepted.subject == f"{FOLDER}: 3 files accepted, 9 rows"
    assert (
        "- 3 files, such as part-0001.jsonl: an older run of the file is still open, and is paid, too; a .cancel "
        "beside the file ends all of its runs"
    ) in accepted.text.splitlines()
    assert "- part-0001.jsonl, run 2: accepted, 3 rows" in accepted.text.splitlines()


def test_problems_come_first_with_their_reasons(fake: FakeContext) -> None:
    """Of twelve parts, the last one has no good answer, and the one before it has one of two."""

    def answer(request: dict[str, Any]) -> Any:
        text = json.dumps(request["body"])
        if "bad" in text:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        return answer_ok(request)

    fake.openai.answer = answer
    parts(fake, 10)
    drop(fake, f"{FOLDER}/part-0011.jsonl", b'{"text": "x"}\n{"text": "bad"}\n')
    drop(fake, f"{FOLDER}/part-0012.jsonl", b'{"text": "bad"}\n{"text": "bad"}\n')
    run(fake)
    ended = of(fake, "ended")
    assert ended.subject == f"{FOLDER}: 12 files ended, 2 with problems, 21 of 24 answered"
    assert ended.status == "failed", "the worst"
    lines = ended.text.splitlines()
    assert lines[0] == f"12 files of {FOLDER} ended: 1 failed, 1 partial, 10 succeeded. 21 of 24 rows were answered."
    assert lines[2] == "This month: under a cent."
    assert lines[3].startswith("- 3 rows error (invalid_value) in 2 files: ")
    assert lines[4:8] == [
        "Files:",
        "- part-0012.jsonl: 0 of 2 answered",
        "- part-0011.jsonl: 1 of 2 answered",
        "- part-0001.jsonl: 2 of 2 answered",
    ]
    assert "- and 2 more" in lines
    retry = f"echo | aws s3 cp - s3://the-inbox/{FOLDER}/part-0011.jsonl.retry"
    asked = "Once the recipe is changed, to ask the failed rows of one with it, and so for each: "
    assert lines[lines.index(asked + retry) + 1] == (
        "  or, in the S3 console, make a folder `part-0011.jsonl.retry` beside the file"
    )
    assert "To ask the failed rows of one again" not in ended.text, "they would fail again as they are"


def test_a_digest_offers_the_retry_marker_for_temporary_failures(fake: FakeContext) -> None:
    fake.openai.answer = lambda request: (
        ("error", response_line(request, 429, {"error": {"code": "rate_limit_exceeded", "message": "no"}}))
    )
    parts(fake, 2)
    pass_time(fake, 4 * 86_400, step=3600)
    lines = of(fake, "ended").text.splitlines()
    again = f"echo | aws s3 cp - s3://the-inbox/{FOLDER}/part-0001.jsonl.retry"
    assert f"To ask the failed rows of one again, and so for each: {again}" in lines


def test_a_marker_that_would_be_refused_is_not_offered(fake: FakeContext) -> None:
    """No file has a good answer because all rows are truncated: the same recipe would only truncate them again."""

    def truncated(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        line["response"]["body"]["choices"][0]["finish_reason"] = "length"
        return where, line

    fake.openai.answer = truncated
    parts(fake, 2)
    run(fake)
    lines = of(fake, "ended").text.splitlines()
    rerun = f"echo | aws s3 cp - s3://the-inbox/{FOLDER}/part-0001.jsonl.rerun"
    assert f"Once the recipe is changed, to ask all rows of one with it, and so for each: {rerun}" in lines
    assert ".retry`" not in of(fake, "ended").text.split("Files:")[1]


def test_a_digest_names_the_limit_and_the_cost_of_all_rows(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"limit: 2\n")
    parts(fake, 3, rows=9)
    run(fake)
    accepted, ended = of(fake, "accepted"), of(fake, "ended")
    assert accepted.subject == f"{FOLDER}: 3 files accepted, 6 of 27 rows"
    assert accepted.text.startswith(f"3 files of {FOLDER} were accepted: 6 of 27 rows (`limit`).\n")
    assert "The runs asked 6 of 27 rows (`limit`); all of them would cost under a cent." in ended.text.splitlines()


def test_a_digest_says_what_to_do_about_files_without_a_recipe(fake: FakeContext) -> None:
    drop(fake, "lakes/a.csv", b"text\nx\n")
    drop(fake, "lakes/b.csv", b"text\nx\n")
    run(fake)
    (rejected,) = fake.topics.people
    lines = rejected.text.splitlines()
    at = lines.index("What to do, for example for a.csv:")
    draft = result_json(fake, "rejected.json", jobs(fake)[0])["draft"]
    assert lines[at + 1 : at + 5] == [
        "A recipe is drafted for this file. Download it, and edit it, above all its question: "
        f"aws s3 cp s3://the-results/{draft} recipe.yaml",
        "  or, in the S3 console, open `recipe.yaml` in the folder of the results",
        "Upload the recipe; the file is then read again automatically: "
        "aws s3 cp recipe.yaml s3://the-inbox/lakes/recipe.yaml",
        "  or, in the S3 console, upload it into the folder `lakes/`",
    ]
    assert "digest: off" not in rejected.text, "there is no recipe to put it into"


def test_a_digest_names_a_recipe_in_another_folder(fake: FakeContext) -> None:
    drop(fake, "umfrage2/recipe.yaml", RECIPE)
    run(fake, ticks=3)
    fake.topics.people.clear()
    drop(fake, "umfrage/a.csv", b"text\nx\n")
    run(fake)
    alone = of(fake, "rejected")
    fake.topics.people.clear()
    drop(fake, "umfrage/b.csv", b"text\nx\n")
    drop(fake, "umfrage/c.csv", b"text\nx\n")
    run(fake)
    (one,) = [line for line in alone.text.splitlines() if line.startswith("A recipe was")]
    (many,) = [line for line in of(fake, "rejected").text.splitlines() if line.startswith("A recipe was")]
    assert one.startswith("A recipe was dropped into `umfrage2/` ")
    assert many.partition("; ")[2] == one.partition("; ")[2]


def test_two_versions_of_a_file_are_two_runs_of_it(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"replace: cancel\n")
    fake.openai.answer, fake.openai.ending = lambda _request: None, None
    for rows in (1, 2):
        drop(fake, f"{FOLDER}/a.jsonl", b'{"text": "x"}\n' * rows)
        deliver(fake)
        fake.clock.sleep(1)
    fake.openai.answer, fake.openai.ending = answer_ok, OpenAIStatus.COMPLETED
    run(fake)
    assert of(fake, "accepted").subject == f"{FOLDER}: 2 runs of 1 file accepted, 3 rows"
    ended = of(fake, "ended")
    assert ended.subject.startswith(f"{FOLDER}: 2 runs of 1 file ended, ")
    assert (
        "1 run, such as that of a.jsonl: a newer version replaced the file, and the recipe says `replace: cancel`."
        in ended.text.splitlines()
    )


@pytest.mark.slow
def test_four_hundred_parts_rejected_for_one_cause_are_one_message(fake: FakeContext) -> None:
    for number in range(400):
        drop(fake, f"{FOLDER}/part-{number:04}.csv", b"id\n1\n")
    run(fake)
    (rejected,) = fake.topics.people
    assert rejected.subject == f"{FOLDER}: 400 files rejected"
    lines = rejected.text.splitlines()
    assert lines[0] == f"400 files of {FOLDER} were rejected. Nothing was sent to OpenAI, and nothing is billed."
    assert lines[1].startswith("- 400 files, such as part-0000.csv: ")
    assert "there is no column 'text'" in lines[1]
    assert lines[2:4] == [
        "What to do, for example for part-0000.csv:",
        "Correct the recipe and upload it; the file is then read again automatically: "
        "aws s3 cp recipe.yaml s3://the-inbox/lake/recipe.yaml",
    ]
    assert "- and 390 more" in lines
    assert Counter(fake.topics.events()) == {"rejected": 400}


def test_a_digest_promises_only_the_messages_that_follow(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"notify: [accepted, problems]\n")
    parts(fake, 2)
    run(fake)
    assert kinds(fake) == ["accepted"]
    assert of(fake, "accepted").text.splitlines()[1] == (
        "OpenAI answers within 24 hours; another message follows only if something goes wrong, as the recipe's "
        "`notify` says."
    )


def test_a_single_file_gets_an_ordinary_message_soon(fake: FakeContext) -> None:
    fake.openai.ending = None
    parts(fake, 1)
    deliver(fake)
    dropped = fake.clock()
    while not fake.topics.people:
        assert fake.clock() <= dropped + 150
        tick(fake)
    assert of(fake, "accepted").subject == f"{FOLDER}/part-0001.jsonl: accepted, 2 rows"
    assert "another message follows when all is done" in of(fake, "accepted").text


@pytest.mark.slow
def test_files_that_keep_coming_are_reported_every_ten_minutes(fake: FakeContext) -> None:
    """For 25 minutes a file comes every half minute, so no minute is quiet."""
    fake.openai.ending = None
    for number in range(50):
        parts(fake, 1, first=number)
        tick(fake, 30)
    counts = [int(n.subject.partition(": ")[2].split()[0]) for n in fake.topics.people if n.event == "accepted"]
    assert len(counts) == 2, "after ten and twenty minutes"
    assert 18 <= counts[0] <= 22
    run(fake, ticks=5)
    counts = [int(n.subject.partition(": ")[2].split()[0]) for n in fake.topics.people if n.event == "accepted"]
    assert (len(counts), sum(counts)) == (3, 50), "each is in one"


def test_a_file_that_is_rejected_meanwhile_does_not_change_the_message_of_the_others(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, f"{FOLDER}/bad.csv", b"id\n1\n")
    for number in range(16):
        parts(fake, 1, first=number)
        tick(fake, 30)
    assert kinds(fake) == ["rejected"], "after a minute and a half"
    run(fake, ticks=5)
    assert kinds(fake) == ["rejected", "accepted"]
    assert of(fake, "accepted").subject == f"{FOLDER}: 16 files accepted, 32 rows"


def test_digest_off_makes_a_message_for_each_at_once(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"digest: off\n")
    fake.openai.ending = None
    parts(fake, 3)
    drop(fake, f"{FOLDER}/bad.csv", b"id\n1\n")
    deliver(fake)
    assert Counter(kinds(fake)) == {"accepted": 3, "rejected": 1}


def test_folders_of_other_recipes_are_reported_separately(fake: FakeContext) -> None:
    fake.objects.drop("shop/recipe.yaml", RECIPE)
    parts(fake, 2)
    parts(fake, 3, "shop/reviews")
    run(fake)
    subjects = {message.subject.partition(" files ")[0] for message in fake.topics.people}
    assert subjects == {f"{FOLDER}: 2", "shop/reviews: 3"}


def test_partitions_of_one_recipe_are_reported_together_and_match_each_filter(fake: FakeContext) -> None:
    parts(fake, 2, "lake/reviews/dt=2026-11-27")
    parts(fake, 2, "lake/reviews/dt=2026-11-28")
    run(fake)
    ended = of(fake, "ended")
    assert ended.subject == "lake/reviews: 4 files ended, all succeeded, 8 of 8 answered"
    assert (ended.folder, *ended.more_folders) == ("lake/reviews/dt=2026-11-27", "lake/reviews/dt=2026-11-28")
    assert "- dt=2026-11-28/part-0002.jsonl: 2 of 2 answered" in ended.text


def test_files_of_the_root_are_reported_as_those_of_the_inbox(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", b"text\nx\n")
    drop(fake, "b.csv", b"text\ny\n")
    run(fake)
    assert of(fake, "ended").subject == "inbox: 2 files ended, all succeeded, 2 of 2 answered"
    assert "Results: s3://the-results/\n" in of(fake, "ended").text
    assert (of(fake, "ended").folder, of(fake, "ended").recipe_folder) == ("/", "/")


def test_parts_dropped_again_while_they_are_open_are_one_message(fake: FakeContext) -> None:
    fake.openai.ending = None
    parts(fake, 3)
    run(fake, ticks=4)
    parts(fake, 3)
    run(fake, ticks=4)
    duplicate = of(fake, "duplicate")
    assert duplicate.subject == f"{FOLDER}: 3 files already being answered"
    assert "nothing is billed twice" in duplicate.text


def test_a_message_comes_after_that_of_what_happened_before(fake: FakeContext) -> None:
    """A file ends at once while others keep coming: its end is not published first."""
    for number in range(12):
        parts(fake, 1, first=number)
        tick(fake, 50)
    run(fake)
    assert kinds(fake)[0] == "accepted"
    ended_before_accepted = set[str]()
    accepted = set[str]()
    for message in fake.topics.people:
        ids = {one["job_id"] for one in message.detail.get("digest", [{"job_id": message.detail.get("job_id")}])}
        if message.event == "accepted":
            accepted |= ids
        else:
            ended_before_accepted |= ids - accepted
    assert not ended_before_accepted


def test_publishing_to_people_is_retried_with_backoff_until_sns_is_back(fake: FakeContext) -> None:
    calls: list[str] = []
    publish = fake.topics.publish

    def away(audience: Audience, notification: Notification) -> None:
        if audience is Audience.PEOPLE:
            calls.append(notification.event)
            raise ConnectionError
        publish(audience, notification)

    fake.topics.publish = away  # type: ignore[method-assign]  # SNS fails for one topic
    parts(fake, 3)
    run(fake, ticks=60)
    assert Counter(fake.topics.events()) == {"accepted": 3, "ended": 3}, "programs wait for nothing"
    assert len(calls) < 10, "an hour of polls"
    assert set(calls) == {"accepted"}, "the end is published after it"
    fake.topics.publish = publish  # type: ignore[method-assign]
    run(fake, ticks=120)
    assert kinds(fake) == ["accepted", "ended"]


def test_people_are_notified_though_the_topic_of_programs_fails(fake: FakeContext) -> None:
    publish = fake.topics.publish

    def away(audience: Audience, notification: Notification) -> None:
        if audience is Audience.PROGRAMS:
            raise ConnectionError
        publish(audience, notification)

    fake.topics.publish = away  # type: ignore[method-assign]  # SNS fails for one topic
    parts(fake, 3)
    run(fake, ticks=8)
    assert kinds(fake) == ["accepted", "ended"]


def test_a_poll_that_dies_between_publishing_and_recording_it_publishes_again(fake: FakeContext) -> None:
    fake.openai.ending = None
    parts(fake, 4)
    tick(fake, 120)
    table_replace = fake.table.replace
    count = 0

    def dies(item: Any, rev: int) -> None:
        nonlocal count
        if item["sk"] == "job" and not item.get("digest_entries"):
            count += 1
            if count == 3:
                raise ConnectionError
        table_replace(item, rev)

    fake.table.replace = dies  # type: ignore[method-assign]  # the table fails for one call
    tick(fake)
    fake.table.replace = table_replace  # type: ignore[method-assign]
    run(fake, ticks=4)
    first, second = fake.topics.people
    assert first.subject == f"{FOLDER}: 4 files accepted, 8 rows"
    assert second.subject == f"{FOLDER}/part-0003.jsonl: accepted, 2 rows", "only what was not written down"


def about_to_tell(folder: Path) -> FakeContext:
    """Return fakes in which three files are accepted and one is rejected, before the poll that publishes it."""
    fake = FakeContext(folder, killer=Killer())
    fake.objects.drop("lake/recipe.yaml", RECIPE)
    fake.openai.ending = None
    parts(fake, 3)
    drop(fake, f"{FOLDER}/bad.csv", b"id\n1\n")
    deliver(fake)
    fake.clock.sleep(120)
    return fake


@pytest.mark.slow
def test_everybody_is_notified_though_a_poll_dies_at_any_call(tmp_path: Path) -> None:
    whole = about_to_tell(tmp_path)
    assert whole.killer is not None
    before = len(whole.killer.calls)
    whole.killer.invoked()
    poll(whole.context)
    points = [point for point in whole.killer.all_points() if point >= 2 * before]
    assert len(points) > 8
    for point in points:
        fake = about_to_tell(tmp_path)
        assert fake.killer is not None
        fake.killer.points = {point}
        survive(lambda: poll(fake.context))  # noqa: B023 - called at once
        fake.killer.points = set()
        fake.clock.sleep(60)
        run(fake, ticks=5)
        notifications = [each for mail in fake.topics.people for each in notification_of_each_job(mail)]
        for job in jobs(fake):
            assert not job.outbox, point
            events = [each.event for each in notifications if each.detail["job_id"] == job.id]
            assert set(events) == {"rejected" if job.state is JobState.REJECTED else "accepted"}, point
            assert len(events) <= 2, "again at most once"


@pytest.mark.slow
def test_the_poller_reports_a_large_folder_in_several_messages_within_its_time(fake: FakeContext) -> None:
    from dropbatch.polling import digest

    fake.openai.ending = None
    parts(fake, 25, rows=1)
    deliver(fake)
    fake.clock.sleep(120)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(digest, "MAX_JOBS", 10)
        tick(fake)
    assert [message.subject.partition(": ")[2] for message in fake.topics.people] == [
        "10 files accepted, 10 rows",
        "10 files accepted, 10 rows",
        "5 files accepted, 5 rows",
    ]


def test_a_poll_without_time_leaves_notifications_to_the_next(fake: FakeContext) -> None:
    fake.openai.ending = None
    parts(fake, 3)
    deliver(fake)
    fake.clock.sleep(120)
    fake.seconds_left = lambda: 20.0
    poll(fake.context)
    assert fake.topics.people == []
    fake.seconds_left = lambda: 300.0
    poll(fake.context)
    assert kinds(fake) == ["accepted"]


def test_a_job_of_an_older_release_is_reported_as_before(fake: FakeContext) -> None:
    """The names in its outbox are the same, and nothing waits."""
    fake.openai.ending = None
    parts(fake, 2)
    deliver(fake)
    for job in jobs(fake):
        old = replace(job, digest_entries={})
        fake.table.replace(_item(old, job.rev + 1), job.rev)
    fake.clock.sleep(120)
    tick(fake)
    assert {message.subject for message in fake.topics.people} == {
        f"{FOLDER}/part-0001.jsonl: accepted, 2 rows",
        f"{FOLDER}/part-0002.jsonl: accepted, 2 rows",
    }


def _item(job: Job, rev: int) -> dict[str, Any]:
    from dropbatch.storage.repository import to_item

    item = to_item(replace(job, rev=rev))
    for name in ("digest_entries", "digest", "recipe_path", "run"):
        item.pop(name, None)
    return item


def test_a_lasting_fault_of_the_work_bucket_makes_the_digest_name_codes(fake: FakeContext) -> None:
    for number in range(3):
        drop(fake, f"{FOLDER}/part-{number}.csv", b"id\n1\n")
    deliver(fake)
    fake.killer = Faults(fake.clock, [Fault("objects.blocks", ConnectionError, begins=0, lasts=1e9)])
    fake.clock.sleep(120)
    poll(fake.context)
    assert "- 3 files: undefined_name" in of(fake, "rejected").text
