"""Every event over fakes: its subject, text, attributes and detail."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dropbatch import __version__
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.ports import Notification
from dropbatch.reporting import phrases
from tests.driving import RECIPE, drop, only_event, only_job, result, result_json, run
from tests.fakes import RESULTS, FakeContext, answer_ok, response_line

SENTIMENT = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema:
  sentiment: [positive, negative]
"""


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("shop/recipe.yaml", SENTIMENT)
    return fake


def digest_of(recipe: bytes) -> str:
    """Return the name of a recipe in texts."""
    return hashlib.sha256(recipe).hexdigest()[:8]


def run_line(job: Job) -> str:
    """Return the last line of texts about a job of the shop."""
    recipe = f"shop/recipe.yaml ({digest_of(SENTIMENT)})"
    return f"Run {job.run} of {job.drop.name}, model gpt-6-luna, recipe {recipe}, Dropbatch {__version__}."


def attributes(notification: Notification) -> tuple[str, str, str]:
    return notification.event, notification.status, notification.folder


def test_an_accepted_drop_says_what_is_sent_and_how_to_stop_it(fake: FakeContext) -> None:
    drop(fake, "shop/my file.csv", b"text\na\nb\n")
    run(fake)
    accepted = only_event(fake, "accepted")
    assert attributes(accepted) == ("accepted", "running", "shop")
    assert accepted.subject == "shop/my file.csv: accepted, 2 rows"
    assert "2 rows, of which 2 go to OpenAI in 1 batch" in accepted.text
    assert "echo | aws s3 cp - 's3://the-inbox/shop/my file.csv.cancel'" in accepted.text


def test_the_end_shows_counts_cost_answers_reasons_and_next_steps(fake: FakeContext) -> None:
    """Of 9 rows 4 are positive, 1 negative; 2 have one error, 1 another, 1 is truncated."""

    def answer(request: dict[str, Any]) -> Any:
        row = int(request["custom_id"])
        if row in (2, 5):
            return "error", response_line(request, 500, {"error": {"code": "server_error", "message": "xyzzy"}})
        if row == 3:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "xyzzy"}})
        where, line = answer_ok(request)
        choice = line["response"]["body"]["choices"][0]
        if row == 4:
            choice["finish_reason"] = "length"
        if row == 6:
            choice["message"]["content"] = '{"sentiment": "negative"}'
        return where, line

    fake.openai.answer = answer
    drop(fake, "shop/a.csv", b"text\n" + b"".join(b"xyzzy %d\n" % row for row in range(9)), team="support")
    run(fake)
    ended = only_event(fake, "ended")
    assert attributes(ended) == ("ended", "partial", "shop")
    assert ended.subject == "shop/a.csv: 5 of 9 answered"
    job = only_job(fake)
    prefix = f"shop/a.csv/{job.id}/"
    lines = ended.text.splitlines()
    assert lines[0] == "a.csv: 5 of 9 answered. Some rows have no good answer."
    assert lines[1] == "The other rows: 3 error, 1 truncated."
    assert lines[2] == "Paid under a cent, and saved under a cent by batching."
    assert lines[3] == "Tokens: 60 input, 12 output."
    assert re.fullmatch(r"Prices: genai-prices [\d.]+, checked \d{4}-\d\d-\d\d\.", lines[4])
    assert lines[5] == "This month: under a cent."
    del lines[3:6]
    assert lines[3].startswith("Dropped ")
    assert lines[4] == "sentiment: positive 4, negative 1"
    assert lines[5].startswith("- 2 rows error (server_error), the first is row 2: ")
    assert lines[6].startswith("- 1 row error (invalid_value), the first is row 3: ")
    assert lines[7].startswith("- 1 row truncated (length), the first is row 4: raise max_completion_tokens")
    assert lines[8] == f"Results: s3://the-results/{prefix}"
    assert lines[9].startswith("In the console: https://us-east-1.console.aws.amazon.com/s3/buckets/the-results?")
    assert lines[10].startswith("The report: https://us-east-1.console.aws.amazon.com/s3/object/the-results?")
    assert lines[10].endswith(f"{prefix}report.html")
    assert lines[11:] == [
        "To ask the failed ones again: echo | aws s3 cp - s3://the-inbox/shop/a.csv.retry",
        "  or, in the S3 console, make a folder `a.csv.retry` beside the file",
        f"Rows without a good answer: s3://the-results/{prefix}a.failed.csv",
        run_line(job),
    ]

    detail = json.loads(json.dumps(ended.detail))
    assert set(detail) >= {
        *("schema_version", "event", "job_id", "status", "drop", "results", "rows", "cost", "times", "reasons"),
        *("recipe_sha256", "labels"),
    }
    assert detail["drop"] == {"bucket": "the-inbox", "key": "shop/a.csv", "version_id": job.drop.version_id}
    assert detail["results"] == {"bucket": "the-results", "prefix": prefix}
    rows = detail["rows"]
    assert (rows["total"], rows["ok"], rows["error"], rows["truncated"]) == (9, 5, 3, 1)
    assert sum(count for outcome, count in rows.items() if outcome != "total") == rows["total"]
    assert detail["labels"] == {"team": "support"}
    assert (detail["reasons"][0]["code"], detail["reasons"][0]["rows"], detail["reasons"][0]["row"]) == (
        "server_error",
        2,
        2,
    )
    assert "xyzzy" not in ended.text + json.dumps(detail)


