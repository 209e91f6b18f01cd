"""Output of the command: results to standard output, all else to standard error; colours only in a terminal."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 200
"""How wide a table may be in a file or a pipe, unless COLUMNS says it."""


def console(*, stderr: bool = False) -> Console:
    """Return a console on a stream as it is now. It respects NO_COLOR and COLUMNS."""
    stream = sys.stderr if stderr else sys.stdout
    found = Console(file=stream, highlight=False, emoji=False, markup=False)
    if not found.is_terminal and not os.environ.get("COLUMNS"):
        found.width = WIDTH_WITHOUT_TERMINAL
    return found


def say(*lines: str) -> None:
    """Print lines to standard output, each as it is."""
    out = console()
    for line in lines:
        out.print(Text(line), soft_wrap=True)


def note(*lines: str) -> None:
    """Print lines to standard error, each as it is."""
    out = console(stderr=True)
    for line in lines:
        out.print(Text(line), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print JSON to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print a table without lines. Numbers are on the right."""
    table = Table(box=None, title=title or None, title_justify="left", header_style="bold", pad_edge=False)
    for number, name in enumerate(columns):
        is_number = bool(rows) and all(_is_number(row[number]) for row in rows)
        table.add_column(escape(name), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    console().print(table)


def _is_number(value: object) -> bool:
    text = str(value).replace(",", "").removeprefix("$").strip("-–…")
    return not text or text.replace(".", "", 1).isdigit()


@contextmanager
def transfers() -> Iterator["Transfers"]:
    """Yield the progress bars of transfers: in a terminal they move, elsewhere there are none."""
    out = console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=out,
        disable=not out.is_terminal,
    )
    with bars:
        yield Transfers(bars)


class Transfers:
    """Progress bars by the names of files."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, done: int, size: int) -> None:
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = self._bars.add_task(name, total=size)
        self._bars.update(task, completed=done, total=size)
