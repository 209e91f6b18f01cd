"""The terminal recording of the README, as a picture: `python -m local.recording` writes docs/pictures/terminal.svg.

It types the commands of a first file against the embedded stack (`make up`, `. .local/stack.env`), and records what
they print. Times, ids and folders of this machine are replaced by fixed ones, so that only a change of what the
commands say changes the picture.
"""

import io
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from local.stack import ROOT

PICTURE = ROOT / "docs" / "pictures" / "terminal.svg"
WIDTH = 100
ROWS = 500
"""How many of the example's reviews are answered: the picture shows a first try."""

PROGRAM: Sequence[str] = (sys.executable, "-c", "from dropbatch.cli.main import main; main()")
"""The command of this clone, installed or not."""

COMMANDS = (
    ("init", "reviews.csv", "--ask", "Is the customer angry?"),
    ("check", "reviews.csv"),
    ("try", "reviews.csv", "--rows", "2", "--yes"),
    ("put", "reviews.csv", "--wait"),
    ("show", "reviews/reviews.csv", "--text"),
)
"""The commands of a first file, in the order in which a person types them."""

REPLACED = (
    (re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}"), "20261128T090000Z-0123456789ab"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-11-28T09:00:00Z"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d"), "2026-11-28 09:00"),
    (re.compile("09:00 and 2026-11-28 09:00"), "09:00 and 2026-11-28 09:01"),  # the range of an estimated end
    (re.compile(r"s3://[\w.-]*inbox[\w.-]*/"), "s3://inbox/"),
)
"""What differs each time, and what the picture has in its place."""


def main() -> int:
    if not os.environ.get("AWS_ENDPOINT_URL"):
        print("Start the embedded stack first: make up, then `. .local/stack.env`.", file=sys.stderr)
        return 1
    PICTURE.write_text(picture(record()), encoding="utf-8")
    return 0


def record() -> list[tuple[str, str]]:
    """Run the commands, and return each as typed with what it printed. Raise a CalledProcessError if one fails."""
    with TemporaryDirectory() as folder:
        lines = (ROOT / "examples" / "reviews" / "reviews.csv").read_bytes().splitlines(keepends=True)
        (Path(folder) / "reviews.csv").write_bytes(b"".join(lines[: ROWS + 1]))
        return [(typed(command), run(command, Path(folder))) for command in COMMANDS]


def run(command: Sequence[str], folder: Path) -> str:
    """Run the command in a folder, and return what it printed, with fixed values for what differs each time."""
    environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONPATH": str(ROOT / "layers" / "core")}
    done = subprocess.run([*PROGRAM, *command], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    text = (done.stderr + done.stdout).replace(f"{folder}/", "")
    for pattern, value in REPLACED:
        text = pattern.sub(value, text)
    return text


def typed(command: Sequence[str]) -> str:
    """Return a command as a person types it."""
    return " ".join(["dropbatch", *(f'"{word}"' if " " in word else word for word in command)])


def picture(recorded: Sequence[tuple[str, str]]) -> str:
    """Return the recording as an SVG that loads nothing: not the fonts, either, that rich names."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, emoji=False)
    for command, printed in recorded:
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text(printed.rstrip("\n") + "\n"))
    drawn = console.export_svg(title="dropbatch", unique_id="terminal")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
