"""The time of the hot paths by function, beside their floors: `python -m benchmarks.profiles [path ...]`.

Each path runs once before, so that nothing is loaded while it is measured. The steps work on many rows in each call, so
the profiler costs little. A share is the time within a function itself, of all that the path took.
"""

import cProfile
import pstats
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import cases, collecting
from dropbatch.gc_tuning import tune_gc

ROWS = 200_000
SHOWN = 12

PATHS: Mapping[str, tuple[Callable[[int], None], Callable[[int], None]]] = {
    "build": (cases.build, cases.build_csv_reader),
    "build_jsonl": (cases.build_jsonl, cases.build_jsonl_floor),
    "validate": (cases.validate, cases.validate_orjson),
    "collect": (collecting.collect_chat, collecting.collect_floor),
}
"""The paths, each with what no program can leave out of it."""


def profile(path: str, rows: int = ROWS) -> list[str]:
    """Return lines about a path: what it takes for a row, beside its floor, and its most expensive functions."""
    run, floor = PATHS[path]
    run(rows)
    took, least = _time(run, rows), max(_time(floor, rows), 1e-6)
    profiler = cProfile.Profile()
    profiler.runcall(run, rows)
    stats = pstats.Stats(profiler)
    found = sorted(((own, where) for where, (_, _, own, _, _) in stats.stats.items()), reverse=True)  # type: ignore[attr-defined]  # pstats keeps them
    total = sum(own for own, _ in found)
    return [
        f"{path}: {took / rows * 1e6:.2f} µs a row, {took / least:.2f} times its floor ({floor.__name__})",
        *(f"  {own / total:6.1%}  {_name(*where)}" for own, where in found[:SHOWN]),
    ]


def _time(run: Callable[[int], None], rows: int) -> float:
    began = time.process_time()
    run(rows)
    return time.process_time() - began


def _name(file: str, line: int, function: str) -> str:
    return function if file == "~" else f"{Path(file).name}:{line} {function}"


if __name__ == "__main__":
    tune_gc()  # as every function does when it is connected
    for each in sys.argv[1:] or PATHS:
        print(*profile(each), "", sep="\n")
