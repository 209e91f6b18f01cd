"""A drop that several invocations read gives the same job as in a single one."""

import csv
import gzip
import io
import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import JobState
from dropbatch.formats import lines as chunked
from dropbatch.formats.compression import Compression, compress
from dropbatch.formats.parquet import files
from dropbatch.formats.resumable_stream import HASHED_BYTES, ResumableStream
from dropbatch.intake.intake import take_in
from dropbatch.messages import IntakeMessage
from dropbatch.storage.unique_ids import UniqueIds
from tests.driving import drop, jobs, only_job, result, result_json, run
from tests.fakes import WORK, FakeContext, answer_ok, response_line
from tests.unit.formats.parquet.tables import example_table, packed

ROWS = 240
LIMITS = Limits(batch_requests=70, line_bytes=20_000)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK_BYTES", 200)
    monkeypatch.setattr(files, "BATCH_ROWS", 7)


def csv_file(line_end: str) -> bytes:
    """Return rows with quoted line ends, quotes, and blank lines between them."""
    dice = random.Random(7)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end)
    writer.writerow(["id", "text"])
    for row in range(ROWS):
        text = dice.choice(
            ["plain", 'a "quote"', "two\nlines", "three\r\n\r\nlines", "é, 😀", "x" * dice.randrange(900)]
        )
        writer.writerow([row, f"{text} {row}"])
        out.write(line_end * (row % 7 == 0))
    return b"\xef\xbb\xbf" + out.getvalue().encode()


RECIPE = b"""\
model: gpt-6-luna
prompt: "Text: {{ text }}"
"""  # some of the table's texts are null


def request(row: int) -> dict[str, object]:
    url = ["/v1/chat/completions", "/v1/embeddings"][row % 5 == 0]
    body: dict[str, object] = {"model": f"m{row % 3 // 2}", "input": f"text {row}"}
    if url != "/v1/embeddings":
        body["messages"] = [{"role": "user", "content": f"text {row}"}]
    return {"custom_id": f"row-{row}", "method": "POST", "url": url, "body": body}


def alike(row: int) -> dict[str, object]:
    messages = [{"role": "user", "content": f'row {row}, "é"' * (1 + row % 8)}]
    body = {"model": "m", "messages": messages, "temperature": 0.5}
    return {"custom_id": f"row-{row}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def lines(make: object) -> bytes:
    return b"".join(json.dumps(make(row)).encode() + b"\n" * (1 + (row % 50 == 0)) for row in range(ROWS))  # type: ignore[operator]


def members(data: bytes, compression: Compression) -> bytes:
    """Return the data, compressed as several members of a few rows each."""
    return b"".join(compress(data[at : at + 5000], compression) for at in range(0, len(data), 5000))


TEXT = lines(lambda row: {"text": f"row {row}" + "x" * (row % 300)})
SOME = [
    {"text": f'row {row}, ]}}[{{ "é" \\' + "x" * (row % 300), "more": [{"n": row, "t": ["}"]}, {}]}
    for row in range(ROWS)
]

DROPS = {
    "a.csv": csv_file("\n"),
    "b.csv": csv_file("\r\n"),
    "c.tsv": b"text\tn\n" + b"".join(b"row %d%s\t%d\n" % (row, b"." * 90, row) for row in range(ROWS)),
    "d.jsonl": TEXT,
    "e.txt": b"\n".join(b"line %d%s" % (row, b"." * 90) for row in range(ROWS)),
    "raw-mixed.jsonl": lines(request),
    "raw-alike.jsonl": lines(alike),
    "f.csv.gz": gzip.compress(csv_file("\n"), mtime=0),
    "g.csv.gz": members(csv_file("\r\n"), Compression.GZIP),
    "h.csv.zst": members(csv_file("\n"), Compression.ZSTD),
    "raw-packed.jsonl.zst": compress(lines(request), Compression.ZSTD),
    "utf-16.csv": b"\xff\xfe" + csv_file("\r\n").decode("utf-8-sig").encode("utf-16-le"),
    "utf-16.txt.gz": members(
        b"\xfe\xff" + "".join(f"Zeile {row}: äöü 😀 {'.' * 90}\n" for row in range(ROWS)).encode("utf-16-be"),
        Compression.GZIP,
    ),
    "cr.csv": b"text,n\r" + b"".join(b'"row\n%d%s",%d\r' % (row, b"." * 90, row) for row in range(ROWS)),
    "array.json": json.dumps(SOME, indent=2, ensure_ascii=False).encode(),
    "array.json.zst": members(json.dumps(SOME).encode(), Compression.ZSTD),
    "pretty.jsonl": b"\n".join(json.dumps(each, indent=1).encode() for each in SOME),
    "commas.ndjson": b",\n".join(json.dumps(each).encode() for each in SOME),
    "unquoted.tsv": b"id\ttext\n" + b"".join(b'%d\t"row %d%s\n' % (row, row, b"." * 90) for row in range(ROWS)),
    "i.parquet": packed(example_table(ROWS), row_group_size=150),
}


def taken_in(folder: Path, key: str, data: bytes, dice: random.Random | None = None) -> tuple[FakeContext, int]:
    """Accept a drop, with time that runs out at random if there are dice. Return the number of invocations, too."""
    fake = FakeContext(folder, limits=LIMITS)
    if dice is not None:
        fake.seconds_left = lambda: dice.choice([300.0] * 7 + [5.0])
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, key, data)
    invocations = 0
    while message := fake.intake.take():
        invocations += 1
        take_in(fake.context, IntakeMessage.from_json(message))
    return fake, invocations


