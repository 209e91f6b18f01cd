"""Messages for people: subjects, attributes, recipients, and wording."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dropbatch.domain.states import HeldReason, JobState, OpenAIStatus
from dropbatch.jobs.hold import hold
from dropbatch.polling.poll import poll
from dropbatch.ports import Audience, Letter, Notification
from dropbatch.reporting.message_length import attributes, fitted
from dropbatch.reporting.notifications import progress_lines
from dropbatch.reporting.phrases import about, local_time, money, subject
from dropbatch.reporting.runs import run_line
from dropbatch.storage.item_keys import notices_prefix
from tests.driving import (
    ALMOST_NOTHING,
    RECIPE,
    deliver,
    drop,
    jobs,
    only_job,
    pass_time,
    result,
    run,
)
from tests.fakes import INBOX, FakeContext, answer_ok, response_line

DAY = 86_400


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("lake/recipe.yaml", RECIPE)
    return fake


def of(notifications: list[Notification], event: str) -> Notification:
    (found,) = [notification for notification in notifications if notification.event == event]
    return found


def events(notifications: list[Notification]) -> list[str]:
    return [notification.event for notification in notifications]


def failing(*rows: int) -> Callable[[dict[str, Any]], Any]:
    def answer(request: dict[str, Any]) -> Any:
        if int(request["custom_id"]) in rows:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        return answer_ok(request)

    return answer


# Subjects


def test_a_subject_names_folder_and_file(fake: FakeContext) -> None:
    drop(fake, "lake/reviews/dt=2026-11-27/part-0001.jsonl", b'{"text": "a"}\n')
    run(fake)
    assert [message.subject for message in fake.topics.people] == [
        "lake/reviews/dt=2026-11-27/part-0001.jsonl: accepted, 1 row",
        "lake/reviews/dt=2026-11-27/part-0001.jsonl: 1 of 1 answered",
    ]


def test_a_long_subject_is_cut_from_the_left_and_keeps_its_verdict() -> None:
    cut = subject("a-very-long-folder/" * 10 + "dt=2026-11-27/part-0001.jsonl, run 2", "199,870 of 200,000 answered")
    assert cut.startswith("…")
    assert cut.endswith("dt=2026-11-27/part-0001.jsonl, run 2: 199,870 of 200,000 answered")
    assert len(cut) == 99


def test_a_subject_that_fits_sns_is_not_cut_again() -> None:
    cut = subject("ü😀" * 300 + ".csv", "accepted, 5 rows")
    assert fitted(Notification("e", "s", "/", cut, "text", {})).subject == cut


# Attributes


def test_every_message_and_event_names_the_folder_of_the_recipe(fake: FakeContext) -> None:
    drop(fake, "lake/reviews/dt=2026-11-27/a.jsonl", b'{"text": "a"}\n')
    drop(fake, "lake/reviews/dt=2026-11-28/b.csv", b"id\n1\n")
    run(fake)
    notifications = [*fake.topics.people, *fake.topics.published]
    assert {attributes(notification)["recipe_folder"] for notification in notifications} == {"lake"}
    assert {notification.detail["recipe_folder"] for notification in fake.topics.published} == {"lake"}
    assert of(fake.topics.people, "rejected").folder == "lake/reviews/dt=2026-11-28"


def test_a_recipe_in_the_root_is_in_the_folder_slash(fake: FakeContext) -> None:
    drop(fake, "recipe.yaml", RECIPE)
    drop(fake, "a.csv", b"text\nx\n")
    run(fake)
    assert {attributes(message)["recipe_folder"] for message in fake.topics.people} == {"/"}


def test_a_raw_drop_has_no_folder_of_a_recipe(fake: FakeContext) -> None:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    drop(fake, "lake/raw.jsonl", json.dumps(line).encode() + b"\n")
    run(fake)
    for message in (*fake.topics.people, *fake.topics.published):
        assert "recipe_folder" not in attributes(message)
    assert {notification.detail["recipe_folder"] for notification in fake.topics.published} == {None}


def test_the_filter_that_the_operators_page_shows_loses_no_message_of_the_folder(fake: FakeContext) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    shown = re.findall(r"--attributes '(\{.*?\})'", page, re.DOTALL)
    policies = [json.loads(json.loads(attributes)["FilterPolicy"]) for attributes in shown]
    fake.objects.remove(INBOX, "lake/recipe.yaml")
    drop(fake, "lake/reviews/none.csv", b"text\nx\n")
    drop(fake, "lake/gone.csv.rerun", b"")
    drop(fake, "lake/some/recipe.yaml", RECIPE)
    drop(fake, "lake/some/good.csv", b"text\nx\n")
    drop(fake, "lakes/other.csv", b"text\nx\n")
    run(fake)
    notifications = [*fake.topics.people, *fake.topics.published]
    assert {notification.event for notification in notifications} == {
        "rejected",
        "marker",
        "recipe",
        "accepted",
        "ended",
    }
    for policy in policies:
        kept = [n for n in notifications if passes(attributes(n), policy)]
        wanted = [n for n in notifications if n.event in policy.get("event", [n.event]) and n.folder != "lakes"]
        assert kept == wanted


def passes(found: dict[str, str], policy: dict[str, Any]) -> bool:
    """Return whether SNS lets a message of these attributes through a filter policy of strings and prefixes."""
    return policy.keys() <= found.keys() and all(
        any(found[name] == one if isinstance(one, str) else found[name].startswith(one["prefix"]) for one in wanted)
        for name, wanted in policy.items()
    )


# Recipients


@pytest.mark.slow
@pytest.mark.parametrize(
    ("notify", "good", "partial", "rejected"),
    [
        ("", ["accepted", "ended"], ["accepted", "ended"], ["rejected"]),
        ("notify: [accepted]", ["accepted"], ["accepted"], ["rejected"]),
        ("notify: [ended]", ["ended"], ["ended"], ["rejected"]),
        ("notify: [problems]", [], ["ended"], ["rejected"]),
        ("notify: [accepted, problems]", ["accepted"], ["accepted", "ended"], ["rejected"]),
        ("notify: []", [], [], ["rejected"]),
    ],
)
def test_people_get_the_messages_that_notify_selects_and_programs_get_all_events(
    fake: FakeContext, notify: str, good: list[str], partial: list[str], rejected: list[str]
) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + notify.encode() + b"\n")
    for key, data, failed, expected, published in (
        ("lake/good.csv", b"text\na\nb\n", (), good, ["accepted", "ended"]),
        ("lake/partial.csv", b"text\na\nb\n", (2,), partial, ["accepted", "ended"]),
        ("lake/wrong.csv", b"id\n1\n", (), rejected, ["rejected"]),
    ):
        fake.openai.answer = failing(*failed)
        fake.topics.people.clear()
        fake.topics.published.clear()
        drop(fake, key, data)
        run(fake)
        assert events(fake.topics.people) == expected, key
        assert events(fake.topics.published) == published, key


def test_notify_problems_includes_holds_and_cancels(fake: FakeContext) -> None:
    fake.max_job_usd = ALMOST_NOTHING
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"notify: [problems]\n")
    drop(fake, "lake/a.csv", b"text\na\nb\n")
    deliver(fake)
    assert events(fake.topics.people) == ["held"], "at once: it waits for a person"
    pass_time(fake, 15 * DAY, step=DAY / 4)
    assert [message.status for message in fake.topics.people] == ["held", "cancelled"]


@pytest.mark.parametrize(
    ("notify", "then"),
    [
        ("[accepted, ended]", "another message follows when all is done"),
        (
            "[accepted, problems]",
            "another message follows only if something goes wrong, as the recipe's `notify` says",
        ),
        ("[accepted]", "no message follows when all is done, as the recipe's `notify` says"),
    ],
)
def test_an_acceptance_promises_only_the_messages_that_follow(fake: FakeContext, notify: str, then: str) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + f"notify: {notify}\n".encode())
    drop(fake, "lake/a.csv", b"text\na\n")
    run(fake)
    assert f"OpenAI answers within 24 hours; {then}." in of(fake.topics.people, "accepted").text.splitlines()
    assert ("ended" in events(fake.topics.people)) is ("ended" in notify)


@pytest.mark.parametrize("notify", ["[]", "[accepted]", "[problems]"])
@pytest.mark.parametrize("comes", ["in time", "too late"])
def test_a_cancelled_job_always_sends_its_end(fake: FakeContext, notify: str, comes: str) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + f"notify: {notify}\n".encode())
    fake.openai.ending = None
    drop(fake, "lake/a.csv", b"text\na\n")
    run(fake, ticks=4)
    if comes == "too late":
        fake.openai.ending = OpenAIStatus.COMPLETED
        poll(fake.context)
    drop(fake, "lake/a.csv.cancel", b"")
    run(fake)
    messages = [notification for notification in fake.topics.people if notification.event != "accepted"]
    assert events(messages) == ["marker", "ended"]
    what = "the results are there" if comes == "too late" else "it has ended"
    assert f"Another message follows when {what}." in messages[0].text.splitlines()


def test_a_job_that_a_newer_version_cancelled_ends_as_notify_says(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"replace: cancel\nnotify: []\n")
    fake.openai.answer, fake.openai.ending = lambda _request: None, None
    for text in (b"a", b"b"):
        drop(fake, "lake/a.csv", b"text\n" + text + b"\n")
        run(fake, ticks=4)
    run(fake)
    assert [job.state for job in jobs(fake)].count(JobState.CANCELLED) == 1
    assert fake.topics.people == []


def test_a_duplicate_is_notified_like_an_accepted_drop(fake: FakeContext) -> None:
    fake.objects.drop("lake/recipe.yaml", RECIPE + b"notify: [problems]\n")
    fake.openai.ending = None
    for _ in range(2):
        drop(fake, "lake/a.csv", b"text\na\n")
        run(fake, ticks=4)
    assert fake.topics.people == []
    assert events(fake.topics.published) == ["accepted", "duplicate"]


def test_a_recipe_that_cannot_be_used_is_always_notified(fake: FakeContext) -> None:
    drop(fake, "lake/recipe.yaml", RECIPE + b"notify: []\nlimt: 3\n")
    run(fake, ticks=2)
    assert [message.subject for message in fake.topics.people] == ["lake/recipe.yaml: cannot be used, 1 problem"]


# Operators


def test_a_missing_key_is_notified_to_operators_and_to_people_in_different_words(fake: FakeContext) -> None:
    fake.openai.key_valid = False
    drop(fake, "lake/a.csv", b"text\na\n")
    run(fake, ticks=5)
    held = of(fake.topics.people, "held")
    assert held.subject == "lake/a.csv: waits for its administrators"
    assert held.text.splitlines() == [
        "a.csv waits for the stack's administrators, who were notified: there is no OpenAI API key, or one that OpenAI "
        "does not accept.",
        "Nothing is lost; the job continues within minutes after a good key is stored. Without that it ends after "
        "14 days with what it has.",
        "OpenAI keeps the answers of a batch for 7 days after its end: those not collected by then are lost.",
        "To end it with what it has: echo | aws s3 cp - s3://the-inbox/lake/a.csv.cancel",
        "  or, in the S3 console, make a folder `a.csv.cancel` beside the file",
        *progress_lines(fake.context, only_job(fake)),
        run_line(only_job(fake)),
    ]
    (message,) = fake.topics.operators
    assert message.operators == Letter(
        "Dropbatch: jobs wait for an OpenAI API key",
        "The stack's secret holds no OpenAI API key, or one that OpenAI does not accept. Jobs wait, nothing is lost, "
        "and they continue within minutes after a good key is stored.\n"
        "Store a key: aws secretsmanager put-secret-value --secret-id the-secret --secret-string sk-…\n"
        "In the console: Secrets Manager, the secret the-secret, Retrieve secret value, Edit, and the key alone as "
        "plaintext.\n"
        "OpenAI keeps the answers of a batch for 7 days after its end: those not collected by then are lost.\n"
        f"The first job that waits is {only_job(fake).id}, of s3://the-inbox/lake/a.csv; others may wait, too.\n"
        "While the problem lasts, you are notified of it once a day, however many jobs wait.\n",
    )
    assert of(fake.topics.published, "held").detail["held_reason"] == "openai_key"


@pytest.mark.slow
def test_four_hundred_jobs_that_wait_for_a_key_are_one_message_to_each(fake: FakeContext) -> None:
    fake.openai.key_valid = False
    for number in range(40):
        drop(fake, f"lake/part-{number:03}.csv", b"text\na\n")
    pass_time(fake, 1800)
    assert len([job for job in jobs(fake) if job.state is JobState.HELD]) == 40
    assert len(fake.topics.operators) == 1
    held = [message for message in fake.topics.people if message.event == "held"]
    assert sum(int(message.subject.partition(": ")[2].split()[0]) for message in held) == 40
    assert held[0].subject.endswith("files wait for the administrators")
    assert "there is no OpenAI API key, or one that OpenAI does not accept" in held[0].text
    assert events(fake.topics.published).count("held") == 40


def test_operators_get_a_reminder_after_a_day_if_other_jobs_still_wait(fake: FakeContext) -> None:
    fake.openai.key_valid = False
    drop(fake, "lake/a.csv", b"text\na\n")
    run(fake, ticks=3)
    fake.clock.sleep(DAY + 60)
    drop(fake, "lake/b.csv", b"text\nb\n")
    run(fake, ticks=3)
    assert len(fake.topics.operators) == 2


@pytest.mark.slow
def test_operators_get_a_reminder_every_day_while_a_job_waits(fake: FakeContext) -> None:
    fake.openai.key_valid = False
    drop(fake, "lake/a.csv", b"text\na\n")
    drop(fake, "lake/b.csv", b"text\nb\n")
    pass_time(fake, 3 * DAY + 3600, step=1800)
    assert len(fake.topics.operators) == 4
    assert {message.operators for message in fake.topics.operators} == {fake.topics.operators[0].operators}
    assert [message.event for message in fake.topics.people].count("held") == 1, "people hear of it once"
    fake.openai.key_valid = True
    pass_time(fake, 3 * DAY, step=1800)
    assert len(fake.topics.operators) == 4


@pytest.mark.parametrize(
    "reason", [HeldReason.PERMISSION, HeldReason.ACCOUNT, HeldReason.KEY_CHANGED, HeldReason.STUCK]
)
def test_operators_get_instructions_for_each_fault_that_only_they_can_fix(
    fake: FakeContext, reason: HeldReason
) -> None:
    fake.openai.ending = None
    drop(fake, "lake/a.csv", b"text\na\n")
    run(fake, ticks=2)
    hold(fake.context, only_job(fake), reason, "code")
    (message,) = fake.topics.operators
    assert message.operators is not None
    assert message.operators.subject.startswith("Dropbatch: jobs wait, ")
    assert only_job(fake).id in message.operators.text
    assert "the-secret" not in message.text
    assert message.verdict == "waits for its administrators"
    assert "waits for the stack's administrators, who were notified: " in message.text


def test_an_approval_is_requested_from_people_only(fake: FakeContext) -> None:
    fake.max_job_usd = ALMOST_NOTHING
    drop(fake, "lake/a.csv", b"text\na\nb\n")
    deliver(fake)
    assert of(fake.topics.people, "held").subject == "lake/a.csv: waits for your approval, 2 rows"
    assert fake.topics.operators == []


def test_another_process_notifies_operators_if_the_first_one_dies(fake: FakeContext) -> None:
    fake.openai.key_valid = False
    publish = fake.topics.publish

    def dies(audience: Audience, notification: Notification) -> None:
        if audience is Audience.OPERATORS:
            raise ConnectionError
        publish(audience, notification)

    fake.topics.publish = dies  # type: ignore[method-assign]  # SNS fails for one topic
    drop(fake, "lake/a.csv", b"text\na\n")
    drop(fake, "lake/b.csv", b"text\nb\n")
    run(fake, ticks=2)
    assert fake.topics.operators == []
    fake.topics.publish = publish  # type: ignore[method-assign]
    pass_time(fake, 900)
    assert len(fake.topics.operators) == 1
    assert not any(entry.startswith("operators:") for job in jobs(fake) for entry in job.outbox)


# The page of a rejected job


def test_a_rejected_job_has_a_page_that_says_why_and_what_to_do(fake: FakeContext) -> None:
    drop(fake, "lake/a.csv", b"id,text\n1\n2,b\n3\n")
    run(fake)
    page = result(fake, "report.html").decode()
    assert "<h1>a.csv</h1>" in page
    assert "rejected, " in page
    assert "Nothing was sent to OpenAI, and nothing is billed." in page
    assert "Line 2 has 1 value where the header has 2 columns" in page
    assert re.search(r">2 and 4</td>", page), "the lines of which that is said"
    assert "aws s3 cp a.csv s3://the-inbox/lake/a.csv" in page
    assert "<code>s3://the-inbox/lake/recipe.yaml</code>" in page
    rejected = of(fake.topics.people, "rejected")
    assert f"s3://the-results/lake/a.csv/{only_job(fake).id}/report.html" in rejected.text


def test_a_page_of_a_rejection_escapes_its_texts(fake: FakeContext) -> None:
    drop(fake, "lake/<script>alert(1)<!--.csv", b"<script>alert(2)\n1\n")
    run(fake)
    page = result(fake, "report.html").decode()
    assert "<script>alert" not in page
    assert page.count("<script") == 1


def test_a_drop_that_dropbatch_gives_up_has_a_page_too(fake: FakeContext) -> None:
    blocks = fake.objects.blocks

    def away(bucket: str, key: str, *rest: Any) -> Any:
        if key.endswith(".csv"):
            raise ConnectionError
        return blocks(bucket, key, *rest)

    fake.objects.blocks = away  # type: ignore[method-assign]  # S3 fails for one file
    drop(fake, "lake/a.csv", b"text\na\n")
    pass_time(fake, 1.2 * DAY, step=1800)
    assert "The file could not be read for a day" in result(fake, "report.html").decode()


# Amounts and times


@pytest.mark.parametrize(
    ("usd", "said", "roughly"),
    [
        (0, "nothing", "nothing"),
        (0.00004, "under a cent", "under a cent"),
        (0.0099, "under a cent", "under a cent"),
        (0.01, "1 cent", "about 1 cent"),
        (0.0101, "1 cent", "about 1 cent"),
        (0.034, "3 cents", "about 3 cents"),
        (0.994, "99 cents", "about 99 cents"),
        (0.996, "$1.00", "about $1.00"),
        (1.2351, "$1.24", "about $1.24"),
        (1204.5, "$1,204.50", "about $1,204.50"),
    ],
)
def test_amounts_are_written_as_people_read_them(usd: float, said: str, roughly: str) -> None:
    exactly = Decimal(str(usd))
    assert (money(exactly), about(exactly)) == (said, roughly)


def test_no_message_and_no_page_says_zero_dollars(fake: FakeContext) -> None:
    drop(fake, "lake/a.csv", b"text\na\n")
    run(fake)
    said = of(fake.topics.people, "ended").text + result(fake, "report.html").decode()
    assert "$0.0" not in said
    assert "Paid under a cent, and saved under a cent by batching." in said
    assert of(fake.topics.published, "ended").detail["cost"]["paid"] > 0, "programs get the number"


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("UTC", "27 Nov 2026, 05:23 UTC"),
        ("Europe/Berlin", "27 Nov 2026, 06:23 CET"),
        ("America/New_York", "27 Nov 2026, 00:23 EST"),
        ("America/Sao_Paulo", "27 Nov 2026, 02:23 UTC-03"),
        ("Asia/Kolkata", "27 Nov 2026, 10:53 IST"),
    ],
)
def test_times_are_in_the_time_zone_of_the_stack(zone: str, said: str) -> None:
    assert local_time(1_795_757_010, ZoneInfo(zone)) == said


def test_mail_and_page_have_the_stacks_time_and_programs_utc(fake: FakeContext) -> None:
    fake.clock.now = 1_795_757_010.0
    fake.zone = ZoneInfo("Europe/Berlin")
    drop(fake, "lake/a.csv", b"text\na\n")
    run(fake)
    assert "Dropped 27 Nov 2026, 06:23 CET; done 27 Nov 2026, 06:2" in of(fake.topics.people, "ended").text
    page = result(fake, "report.html").decode()
    assert '<time datetime="2026-11-27T05:23:30Z">27 Nov 2026, 06:23 CET</time>' in page
    assert "toLocaleString" in page, "the reader's own, where a script may run"
    assert of(fake.topics.published, "ended").detail["times"]["dropped"] == "2026-11-27T05:23:30Z"


# The page on a phone


def test_on_a_narrow_screen_the_remedy_is_below_its_reason(fake: FakeContext) -> None:
    fake.openai.answer = failing(1)
    drop(fake, "lake/a.csv", b"text\na\nb\n")
    run(fake)
    page = result(fake, "report.html").decode()
    assert '<td data-label="what to do">' in page
    assert '<td class="code" data-label="code"><code>invalid_value</code></td>' in page
    assert '<td class="code" data-label="outcome">error (invalid_value)</td>' in page
    assert "td.code { white-space: nowrap; }" in page, "no code is broken within a word"


def test_rows_are_shown_under_the_names_of_their_columns(fake: FakeContext) -> None:
    schema = b"schema: {sentiment: [positive, negative], why: A short reason}\n"
    fake.objects.drop("lake/recipe.yaml", RECIPE + schema)
    drop(fake, "lake/a.csv", b"id,text\n1,a\n")
    drop(fake, "lake/b.jsonl", b'{"text": "a"}\n')
    run(fake)
    table, lines = (result(fake, "report.html", job).decode() for job in sorted(jobs(fake), key=lambda j: j.drop.key))
    heads = [
        re.findall(r'<th scope="col">(.*?)</th>', page.partition("Some of the answers")[2]) for page in (table, lines)
    ]
    assert heads[0][:5] == ["id", "text", "sentiment", "why", "outcome"]
    assert heads[1][:4] == ["text", "sentiment", "why", "outcome"]
    assert '<td class="text" data-label="sentiment">positive</td>' in table


def test_a_notice_of_an_older_release_is_published_unchanged(fake: FakeContext) -> None:
    """It lacks the members that later releases added."""
    fake.openai.key_valid = False
    drop(fake, "lake/a.csv", b"text\na\n")
    deliver(fake)
    job = only_job(fake)
    old = {"event": "ended", "status": "failed", "folder": "lake", "subject": "a: b", "text": "c", "detail": {}}
    fake.objects.put("the-work", f"{notices_prefix(job)}old.json", json.dumps(old).encode(), "application/json")
    held = replace(job, outbox=["people:old"], digest_entries={}, notify_after=0, rev=job.rev)
    fake.context.repository.save(held)
    run(fake, ticks=2)
    assert "a: b" in [message.subject for message in fake.topics.people]
