"""Drops of every kind, all the way through the deployed stack: what comes back, row by row."""

import csv
import gzip
import io
import json
from pathlib import Path

from tests.e2e.conftest import Embedded

REVIEWS = Path("examples/reviews/reviews.csv").read_bytes()
RECIPE = Path("examples/reviews/recipe.yaml").read_bytes()
PLAIN = b'model: gpt-4o-mini\nprompt: "Say something about {{ text }}"\n'


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


def test_the_reviews_as_compressed_json_lines_come_back_compressed(healthy: Embedded) -> None:
    healthy.drop("jsonl/recipe.yaml", RECIPE)
    rows = rows_of(REVIEWS)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    data = gzip.compress("".join(line + "\n" for line in lines).encode())
    results = healthy.results(healthy.answer("jsonl/reviews.jsonl.gz", data))
    answered = gzip.decompress(results["reviews.answers.jsonl.gz"]).decode().split("\n")
    assert answered.pop() == ""
    assert len(answered) == 3000
    for line, back in zip(lines, answered, strict=True):
        assert back.startswith(line[:-1])
        assert json.loads(back)["_status"] == "ok"
    ids = [json.loads(line)["custom_id"] for line in results["responses.jsonl"].splitlines()]
    assert len(set(ids)) == 3000


def test_a_raw_drop_mixing_models_and_endpoints_over_several_shards_comes_back_line_by_line(healthy: Embedded) -> None:
    """A batch takes 50,000 embedding inputs: with 2,000 in each fourth line, every 100 lines begin another shard."""
    lines = []
    for number in range(260):
        model = ("gpt-4o-mini", "gpt-4o")[number % 2]
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


def test_where_a_third_of_the_rows_fail_the_others_come_back(healthy: Embedded) -> None:
    healthy.drop("third/recipe.yaml", PLAIN)
    healthy.control("POST", "/faults", kind="fail_rows", every=3)
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


def test_a_recipe_uploaded_after_its_data_is_waited_for(healthy: Embedded) -> None:
    version = healthy.drop("order/rows.csv", b"text\nhello\n")
    healthy.drop("order/recipe.yaml", PLAIN)
    assert healthy.event(version)["status"] == "succeeded"


def test_nothing_was_given_up(healthy: Embedded) -> None:
    assert healthy.dead_letters() == {}
