"""Validating a drop in which rows repeat: what it costs to find them, and to find none.

A case validates a csv as the intake does: it reads the rows, sizes their requests, and writes shards.
"""

import random
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from benchmarks.inputs import FOLDER, RECIPE, csv_drop
from benchmarks.runs import Run
from benchmarks.worlds import BUCKETS, folder_context
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.gc_tuning import tune_gc
from dropbatch.intake.validation import validate
from dropbatch.ports import OpenAI
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.request_digests import RequestDigests

ROWS, RUNS = 1_000_000, 5
MANY_ROWS, RUNS_OF_MANY = 10_000_000, 1
SHARES = (0, 50, 99)
"""How many rows of a hundred repeat an earlier one."""

RECENT_ROWS = 100_000
"""How far back that is at most, in different rows."""

FIGURES = {
    **{f"validate_repeated_{share}_times": ("times", "≤ 1.5" if share == 0 else "") for share in SHARES},
    "request_digests_peak_mb": ("MiB", "≤ 192"),
}


def repeating(measure: Callable[..., Mapping[tuple[str, int], Run]]) -> dict[str, float]:
    for share in SHARES:
        repeated_drop(ROWS, share)
    names = [name for share in SHARES for name in (f"validate_{share}_all", f"validate_{share}_once")]
    found = measure([(name, ROWS) for name in names], RUNS)
    many = measure([("request_digests", MANY_ROWS)], RUNS_OF_MANY)
    ratios = {
        f"validate_repeated_{share}_times": found[f"validate_{share}_once", ROWS].seconds
        / found[f"validate_{share}_all", ROWS].seconds
        for share in SHARES
    }
    return {**ratios, "request_digests_peak_mb": many["request_digests", MANY_ROWS].peak_mb}


def repeated_drop(rows: int, share: int) -> Path:
    """Return a csv in which `share` of a hundred rows repeat an earlier one."""
    drop, path = csv_drop(rows), FOLDER / f"{rows}-repeated-{share}.csv"
    if share == 0:
        return drop
    if not path.exists():
        dice = random.Random(share)
        recent: list[bytes] = []
        part = path.with_suffix(".part")
        with drop.open("rb") as lines, part.open("wb") as out:
            out.write(next(lines))
            for number, line in enumerate(lines):
                if recent and dice.random() < share / 100:
                    out.write(dice.choice(recent))
                    continue
                recent[number % RECENT_ROWS : number % RECENT_ROWS + 1] = [line]
                out.write(line)
        part.rename(path)
    return path


def validate_drop(rows: int, share: int, *, once: bool) -> None:
    """Validate a csv; `once` says whether the same request is sent once."""
    drop = repeated_drop(rows, share)
    with TemporaryDirectory(dir=FOLDER) as folder:
        context = folder_context(Path(folder), cast("OpenAI", None))
        with context.objects.writing(BUCKETS.inbox, "r.csv", "") as out, drop.open("rb") as file:
            shutil.copyfileobj(file, out)
        recipe = RECIPE + (b"dedupe: true\n" if once else b"dedupe: false\n")
        context.objects.put(BUCKETS.inbox, "recipe.yaml", recipe, "")
        found = context.objects.head(BUCKETS.inbox, "r.csv")
        job = Job("the-job", Drop(BUCKETS.inbox, "r.csv", found.version_id, 0, found.size), 0, lease="the-lease")
        tune_gc()  # as every function does when it is connected
        valid = validate(context, job, JobFiles(context.objects, BUCKETS.work, job.id), lambda _: None)
        assert valid is not None
        assert valid.rows == rows


def request_digests(rows: int) -> None:
    digests = RequestDigests(int(1.05 * rows))  # as for a drop whose rows are of one length
    for start in range(0, rows, 100):
        contents = [b"request %d" % number for number in range(start, start + 100)]
        assert digests.add_all(contents, start + 1) is None


CASES: dict[str, Callable[[int], None]] = {
    **{f"validate_{share}_all": partial(validate_drop, share=share, once=False) for share in SHARES},
    **{f"validate_{share}_once": partial(validate_drop, share=share, once=True) for share in SHARES},
    "request_digests": request_digests,
}
