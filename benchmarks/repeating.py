"""A drop in which rows repeat, from its arrival to the last of its batches created: with `dedupe`, and without.

`submitting` measures a drop in which none repeats.
"""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.inputs import FOLDER, csv_drop
from benchmarks.runs import PAIRS_OF_THE_LARGEST, Runs, Spread
from benchmarks.submitting import WITHOUT_DEDUPE, time_submit
from dropbatch.storage.request_digests import RequestDigests

ROWS, PAIRS = 1_000_000, PAIRS_OF_THE_LARGEST
MANY_ROWS, RUNS_OF_MANY = 10_000_000, 1
SHARES = (50, 99)
"""How many rows of a hundred repeat an earlier one."""

RECENT_ROWS = 100_000
"""How far back that is at most, in different rows."""

FIGURES = {
    **{f"submit_repeated_{share}_times": ("times", "") for share in SHARES},
    "request_digests_peak_mb": ("MiB", "≤ 192"),
}


def repeating() -> dict[str, Spread]:
    return {f"submit_repeated_{share}_times": _ratio(repeated_drop(ROWS, share).absolute()) for share in SHARES}


def digests(measure: Callable[..., Mapping[tuple[str, int], Runs]]) -> dict[str, float]:
    many = measure([("request_digests", MANY_ROWS)], RUNS_OF_MANY)
    return {"request_digests_peak_mb": many["request_digests", MANY_ROWS].peak_mb}


def _ratio(drop: Path) -> Spread:
    """Return how many times as long a drop takes that is searched for repeated rows; both ways take turns."""
    once, all_of_them = Runs(), Runs()
    for _ in range(PAIRS):
        time_submit(once, drop, ROWS, "dedupe: true\n")
        time_submit(all_of_them, drop, ROWS, WITHOUT_DEDUPE)
    once.show(f"dedupe of {drop.stem}", ROWS)
    all_of_them.show("without dedupe", ROWS)
    return once.over(all_of_them)


def repeated_drop(rows: int, share: int) -> Path:
    """Return a csv in which `share` of a hundred rows repeat an earlier one."""
    drop, path = csv_drop(rows), FOLDER / f"{rows}-repeated-{share}.csv"
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


def request_digests(rows: int) -> None:
    digests = RequestDigests(int(1.05 * rows))  # as for a drop whose rows are of one length
    for start in range(0, rows, 100):
        contents = [b"request %d" % number for number in range(start, start + 100)]
        assert digests.add_all(contents, start + 1) is None


CASES: dict[str, Callable[[int], None]] = {"request_digests": request_digests}
