"""The figures that were measured last, in `benchmarks/latest.json`, with the runs that measured them.

A benchmark declares its figures by name, as a unit and a bound. A figure without a bound has an empty one. A figure
that was measured several times has its quartiles, too.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.runs import Spread

LATEST = Path(__file__).with_name("latest.json")
EARLIER_RUNS = 5
"""How many committed states of `LATEST` the table shows beside the newest figures."""

Declared = Mapping[str, tuple[str, str]]


def read() -> dict[str, dict[str, Any]]:
    """Return what was recorded last: `figures` by name, and `runs` by the name that a figure gives for its run."""
    return json.loads(LATEST.read_text(encoding="utf-8")) if LATEST.exists() else {"figures": {}, "runs": {}}


def record(declared: Declared, measured: Mapping[str, float | Spread | None]) -> None:
    """Write figures to `LATEST`.

    None removes a figure: this machine cannot measure it, and an older value would mislead.
    """
    latest, run = read(), this_run()
    name_of_run = f"{run['date']} {run['commit']}"
    figures = {name: figure for name, figure in latest["figures"].items() if name not in measured}
    for name, value in measured.items():
        if value is not None:
            figures[name] = {**_members(value), "unit": declared[name][0], "run": name_of_run}
    runs = {**latest["runs"], name_of_run: run}
    used = {figure["run"] for figure in figures.values()}
    _write({name: run for name, run in runs.items() if name in used}, figures)


def _members(value: float | Spread) -> dict[str, Any]:
    if not isinstance(value, Spread):
        return {"value": round(value, 3)}
    return {
        "value": round(value.median, 3),
        "quartiles": [round(value.low, 3), round(value.high, 3)],
        "pairs": value.measured,
    }


def _write(runs: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    def lines(members: Mapping[str, Any]) -> str:
        return ",\n".join(f"    {json.dumps(name)}: {json.dumps(member)}" for name, member in sorted(members.items()))

    text = f'{{\n  "runs": {{\n{lines(runs)}\n  }},\n  "figures": {{\n{lines(figures)}\n  }}\n}}\n'
    LATEST.write_text(text, encoding="utf-8")


def print_table(declared: Declared) -> None:
    """Print the declared figures as they were measured last, beside their bounds and the last committed runs."""
    latest = read()["figures"]
    earlier = list(_committed())
    titles = "".join(f"{commit:>10}" for commit, _ in earlier)
    print(f"\n  {'figure':<34} {'measured':>10}  {'quartiles':<17} {'unit':<12} {'bound':<8}{titles}".rstrip())
    for name, (unit, bound) in declared.items():
        figure = latest.get(name, {})
        spread = " – ".join(f"{value:g}" for value in figure.get("quartiles", ()))
        before = "".join(f"{values.get(name, '-'):>10}" for _, values in earlier)
        print(
            f"  {name:<34} {figure.get('value', '-'):>10}  {spread:<17} {unit:<12} {bound:<8}{before}"
            f"{'  spread over 10 %' if _is_notable(figure) else ''}".rstrip()
        )


def _is_notable(figure: Mapping[str, Any]) -> bool:
    low, high = figure.get("quartiles", (0, 0))
    return bool(figure) and Spread(figure["value"], low, high, 0).is_notable


def _committed() -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the last committed states, the newest first: the commit, and the figures' values by name."""
    where = f"benchmarks/{LATEST.name}"
    for commit in _git("log", f"-{EARLIER_RUNS}", "--format=%h", "--", where).split():
        state = json.loads(_git("show", f"{commit}:{where}"))
        figures = state.get("figures", state)  # older states have other forms
        yield commit, {name: its["value"] if isinstance(its, dict) else its for name, its in figures.items()}


def this_run() -> dict[str, Any]:
    """Return the date, the commit with `-dirty` if the code differs from it, and the machine with its units."""
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":!benchmarks/*.json")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short", "HEAD").strip() + ("-dirty" if changes else ""),
        "python": platform.python_version(),
        "architecture": os.uname().machine,
        **_processor(),
        "load_per_core": round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
    }


def _processor() -> dict[str, Any]:
    """Return the processor's model, cores, clock and caches, as far as this system says."""
    known: dict[str, Any] = {"cores": os.cpu_count()}
    for line in _lines(Path("/proc/cpuinfo")):
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == "model name":
            known["processor"] = value
        elif name == "cpu MHz":
            known["clock_mhz"] = round(float(value))
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ("".join(_lines(cache / name)).strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            known[f"cache_{level}"] = size
    return known


def _lines(path: Path) -> Sequence[str]:
    return path.read_text().splitlines() if path.exists() else ()


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