def test_requests_of_unknown_price_are_shown_beside_the_cost_of_the_others(fake: FakeContext) -> None:
    """Of 3 answers one says nothing of its tokens, and one is that of a model that the price list lacks."""

    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        line["response"]["body"]["usage"]["prompt_tokens"] = 1_000
        if request["custom_id"] == "2":
            del line["response"]["body"]["usage"]
        return where, line

    fake.openai.answer = answer
    fake.objects.drop("shop/recipe.yaml", SENTIMENT.replace(b"gpt-6-luna", b'"{{ model }}"'))
    drop(fake, "shop/a.csv", b"model,text\ngpt-6-luna,a\ngpt-6-luna,b\nmy-own,c\n")
    run(fake)
    ended = only_event(fake, "ended")
    cost = ended.detail["cost"]
    assert cost["paid"] > 0
    assert (cost["unpriced_requests"], cost["uncollected_requests"]) == (2, 0)
    assert "The price of 2 requests is not known" in ended.text
    assert '<td>requests of unknown price</td><td class="n">2</td>' in result(fake, "report.html").decode()


def test_if_all_rows_are_answered_the_next_line_fetches_them(fake: FakeContext) -> None:
    drop(fake, "shop/a.csv", b"text\na\n")
    run(fake)
    ended = only_event(fake, "ended")
    assert ended.subject == "shop/a.csv: 1 of 1 answered"
    assert ended.text.splitlines()[-2].startswith("To fetch them: aws s3 cp s3://the-results/shop/a.csv/")


def test_skipped_rows_are_not_counted_as_unanswered(fake: FakeContext) -> None:
    fake.objects.drop("shop/recipe.yaml", SENTIMENT + b'when: "{{ text }}"\n')
    drop(fake, "shop/a.csv", b'text\na\n""\n')
    run(fake)
    assert only_event(fake, "ended").subject == "shop/a.csv: 1 of 1 answered"
    assert only_event(fake, "ended").status == "succeeded"


def test_a_rejection_lists_causes_with_their_counts_and_first_lines(fake: FakeContext) -> None:
    drop(fake, "shop/a.csv", b"id,text\n" + b"1\n" * 120)
    run(fake)
    rejected = only_event(fake, "rejected")
    assert attributes(rejected) == ("rejected", "rejected", "shop")
    assert rejected.subject == "shop/a.csv: rejected, 1 problem"
    problems = [line for line in rejected.text.splitlines() if line.startswith("- ")]
    assert problems == [
        "- 120 lines, the first are 2, 3 and 4: Line 2 has 1 value where the header has 2 columns; add what is missing "
        'after a comma, or name in the recipe what separates the values, as in `delimiter: ";"`.'
    ]
    assert "In the console: https://" in rejected.text
    assert rejected.text.splitlines()[-4:] == [
        "Correct the file, then: aws s3 cp a.csv s3://the-inbox/shop/a.csv",
        "  or, in the S3 console, upload it into the folder `shop/`",
        "Or have the recipe say how to read it (as `encoding`, `delimiter` or `bad_rows` do); the file is then read "
        "again automatically.",
        f"Run 1 of a.csv, recipe shop/recipe.yaml ({digest_of(SENTIMENT)}), Dropbatch {__version__}.",
    ]
    kept = result_json(fake, "rejected.json")["problems"]
    assert (kept["total"], kept["causes"], len(kept["first"])) == (120, 1, 100)
    (group,) = kept["groups"]
    assert (group["code"], group["count"], group["lines"]) == ("ragged_row", 120, [2, 3, 4])


