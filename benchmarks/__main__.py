"""`python -m benchmarks [group ...]`: measure figures, print a table, and write `benchmarks/latest.json`."""

import math
import os
import sys
from collections.abc import Callable, Sequence

from benchmarks import collecting, joining, pipeline, polling, repeating, submitting, transfers
from benchmarks.cases import recipe_body
from benchmarks.figures import print_table, record
from benchmarks.inputs import BODY, csv_drop, raw_drop
from benchmarks.runs import measure

RUNS, RUNS_OF_THE_LARGEST = 5, 3
MILLION = 1_000_000
SIZES = (50_000, 200_000, MILLION)

Figures = dict[str, float]


def building() -> Figures:
    assert recipe_body() == BODY  # otherwise the naive case builds other requests
    for rows in SIZES:
        csv_drop(rows)
    small = measure([("build", rows) for rows in SIZES[:-1]], RUNS)
    large = measure([(name, MILLION) for name in ("build", "build_csv_reader", "build_naive")], RUNS_OF_THE_LARGEST)
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
    measure([("validate", rows) for rows in SIZES[:-1]], RUNS)
    found = measure([("validate", MILLION), ("validate_orjson", MILLION)], RUNS)
    return {
        "validate_speedup_vs_orjson": found["validate_orjson", MILLION].seconds / found["validate", MILLION].seconds,
        "validate_peak_mb": found["validate", MILLION].peak_mb,
    }


def unique_ids() -> Figures:
    found = measure([("unique_ids", 10 * MILLION)], RUNS_OF_THE_LARGEST)
    return {"unique_ids_peak_mb": found["unique_ids", 10 * MILLION].peak_mb}


FIGURES = {
    "build_speedup_vs_naive": ("times", "≥ 6"),
    "build_over_csv_reader": ("times", "≤ 2.0"),
    "build_peak_mb": ("MiB", "≤ 64"),
    "build_growth_mb": ("MiB", "≤ 10"),
    "build_growth_exponent": ("exponent", "≤ 1.05"),
    "validate_speedup_vs_orjson": ("times", "≥ 1.7"),
    "validate_peak_mb": ("MiB", ""),
    "unique_ids_peak_mb": ("MiB", "≤ 128"),
    **repeating.FIGURES,
    **submitting.FIGURES,
    **polling.FIGURES,
    **transfers.FIGURES,
    **pipeline.FIGURES,
    **collecting.FIGURES,
    **joining.FIGURES,
}

GROUPS: dict[str, Callable[[], Figures]] = {
    "building": building,
    "validating": validating,
    "unique_ids": unique_ids,
    "repeating": lambda: repeating.repeating(measure),
    "submitting": submitting.submitting,
    "polling": polling.polling,
    "idle_start": polling.idle_start,
    "transfers": transfers.transfers,
    "pipeline": pipeline.pipeline,
    "collecting": lambda: collecting.collecting(measure),
    "collecting_embeddings": lambda: collecting.collecting_embeddings(measure),
    "assembling": joining.assembling,
}


def _exponent(less: float, more: float, factor: float) -> float:
    """Return the exponent of the growth of time with size. 1 means in proportion."""
    return math.log(more / less) / math.log(factor)


def main(wanted: Sequence[str]) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a layer ships its modules compiled
    for name in wanted or GROUPS:
        print(name)
        record(FIGURES, GROUPS[name]())
    print_table(FIGURES)


if __name__ == "__main__":
    main(sys.argv[1:])
