"""Drops of every kind through the deployed stack: the results, row by row."""

import csv
import gzip
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import Embedded, wait_for

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

REVIEWS = Path("examples/reviews/reviews.csv").read_bytes()
RECIPE = Path("examples/reviews/recipe.yaml").read_bytes()
EACH_ROW_ASKED = RECIPE + b"\ndedupe: false\n"
"""For tests that count failing rows: a duplicate of a failing row would fail too."""

TOKENS = 112_575
"""The tokens that the emulator counts for the reviews with their recipe."""

Packer = Callable[[bytes], bytes]
Provoked = Callable[..., None]
PACKERS = [("gz", gzip.compress, gzip.decompress), ("zst", zstd.compress, zstd.decompress)]
PLAIN = b'model: gpt-6-luna\nprompt: "Say something about {{ text }}"\n'


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_three_thousand_reviews_as_csv_come_back_in_order_with_their_bytes(healthy: Embedded) -> None:
    healthy.drop("csv/recipe.yaml", RECIPE)
    event = healthy.answer("csv/reviews.csv", REVIEWS, team="support")
    assert event["status"] == "succeeded"
    assert event["rows"]["ok"] == event["rows"]["total"] == 3000
    assert event["labels"] == {"team": "support"}
    answers = healthy.results(event)["reviews.answers.csv"]
    before, after = REVIEWS.split(b"\n"), answers.split(b"\n")
    assert len(before) == len(after)
    assert all(new.startswith(old.rstrip(b"\r")) for old, new in zip(before, after, strict=True))
    rows = rows_of(answers)
    assert {row["sentiment"] for row in rows} == {"positive", "negative"}
    assert {row["_status"] for row in rows} == {"ok"}


@pytest.mark.parametrize(("extension", "packed", "unpacked"), PACKERS)
def test_the_reviews_as_compressed_json_lines_come_back_compressed(
    extension: str, packed: Packer, unpacked: Packer, healthy: Embedded
) -> None:
    healthy.drop("jsonl/recipe.yaml", RECIPE)
    rows = rows_of(REVIEWS)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    data = packed("".join(line + "\n" for line in lines).encode())
    results = healthy.results(healthy.answer(f"jsonl/reviews.jsonl.{extension}", data))
    answered = unpacked(results[f"reviews.answers.jsonl.{extension}"]).decode().split("\n")
    assert answered.pop() == ""
    assert len(answered) == 3000
    for line, back in zip(lines, answered, strict=True):
        assert back.startswith(line[:-1])
        assert json.loads(back)["_status"] == "ok"
    ids = [json.loads(line)["custom_id"] for line in results["responses.jsonl"].splitlines()]
    assert len(set(ids)) == 3000


def test_a_table_comes_back_as_a_table_with_its_answers_typed(healthy: Embedded) -> None:
    healthy.drop("parquet/recipe.yaml", EACH_ROW_ASKED + b"mirror: true\n")
    table = pa.table({name: [row[name] for row in rows_of(REVIEWS)] for name in ("id", "text")})
    table = table.append_column("at", pa.array([1_000_000 * n for n in range(3000)], pa.timestamp("us", "UTC")))
    # Large enough to be copied within S3, under the role of the function.
    table = table.append_column("noise", pa.array([hashlib.sha512(b"%d" % n).digest() * 40 for n in range(3000)]))
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=1000, compression="none", use_dictionary=False)
    assert out.tell() > 6_000_000
    healthy.control("POST", "/faults", kind="fail_rows", every=100, status=400, code="lasting")
    event = healthy.answer("parquet/reviews.parquet", out.getvalue())
    assert (event["status"], event["rows"]["ok"], event["rows"]["error"]) == ("partial", 2970, 30)
    results = healthy.results(event)
    answers = pq.read_table(io.BytesIO(results["reviews.answers.parquet"]))
    assert answers.select(table.column_names).equals(table)
    statuses = answers.column("_status").to_pylist()
    failed = [place for place, status in enumerate(statuses) if status == "error"]
    assert set(answers.column("sentiment").to_pylist()) == {"positive", "negative", None}
    assert pq.read_table(io.BytesIO(results["reviews.failed.parquet"])).equals(table.take(pa.array(failed)))
    assert mirrored(healthy, event) == results["reviews.answers.parquet"]


