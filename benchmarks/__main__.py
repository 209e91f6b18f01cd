"""`python -m benchmarks [group ...]`: measure figures, print a table, and write `benchmarks/latest.json`."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks import collecting, joining, latency, pipeline, polling, repeating, starting, submitting, transfers
from benchmarks.cases import recipe_body
from benchmarks.figures import print_table, record
from benchmarks.inputs import BODY, csv_drop, jsonl_drop, raw_drop
from benchmarks.runs import PAIRS, PAIRS_OF_THE_LARGEST, Spread, growth_exponent, measure

MILLION = 1_000_000
SIZES = (50_000, 200_000, MILLION)

Figures = Mapping[str, float | Spread | None]


def building() -> Figures:
    assert recipe_body() == BODY  # otherwise the naive case builds other requests
    for rows in SIZES:
        csv_drop(rows)
    small = measure([("build", rows) for rows in SIZES[:-1]], PAIRS)
    large = measure([(name, MILLION) for name in ("build", "build_csv_reader", "build_naive")], PAIRS_OF_THE_LARGEST)
    ours = large["build", MILLION]
    return {
        "build_speedup_vs_naive": large["build_naive", MILLION].over(ours),
        "build_over_csv_reader": ours.over(large["build_csv_reader", MILLION]),
        "build_peak_mb": ours.peak_mb,
        "build_growth_mb": ours.peak_mb - small["build", SIZES[0]].peak_mb,
        "build_growth_exponent": growth_exponent(small["build", SIZES[1]], ours, MILLION / SIZES[1]),
    }


def building_jsonl() -> Figures:
    rows = SIZES[1]
    jsonl_drop(rows)
    found = measure([("build_jsonl", rows), ("build_jsonl_naive", rows)], PAIRS_OF_THE_LARGEST)
    return {"build_jsonl_speedup_vs_naive": found["build_jsonl_naive", rows].over(found["build_jsonl", rows])}


def validating() -> Figures:
    raw_drop(MILLION)
    found = measure([("validate", MILLION), ("validate_orjson", MILLION)], PAIRS_OF_THE_LARGEST)
    return {
        "validate_speedup_vs_orjson": found["validate_orjson", MILLION].over(found["validate", MILLION]),
        "validate_peak_mb": found["validate", MILLION].peak_mb,
    }


def unique_ids() -> Figures:
    found = measure([("unique_ids", 10 * MILLION)], 1)
    return {"unique_ids_peak_mb": found["unique_ids", 10 * MILLION].peak_mb}


FIGURES = {
    "build_speedup_vs_naive": ("times", "≥ 8"),
    "build_over_csv_reader": ("times", "≤ 1.0"),
    "build_jsonl_speedup_vs_naive": ("times", "≥ 6"),
    "build_peak_mb": ("MiB", "≤ 64"),
    "build_growth_mb": ("MiB", "≤ 10"),
    "build_growth_exponent": ("exponent", "≤ 1.05"),
    "validate_speedup_vs_orjson": ("times", "≥ 2.0"),
    "validate_peak_mb": ("MiB", ""),
    "unique_ids_peak_mb": ("MiB", "≤ 128"),
    **repeating.FIGURES,
    **submitting.FIGURES,
    **polling.FIGURES,
    **starting.FIGURES,
    **transfers.FIGURES,
    **pipeline.FIGURES,
    **collecting.FIGURES,
    **joining.FIGURES,
    **latency.FIGURES,
}

GROUPS: dict[str, Callable[[], Figures]] = {
    "building": building,
    "building_jsonl": building_jsonl,
    "validating": validating,
    "unique_ids": unique_ids,
    "digests": lambda: repeating.digests(measure),
    "submitting": submitting.submitting,
    "polling": polling.polling,
    "idle_start": polling.idle_start,
    "transfers": transfers.transfers,
    "collecting": lambda: collecting.collecting(measure),
    "collecting_jsonl": lambda: collecting.collecting_jsonl(measure),
    "collecting_embeddings": lambda: collecting.collecting_embeddings(measure),
    "assembling": joining.assembling,
}

ON_DEMAND: dict[str, Callable[[], Figures]] = {
    "starting": starting.starting,
    "pipeline": pipeline.pipeline,
    "repeating": repeating.repeating,
    "latency": latency.latency,
    "deployed_latency": latency.deployed_latency,
}
"""Groups that are measured only if they are named: all need minutes, most of them a stack of their own."""


def main(wanted: Sequence[str]) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a layer ships its modules compiled
    for name in wanted or GROUPS:
        print(name)
        record(FIGURES, (GROUPS | ON_DEMAND)[name]())
    print_table(FIGURES)


if __name__ == "__main__":
    main(sys.argv[1:])
