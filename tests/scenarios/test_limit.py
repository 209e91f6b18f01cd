"""A recipe's `limit`: the rows that it selects, their number, and the cost of all rows; over fakes."""

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.jobs import Limited
from dropbatch.domain.states import JobState
from dropbatch.formats import lines
from dropbatch.formats.file_types import KINDS, file_type
from dropbatch.formats.parquet import files
from dropbatch.reporting.phrases import about
from tests.driving import (
    ALMOST_NOTHING,
    drop,
    jobs,
    last_message,
    only_job,
    result,
    result_json,
    rows,
    run,
)
from tests.fakes import FakeContext, answer_ok, response_line

FIRST = b'model: gpt-6-luna\nprompt: "{{ text }}"\nlimit: 10\n'
SAMPLE = b'model: gpt-6-luna\nprompt: "{{ text }}"\nlimit: {rows: 10, sample: true}\n'
COUNT = 300
DRAWN = [9, 29, 40, 75, 134, 147, 194, 224, 236, 248]
"""The rows that the sample draws from `COUNT` rows."""

TEXTS = [f"row {number}" + "." * (number % 90) for number in range(1, COUNT + 1)]
OBJECTS = [{"text": text} for text in TEXTS]


def table(count: int = COUNT) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": TEXTS[:count]}), out, row_group_size=70)
    return out.getvalue()


