"""Collecting answers: the measured jobs, their inputs, and the figures.

A job of a million rows has been submitted and has ended: 20 shards of 50,000 rows, each with its answers, shuffled, of
about a kilobyte. The case collects every batch, renders every shard and joins the results.
"""

import csv
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, cast

from benchmarks.inputs import FOLDER, csv_drop, jsonl_drop
from benchmarks.runs import PAIRS_OF_THE_LARGEST, Runs, Spread, growth_exponent
from dropbatch.batch_api.limits import Limits
from dropbatch.client.local.context import BUCKETS, folder_context
from dropbatch.collection.collect import collect
from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.states import BatchState, JobState, OpenAIStatus
from dropbatch.formats.file_types import file_type
from dropbatch.formats.reading import read_drop
from dropbatch.gc_tuning import tune_gc
from dropbatch.messages import BatchMessage
from dropbatch.ports import OpenAI, RemoteBatch
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.recipe_text import RecipeText

SHARD_ROWS = 50_000
SIZES = (50_000, 200_000, 1_000_000)
DIMENSIONS = 1_536
REASON_CHARACTERS = 160

RECIPES = {
    "chat": b"""\
model: gpt-6-luna
prompt: "{{ product }}: {{ text }}"
schema: {sentiment: [positive, negative], reason: why}
""",
    "embeddings": b"""\
model: text-embedding-3-small
endpoint: /v1/embeddings
prompt: "{{ text }}"
""",
}
RECIPES["jsonl"] = RECIPES["chat"]
DROPS = {"chat": csv_drop, "jsonl": jsonl_drop, "embeddings": csv_drop}
CHAT = ("/v1/chat/completions", "gpt-6-luna")
MODELS = {"chat": CHAT, "jsonl": CHAT, "embeddings": ("/v1/embeddings", "text-embedding-3-small")}

# The inputs


@cache
def _sentences() -> Sequence[str]:
    with Path("examples/reviews/reviews.csv").open(newline="", encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file)]


def reason(dice: random.Random) -> str:
    """Return two sentences, cut to a length, so that few texts are alike."""
    return f"{dice.choice(_sentences())} {dice.choice(_sentences())}"[:REASON_CHARACTERS]


def answer_lines(dice: random.Random, rows: Sequence[int]) -> Iterator[bytes]:
    """Yield the answer lines of chat completions, as OpenAI writes them."""
    for row in rows:
        mood = dice.choice(("positive", "negative"))
        content = json.dumps({"sentiment": mood, "reason": reason(dice)})
        read, written = dice.randint(80, 400), dice.randint(20, 90)
        body = {
            "id": f"chatcmpl-{dice.getrandbits(116):029x}",
            "object": "chat.completion",
            "created": 1_763_900_000 + row,
            "model": "gpt-6-luna",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content, "refusal": None, "annotations": []},
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": read,
                "completion_tokens": written,
                "total_tokens": read + written,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
            "system_fingerprint": None,
        }
        yield _response_line(dice, row, body)


def _response_line(dice: random.Random, row: int, body: Any) -> bytes:
    response = {"status_code": 200, "request_id": f"{dice.getrandbits(128):032x}", "body": body}
    line = {"id": f"batch_req_{dice.getrandbits(96):024x}", "custom_id": str(row), "response": response, "error": None}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def embedding_lines(dice: random.Random, rows: Sequence[int]) -> Iterator[bytes]:
    """Yield the answer lines of embeddings. They share a few vectors, because making vectors takes longest."""
    vectors = [json.dumps([round(dice.gauss(0, 0.03), 18) for _ in range(DIMENSIONS)]) for _ in range(20)]
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": "VECTOR"}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 90, "total_tokens": 90},
    }
    for row in rows:
        yield _response_line(dice, row, body).replace(b'"VECTOR"', dice.choice(vectors).encode())


def ended_job(kind: str, rows: int) -> Path:
    """Return the folder of a job to collect: its shards are in the work bucket, its answers in `openai`."""
    folder = FOLDER / f"{kind}-{rows}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _make_job(kind, rows, folder)
    return folder


def _make_job(kind: str, rows: int, folder: Path) -> None:
    answers = folder / "openai"
    answers.mkdir(parents=True)
    context = folder_context(folder, cast("OpenAI", Ended(answers)))
    job, shards, _ = job_items(kind, rows)
    source = DROPS[kind](rows)
    with source.open("rb") as file:
        blocks = iter(lambda: file.read(1 << 20), b"")
        drop = read_drop(blocks, file_type(source.name), encoding=None, limits=Limits())
        files = JobFiles(context.objects, context.buckets.work, job.id)
        files.keep_recipe(RecipeText("recipe.yaml", RECIPES[kind], {}))
        files.keep_layout(drop.layout)
        records = iter(drop)
        for shard in shards:
            with files.writing_shard(shard.number) as out:
                for _ in range(shard.rows):
                    out.write(next(records).raw)
            JobRows(context, job).index(shard)  # makes and keeps it
            dice = random.Random(shard.number)
            order = list(range(shard.first_row, shard.first_row + shard.rows))
            dice.shuffle(order)
            with (answers / str(shard.number)).open("wb") as lines:
                lines.writelines(embedding_lines(dice, order) if kind == "embeddings" else answer_lines(dice, order))
    (folder / "ready").touch()


