"""The growth of time and memory with size: `make growth` (ONLY="rows jobs" for some, SIZES=3 for the smallest sizes).

Each size of a dimension is taken through its stages, each a process of its own (see `growth_stages`). The exponent is
that of a line through the upper two decades of sizes: 1 means that time grows in proportion. What a drop of one row
takes is subtracted before, because it is the first use of modules and templates.

The results are kept in `benchmarks/growth.json`, and shown in docs/scale.md, as a table and a picture
(`growth_page`). A run with fewer sizes is only printed.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from math import log
from pathlib import Path
from statistics import linear_regression, median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from benchmarks.figures import this_run
from benchmarks.growth_stages import Measured
from benchmarks.inputs import FOLDER, long_drop, many_rows, wide_drop
from benchmarks.loopback import environment, served
from benchmarks.polling import POLL
from benchmarks.runs import run

RESULTS = Path(__file__).with_name("growth.json")
RUNS = 3
DECADES = 2
"""How many decades of sizes, the upper ones, the exponent is that of."""

CELLS = 2_700_000
MAX_ROWS, MAX_BYTES = 100_000, 300_000_000
"""The size of the drops of wide rows, and of those of long rows."""

PEAK = "from benchmarks.cases import peak_mb\nprint(peak_mb())\n"

Stages = Iterator[tuple[str, Measured]]


@dataclass(frozen=True, slots=True)
class Point:
    """A size, and the medians of what a stage took with it."""

    size: int
    seconds: float
    peak_mb: float
    calls: int
    runs: int


@dataclass(frozen=True, slots=True)
class Growth:
    """A stage: what it took with each size, and the seconds that it takes for a drop of one row."""

    points: Sequence[Point]
    start: float = 0.0

    def exponent(self, rows: Callable[[int], int] | None = None) -> float:
        """Return the exponent of the time of all, or of the time of a row if `rows` says how many a size has."""
        least = self.points[-1].size / 10**DECADES
        upper = [point for point in self.points if point.size >= least and point.seconds > self.start]
        times = [(point.seconds - self.start) / (rows(point.size) if rows else 1) for point in upper]
        return linear_regression([log(point.size) for point in upper], [log(time) for time in times]).slope

    @property
    def more_mb(self) -> float:
        """By how much the largest size takes more memory than the smallest."""
        return self.points[-1].peak_mb - self.points[0].peak_mb


@dataclass(frozen=True, slots=True)
class Dimension:
    """A size that may grow. If its sizes have different `rows`, the time of a row is looked at, else that of all."""

    name: str
    unit: str
    sizes: Sequence[int]
    stages: Callable[[int], Stages]
    start: Callable[[], Stages] = lambda: iter(())
    rows: Callable[[int], int] | None = None


def one_drop(drop: Path) -> Stages:
    """Take a drop through its stages."""
    with _folder() as folder:
        with served("openai", 1, 0) as openai:
            yield "submit", _stage("submit", openai, str(folder), str(drop))
        run([*STAGE, "answer", str(folder)], environment(""))
        yield "collect", _stage("collect", str(folder))


def many_drops(drops: int) -> Stages:
    """Take in and submit small drops that come at once."""
    with _folder() as folder, served("openai", 1, 0) as openai:
        yield "submit", _stage("submit_many", openai, str(folder), str(drops))


def open_jobs(jobs: int) -> Stages:
    """Poll with open jobs, a batch each. The second poll is measured: the first one writes all statuses.

    It has all the time that it needs, so that nothing of it is left for the second one.
    """
    with served("aws", jobs, jobs) as aws, served("openai", jobs, 0) as openai:
        ended = run([sys.executable, "-c", POLL.replace("300_000", "3_000_000") + PEAK], environment(aws, openai))
        calls = int(urlopen(f"{openai}/calls").read()) // 2
    seconds, peak = map(float, ended.output.split()[-2:])
    yield "poll", Measured(seconds, peak, calls)


STAGE = (sys.executable, "-m", "benchmarks.growth_stages")


def _stage(*arguments: str) -> Measured:
    seconds, peak, calls = run([*STAGE, *arguments], environment("")).output.split()
    return Measured(float(seconds), float(peak), int(calls))


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=FOLDER.absolute()) as folder:
        yield Path(folder)


def rows_of_width(row_bytes: int) -> int:
    return min(MAX_ROWS, MAX_BYTES // row_bytes)


def _powers(least: int, most: int) -> list[int]:
    return [10**power for power in range(least, most + 1)]


DIMENSIONS = {
    "rows": Dimension(
        "Rows in one drop", "rows", _powers(3, 7), lambda rows: one_drop(many_rows(rows)),
        lambda: one_drop(many_rows(1)),
    ),
    "drops": Dimension(
        "Drops at once", "drops", _powers(0, 4), many_drops
    ),
    "jobs": Dimension("Open jobs", "jobs", _powers(0, 4), open_jobs),
    "columns": Dimension(
        "Columns", "columns", [10, 100, 1_000, 9_000], lambda columns: one_drop(wide_drop(columns, CELLS // columns)),
        lambda: one_drop(many_rows(1)), lambda columns: CELLS // columns,
    ),
    "row_bytes": Dimension(
        "Bytes a row", "bytes", _powers(1, 7), lambda size: one_drop(long_drop(size, rows_of_width(size))),
        lambda: one_drop(many_rows(1)), rows_of_width,
    ),
}  # fmt: skip  # a line for what it is, and one for what a row or the start is


def measure(dimension: Dimension, sizes: Sequence[int]) -> dict[str, Growth]:
    """Return the growth of each stage."""
    found: dict[str, list[Point]] = {}
    start = {stage: point.seconds for stage, point in _median(dimension.start, 0, RUNS).items()}
    for size in sizes:
        runs = 1 if size == dimension.sizes[-1] else RUNS
        for stage, point in _median(partial(dimension.stages, size), size, runs).items():
            found.setdefault(stage, []).append(point)
            print(
                f"  {stage:<8} {size:>10,} {dimension.unit:<8} {point.seconds:9.3f} s of the processor"
                f" {point.peak_mb:6.0f} MiB {point.calls:>10,} calls  {runs} runs",
                flush=True,
            )
    return {stage: Growth(points, start.get(stage, 0.0)) for stage, points in found.items()}


def _median(stages: Callable[[], Stages], size: int, runs: int) -> dict[str, Point]:
    """Run stages several times, and delete the inputs that they make."""
    kept = set(FOLDER.glob("*.csv"))
    measured: dict[str, list[Measured]] = {}
    for _ in range(runs):
        for stage, its in stages():
            measured.setdefault(stage, []).append(its)
    for path in set(FOLDER.glob("*.csv")) - kept:
        path.unlink()
    return {
        stage: Point(
            size,
            round(median(each.seconds for each in its), 4),
            round(max(each.peak_mb for each in its), 1),
            its[-1].calls,
            runs,
        )
        for stage, its in measured.items()
    }


def read(path: Path = RESULTS) -> tuple[dict[str, Any], dict[str, dict[str, Growth]]]:
    """Return the runs by their names, and the growth of each stage of each dimension."""
    if not path.exists():
        return {"runs": {}, "run_of": {}}, {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    found = {
        name: {
            stage: Growth([Point(**point) for point in its["points"]], its["start"])
            for stage, its in dimension["stages"].items()
        }
        for name, dimension in stored["dimensions"].items()
    }
    run_of = {name: dimension["run"] for name, dimension in stored["dimensions"].items()}
    return {"runs": stored["runs"], "run_of": run_of}, found


def record(name: str, growth: Mapping[str, Growth], path: Path = RESULTS) -> None:
    """Write the growth of a dimension in place of the one before."""
    known, found = read(path)
    now = this_run()
    named = f"{now['date']} {now['commit']}"
    run_of = {**known["run_of"], name: named}
    runs = {its: run for its, run in {**known["runs"], named: now}.items() if its in run_of.values()}
    found[name] = dict(growth)
    dimensions = {
        each: {"run": run_of[each], "stages": {stage: asdict(its) for stage, its in found[each].items()}}
        for each in DIMENSIONS
        if each in found
    }
    text = json.dumps({"runs": runs, "dimensions": dimensions}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def main(wanted: Sequence[str], count: int | None = None) -> None:
    """Measure dimensions, all if none is wanted, with their `count` smallest sizes. Record those with all sizes."""
    from benchmarks import growth_page

    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a layer ships its modules compiled
    for name in wanted or DIMENSIONS:
        dimension = DIMENSIONS[name]
        print(dimension.name, flush=True)
        growth = measure(dimension, dimension.sizes[:count])
        for stage, its in growth.items() if count != 1 else ():
            print(f"  {stage:<8} exponent {its.exponent(dimension.rows):.2f}, {its.more_mb:+.0f} MiB", flush=True)
        if not count:
            record(name, growth)
            growth_page.write()


if __name__ == "__main__":
    main(sys.argv[1:], int(os.environ.get("SIZES") or 0) or None)