def csv_of(texts: list[str], line_end: str = "\n") -> bytes:
    """Return a csv in which every fifth text has two lines, and a blank line follows every seventh row."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end)
    writer.writerow(["text"])
    for number, text in enumerate(texts):
        writer.writerow([text + "\n" * (number % 5 == 0)])
        out.write(line_end * (number % 7 == 0))
    return out.getvalue().encode()


FILES = {
    "a.csv": csv_of(TEXTS),
    "b.csv.gz": gzip.compress(csv_of(TEXTS, "\r\n"), mtime=0),
    "c.tsv": b"text\tn\n" + b"".join(f'"{text}\t1\n'.encode() for text in TEXTS),
    "d.jsonl": b"\n".join(json.dumps(each).encode() + b"\n" * (at % 3) for at, each in enumerate(OBJECTS)),
    "e.txt": "\n".join(TEXTS).encode(),
    "f.json": json.dumps(OBJECTS, indent=1).encode(),
    "g.csv": b"\xff\xfe" + csv_of(TEXTS).decode().encode("utf-16-le"),
    "h.parquet": table(),
}


def test_the_files_are_of_every_kind() -> None:
    assert {file_type(name).kind for name in FILES} == set(KINDS.values())


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK_BYTES", 300)
    monkeypatch.setattr(files, "BATCH_ROWS", 7)


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    return FakeContext(tmp_path, limits=Limits(batch_requests=4))


def prompts(fake: FakeContext) -> list[str]:
    """Return the prompts that were sent, in the order of the rows."""
    files = [fake.openai.contents[batch.input_file_id] for batch in fake.openai.batches.values()]
    asked = [json.loads(line) for file in files for line in file.splitlines()]
    ordered = sorted(asked, key=lambda request: int(request["custom_id"]))
    return [request["body"]["messages"][-1]["content"].rstrip("\n") for request in ordered]


def test_the_accepted_message_says_which_rows_are_sent(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", FIRST)
    drop(fake, "reviews.csv", rows(3_000))
    run(fake)
    accepted = last_message(fake, "accepted")
    assert accepted.subject == "reviews.csv: accepted, 10 of 3,000 rows"
    assert accepted.text.splitlines()[0] == (
        "reviews.csv was accepted: the first 10 of 3,000 rows (`limit`), of which 10 go to OpenAI in 3 batches."
    )
    assert accepted.detail["rows"] == {"total": 10, "in_file": 3_000}


def test_the_end_message_says_what_all_rows_would_cost(fake: FakeContext) -> None:
    def answer(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        where, line = answer_ok(request)
        line["response"]["body"]["usage"] = {"prompt_tokens": 1_000, "completion_tokens": 140, "total_tokens": 1_140}
        return where, line

    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", FIRST)
    drop(fake, "reviews.csv", rows(3_000))
    run(fake)
    ended = last_message(fake, "ended")
    detail = ended.detail
    assert detail["rows"]["total"] == detail["rows"]["ok"] == 10
    assert detail["rows"]["in_file"] == 3_000
    whole = detail["cost"]["paid"] / 10 * 3_000
    assert detail["cost"]["all_rows"] == pytest.approx(whole, rel=1e-3)
    said = f"The run asked the first 10 of 3,000 rows (`limit`); all of them would cost {about(whole)}."
    assert said in ended.text.splitlines()
    assert ended.text.startswith("reviews.csv: 10 of 10 answered. Of the rows that `limit` took, every row is done.\n")
    assert said in result(fake, "report.html").decode()
    assert result_json(fake, "status.json")["rows"]["in_file"] == 3_000
    assert len(result(fake, "reviews.answers.csv").splitlines()) == 11


def test_the_cost_of_all_rows_is_extrapolated_from_paid_rows(fake: FakeContext) -> None:
    def answer(request: dict[str, Any]) -> Any:
        if int(request["custom_id"]) > 5:
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        where, line = answer_ok(request)
        line["response"]["body"]["usage"]["prompt_tokens"] = 10_000
        return where, line

    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", FIRST)
    drop(fake, "reviews.csv", rows(100))
    run(fake)
    cost = last_message(fake, "ended").detail["cost"]
    assert cost["all_rows"] == pytest.approx(cost["paid"] / 5 * 100, rel=1e-2)


def test_the_cost_of_all_rows_is_left_out_if_prices_are_unknown(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", FIRST.replace(b"gpt-6-luna", b"my-own"))
    drop(fake, "reviews.csv", rows(100))
    run(fake)
    ended = last_message(fake, "ended")
    assert "The run asked the first 10 of 100 rows (`limit`)." in ended.text.splitlines()
    assert "all_rows" not in ended.detail["cost"]


@pytest.mark.parametrize("recipe", [FIRST, SAMPLE])
@pytest.mark.parametrize("count", [9, 10])
def test_a_drop_that_has_no_more_rows_is_not_limited(fake: FakeContext, recipe: bytes, count: int) -> None:
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, "reviews.csv", rows(count))
    run(fake)
    assert only_job(fake).limited is None
    assert last_message(fake, "accepted").subject == f"reviews.csv: accepted, {count} rows"
    assert "limit" not in last_message(fake, "ended").text


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [[300.0], [300.0, 300.0, 5.0]])
@pytest.mark.parametrize("name", FILES)
def test_all_rows_are_counted_in_every_format_however_long_it_takes(
    fake: FakeContext, name: str, seconds: list[float]
) -> None:
    dice = random.Random(5)
    fake.seconds_left = lambda: dice.choice(seconds)
    fake.objects.drop("recipe.yaml", FIRST)
    drop(fake, name, FILES[name])
    run(fake, ticks=300)
    job = only_job(fake)
    assert (job.state, job.rows, job.limited) == (JobState.SUCCEEDED, 10, Limited(COUNT))
    assert [prompt.lstrip('"') for prompt in prompts(fake)] == TEXTS[:10]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.csv.gz", gzip.compress(csv_of([f"{random.Random(7).random()} {text}" for text in TEXTS * 9]))[:-9]),
        ("quote.csv", csv_of(TEXTS) + b'"never closed'),
        ("long.txt", FILES["e.txt"] + b"\n" + b"x" * 3_000),
        ("array.json", FILES["f.json"][:-9]),
    ],
)
def test_a_fault_after_the_limited_rows_does_not_reject_the_drop(tmp_path: Path, name: str, data: bytes) -> None:
    fake = FakeContext(tmp_path, limits=Limits(line_bytes=2_000))
    fake.objects.drop("recipe.yaml", FIRST)
    drop(fake, name, data)
    run(fake)
    job = only_job(fake)
    assert (job.state, job.rows, job.limited) == (JobState.SUCCEEDED, 10, Limited(None))
    accepted = last_message(fake, "accepted")
    assert accepted.subject == f"{name}: accepted, 10 rows"
    assert f"{name} was accepted: the first 10 rows (`limit`), of which 10 go to OpenAI in 1 batch." in accepted.text
    assert accepted.detail["rows"] == {"total": 10, "in_file": None}
    assert "The run asked the first 10 rows (`limit`)." in last_message(fake, "ended").text


def test_bad_rows_after_the_limited_rows_count_as_rows(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", FIRST)
    drop(fake, "a.jsonl", FILES["d.jsonl"] + b"\nno json\n")
    run(fake)
    assert only_job(fake).limited == Limited(COUNT + 1)


def sampled(fake: FakeContext, name: str, recipe: bytes = SAMPLE) -> list[str]:
    fake.objects.drop("recipe.yaml", recipe)
    drop(fake, name, FILES[name])
    run(fake, ticks=300)
    assert only_job(fake).state is JobState.SUCCEEDED
    return [prompt.lstrip('"') for prompt in prompts(fake)]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [[300.0], [300.0, 300.0, 5.0]])
@pytest.mark.parametrize("name", FILES)
def test_a_sample_is_the_same_in_every_format_however_long_it_takes(
    fake: FakeContext, name: str, seconds: list[float]
) -> None:
    dice = random.Random(6)
    fake.seconds_left = lambda: dice.choice(seconds)
    drawn = sampled(fake, name)
    places = [TEXTS.index(text) for text in drawn]
    assert places == sorted(places)
    assert [place + 1 for place in places] == DRAWN
    assert only_job(fake).limited == Limited(COUNT, 1)


def test_another_seed_draws_other_rows(fake: FakeContext) -> None:
    drawn = sampled(fake, "e.txt", SAMPLE.replace(b"true}", b"true, seed: 7}"))
    assert [TEXTS.index(text) + 1 for text in drawn] != DRAWN
    assert only_job(fake).limited == Limited(COUNT, 7)


def test_messages_say_that_rows_are_a_sample(fake: FakeContext) -> None:
    sampled(fake, "a.csv")
    accepted, ended = last_message(fake, "accepted"), last_message(fake, "ended")
    assert accepted.subject == "a.csv: accepted, 10 of 300 rows"
    assert accepted.text.splitlines()[0] == (
        "a.csv was accepted: 10 of 300 rows, drawn at random (`limit`, seed 1), of which 10 go to OpenAI in 3 batches."
    )
    assert accepted.detail["rows"] == {"total": 10, "in_file": 300}
    assert (
        "The run asked 10 of 300 rows, drawn at random (`limit`, seed 1); all of them would cost under a cent."
        in ended.text
    )


def test_results_of_a_sample_hold_its_rows_under_the_numbers_that_they_have_in_the_file(fake: FakeContext) -> None:
    def answer(request: dict[str, Any]) -> Any:
        if request["custom_id"] in ("2", "9"):
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        return answer_ok(request)

    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", SAMPLE)
    drop(fake, "e.txt", FILES["e.txt"])
    run(fake)
    answered = list(csv.reader(io.StringIO(result(fake, "e.answers.csv").decode())))
    assert [row[0] for row in answered[1:]] == [TEXTS[number - 1] for number in DRAWN]
    assert result(fake, "e.failed.txt").decode().splitlines() == [TEXTS[28], TEXTS[235]]
    responses = [json.loads(line) for line in result(fake, "responses.jsonl").splitlines()]
    assert [response["custom_id"] for response in responses] == [str(number) for number in DRAWN]
    (reason,) = result_json(fake, "summary.json")["reasons"]
    assert (reason["rows"], reason["row"]) == (2, 29)
    assert "the first is row 29" in last_message(fake, "ended").text
    assert '<td class="n" data-label="row">9</td>' in result(fake, "report.html").decode()

    fake.openai.answer = answer_ok
    today = SAMPLE.replace(b"{{ text }}", b"Again: {{ text }}").partition(b"limit")[0] + b"mirror: true\n"
    fake.objects.drop("recipe.yaml", today)
    fake.clock.sleep(5)
    drop(fake, "e.txt.retry", b"")
    run(fake)
    again = jobs(fake)[-1]
    assert (again.state, again.limited) == (JobState.SUCCEEDED, Limited(COUNT, 1))
    assert again.mirror is None, "some rows are not a complete table"
    assert "all_rows" not in result_json(fake, "summary.json", again)["cost"], "it paid for two of them"
    responses = [json.loads(line) for line in result(fake, "responses.jsonl", again).splitlines()]
    assert [response["custom_id"] for response in responses] == [str(number) for number in DRAWN]
    assert [prompt for prompt in prompts(fake) if prompt.startswith("Again")] == [
        f"Again: {TEXTS[28]}",
        f"Again: {TEXTS[235]}",
    ]


def test_a_rerun_of_a_sample_sends_the_same_rows_and_is_compared_by_their_numbers_in_the_file(
    fake: FakeContext,
) -> None:
    first = sampled(fake, "e.txt")

    def answer(request: dict[str, Any]) -> Any:
        where, line = answer_ok(request)
        if request["custom_id"] == "3":
            line["response"]["body"]["choices"][0]["message"]["content"] = "other"
        return where, line

    fake.openai.answer = answer
    fake.clock.sleep(5)
    drop(fake, "e.txt.rerun", b"")
    run(fake, ticks=5)
    assert last_message(fake, "held").subject.endswith("e.txt, run 2: waits for your approval, answered before")
    drop(fake, "e.txt.approve", b"")
    run(fake)
    assert sorted(prompts(fake)) == sorted(first * 2)
    assert "Compared with run 1: answer changed in 1 of 10 rows, row 40." in last_message(fake, "ended").text

    fake.objects.drop("recipe.yaml", SAMPLE.replace(b"true}", b"true, seed: 2}"))
    fake.clock.sleep(5)
    drop(fake, "e.txt.rerun", b"")
    run(fake)
    assert "Compared" not in last_message(fake, "ended").text, "it asked other rows"


def test_a_sample_of_a_table_has_its_rows_and_types(fake: FakeContext) -> None:
    def answer(request: dict[str, Any]) -> Any:
        if request["custom_id"] == "9":
            return "error", response_line(request, 400, {"error": {"code": "invalid_value", "message": "no"}})
        return answer_ok(request)

    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", SAMPLE)
    drop(fake, "t.parquet", FILES["h.parquet"])
    run(fake)
    found = pq.read_table(io.BytesIO(result(fake, "t.answers.parquet")))
    assert found.column("text").to_pylist() == [TEXTS[number - 1] for number in DRAWN]
    failed = pq.read_table(io.BytesIO(result(fake, "t.failed.parquet")))
    assert failed.column("text").to_pylist() == [TEXTS[235]]


def test_a_problem_of_a_sampled_row_names_its_line(fake: FakeContext) -> None:
    lines = FILES["e.txt"].splitlines()
    data = b"\n".join(b'{"text": "a"}' for _ in lines[:74]) + b'\n{"x": 1}\n' + b'{"text": "a"}\n' * 225
    fake.objects.drop("recipe.yaml", SAMPLE)
    drop(fake, "a.jsonl", data)
    run(fake)
    (problem,) = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["line"] == 75


def test_a_file_that_cannot_be_read_to_its_end_has_no_sample(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", SAMPLE)
    drop(fake, "array.json", FILES["f.json"][:-9])
    run(fake)
    (problem,) = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["code"] == "not_json"


def test_the_same_content_and_recipe_is_one_job_however_it_is_limited(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", SAMPLE)
    drop(fake, "a.csv", FILES["a.csv"])
    fake.clock.sleep(1)
    drop(fake, "a.csv", FILES["a.csv"])
    run(fake)
    assert fake.topics.events().count("duplicate") == 1


def test_the_first_rows_of_a_limit_wait_for_an_approval(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, max_job_usd=ALMOST_NOTHING)
    fake.objects.drop("recipe.yaml", FIRST)
    drop(fake, "a.csv", FILES["a.csv"])
    run(fake, ticks=3)
    held = last_message(fake, "held")
    assert held.subject == "a.csv: waits for your approval, 10 of 300 rows"
    assert held.text.startswith(
        "a.csv waits: it asks the first 10 of 300 rows (`limit`), which will likely cost under a cent, and more than "
        "$0.0000001 needs an approval (the stack's parameter MaxJobCost)."
    )