def outcome(fake: FakeContext) -> object:
    """Return everything that later steps use."""
    job = only_job(fake)
    prefix = f"jobs/{job.id}/"
    names = [key.removeprefix(prefix) for key in fake.objects.keys(WORK, prefix)]  # of a bucket
    kept = {name: fake.objects.content(WORK, prefix + name) for name in names if name.count(".") < 2}
    kept = {name: data for name, data in kept.items() if "token" not in name}
    batches = [(b.key, b.requests, b.tokens, b.inputs) for b in fake.context.repository.batches(job.id)]
    return job.state, job.rows, job.shards, job.claim, batches, kept


@pytest.mark.slow
@pytest.mark.parametrize("name", DROPS)
def test_the_shards_of_many_invocations_are_those_of_one(name: str, tmp_path: Path) -> None:
    whole, once = taken_in(tmp_path, name, DROPS[name])
    assert once == 1
    assert only_job(whole).state is JobState.RUNNING
    assert only_job(whole).rows == ROWS
    for seed in range(3):
        fake, invocations = taken_in(tmp_path, name, DROPS[name], random.Random(seed))
        assert invocations > 3
        assert outcome(fake) == outcome(whole), f"seed {seed}"


@pytest.mark.slow
def test_problems_and_ids_survive_the_hand_over(tmp_path: Path) -> None:
    requests = [request(row) for row in range(ROWS)]
    requests[200]["custom_id"] = "row-3"
    requests[100]["url"] = "?"
    data = b"".join(json.dumps(each).encode() + b"\n" for each in requests)
    whole, _ = taken_in(tmp_path, "raw.jsonl", data)
    fake, invocations = taken_in(tmp_path, "raw.jsonl", data, random.Random(1))
    assert invocations > 3
    told = result_json(fake, "rejected.json")["problems"]
    assert told == result_json(whole, "rejected.json")["problems"]
    assert [(each["code"], each["line"]) for each in told["first"]] == [
        ("invalid_url", 101),
        ("duplicate_custom_id", 201),
    ]


@pytest.mark.slow
def test_a_retry_of_several_invocations_equals_that_of_one(tmp_path: Path) -> None:
    def retried(seconds_left: Callable[[], float]) -> tuple[FakeContext, int]:
        fake = FakeContext(tmp_path, limits=LIMITS)
        fake.openai.answer = lambda asked: (
            ("error", response_line(asked, 400, {"error": {"code": "no"}}))
            if int(asked["custom_id"]) % 3 == 0
            else answer_ok(asked)
        )
        fake.objects.drop("recipe.yaml", RECIPE)
        drop(fake, "c.tsv", DROPS["c.tsv"])
        run(fake)
        fake.openai.answer = answer_ok
        fake.seconds_left = seconds_left
        fake.clock.sleep(1)
        drop(fake, "c.tsv.retry", b"")
        invocations = 0
        while message := fake.intake.take():
            invocations += 1
            take_in(fake.context, IntakeMessage.from_json(message))
        fake.seconds_left = lambda: 300.0
        run(fake)
        return fake, invocations

    whole, once = retried(lambda: 300.0)
    fake, invocations = retried(lambda: 50.0)
    assert (once, invocations) == (1, 5), "a shard each, and one to set it going"
    of_many, of_one = (next(job for job in jobs(each) if job.retry_of) for each in (fake, whole))
    assert (of_many.state, of_many.rows) == (JobState.SUCCEEDED, ROWS)
    assert result(fake, "c.answers.tsv", of_many) == result(whole, "c.answers.tsv", of_one)


