"""Runs of cases, each a whole process.

Cases that are compared take turns in one loop, so that a change of the machine's speed affects all of them. The time of
a case is the median of its runs, its peak the largest.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Run:
    """The median of a case's seconds, and its largest peak in MB."""

    seconds: float
    peak_mb: float


def measure(
    cases: Sequence[tuple[str, int]], runs: int, programs: Mapping[str, Sequence[str]] | None = None
) -> dict[tuple[str, int], Run]:
    """Run the cases (name, rows) in turns, with `benchmarks.cases` or with the programs given for their names."""
    programs, ours = programs or {}, (sys.executable, "-m", "benchmarks.cases")
    seconds: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    peaks: dict[tuple[str, int], float] = dict.fromkeys(cases, 0.0)
    for _ in range(runs):
        for case in cases:
            command = [*programs.get(case[0], ours), case[0], str(case[1])]
            os.sync()  # so that files of the case before are not written to disk while this one is timed
            began = time.perf_counter()
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[case].append(time.perf_counter() - began)
            peaks[case] = max(peaks[case], float(ran.stdout))
    found = {case: Run(median(seconds[case]), peaks[case]) for case in cases}
    for (name, rows), run in found.items():
        print(f"  {name:<20} {rows:>10,} rows  {run.seconds:8.2f} s  {run.peak_mb:8.0f} MB")
    return found
