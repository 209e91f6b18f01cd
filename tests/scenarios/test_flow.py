"""A drop from the upload to the results, over fakes."""

import json

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.states import JobState
from dropbatch.formats.compression import Compression, compress, decompress
from tests.driving import RECIPE, drop, only_job, result, result_json, rows, run
from tests.fakes import RESULTS, FakeContext, answer_ok


def test_a_csv_comes_back_answered_in_its_own_order_and_bytes(fake: FakeContext) -> None:
    fake.objects.drop("work/recipe.yaml", RECIPE)
    data = b'id,text\r\n1,"a ""quoted""\r\nword"\r\n2,plain\r\n'
    drop(fake, "work/reviews.csv", data)
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    said = fake.openai.echoes()
    assert result(fake, "reviews.answers.csv").decode() == (
        f'id,text,answer,_status,_error\r\n1,"a ""quoted""\r\nword",{said[1]},ok,\r\n2,plain,{said[2]},ok,\r\n'
    )
    assert fake.topics.events() == ["accepted", "ended"]
    summary = result_json(fake, "summary.json")
    assert summary["rows"]["total"] == summary["rows"]["ok"] == 2
    names = {key.rpartition("/")[2] for key in fake.objects.keys(RESULTS)}
    assert names == {
        "index.html",
        "index.json",
        "latest.json",
        "quote.json",
        "recipe.yaml",
        "reviews.answers.csv",
        "responses.jsonl",
        "status.json",
        "summary.json",
        "report.html",
    }


@pytest.mark.parametrize(("suffix", "compression"), [("gz", Compression.GZIP), ("zst", Compression.ZSTD)])
def test_the_answers_of_a_compressed_drop_have_the_same_compression(
    fake: FakeContext, suffix: str, compression: Compression
) -> None:
    fake.limits = Limits(batch_requests=2)  # several pieces to join
    fake.objects.drop("recipe.yaml", RECIPE + b"attempts: 1\n")
    fake.openai.answer = lambda request: None if request["custom_id"] == "2" else answer_ok(request)
    drop(fake, f"x.csv.{suffix}", compress(rows(2), compression) + compress(b"three\n", compression))
    run(fake, step=600)
    unpacked = {
        name: b"".join(decompress([result(fake, f"x.{name}.csv.{suffix}")], compression))
        for name in ("answers", "failed")
    }
    said = fake.openai.echoes()
    assert unpacked["answers"].decode() == (
        f"text,answer,_status,_error\nrow 1,{said[1]},ok,\nrow 2,,missing,missing\nthree,{said[3]},ok,\n"
    )
    assert unpacked["failed"] == b"text\nrow 2\n"


def test_a_raw_drop_of_two_models_comes_back_under_its_own_ids(fake: FakeContext) -> None:
    lines = [
        {
            "custom_id": f"mine-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": f"gpt-{number % 2}", "messages": [{"role": "user", "content": "hi"}]},
        }
        for number in range(9)
    ]
    drop(fake, "ready.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    run(fake)
    responses = [json.loads(line) for line in result(fake, "responses.jsonl").splitlines()]
    assert [response["custom_id"] for response in responses] == [line["custom_id"] for line in lines]
    assert len(fake.openai.batches) == 2


def test_a_rejected_drop_says_why_and_pays_nothing(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "bad.csv", b"id,text\n1,a,b\n2\n")
    run(fake)
    rejected = result_json(fake, "rejected.json")
    assert rejected["problems"]["total"] == 2
    assert fake.topics.events() == ["rejected"]
    assert fake.openai.batches == {}


def test_a_drop_waits_for_a_recipe_that_comes_later(fake: FakeContext) -> None:
    drop(fake, "late/data.csv", b"text\na\n")
    run(fake, ticks=1)
    fake.clock.sleep(30)
    fake.objects.drop("late/recipe.yaml", RECIPE)
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_the_same_drop_while_its_job_is_open_is_reported_and_not_billed(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    drop(fake, "a.csv", b"text\na\n")
    run(fake, ticks=2)
    drop(fake, "a.csv", b"text\na\n")
    run(fake, ticks=2)
    assert "duplicate" in fake.topics.events()
    assert len(fake.openai.batches) == 1


def test_a_cancel_marker_ends_the_job_with_the_answers_it_has(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.ending = None
    drop(fake, "a.csv", b"text\na\n")
    run(fake, ticks=2)
    fake.openai.answer = lambda request: None
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert only_job(fake).state is JobState.CANCELLED
    assert result_json(fake, "summary.json")["rows"]["cancelled"] == 1


def test_a_job_waits_without_a_key_and_continues_with_one(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.key = None
    drop(fake, "a.csv", b"text\na\n")
    run(fake, ticks=3)
    assert only_job(fake).state is JobState.HELD
    assert fake.topics.events() == ["accepted", "held"]
    fake.openai.key = "sk-good"
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED


def test_no_text_of_a_row_reaches_a_log_the_table_or_a_notification(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", b"text\nxyzzy-secret\n")
    run(fake)
    told = "".join(n.text + n.subject + json.dumps(n.detail) for n in fake.topics.published)
    assert "xyzzy" not in told + "".join([*fake.table.texts(), *fake.observer.lines])


def test_the_report_shows_counts_and_rows_and_escapes_them(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a&b.csv", "text\n<script>alert(1)</script> 😀\n".encode())
    run(fake)
    page = result(fake, "report.html").decode()
    assert "1 of 1 rows answered — succeeded" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; 😀" in page
    assert "<script>alert" not in page
    assert page.count("<script") == 1, "its own, which shows the times as the reader's"
    assert "<h1>a&amp;b.csv</h1>" in page