def mirrored(embedded: Embedded, event: dict[str, Any]) -> bytes:
    """Return the content of the mirror of a run that has ended."""
    found = embedded.client("s3").get_object(Bucket=event["results"]["bucket"], Key=event["objects"]["mirror"])
    data: bytes = found["Body"].read()
    return data


def test_the_newest_answers_replace_the_former_ones_under_the_drops_own_key(healthy: Embedded) -> None:
    healthy.drop("mirror/recipe.yaml", PLAIN + b"mirror: true\n")
    for data in (b"text\na\n", b"text\na\nb\n"):
        event = healthy.answer("mirror/dt=2026-11-27/a.csv", data)
        assert event["objects"]["mirror"] == "_answers/mirror/dt=2026-11-27/a.csv"
        assert mirrored(healthy, event) == healthy.results(event)["a.answers.csv"]


def test_a_raw_drop_of_mixed_models_and_endpoints_over_several_shards_is_answered_line_by_line(
    healthy: Embedded,
) -> None:
    """A batch accepts 50,000 embedding inputs: with 2,000 in each fourth line, every 100 lines begin another shard."""
    lines = []
    for number in range(260):
        model = ("gpt-6-luna", "gpt-6-sol")[number % 2]
        body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": f"Number {number}"}]}
        url = "/v1/chat/completions"
        if number % 4 == 0:
            inputs = [f"{number} {part}" for part in range(2000)]
            body, url = {"model": "text-embedding-3-small", "input": inputs, "dimensions": 2}, "/v1/embeddings"
        lines.append({"custom_id": f"row {number} ü", "method": "POST", "url": url, "body": body})
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    event = healthy.answer("raw/ready.jsonl", data)
    assert event["rows"]["ok"] == event["rows"]["total"] == 260
    responses = [json.loads(line) for line in healthy.results(event)["responses.jsonl"].splitlines()]
    assert [response["custom_id"] for response in responses] == [line["custom_id"] for line in lines]
    for number, response in enumerate(responses):
        answer = response["response"]["body"]
        assert answer["model"].startswith(str(lines[number]["body"]["model"]))  # type: ignore[index]  # a mapping
        assert len(answer["data"]) == 2000 if number % 4 == 0 else "choices" in answer
    batches = healthy.openai_batches(event["job_id"])
    assert {key.split("/")[1].split(".")[0] for key in batches} == {"0", "1", "2"}
    assert len(set(batches)) == len(batches) == 9


def test_a_key_of_odd_characters_gets_its_results_below_the_same_key(healthy: Embedded) -> None:
    healthy.drop("a folder+with %25/recipe.yaml", PLAIN)
    key = "a folder+with %25/späte Bücher & 日本語 😀.csv"
    event = healthy.answer(key, b"text\r\nhello\r\n")
    assert event["status"] == "succeeded"
    assert event["results"]["prefix"] == f"{key}/{event['job_id']}/"
    assert "späte Bücher & 日本語 😀.answers.csv" in healthy.results(event)


def test_a_rejected_drop_lists_what_is_wrong(healthy: Embedded) -> None:
    healthy.drop("bad/recipe.yaml", PLAIN)
    event = healthy.answer("bad/rows.csv", b"id,text\n1,a\n2,b,c\n3\n")
    assert event["event"] == "rejected"
    rejected = json.loads(healthy.results(event)["rejected.json"])
    assert [problem["line"] for problem in rejected["problems"]["first"]] == [3, 4]


def test_if_a_third_of_the_rows_fail_the_others_are_answered(healthy: Embedded) -> None:
    healthy.drop("third/recipe.yaml", PLAIN)
    healthy.control("POST", "/faults", kind="fail_rows", every=3, status=400, code="lasting")
    data = b"text\n" + b"".join(b"row %d\n" % number for number in range(300))
    event = healthy.answer("third/rows.csv", data)
    assert event["status"] == "partial"
    assert (event["rows"]["ok"], event["rows"]["error"]) == (200, 100)
    results = healthy.results(event)
    failed = results["rows.failed.csv"].split(b"\n")
    assert len(failed) == 102
    rows = rows_of(results["rows.answers.csv"])
    assert [row["text"] for row in rows] == [f"row {number}" for number in range(300)]
    assert {f"{row['text']}".encode() for row in rows if row["_status"] == "error"} == set(failed[1:-1])


