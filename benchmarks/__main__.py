"""Measures all, prints a table, and writes `benchmarks/latest.json`: `python -m benchmarks [figure ...]`.

Every run is a whole process. What is compared takes turns in one loop, so that a machine's moods strike all alike; each
time is the median of the runs, each peak the largest.
"""

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import collecting, joining, peers, pipeline, polling, submitting, transfers
from benchmarks.cases import recipe_body
from benchmarks.inputs import BODY, csv_drop, raw_drop

LATEST = Path("benchmarks/latest.json")
RUNS, RUNS_OF_THE_LARGEST = 5, 3
MILLION = 1_000_000
SIZES = (50_000, 200_000, MILLION)


@dataclass(frozen=True, slots=True)
class Run:
    """What a case took: the median of its seconds, and its largest peak in MB."""

    seconds: float
    peak_mb: float


Figures = dict[str, float]


def measured(
    cases: Sequence[tuple[str, int]], runs: int, programs: Mapping[str, Sequence[str]] | None = None
) -> dict[tuple[str, int], Run]:
    """Runs the cases (name, rows) in turns; a case that is not among `benchmarks.cases` by its own program."""
    programs, ours = programs or {}, (sys.executable, "-m", "benchmarks.cases")
    seconds: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    peaks: dict[tuple[str, int], float] = dict.fromkeys(cases, 0.0)
    for _ in range(runs):
        for case in cases:
            command = [*programs.get(case[0], ours), case[0], str(case[1])]
            os.sync()  # what the case before has written is not to be written to disk while this one is timed
            began = time.perf_counter()
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[case].append(time.perf_counter() - began)
            peaks[case] = max(peaks[case], float(ran.stdout))
    found = {case: Run(median(seconds[case]), peaks[case]) for case in cases}
    for (name, rows), run in found.items():
        print(f"  {name:<20} {rows:>10,} rows  {run.seconds:8.2f} s  {run.peak_mb:8.0f} MB")
    return found


def building() -> Figures:
    assert recipe_body() == BODY  # else the naive way would make something else
    for rows in SIZES:
        csv_drop(rows)
    small = measured([("build", rows) for rows in SIZES[:-1]], RUNS)
    large = measured([(name, MILLION) for name in ("build", "build_csv_reader", "build_naive")], RUNS_OF_THE_LARGEST)
    ours = large["build", MILLION]
    return {
        "build_speedup_vs_naive": large["build_naive", MILLION].seconds / ours.seconds,
        "build_over_csv_reader": ours.seconds / large["build_csv_reader", MILLION].seconds,
        "build_peak_mb": ours.peak_mb,
        "build_growth_mb": ours.peak_mb - small["build", SIZES[0]].peak_mb,
        "build_growth_exponent": _exponent(small["build", SIZES[1]].seconds, ours.seconds, MILLION / SIZES[1]),
    }


def validating() -> Figures:
    for rows in SIZES:
        raw_drop(rows)
    measured([("validate", rows) for rows in SIZES[:-1]], RUNS)
    found = measured([("validate", MILLION), ("validate_orjson", MILLION)], RUNS)
    return {
        "validate_speedup_vs_orjson": found["validate_orjson", MILLION].seconds / found["validate", MILLION].seconds,
        "validate_peak_mb": found["validate", MILLION].peak_mb,
    }


def unique_ids() -> Figures:
    found = measured([("unique_ids", 10 * MILLION)], RUNS_OF_THE_LARGEST)
    return {"unique_ids_peak_mb": found["unique_ids", 10 * MILLION].peak_mb}


TO_REACH = {
    "build_speedup_vs_naive": "≥ 6",
    "build_over_csv_reader": "≤ 2.0",
    "build_peak_mb": "≤ 64",
    "build_growth_mb": "≤ 10",
    "build_growth_exponent": "≤ 1.05",
    "validate_speedup_vs_orjson": "≥ 1.7",
    "unique_ids_peak_mb": "≤ 128",
    **submitting.TO_REACH,
    **polling.TO_REACH,
    **transfers.TO_REACH,
    **pipeline.TO_REACH,
    **collecting.TO_REACH,
    **peers.TO_REACH,
    **joining.TO_REACH,
}

GROUPS: dict[str, Callable[[], Mapping[str, float | None]]] = {
    "building": building,
    "validating": validating,
    "unique_ids": unique_ids,
    "submitting": submitting.submitting,
    "polling": polling.polling,
    "idle_start": polling.idle_start,
    "transfers": transfers.transfers,
    "pipeline": pipeline.pipeline,
    "collecting": lambda: collecting.collecting(measured),
    "collecting_embeddings": lambda: collecting.collecting_embeddings(measured),
    "peers": lambda: peers.peers(measured),
    "assembling": joining.assembling,
}


def _exponent(less: float, more: float, factor: float) -> float:
    """How time grows with size: 1 is in proportion."""
    return math.log(more / less) / math.log(factor)


def main(wanted: Sequence[str]) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a layer ships its modules compiled
    latest = json.loads(LATEST.read_text()) if LATEST.exists() else {}
    for name in wanted or GROUPS:
        print(name)
        found = GROUPS[name]()  # None is what cannot be measured here: no figure, not an older one either
        latest = {figure: value for figure, value in latest.items() if figure not in found}
        latest |= {figure: round(value, 3) for figure, value in found.items() if value is not None}
    latest |= {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    LATEST.write_text(json.dumps(latest, indent=2, sort_keys=True) + "\n")
    print(f"\n  {'figure':<30} {'measured':>10}  to reach")
    for figure, aim in TO_REACH.items():
        print(f"  {figure:<30} {latest.get(figure, '-'):>10}  {aim}")


if __name__ == "__main__":
    main(sys.argv[1:])