def test_a_file_that_takes_too_long_to_unpack_again_is_rejected_with_advice(tmp_path: Path) -> None:
    fake = FakeContext(tmp_path, limits=LIMITS)
    calls = itertools.count()
    fake.seconds_left = lambda: 300.0 if next(calls) < 70 else 5.0
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "g.csv.gz", DROPS["g.csv.gz"])
    take_in(fake.context, IntakeMessage.from_json(fake.intake.take() or {}))
    assert only_job(fake).state is JobState.BUILDING
    fake.seconds_left = lambda: 3.0
    take_in(fake.context, IntakeMessage.from_json(fake.intake.take() or {}))
    assert only_job(fake).state is JobState.REJECTED
    (problem,) = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["code"] == "too_large_packed"
    assert "drop it uncompressed" in problem["message"]


def test_the_next_invocation_continues_from_the_last_checkpoint(tmp_path: Path) -> None:
    fake, _ = taken_in(tmp_path, "a.csv", DROPS["a.csv"])
    again = FakeContext(tmp_path, limits=LIMITS)
    again.seconds_left = lambda: 5.0
    again.objects.drop("recipe.yaml", RECIPE)
    drop(again, "a.csv", DROPS["a.csv"])
    positions = []
    while message := again.intake.take():
        take_in(again.context, IntakeMessage.from_json(message))
        job: Job = only_job(again)
        if job.progress and job.state is JobState.BUILDING:
            kept = json.loads(again.objects.content(WORK, f"jobs/{job.id}/progress/{job.progress}.json"))
            positions.append(kept["position"][0])
    assert positions == sorted(positions)
    assert len(set(positions)) > 40, "each invocation came further, by one chunk"
    assert outcome(again) == outcome(fake)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 3 * HASHED_BYTES), st.integers(999, 70_000), st.sampled_from(list(Compression)), st.data())
def test_content_resumes_at_any_byte_with_the_same_hash(
    size: int, block: int, compression: Compression, data: st.DataObject
) -> None:
    content = random.Random(size).randbytes(size)
    packed = b"".join(compress(content[at : at + 999_983], compression) for at in range(0, size, 999_983))

    def read(start: int) -> Iterator[bytes]:
        return (packed[at : at + block] for at in range(start, len(packed), block))

    whole = ResumableStream(read, compression, size + 1)
    assert b"".join(whole) == content
    first = ResumableStream(read, compression, size + 1)
    taken = 0
    stop = data.draw(st.integers(0, size))
    while taken < stop:
        taken += len(next(first))
    offset = data.draw(st.integers(0, taken))
    second = ResumableStream(read, compression, size + 1, first.mark(offset), offset)
    assert b"".join(second) == content[offset:]
    assert second.digest() == whole.digest()


def test_ids_are_read_again_as_they_were_noted() -> None:
    ids = UniqueIds()
    assert ids.add_all([b"row-%d" % row for row in range(5000)])
    assert not ids.add_all([b"new", b"row-7", b"other"])
    assert not ids.add_all([b"twice", b"twice"])
    data = b"".join(ids.parts())
    again = UniqueIds.read(data[at : at + 1000] for at in range(0, len(data), 1000))
    assert b"".join(again.parts()) == data
    assert again.add_all([b"new", b"other", b"twice", b"\x00twice", b""])
    assert not again.add(b"row-4999")


@pytest.mark.parametrize("end", ["\n]\n", "]", ",\n]"])
@pytest.mark.parametrize("packing", [Compression.NONE, Compression.GZIP])
def test_an_array_is_closed_though_an_invocation_stopped_after_its_last_object(
    end: str, packing: Compression, tmp_path: Path
) -> None:
    fake = FakeContext(tmp_path)
    fake.seconds_left = lambda: 5.0  # each invocation reads one chunk
    fake.objects.drop("recipe.yaml", RECIPE)
    data = "[" + ",\n".join(json.dumps({"text": f"row {row}"}) for row in range(40)) + end
    drop(fake, f"a.json{packing}", compress(data.encode(), packing))
    run(fake, ticks=3)
    assert only_job(fake).state is JobState.RUNNING
    assert only_job(fake).rows == 40
