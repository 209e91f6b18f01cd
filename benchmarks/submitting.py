"""The whole way in: from a drop of a million rows to the last of its batches created.

The use cases run as they do on Lambda, on one core, with a folder in place of S3 and the real OpenAI adapter. A process
on another core takes OpenAI's place. The clock starts when all modules are imported and connected.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.inputs import FOLDER, csv_drop
from benchmarks.loopback import environment, served

ROWS = 1_000_000
RUNS = 3


def submit_drop(base_url: str, folder: Path, drop: Path, rows: int, recipe_lines: str) -> float:
    """Take in a csv and submit all its batches, in this process and on one core. Return the seconds.

    `recipe_lines` are added to the benchmark's recipe.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
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
    began = time.perf_counter()
    take_in(context, IntakeMessage(BUCKETS.inbox, "reviews.csv", version))
    [job] = context.repository.open_jobs()
    is_waiting = True
    while is_waiting:
        while message := context.dispatch.take():
            submit(context, BatchMessage.from_json(message))
        is_waiting = any(batch.state is BatchState.WAITING for batch in context.repository.batches(job.id))
        if is_waiting:
            poll(context)  # it admits further batches of the job
    seconds = time.perf_counter() - began
    batches = context.repository.batches(job.id)
    assert job.rows == rows
    assert sum(batch.requests for batch in batches) == rows - job.duplicates
    assert all(batch.state is BatchState.SUBMITTED for batch in batches)
    return seconds


FIGURES = {"submit_million_s": ("s", "≤ 12"), "submit_peak_mb": ("MiB", "≤ 128")}


def submitting() -> dict[str, float]:
    drop = csv_drop(ROWS).absolute()
    found = [time_submit(drop, ROWS) for _ in range(RUNS)]
    seconds, peak = median(run[0] for run in found), max(run[1] for run in found)
    print(f"  submit               {ROWS:>10,} rows  {seconds:8.2f} s  {peak:8.0f} MB")
    return {"submit_million_s": seconds, "submit_peak_mb": peak}


def time_submit(drop: Path, rows: int, recipe_lines: str = "") -> tuple[float, float]:
    """Submit a csv in a process of its own. Return its seconds, and its peak in MiB."""
    folder = FOLDER / "submitted"
    shutil.rmtree(folder, ignore_errors=True)
    with served("openai", 1, 0) as openai:
        arguments = [f"{openai}/v1", str(folder.absolute()), str(drop), str(rows), recipe_lines]
        command = [sys.executable, "-m", "benchmarks.submitting", *arguments]
        ran = subprocess.run(command, env=environment(""), stdout=subprocess.PIPE, check=True, text=True)
    shutil.rmtree(folder)
    seconds, peak = map(float, ran.stdout.split())
    return seconds, peak


if __name__ == "__main__":
    from benchmarks.cases import _peak_mb

    base_url, folder, drop, rows, recipe_lines = sys.argv[1:]
    print(submit_drop(base_url, Path(folder), Path(drop), int(rows), recipe_lines), _peak_mb())