def test_a_rejection_lists_five_causes_and_counts_the_others(fake: FakeContext) -> None:
    fake.objects.drop("shop/recipe.yaml", SENTIMENT + b"".join(b"qqq%d: 1\n" % number for number in range(7)))
    drop(fake, "shop/a.csv", b"text\na\n")
    run(fake)
    problems = [line for line in only_event(fake, "rejected").text.splitlines() if line.startswith("- ")]
    assert len(problems) == 6
    assert problems[5] == "- and 2 more"


def test_a_wrong_recipe_and_wrong_rows_are_reported_together(fake: FakeContext) -> None:
    fake.objects.drop("shop/recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ text }}"\nlimt: 4\ndelimiter: ";"\n')
    drop(fake, "shop/a.csv", b"id;text\n1\n2;b\n3\n")
    run(fake)
    problems = only_event(fake, "rejected").detail["problems"]["first"]
    assert [(problem.get("path"), problem["line"]) for problem in problems] == [
        ("shop/recipe.yaml", 3),
        (None, 2),
        (None, 4),
    ]


def test_a_line_that_is_wrong_and_a_duplicate_is_reported_for_both(fake: FakeContext) -> None:
    line = b'{"custom_id": "a", "method": "GET", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}\n'
    drop(fake, "a.jsonl", line * 2)
    run(fake)
    problems = only_event(fake, "rejected").detail["problems"]["first"]
    assert [(problem["line"], problem["code"]) for problem in problems] == [
        (1, "invalid_method"),
        (2, "invalid_method"),
        (2, "duplicate_custom_id"),
    ]


def test_a_row_without_a_column_of_the_recipe_is_reported_with_its_line(fake: FakeContext) -> None:
    drop(fake, "shop/a.jsonl", b'{"text": "a"}\n{"txt": "b"}\n')
    run(fake)
    (problem,) = only_event(fake, "rejected").detail["problems"]["first"]
    assert problem["message"] == ("Line 2, key prompt of the recipe: the row has no 'text'; did you mean {{ txt }}?")


@pytest.mark.parametrize(
    "member",
    [
        {"url": "/v1/xyzzy"},
        {"method": "xyzzy"},
        {"body": "xyzzy"},
        {"body": {"model": {"xyzzy": 1}}},
        {"custom_id": ["xyzzy"]},
        {"xyzzy": 1},
    ],
    ids=lambda member: next(iter(member)),
)
def test_a_message_about_a_wrong_line_quotes_nothing_of_it(fake: FakeContext, member: dict[str, Any]) -> None:
    good = {
        "custom_id": "1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]},
    }
    lines = [good, {**good, "custom_id": "2", "method": 1, **member}]
    drop(fake, "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    run(fake)
    rejected = only_event(fake, "rejected")
    assert attributes(rejected) == ("rejected", "rejected", "/")
    assert "xyzzy" not in rejected.text + json.dumps(rejected.detail) + "".join(fake.observer.lines)


def test_a_held_job_says_where_the_key_goes(fake: FakeContext) -> None:
    fake.openai.key_valid = False
    drop(fake, "shop/a.csv", b"text\na\n")
    run(fake, ticks=5)
    held = only_event(fake, "held")
    assert attributes(held) == ("held", "held", "shop")
    assert held.subject == "shop/a.csv: waits for its administrators"
    (operators,) = [message.operators for message in fake.topics.operators]
    assert operators is not None
    assert "aws secretsmanager put-secret-value --secret-id the-secret --secret-string sk-…" in operators.text
    assert "the-secret" not in held.text
    assert held.detail["held_reason"] == "openai_key"
    fake.openai.key_valid = True
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_a_duplicate_names_the_job_that_does_the_work(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "shop/a.csv", b"text\na\n")
    run(fake, ticks=2)
    standing = only_job(fake)
    drop(fake, "shop/a.csv", b"text\na\n")
    run(fake, ticks=2)
    duplicate = only_event(fake, "duplicate")
    assert attributes(duplicate) == ("duplicate", "duplicate", "shop")
    assert duplicate.detail["duplicate_of"] == standing.id
    assert f"s3://the-results/shop/a.csv/{standing.id}/" in duplicate.text
    latest = json.loads(fake.objects.content(RESULTS, "shop/a.csv/latest.json"))
    assert latest["job_id"] == standing.id


def test_a_cancel_after_a_duplicate_reaches_the_job_that_does_the_work(fake: FakeContext) -> None:
    fake.openai.ending = None
    drop(fake, "shop/a.csv", b"text\na\n")
    run(fake, ticks=2)
    drop(fake, "shop/a.csv", b"text\na\n")
    run(fake, ticks=2)
    fake.clock.sleep(60)
    fake.openai.answer = lambda _request: None
    drop(fake, "shop/a.csv.cancel", b"")
    run(fake)
    assert only_event(fake, "ended").detail["job_id"] == only_event(fake, "duplicate").detail["duplicate_of"]
    assert only_event(fake, "ended").status == "cancelled"


def test_a_recipe_is_reported_as_usable_or_with_the_wrong_lines(fake: FakeContext) -> None:
    drop(fake, "recipe.yaml", RECIPE)
    drop(fake, "wrong/recipe.yaml", RECIPE + b"shema: {a: string}\nlimit: none\n")
    run(fake, ticks=2)
    usable, wrong = [notification for notification in fake.topics.published if notification.event == "recipe"]
    assert attributes(usable) == ("recipe", "usable", "/")
    assert usable.subject == "recipe.yaml: usable"
    assert attributes(wrong) == ("recipe", "invalid", "wrong")
    assert wrong.subject == "wrong/recipe.yaml: cannot be used, 2 problems"
    first, second = wrong.detail["problems"]["first"]
    assert (first["line"], first["key"], second["line"], second["key"]) == (3, "shema", 4, "limit")
    assert "schema" in first["message"]


def test_a_recipe_chooses_its_messages_but_a_rejection_is_always_sent(fake: FakeContext) -> None:
    fake.objects.drop("shop/recipe.yaml", SENTIMENT + b"notify: []\n")
    drop(fake, "shop/good.csv", b"text\na\n")
    drop(fake, "shop/bad.csv", b"id,text\n1\n")
    run(fake)
    assert [message.event for message in fake.topics.people] == ["rejected"]
    assert sorted(fake.topics.events()) == ["accepted", "ended", "rejected"], "programs get every event"


def test_only_the_end_is_sent_if_the_recipe_wants_only_that(fake: FakeContext) -> None:
    fake.objects.drop("shop/recipe.yaml", SENTIMENT + b"notify: [ended]\n")
    drop(fake, "shop/good.csv", b"text\na\n")
    run(fake)
    assert [message.event for message in fake.topics.people] == ["ended"]
    assert fake.topics.events() == ["accepted", "ended"], "programs get every event"


def test_a_long_name_is_cut_but_no_number(fake: FakeContext) -> None:
    drop(fake, "shop/" + "ü" * 200 + ".csv", b"text\na\n")
    run(fake)
    subject = only_event(fake, "ended").subject
    assert len(subject) < 100
    assert subject.startswith("…ü")
    assert subject.endswith("ü.csv: 1 of 1 answered")


def test_a_name_with_control_characters_makes_a_subject_without(fake: FakeContext) -> None:
    drop(fake, "shop/a\tb\nc.csv", b"text\na\n")
    run(fake)
    assert only_event(fake, "ended").subject == "shop/a b c.csv: 1 of 1 answered"


@pytest.mark.slow
def test_an_expired_job_names_what_to_do(fake: FakeContext) -> None:
    fake.openai.answer, fake.openai.ending = lambda _request: None, OpenAIStatus.EXPIRED
    drop(fake, "shop/a.csv", b"text\na\n")
    run(fake, ticks=100, step=3600)
    assert "1 row expired (batch_expired), the first is row 1: " in only_event(fake, "ended").text
    assert only_event(fake, "ended").status == "failed"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "eu-central-1.console.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_a_link_leads_to_the_console_of_its_partition(region: str, host: str) -> None:
    assert phrases.console_link(region, "bucket", "a/").startswith(f"https://{host}/s3/buckets/bucket?")