def test_a_drop_waits_for_a_recipe_that_is_uploaded_later(healthy: Embedded) -> None:
    version = healthy.drop("order/rows.csv", b"text\nhello\n")
    healthy.drop("order/recipe.yaml", PLAIN)
    assert healthy.event(version)["status"] == "succeeded"


def test_a_drop_waits_for_a_key_and_continues_when_it_is_stored(healthy: Embedded, provoked: Provoked) -> None:
    # Files of earlier jobs are still being deleted.
    provoked("job held", "a call to OpenAI failed", "a file at OpenAI could not be deleted yet")
    healthy.drop("key/recipe.yaml", PLAIN)
    try:
        healthy.store_key("replace-me")
        version = healthy.drop("key/rows.csv", b"text\nhello\n")
        held = healthy.event(version, "held")
        assert held["held_reason"] == "openai_key"
        healthy.store_key("sk-wrong")
        for _ in range(3):
            healthy.tick()
        assert healthy.openai_batches(held["job_id"]) == []
    finally:
        healthy.deployed.store_key(healthy.names["OPENAI_API_KEY"])
    assert healthy.event(version)["status"] == "succeeded"
    assert len(healthy.openai_batches(held["job_id"])) == 1
    assert [event["event"] for event in healthy.heard if event["drop"]["version_id"] == version].count("held") == 1


def test_a_cancel_ends_a_running_job_with_the_answers_it_has(healthy: Embedded) -> None:
    """The marker is a folder, as the S3 console makes one."""
    healthy.drop("stop/recipe.yaml", PLAIN)
    before = healthy.control("GET", "/delays")
    try:
        healthy.control("POST", "/delays", in_progress=600)
        version = healthy.drop("stop/rows.csv", b"text\n" + b"hello\n" * 20)
        accepted = healthy.event(version, "accepted")
        while not healthy.openai_batches(accepted["job_id"]):
            healthy.tick()
        marker = healthy.drop("stop/rows.csv.cancel/", b"")
        obeyed = healthy.event(version, "marker")
        ended = healthy.event(version)
    finally:
        healthy.control("POST", "/delays", **before)
    assert (obeyed["status"], obeyed["reason"], obeyed["job_id"]) == ("done", "cancelling", ended["job_id"])
    assert obeyed["marker"] == {"kind": "cancel", "key": "stop/rows.csv.cancel/", "version_id": marker}
    assert ended["status"] == "cancelled"
    rows = ended["rows"]
    assert rows["cancelled"] > 0
    assert rows["ok"] + rows["cancelled"] == rows["total"] == 20
    assert "summary.json" in healthy.results(ended)


def test_a_rerun_uses_the_current_recipe(healthy: Embedded) -> None:
    healthy.drop("again/recipe.yaml", PLAIN)
    version = healthy.drop("again/rows.csv", b"text\nhello\n")
    first = healthy.event(version)
    healthy.drop("again/recipe.yaml", RECIPE)
    healthy.drop("again/rows.csv.rerun", b"")
    second = healthy.event(version, but_of=first["job_id"])
    assert (first["status"], second["status"]) == ("succeeded", "succeeded")
    assert "answer" in rows_of(healthy.results(first)["rows.answers.csv"])[0]
    assert "sentiment" in rows_of(healthy.results(second)["rows.answers.csv"])[0]
    latest = healthy.client("s3").get_object(Bucket=healthy.names["RESULTS_BUCKET"], Key="again/rows.csv/latest.json")
    assert json.loads(latest["Body"].read())["job_id"] == second["job_id"]
    healthy.drop("again/rows.csv.rerun", b"")
    held = healthy.event(version, "held")
    assert held["held_reason"] == "answered_before"
    assert held["answered_by"] == {"job_id": second["job_id"], "paid": second["cost"]["paid"]}
    healthy.drop("again/rows.csv.cancel", b"")
    assert healthy.event(version, "marker")["reason"] == "cancelling"


