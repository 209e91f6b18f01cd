"""Runs of cases, each a whole process, in seconds of the processor: user and system, with all children.

Cases that are compared take turns in one loop, so that a change of the machine's speed affects all of them. A ratio is
taken pair by pair: of two runs that followed each other.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import NamedTuple

PAIRS, PAIRS_OF_THE_LARGEST = 9, 5
"""How often cases that are compared are run: those of the largest size take a minute each."""

NOTABLE_SPREAD = 0.1


class Spread(NamedTuple):
    """The median of measured values, their quartiles, and their number."""

    median: float
    low: float
    high: float
    measured: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        low, high = (values[0], values[0]) if len(values) == 1 else quantiles(values, n=4, method="inclusive")[::2]
        return cls(median(values), low, high, len(values))

    @property
    def relative(self) -> float:
        """Return the distance of the quartiles, as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0

    @property
    def is_notable(self) -> bool:
        """True if the figure is to be taken with care."""
        return self.relative > NOTABLE_SPREAD


class Ended(NamedTuple):
    """A process that has ended: what it printed, and the seconds of the processor and of the clock that it took."""

    output: str
    processor: float
    wall: float


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
    """Run a process to its end. Raise CalledProcessError with its output if it fails."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Ended(output, used.ru_utime + used.ru_stime, wall)


@dataclass(slots=True)
class Runs:
    """The runs of a case, in order: seconds of the processor and of the clock, and the largest peak in MiB."""

    processor: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    def add(self, processor: float, wall: float, peak_mb: float) -> None:
        self.processor.append(processor)
        self.wall.append(wall)
        self.peak_mb = max(self.peak_mb, peak_mb)

    @property
    def seconds(self) -> float:
        """The median of the seconds of the processor."""
        return median(self.processor)

    def over(self, other: "Runs") -> Spread:
        """Return how many times as long these took as the runs that followed them, pair by pair."""
        return Spread.of([ours / its for ours, its in zip(self.processor, other.processor, strict=True)])

    def show(self, name: str, rows: int) -> None:
        print(
            f"  {name:<24} {rows:>10,} rows  {self.seconds:8.2f} s of the processor  {median(self.wall):8.2f} s"
            f"  {self.peak_mb:6.0f} MiB  {len(self.wall)} runs"
        )


def measure(
    cases: Sequence[tuple[str, int]], runs: int, programs: Mapping[str, Sequence[str]] | None = None
) -> dict[tuple[str, int], Runs]:
    """Run the cases (name, rows) in turns, with `benchmarks.cases` or with the programs given for their names."""
    programs, ours = programs or {}, (sys.executable, "-m", "benchmarks.cases")
    found = {case: Runs() for case in cases}
    for _ in range(runs):
        for name, rows in cases:
            os.sync()  # so that files of the case before are not written to disk while this one is timed
            ended = run([*programs.get(name, ours), name, str(rows)])
            found[name, rows].add(ended.processor, ended.wall, float(ended.output))
    for (name, rows), its in found.items():
        its.show(name, rows)
    return found


def growth_exponent(less: Runs, more: Runs, factor: float) -> float:
    """Return the exponent of the growth of time with size. 1 means in proportion."""
    return math.log(more.seconds / less.seconds) / math.log(factor)
