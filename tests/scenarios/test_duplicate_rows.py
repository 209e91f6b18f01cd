"""Rows with the same request are asked once, and each has the answer."""

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.collection import circuit_breaker
from dropbatch.delivery import render_shard
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.polling.poll import poll
from dropbatch.rows import original_results
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.request_digests import RequestDigests
from tests.both_ways import both_ways
from tests.driving import deliver, drop, jobs, last_message, only_job, pass_time, result, result_json, run
from tests.fakes import RESULTS, FakeContext, answer_ok, response_line

RECIPE = b"""\
model: gpt-6-luna
prompt: "{{ text }}"
schema: {mood: [good, bad], why: reason}
"""


def csv_of(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in ["text", *texts]).encode()


def text_of(request: dict[str, Any]) -> str:
    found: str = request["body"]["messages"][-1]["content"]
    return found


def by_text(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Answer by the text alone: some texts have a good answer, others fail in different ways."""
    text = text_of(request)
    where, line = answer_ok(request)
    body = line["response"]["body"]
    body["usage"] = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    body["choices"][0]["message"]["content"] = json.dumps({"mood": "bad" if "b" in text else "good", "why": text})
    if "t" in text:
        body["choices"][0]["finish_reason"] = "length"
    elif "e" in text:
        return "error", response_line(request, 400, {"error": {"code": "lasting", "message": "no"}})
    return where, line


def answered(fake: FakeContext, name: str = "a.answers.csv", job: Job | None = None) -> list[tuple[str, str, str]]:
    found = csv.DictReader(io.StringIO(result(fake, name, job).decode(), newline=""))
    return [(row["text"], row["why"], row["_status"]) for row in found]


def start(folder: Path, recipe: bytes = RECIPE, **limits: int) -> FakeContext:
    fake = FakeContext(folder, limits=Limits(**limits))
    fake.objects.drop("recipe.yaml", recipe)
    return fake


def outputs(fake: FakeContext, key: str) -> dict[str, Any]:
    """Return everything that a user sees of an ended job, but what only the requests say."""
    job = only_job(fake)
    summary = result_json(fake, "summary.json")
    found: dict[str, Any] = {name: summary[name] for name in ("status", "rows", "categories", "reasons")}
    found["rows"].pop("duplicates", None)
    prefix = f"{key}/{job.id}/"
    names = [name.removeprefix(prefix) for name in fake.objects.keys(RESULTS, prefix)]
    for name in names:
        if ".answers." in name or ".failed." in name:
            found[name] = result(fake, name)
    lines = [json.loads(line) for line in result(fake, "responses.jsonl").splitlines()]
    found["responses"] = [{**line, "id": None} for line in lines]
    return found


MORE = [b"", b"id: text\n", b"limit: 7\n", b"limit: {rows: 7, sample: true, seed: 1}\n", b"when: '{{ text }}'\n"]
"""More lines of the recipe."""


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(["a", "b", "ab", "t", "e", "be", "", "a "]), min_size=1, max_size=40),
    st.sampled_from(["a.csv", "a.jsonl", "a.json"]),
    st.integers(1, 6),
    st.sampled_from(MORE),
)
def test_the_results_are_those_of_asking_each_row(texts: list[str], key: str, requests: int, more: bytes) -> None:
    data = csv_of([f'"{text}"' for text in texts])
    if key != "a.csv":
        lines = [json.dumps({"text": text}) for text in texts]
        data = ("\n".join(lines) if key == "a.jsonl" else f"[{','.join(lines)}]").encode()

    def taken(dedupe: bytes) -> tuple[dict[str, Any], list[bytes]]:
        with TemporaryDirectory() as folder:
            recipe = RECIPE + more + dedupe + (b"" if b"when" in more else b"bad_rows: skip\n")
            fake = start(Path(folder), recipe, batch_requests=requests)
            fake.openai.answer = by_text
            drop(fake, key, data)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(circuit_breaker, "MAX_BAD_BATCHES", 100)  # it counts requests, of which there are fewer
                assert run(fake)
            bodies = [
                json.dumps(json.loads(line)["body"])
                for file in fake.openai.contents.values()
                for line in file.splitlines()
                if b'"method"' in line
            ]
            return outputs(fake, key), [body.encode() for body in bodies]

    each, sent_each = taken(b"dedupe: false\n")
    (once, sent), strictly = both_ways(lambda: taken(b"dedupe: true\n"))
    assert once == each
    assert len(sent) == len(set(sent)) == len(set(sent_each))
    assert strictly == (once, sent)


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    return start(tmp_path, batch_requests=2)


def asked(fake: FakeContext) -> list[list[str]]:
    """Return the texts of the requests of each batch."""
    files = [fake.openai.contents[batch.input_file_id] for batch in fake.openai.batches.values()]
    return [[text_of(json.loads(line)) for line in file.splitlines()] for file in files]


def test_all_duplicates_have_the_answer_in_their_place(fake: FakeContext) -> None:
    fake.openai.answer = by_text
    drop(fake, "a.csv", csv_of(["a", "a", "b", "a", "c", "b"]))
    run(fake)
    assert asked(fake) == [["a", "b"], ["c"]]
    assert answered(fake) == [(text, text, "ok") for text in "aabacb"]
    summary = result_json(fake, "summary.json")
    assert (summary["rows"]["ok"], summary["rows"]["duplicates"]) == (6, 3)
    assert summary["categories"] == {"mood": {"good": 4, "bad": 2}}
    assert summary["tokens"]["input"] == 3 * 1000, "what is paid counts once"
    assert summary["cost"]["duplicates"]["tokens"] == {"input": 3 * 1000, "output": 3 * 200}
    assert 0 < summary["cost"]["duplicates"]["saved"] == pytest.approx(summary["cost"]["paid"], abs=1e-5)
    responses = [json.loads(line) for line in result(fake, "responses.jsonl").splitlines()]
    assert [line["custom_id"] for line in responses] == ["1", "2", "3", "4", "5", "6"]
    assert [line["id"] for line in responses] == [f"batch_req_{row}" for row in (1, 1, 3, 1, 5, 3)]


def test_people_read_how_many_rows_are_duplicates(fake: FakeContext) -> None:
    drop(fake, "a.csv", csv_of(["a", "b", "a", "a"]))
    run(fake)
    accepted, done = (last_message(fake, event).text for event in ("accepted", "ended"))
    assert "a.csv was accepted: 4 rows, of which 2 go to OpenAI in 1 batch." in accepted
    assert "2 rows have the same request as an earlier row, which is sent once for all of them." in accepted
    assert "2 rows share the answer of an earlier row with the same request, which saved under a cent." in done
    assert "2 rows share the answer" in result(fake, "report.html").decode()


@pytest.mark.parametrize(
    ("recipe", "sent"),
    [
        (b"", 3),
        (b"parameters: {temperature: 0}\n", 1),
        (b"parameters: {temperature: 0.0}\n", 1),
        (b"parameters: {temperature: 1}\n", 3),
        (b"parameters: {temperature: 1}\ndedupe: true\n", 1),
        (b"schema: {why: reason}\n", 1),
        (b"schema: {why: reason}\ndedupe: false\n", 3),
    ],
)
def test_by_default_rows_are_asked_once_where_answers_should_not_differ(
    tmp_path: Path, recipe: bytes, sent: int
) -> None:
    fake = start(tmp_path, b"model: gpt-5.4-mini\nprompt: '{{ text }}'\n" + recipe)
    drop(fake, "a.csv", csv_of(["a", "a", "a"]))
    run(fake)
    assert sum(map(len, asked(fake))) == sent


def test_a_body_may_set_the_temperature(tmp_path: Path) -> None:
    body = b"body: {model: gpt-5.4-mini, temperature: 0, messages: [{role: user, content: '{{ text }}'}]}\n"
    fake = start(tmp_path, body)
    drop(fake, "a.csv", csv_of(["a", "a"]))
    run(fake)
    assert asked(fake) == [["a"]]


def test_each_line_of_a_ready_batch_file_is_sent(tmp_path: Path) -> None:
    body = {"model": "gpt-5.4-mini", "temperature": 0, "messages": [{"role": "user", "content": "a"}]}
    lines = [
        json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}) for name in "xy"
    ]
    fake = start(tmp_path)
    drop(fake, "a.jsonl", "\n".join(lines).encode())
    run(fake)
    assert asked(fake) == [["a", "a"]]


def test_columns_that_no_request_has_make_no_difference(tmp_path: Path) -> None:
    fake = start(tmp_path, RECIPE + b"id: name\n")
    drop(fake, "a.csv", b'name,text\nx,a\n"y ""2""",a\n,a\n')
    run(fake)
    assert asked(fake) == [["a"]]
    responses = [json.loads(line)["custom_id"] for line in result(fake, "responses.jsonl").splitlines()]
    assert responses == ["x", 'y "2"', "3"]


def test_different_values_with_the_same_request_are_asked_once(tmp_path: Path) -> None:
    fake = start(tmp_path, RECIPE.replace(b"{{ text }}", b"{{ one }} {{ two }}"))
    drop(
        fake, "a.jsonl", b'{"one":"a b","two":"c"}\n{"one":"a","two":"b c"}\n{"one":1,"two":2}\n{"one":"1","two":"2"}\n'
    )
    run(fake)
    assert asked(fake) == [["a b c", "1 2"]]


def test_duplicates_fail_with_their_original_and_a_retry_answers_all(fake: FakeContext) -> None:
    fake.openai.answer = lambda request: (
        ("error", response_line(request, 500, {"error": {"code": "busy"}}))
        if text_of(request) == "b"
        else by_text(request)
    )
    drop(fake, "a.csv", csv_of(["a", "b", "c", "b", "a", "b"]))
    run(fake, ticks=300)
    assert asked(fake) == [["a", "b"], ["c"], ["b"], ["b"]], "each try is one request"
    (first,) = jobs(fake)
    assert [status for *_, status in answered(fake)] == ["ok", "error", "ok", "error", "ok", "error"]
    assert result_json(fake, "summary.json")["reasons"][0]["rows"] == 3
    assert result(fake, "a.failed.csv") == b"text\nb\nb\nb\n"

    fake.openai.answer = by_text
    drop(fake, "a.csv.retry", b"")
    run(fake)
    assert asked(fake)[4:] == [["b"]]
    second = jobs(fake)[-1]
    assert second.id != first.id
    assert answered(fake, job=second) == [(text, text, "ok") for text in "abcbab"]
    summary = result_json(fake, "summary.json", second)
    assert (summary["rows"]["ok"], summary["rows"]["duplicates"]) == (6, 3)
    assert summary["cost"]["duplicates"]["tokens"] == {"input": 2000, "output": 400}, (
        "what was kept saves nothing again"
    )


def test_a_retry_with_another_recipe_compares_the_new_requests(tmp_path: Path) -> None:
    fake = start(tmp_path, batch_requests=2)
    fake.openai.answer = by_text
    data = b"text,lang\na,x\nt1,x\nt1,y\na,y\nt1,x\nt2,x\nt1,y\nt2,x\n"
    drop(fake, "a.csv", data)
    run(fake)
    assert asked(fake) == [["a", "t1"], ["t2"]]
    drop(fake, "recipe.yaml", RECIPE.replace(b"{{ text }}", b"{{ lang }} {{ text | replace('t', 'c') }}"))
    run(fake)
    drop(fake, "a.csv.retry", b"")
    run(fake)
    assert asked(fake)[2:] == [["x c1", "y c1"], ["x c2"]]
    retried = jobs(fake)[-1]
    whys = ["a", "x c1", "y c1", "a", "x c1", "x c2", "y c1", "x c2"]
    assert [why for _, why, _ in answered(fake, job=retried)] == whys
    summary = result_json(fake, "summary.json", retried)
    assert summary["rows"]["ok"] == 8
    assert summary["rows"]["duplicates"] == retried.duplicates == 4
    assert [recipe["rows"] for recipe in summary["recipes"]] == [2, 6]


@pytest.mark.parametrize("ending", [OpenAIStatus.EXPIRED, OpenAIStatus.CANCELLED])
def test_duplicates_of_an_unanswered_row_are_as_it_is(fake: FakeContext, ending: OpenAIStatus) -> None:
    fake.objects.drop("recipe.yaml", RECIPE + b"attempts: 1\ndeadline: 1 h\n")
    fake.openai.ending = None
    fake.openai.answer = lambda request: None
    drop(fake, "a.csv", csv_of(["a", "a", "b", "c", "a"]))
    pass_time(fake, 600)
    if ending is OpenAIStatus.CANCELLED:
        drop(fake, "a.csv.cancel", b"")
        pass_time(fake, 600)
    fake.openai.ending = ending
    fake.clock.sleep(7200)
    run(fake, ticks=300)
    expected = "expired" if ending is OpenAIStatus.EXPIRED else "cancelled"
    assert [status for *_, status in answered(fake)] == [expected] * 5
    assert result_json(fake, "summary.json")["rows"][expected] == 5


def test_a_shard_waits_for_the_shards_of_its_originals(tmp_path: Path) -> None:
    """The second shard has only duplicates, and its original comes last."""
    fake = start(tmp_path, batch_requests=2)
    fake.openai.answer = by_text
    drop(fake, "a.csv", csv_of(["a", "b", "c", "a", "d", "e", "b"]))
    deliver(fake)
    first, *others = fake.openai.batches
    fake.openai.ending = None
    for batch_id in others:
        fake.openai._end(fake.openai.batches[batch_id], OpenAIStatus.COMPLETED)
    pass_time(fake, 300)
    assert only_job(fake).state is JobState.RUNNING
    fake.openai._end(fake.openai.batches[first], OpenAIStatus.COMPLETED)
    poll(fake.context)
    deliver(fake)
    assert only_job(fake).state is JobState.PARTIAL, "the collector of the last batch ends the job"
    assert [why for _, why, _ in answered(fake)] == ["a", "b", "c", "a", "d", "", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_results_are_the_same_however_often_time_runs_out(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_shard, "CHUNK_ROWS", 3)
    monkeypatch.setattr(original_results, "MAX_BYTES", 1)  # the originals of one chunk are read at once
    dice = random.Random(seed)
    texts = [f"{dice.choice('abcdef')}{'x' * 30_000}" for _ in range(60)]

    def taken(seconds_left: Callable[[], float]) -> tuple[dict[str, Any], int]:
        fake = start(tmp_path, RECIPE, batch_requests=2)
        fake.openai.answer, fake.seconds_left = by_text, seconds_left
        drop(fake, "a.csv", csv_of(texts))
        assert run(fake, ticks=3000)
        return outputs(fake, "a.csv"), sum(map(len, asked(fake)))

    whole, requests = taken(lambda: 300.0)
    assert requests == len(set(texts))
    handed_over: list[str] = []
    digests = JobFiles.digests

    def noted(files: JobFiles, name: str) -> RequestDigests | None:
        handed_over.append(name)
        return digests(files, name)

    monkeypatch.setattr(JobFiles, "digests", noted)
    assert taken(lambda: dice.choice([300.0] * 3 + [5.0])) == (whole, requests)
    assert handed_over, "time ran out within the file"


@pytest.mark.slow
def test_a_parquet_table_has_the_answers_of_duplicates(tmp_path: Path) -> None:
    fake = start(tmp_path, batch_requests=2)
    fake.openai.answer = by_text
    table = pa.table({"text": ["a", "b", "a", "c", "e", "b", "e"]})
    out = io.BytesIO()
    pq.write_table(table, out)
    drop(fake, "a.parquet", out.getvalue())
    run(fake)
    assert sum(map(len, asked(fake))) == 4
    answers = pq.read_table(io.BytesIO(result(fake, "a.answers.parquet"))).to_pydict()
    assert answers["why"] == ["a", "b", "a", "c", None, "b", None]
    failed = pq.read_table(io.BytesIO(result(fake, "a.failed.parquet"))).to_pydict()
    assert failed["text"] == ["e", "e"]