def test_a_marker_without_a_file_names_the_one_that_was_meant(healthy: Embedded) -> None:
    healthy.drop("near/recipe.yaml", PLAIN)
    healthy.answer("near/Some rows.csv", b"text\nhello\n")
    healthy.drop("near/some rows.rerun/", b"")
    refusals: list[dict[str, Any]] = []
    while not refusals:
        healthy.tick()
        healthy.listen()
        refusals = [
            event for event in healthy.heard if event["event"] == "marker" and event["drop"]["key"] == "near/some rows"
        ]
    assert (refusals[0]["status"], refusals[0]["reason"]) == ("refused", "no_such_file")
    assert refusals[0]["near"] == ["near/Some rows.csv"]


def test_a_retry_sends_only_failed_rows_and_delivers_one_complete_file(healthy: Embedded) -> None:
    healthy.drop("retry/recipe.yaml", PLAIN)
    healthy.control("POST", "/faults", kind="fail_rows", every=4, status=400, code="lasting")
    data = b"text\n" + b"".join(b"row %d\n" % number for number in range(20))
    version = healthy.drop("retry/rows.csv", data)
    first = healthy.event(version)
    assert (first["rows"]["ok"], first["rows"]["error"]) == (15, 5)
    healthy.control("DELETE", "/faults")
    healthy.drop("retry/rows.csv.retry", b"")
    second = healthy.event(version, but_of=first["job_id"])
    assert second["status"] == "succeeded"
    rows = rows_of(healthy.results(second)["rows.answers.csv"])
    assert [row["text"] for row in rows] == [f"row {number}" for number in range(20)]
    assert second["cost"]["paid"] < first["cost"]["paid"], "only what was asked now"
    assert len(healthy.openai_batches(second["job_id"])) == 1


def test_notifications_are_in_plain_words(healthy: Embedded) -> None:
    healthy.drop("people/recipe.yaml", PLAIN)
    event = healthy.answer("people/told.csv", b"text\nhello\n")
    mails = {mail["Subject"]: mail for mail in healthy.mail("people")}
    for mail in mails.values():
        assert len(mail["Subject"]) < 100
        names = ("event", "status", "folder", "recipe_folder")
        assert all(mail["MessageAttributes"][name]["Value"] for name in names)
    ended = mails["people/told.csv: 1 of 1 answered"]["Message"]
    assert f"s3://{event['results']['bucket']}/{event['results']['prefix']}" in ended


def test_notifications_name_every_part_that_is_dropped(healthy: Embedded) -> None:
    """The number of messages depends on the times of the ends. This stack waits shortly, so there may be several."""
    healthy.drop("parts/recipe.yaml", PLAIN)
    names = [f"part-{number}.csv" for number in range(6)]
    versions = [healthy.drop(f"parts/{name}", b"text\nhello\n") for name in names]
    assert [healthy.event(version)["status"] for version in versions] == ["succeeded"] * len(names)

    def are_all_named() -> bool:
        healthy.tick()
        mails = [mail["Subject"] + mail["Message"] for mail in healthy.mail("parts") if "answered" in mail["Subject"]]
        return all(any(name in mail for mail in mails) for name in names)

    wait_for(are_all_named, "messages do not name every part")


def test_a_job_continues_after_a_restart_of_the_stack(healthy: Embedded) -> None:
    healthy.drop("restart/recipe.yaml", PLAIN)
    before = healthy.control("GET", "/delays")
    try:
        healthy.control("POST", "/delays", in_progress=600)
        version = healthy.drop("restart/rows.csv", b"text\nhello\n")
        accepted = healthy.event(version, "accepted")
        while not healthy.openai_batches(accepted["job_id"]):
            healthy.tick()
        healthy.stack.down()
        assert healthy.stack.up().values == healthy.names
        healthy.logs.unexpected()  # AWS went away under a function that ran: what it logged about that is no fault
    finally:
        healthy.control("POST", "/delays", **before)
    ended = healthy.event(version)
    assert (ended["status"], ended["job_id"]) == ("succeeded", accepted["job_id"])
    assert len(healthy.openai_batches(ended["job_id"])) == 1


