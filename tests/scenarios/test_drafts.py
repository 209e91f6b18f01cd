"""A file without a recipe is rejected with a draft of one. Each test follows the message, without other knowledge."""

import gzip
import json
import shlex
from pathlib import Path

import pytest

from dropbatch.domain.inbox import WAITS_SECONDS
from dropbatch.domain.states import JobState
from dropbatch.ports import Notification
from dropbatch.reporting.event_members import results_prefix
from tests.driving import drop, jobs, last_message, result, result_json, run
from tests.fakes import INBOX, RESULTS, FakeContext

REVIEWS = b"review_id,stars,Review Text\n1,5,I love my toaster\n2,1,The kettle leaks\n"

FILES = {
    "reviews.csv": REVIEWS,
    "survey (Q4).csv": b"Nr.;Kommentar zum Produkt\n1;Sehr gut, danke\n2;Zu teuer\n",
    "a.csv.gz": gzip.compress(REVIEWS),
    "a.tsv": b"id\ttext\n1\tIt works well\n2\tIt does not\n",
    "a.txt": b"It works well\nIt does not\n",
    "a.jsonl": b'{"id": 1, "body": "It works well"}\n{"id": 2, "body": "It does not"}\n',
    "a.json": b'[{"id": 1, "body": "It works well"},\n {"id": 2, "body": "It does not"}]',
    "empty texts.csv": b"id,text\n1,It works well\n2,\n",
    "a result.csv": b"text,sentiment,_status,_error\nIt works well,positive,ok,\nIt does not,negative,ok,\n",
}


def commands(message: Notification) -> list[list[str]]:
    """Return the arguments of the commands of a message, in order."""
    found = [line.partition("aws s3 cp ")[2] for line in message.text.splitlines()]
    return [shlex.split(each) for each in found if each]


def copy(fake: FakeContext, source: str, target: str, here: Path) -> None:
    """Do what `aws s3 cp` does with these two places."""
    for bucket in (INBOX, RESULTS):
        source_key = source.removeprefix(f"s3://{bucket}/")
        if source_key != source:
            (here / target).write_bytes(fake.objects.content(bucket, source_key))
            return
    drop(fake, target.removeprefix(f"s3://{INBOX}/"), (here / source).read_bytes())


def follow(fake: FakeContext, message: Notification, here: Path) -> None:
    """Do what the rejection says: download the draft, edit its question, upload it beside the file."""
    (download, upload) = commands(message)
    copy(fake, *download, here)
    assert download[1] == upload[0] == "recipe.yaml"
    edited = (here / "recipe.yaml").read_text().replace("Is the text positive", "Is the comment of a customer positive")
    (here / "recipe.yaml").write_text(edited)
    copy(fake, *upload, here)


@pytest.mark.parametrize("name", FILES)
def test_who_follows_the_message_has_the_file_answered(fake: FakeContext, tmp_path: Path, name: str) -> None:
    drop(fake, f"in/{name}", FILES[name])
    run(fake)
    (rejected,) = jobs(fake)
    assert rejected.state is JobState.REJECTED
    message = last_message(fake, "rejected")
    follow(fake, message, tmp_path)
    run(fake)
    answered = jobs(fake)[-1]
    assert answered.state is JobState.SUCCEEDED
    assert b"customer" in result(fake, "recipe/recipe.yaml", answered)
    assert fake.topics.people[-1].subject.endswith(
        "2 of 2 answered" if name != "empty texts.csv" else "1 of 1 answered"
    )


def test_the_draft_is_beside_the_rejection_and_programs_get_its_key(fake: FakeContext) -> None:
    drop(fake, "in/a.csv", REVIEWS)
    run(fake)
    (job,) = jobs(fake)
    text = result(fake, "recipe.yaml", job).decode()
    assert "prompt: \"{{ row['Review Text'] }}\"" in text
    assert 'id: "review_id"' in text
    key = results_prefix(job) + "recipe.yaml"
    assert result_json(fake, "rejected.json", job)["draft"] == key
    assert last_message(fake, "rejected").detail["draft"] == key
    assert "A recipe is drafted for this file" in result(fake, "report.html", job).decode()


def test_weeks_later_a_rerun_uses_the_recipe(fake: FakeContext, tmp_path: Path) -> None:
    drop(fake, "in/a.csv", REVIEWS)
    run(fake)
    message = last_message(fake, "rejected")
    fake.clock.sleep(WAITS_SECONDS + 60)
    follow(fake, message, tmp_path)
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.REJECTED]
    drop(fake, "in/a.csv.rerun", b"")
    run(fake)
    assert jobs(fake)[-1].state is JobState.SUCCEEDED


@pytest.mark.parametrize("data", [b"", b"text\n", b"\xff\xfe\x00\xd8", b"a,b;c\n1,2;3\n", b"\x00" * 100])
def test_a_file_whose_rows_cannot_be_read_is_rejected_without_a_draft(fake: FakeContext, data: bytes) -> None:
    drop(fake, "in/a.csv", data)
    run(fake)
    (job,) = jobs(fake)
    assert job.state is JobState.REJECTED
    has_draft = "draft" in result_json(fake, "rejected.json", job)
    assert ("A recipe is drafted" in last_message(fake, "rejected").text) is has_draft
    assert not has_draft or data.startswith(b"a,b")


def test_a_draft_names_the_encoding_that_a_file_seems_to_have(fake: FakeContext, tmp_path: Path) -> None:
    text = "id;Größe\r\n1;Zu teuer für das, was es kann\r\n2;Schön verpackt, süß und größer als gedacht\r\n"
    drop(fake, "in/a.csv", text.encode("cp1252"))
    run(fake)
    follow(fake, last_message(fake, "rejected"), tmp_path)
    run(fake)
    job = jobs(fake)[-1]
    assert job.state is JobState.SUCCEEDED
    assert "größer als gedacht" in result(fake, "a.answers.csv", job).decode("cp1252")


def test_a_broken_recipe_is_no_reason_for_a_draft(fake: FakeContext) -> None:
    fake.objects.drop("in/recipe.yaml", b"model: gpt-6-luna\n")
    drop(fake, "in/a.csv", REVIEWS)
    run(fake)
    (job,) = jobs(fake)
    assert "draft" not in result_json(fake, "rejected.json", job)


def test_ready_requests_need_no_draft(fake: FakeContext) -> None:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "x"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    drop(fake, "in/a.jsonl", json.dumps(line).encode() + b"\n")
    run(fake)
    assert [job.state for job in jobs(fake)] == [JobState.SUCCEEDED]
