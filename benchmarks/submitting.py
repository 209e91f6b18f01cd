"""The whole way in: from a million rows that were dropped to the last of their batches created.

The use cases run as they do on Lambda, over a folder in S3's place and the real OpenAI adapter, on one core; OpenAI's
place is taken by a process on another. The clock starts when everything is imported and connected.
"""

import shutil
import subprocess
import sys
from statistics import median

from benchmarks.inputs import FOLDER, csv_drop
from benchmarks.loopback import environment, served

ROWS = 1_000_000
RUNS = 3

SUBMIT = """
import os, shutil, sys, time
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from benchmarks.cases import _peak_mb
from benchmarks.inputs import RECIPE
from benchmarks.worlds import BUCKETS, folder_context
from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.domain.states import BatchState
from dropbatch.storage.repository import Repository
from dropbatch.gc_tuning import tune_gc
from dropbatch.messages import Look, Work
from dropbatch.polling.poll import poll
from dropbatch.submission.submit import submit
from dropbatch.intake.intake import take_in
base_url, folder, drop, rows = sys.argv[1:]
world = folder_context(Path(folder), OpenAIBatches(lambda fresh: ("sk-x", "v"), base_url))
world.openai.retrieve("batch_" + "0" * 32)
world.objects.put(BUCKETS.inbox, "recipe.yaml", RECIPE, "text/plain")
with world.objects.writing(BUCKETS.inbox, "reviews.csv", "text/csv") as out, open(drop, "rb") as file:
    shutil.copyfileobj(file, out, 1 << 20)
version = world.objects.head(BUCKETS.inbox, "reviews.csv").version_id
tune_gc()  # as every function does when it is connected
began = time.perf_counter()
take_in(world, Look(BUCKETS.inbox, "reviews.csv", version))
repository = Repository(world.table)
(job,) = repository.open_jobs()
is_waiting = True
while is_waiting:
    while message := world.dispatch.take():
        submit(world, Work.from_json(message))
    is_waiting = any(batch.state is BatchState.WAITING for batch in repository.batches(job.id))
    if is_waiting:
        poll(world)  # which admits what the first of the job's batches left
seconds = time.perf_counter() - began
batches = repository.batches(job.id)
assert job.rows == sum(batch.requests for batch in batches) == int(rows)
assert all(batch.state is BatchState.SUBMITTED for batch in batches)
print(seconds, _peak_mb())
"""

FIGURES = {"submit_million_s": ("s", "≤ 12"), "submit_peak_mb": ("MiB", "≤ 128")}


def submitting() -> dict[str, float]:
    drop = csv_drop(ROWS).absolute()
    folder = FOLDER / "submitted"
    found = []
    for _ in range(RUNS):
        shutil.rmtree(folder, ignore_errors=True)
        with served("openai", 1, 0) as openai:
            command = [sys.executable, "-c", SUBMIT, f"{openai}/v1", str(folder.absolute()), str(drop), str(ROWS)]
            ran = subprocess.run(command, env=environment(""), stdout=subprocess.PIPE, check=True, text=True)
        found.append(tuple(map(float, ran.stdout.split())))
    shutil.rmtree(folder)
    seconds, peak = median(run[0] for run in found), max(run[1] for run in found)
    print(f"  submit               {ROWS:>10,} rows  {seconds:8.2f} s  {peak:8.0f} MB")
    return {"submit_million_s": seconds, "submit_peak_mb": peak}