def test_a_drop_is_answered_in_spite_of_many_faults(healthy: Embedded, provoked: Provoked) -> None:
    """A tenth of the rows expires once, a twentieth fails once, a hundredth always, a third fits at a time."""
    provoked("a create is in doubt", "a call to OpenAI failed")
    # A model of its own: the learned limit stays for an hour, and slows all later drops with the model.
    healthy.drop("heal/recipe.yaml", EACH_ROW_ASKED.replace(b"gpt-6-luna", b"gpt-5.6-terra"))
    numbers = range(1, 3001)
    expiring, failing, lasting = ([str(n) for n in numbers if n % k == r] for k, r in ((10, 1), (20, 2), (100, 3)))
    for fault in (
        {"kind": "fail_rows", "shape": "not_run", "code": "batch_expired", "custom_ids": expiring, "each": 1},
        {"kind": "fail_rows", "status": 500, "custom_ids": failing, "each": 1},
        {"kind": "fail_rows", "status": 500, "custom_ids": lasting},
        {"kind": "token_limit", "tokens": TOKENS // 3},
        {"kind": "create_answer_lost", "times": 1},
    ):
        healthy.control("POST", "/faults", **fault)
    before = {batch["id"] for batch in healthy.control("GET", "/batches")["data"]}

    event = healthy.answer("heal/reviews.csv", REVIEWS)

    assert event["status"] == "partial"
    assert (event["rows"]["ok"], event["rows"]["error"]) == (2970, 30)
    rows = rows_of(healthy.results(event)["reviews.answers.csv"])
    assert [row["_status"] == "error" for row in rows] == [n % 100 == 3 for n in numbers]
    (reason,) = event["reasons"]
    assert (reason["code"], reason["rows"], reason["row"]) == ("server_error", 30, 3)

    batches = [batch for batch in healthy.control("GET", "/batches")["data"] if batch["id"] not in before]
    assert {batch["status"] for batch in batches} <= {"completed", "failed"}, "nothing is in flight"
    keys = [batch["metadata"]["dropbatch"] for batch in batches]
    assert len(keys) == len(set(keys)), "one batch a key"
    asked: Counter[str] = Counter()
    with healthy.openai() as client:
        for batch in batches:
            if batch["status"] == "completed":
                lines = client.files.content(batch["input_file_id"]).content.splitlines()
                asked.update(json.loads(line)["custom_id"] for line in lines)
    once = {str(n) for n in numbers} - {*expiring, *failing, *lasting}
    assert {asked[n] for n in once} == {1}, "no answered row is sent again"
    assert {asked[n] for n in {*expiring, *failing} - {*lasting}} == {2}
    assert {asked[n] for n in lasting} == {3}


def test_drops_with_dead_letters_are_accepted_later(healthy: Embedded) -> None:
    """One message killed every function, and EventBridge could not deliver one event."""
    healthy.drop("died/recipe.yaml", PLAIN)
    bucket, sqs = healthy.names["INBOX_BUCKET"], healthy.client("sqs")
    with healthy.no_events():
        versions = {key: healthy.drop(key, b"text\nhello\n") for key in ("died/message.csv", "died/event.csv")}
    look = {"v": 1, "bucket": bucket, "key": "died/message.csv", "version_id": versions["died/message.csv"]}
    sqs.send_message(
        QueueUrl=healthy.names["INTAKE_DEAD_LETTERS_URL"], MessageBody=json.dumps({**look, "rerun_version": ""})
    )
    event = json.loads(Path("events/s3_object_created.json").read_text())
    event["detail"]["bucket"]["name"] = bucket
    event["detail"]["object"] |= {"key": "died/event.csv", "version-id": versions["died/event.csv"]}
    sqs.send_message(QueueUrl=healthy.names["DROP_EVENT_DEAD_LETTERS_URL"], MessageBody=json.dumps(event))
    for version in versions.values():
        assert healthy.event(version)["status"] == "succeeded"
