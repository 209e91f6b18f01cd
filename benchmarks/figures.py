"""The figures that were measured last, in `benchmarks/latest.json`, each with its unit, date, commit and machine.

A benchmark declares its figures by name, as a unit and a bound. A figure without a bound has an empty one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LATEST = Path(__file__).with_name("latest.json")

Declared = Mapping[str, tuple[str, str]]


def read() -> dict[str, dict[str, Any]]:
    """Return the figures that were measured last, by name."""
    return json.loads(LATEST.read_text(encoding="utf-8")) if LATEST.exists() else {}


def record(declared: Declared, measured: Mapping[str, float | None]) -> None:
    """Write figures to `LATEST`.

    None removes a figure: this machine cannot measure it, and an older value would mislead.
    """
    origin = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "machine": f"{os.uname().machine}, {os.cpu_count()} cores, Python {sys.version.split()[0]}",
    }
    latest = {name: figure for name, figure in read().items() if name not in measured}
    for name, value in measured.items():
        if value is not None:
            latest[name] = {"value": round(value, 3), "unit": declared[name][0], **origin}
    lines = (f"  {json.dumps(name)}: {json.dumps(figure)}" for name, figure in sorted(latest.items()))
    LATEST.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def print_table(declared: Declared) -> None:
    """Print the declared figures as they were measured last, beside their bounds."""
    latest = read()
    print(f"\n  {'figure':<30} {'measured':>10}  {'unit':<18} bound")
    for name, (unit, bound) in declared.items():
        print(f"  {name:<30} {latest[name]['value'] if name in latest else '-':>10}  {unit:<18} {bound}".rstrip())


def _commit() -> str:
    """Return the commit that is measured, with `-dirty` if the code differs from it."""
    git = ("git", "-C", str(Path(__file__).parents[1]))
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    changes = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ":!benchmarks/latest.json"])
    return commit.stdout.strip() + ("-dirty" if changes.returncode else "")
