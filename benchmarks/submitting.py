"""The whole way in: from a drop of a million rows to the last of its batches created.

The use cases run as they do on Lambda, on one core, with a folder in place of S3 and the real OpenAI adapter. A process
on another core takes OpenAI's place. The clock starts when all modules are imported and connected.

The floor reads the same rows, escapes their values and sends the same bytes, and does nothing else: no check, no shard,
no copy of a row, no price.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.inputs import BODY, FOLDER, csv_drop
from benchmarks.loopback import environment, served
from benchmarks.runs import PAIRS_OF_THE_LARGEST, Runs, Spread, run

ROWS = 1_000_000
PAIRS = PAIRS_OF_THE_LARGEST
FILE_ROWS = 50_000
WITHOUT_DEDUPE = "dedupe: false\n"


def submit_drop(base_url: str, folder: Path, drop: Path, rows: int, recipe_lines: str) -> tuple[float, float]:
    """Take in a csv and submit all its batches, in this process. Return the seconds of the processor and of the clock.

    `recipe_lines` are added to the benchmark's recipe.
    """
    from benchmarks.inputs import RECIPE
    from dropbatch.adapters.openai import OpenAIBatches
    from dropbatch.client.local.context import BUCKETS, MemoryQueue, folder_context
    from dropbatch.domain.states import BatchState
    from dropbatch.gc_tuning import tune_gc
    from dropbatch.intake.intake import take_in
    from dropbatch.messages import BatchMessage, IntakeMessage
    from dropbatch.polling.poll import poll
    from dropbatch.submission.submit import submit

    context = folder_context(folder, OpenAIBatches(lambda _: ("sk-x", "v"), base_url))
    assert isinstance(context.dispatch, MemoryQueue)
    context.openai.retrieve("batch_" + "0" * 32)
    context.objects.put(BUCKETS.inbox, "recipe.yaml", RECIPE + recipe_lines.encode(), "text/plain")
    with context.objects.writing(BUCKETS.inbox, "reviews.csv", "text/csv") as out, drop.open("rb") as file:
        shutil.copyfileobj(file, out, 1 << 20)
    version = context.objects.head(BUCKETS.inbox, "reviews.csv").version_id
    tune_gc()  # as every function does when it is connected
    began, used = time.perf_counter(), time.process_time()
    take_in(context, IntakeMessage(BUCKETS.inbox, "reviews.csv", version))
    [job] = context.repository.open_jobs()
    is_waiting = True
    while is_waiting:
        while message := context.dispatch.take():
            submit(context, BatchMessage.from_json(message))
        is_waiting = any(batch.state is BatchState.WAITING for batch in context.repository.batches(job.id))
        if is_waiting:
            poll(context)  # it admits further batches of the job
    seconds, used = time.perf_counter() - began, time.process_time() - used
    batches = context.repository.batches(job.id)
    assert job.rows == rows
    assert sum(batch.requests for batch in batches) == rows - job.duplicates
    assert all(batch.state is BatchState.SUBMITTED for batch in batches)
    return used, seconds


def send_rows(base_url: str, drop: Path) -> tuple[float, float]:
    """Do what no program can leave out: read the rows, escape their values, and send the bytes, file after file."""
    import csv

    import orjson

    before, after = json.dumps(BODY, separators=(",", ":")).split('"content":""')
    start, end = (part.encode().replace(b"%", b"%%") for part in (before, after))
    line = b'{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":'
    line += start + b'"content":"%b: %b"' + end + b"}\n"
    connection = HTTPConnection(urlsplit(base_url).netloc)
    connection.connect()
    began, used = time.perf_counter(), time.process_time()
    with drop.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        texts = (line % (n, orjson.dumps(row[1])[1:-1], orjson.dumps(row[2])[1:-1]) for n, row in enumerate(rows, 1))
        for body in _files(texts):
            connection.request("POST", "/v1/files", body)
            connection.getresponse().read()
    return time.process_time() - used, time.perf_counter() - began


def _files(lines: Iterable[bytes]) -> Iterator[bytes]:
    lines = iter(lines)
    while body := b"".join(islice(lines, FILE_ROWS)):
        yield body


FIGURES = {
    "submit_over_floor": ("times", "≤ 1.5"),
    "submit_repeated_0_times": ("times", "≤ 1.1"),
    "submit_million_s": ("s", ""),
    "submit_peak_mb": ("MiB", "≤ 128"),
}
"""The floor, what the search for repeated rows adds where none repeats, and the seconds of the processor from the
arrival of a million rows to the last create."""


def submitting() -> dict[str, float | Spread]:
    """Measure a drop with the search for repeated rows, which a schema switches on, one without it, and the floor."""
    drop = csv_drop(ROWS).absolute()
    ours, without, floor = Runs(), Runs(), Runs()
    for _ in range(PAIRS):
        time_submit(ours, drop, ROWS)
        time_submit(without, drop, ROWS, WITHOUT_DEDUPE)
        _time(floor, "floor", str(drop))
    ours.show("submit", ROWS)
    without.show("submit without dedupe", ROWS)
    floor.show("floor of submit", ROWS)
    return {
        "submit_over_floor": ours.over(floor),
        "submit_repeated_0_times": ours.over(without),
        "submit_million_s": Spread.of(ours.processor),
        "submit_peak_mb": ours.peak_mb,
    }


def time_submit(runs: Runs, drop: Path, rows: int, recipe_lines: str = "") -> None:
    """Submit a csv in a process of its own, and add it to the runs."""
    folder = FOLDER / "submitted"
    shutil.rmtree(folder, ignore_errors=True)
    _time(runs, "submit", str(folder.absolute()), str(drop), str(rows), recipe_lines)
    shutil.rmtree(folder)


def _time(runs: Runs, what: str, *arguments: str) -> None:
    with served("openai", 1, 0) as openai:
        ended = run([sys.executable, "-m", "benchmarks.submitting", what, f"{openai}/v1", *arguments], environment(""))
    processor, wall, peak = map(float, ended.output.split())
    runs.add(processor, wall, peak)


if __name__ == "__main__":
    from benchmarks.cases import peak_mb

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if sys.argv[1] == "floor":
        base_url, drop = sys.argv[2:]
        print(*send_rows(base_url, Path(drop)), peak_mb())
    else:
        base_url, folder, drop, rows, recipe_lines = sys.argv[2:]
        print(*submit_drop(base_url, Path(folder), Path(drop), int(rows), recipe_lines), peak_mb())