def job_items(kind: str, rows: int) -> tuple[Job, list[Shard], list[Batch]]:
    """Return the job, its shards and its batches, as they are when all batches have ended."""
    drop = Drop(BUCKETS.inbox, f"reviews{DROPS[kind](rows).suffix}", "1", 0)
    job = Job("the-job", drop, 0, JobState.RUNNING, rows=rows, shards=-(-rows // SHARD_ROWS), deadline_at=2**40)
    endpoint, model = MODELS[kind]
    shards, batches = [], []
    for number, start in enumerate(range(0, rows, SHARD_ROWS)):
        count = min(SHARD_ROWS, rows - start)
        shards.append(Shard(job.id, number, start + 1, start + 2, count))
        batch = Batch(job.id, number, 0, endpoint, model, requests=count, tokens=150 * count, created_at=0)
        batch.state, batch.openai_id, batch.ended_at = BatchState.ENDED, str(number), 0
        batches.append(batch)
    return job, shards, batches


class Ended:
    """OpenAI with batches that have all ended. A file comes as fast as the disk reads it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return RemoteBatch(batch_id, OpenAIStatus.COMPLETED, 0, "file", output_file_id=batch_id)

    @contextmanager
    def streaming(self, file_id: str, start: int = 0) -> Iterator["Coming"]:
        with (self._folder / file_id).open("rb", buffering=0) as file:
            file.seek(start)
            yield Coming(file, start)


class Coming:
    """A download of a file."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self.start = start
        self.size = os.fstat(file.fileno()).st_size

    def blocks(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(1 << 20), b"")


# The measured cases, each in a process of its own


def collect_chat(rows: int) -> None:
    _collect("chat", rows)


def collect_jsonl(rows: int) -> None:
    _collect("jsonl", rows)


def collect_embeddings(rows: int) -> None:
    _collect("embeddings", rows)


def _collect(kind: str, rows: int) -> None:
    """Collect batch after batch with the use case. The last one also assembles the results.

    This works on a copy, because a job deletes its working files when it ends.
    """
    folder = ended_job(kind, rows)
    with TemporaryDirectory(dir=FOLDER) as copy:
        shutil.copytree(folder / "objects", f"{copy}/objects", copy_function=os.link)
        context = folder_context(Path(copy), cast("OpenAI", Ended(folder / "openai")))
        job, shards, batches = job_items(kind, rows)
        for item in (job, *shards, *batches):
            context.repository.add(item)
        tune_gc()  # as every function does when it is connected
        for batch in batches:
            collect(context, BatchMessage(job.id, batch.sort_key))
        ended = context.repository.job(job.id)
    assert ended is not None
    assert ended.state is JobState.SUCCEEDED


def collect_floor(rows: int) -> None:
    """Copy the rows and the answers to other files, and do nothing else: the lower bound of `collect_chat`."""
    folder = ended_job("chat", rows)
    with TemporaryDirectory(dir=FOLDER) as copy:
        for number, source in enumerate([csv_drop(rows), *(folder / "openai").iterdir()]):
            with source.open("rb") as read, Path(copy, str(number)).open("wb") as written:
                while block := read.read(1 << 20):
                    written.write(block)


CASES: Mapping[str, Callable[[int], None]] = {
    case.__name__: case for case in (collect_chat, collect_floor, collect_jsonl, collect_embeddings)
}


# The figures


Measure = Callable[[Sequence[tuple[str, int]], int], Mapping[tuple[str, int], Runs]]


def collecting(measure: Measure) -> dict[str, float | Spread]:
    for rows in SIZES:
        ended_job("chat", rows)
    less, _, most = SIZES
    small = measure([("collect_chat", rows) for rows in SIZES[:-1]], PAIRS_OF_THE_LARGEST)
    large = measure([("collect_chat", most), ("collect_naive", most)], PAIRS_OF_THE_LARGEST)
    ours, middle = large["collect_chat", most], small["collect_chat", SIZES[1]]
    return {
        "collect_speedup_vs_naive": large["collect_naive", most].over(ours),
        "collect_peak_mb": ours.peak_mb,
        "collect_growth_mb": ours.peak_mb - small["collect_chat", less].peak_mb,
        "collect_growth_exponent": growth_exponent(middle, ours, most / SIZES[1]),
    }


def collecting_jsonl(measure: Measure) -> dict[str, Spread]:
    rows = SIZES[1]
    ended_job("jsonl", rows)
    found = measure([("collect_jsonl", rows), ("collect_jsonl_naive", rows)], PAIRS_OF_THE_LARGEST)
    return {"collect_jsonl_speedup_vs_naive": found["collect_jsonl_naive", rows].over(found["collect_jsonl", rows])}


def collecting_embeddings(measure: Measure) -> dict[str, float]:
    ended_job("embeddings", SHARD_ROWS)
    found = measure([("collect_embeddings", SHARD_ROWS)], 1)
    return {"collect_embeddings_peak_mb": found["collect_embeddings", SHARD_ROWS].peak_mb}


FIGURES = {
    "collect_speedup_vs_naive": ("times", "≥ 11"),
    "collect_jsonl_speedup_vs_naive": ("times", "≥ 6"),
    "collect_peak_mb": ("MiB", "≤ 110"),
    "collect_growth_mb": ("MiB", ""),
    "collect_growth_exponent": ("exponent", "≤ 1.05"),
    "collect_embeddings_peak_mb": ("MiB", "≤ 192"),
}
