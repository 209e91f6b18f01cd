"""Downloads of results, which continue where they were broken off."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dropbatch.client import watching
from dropbatch.client.errors import WrongUseError
from dropbatch.client.runs import Run

if TYPE_CHECKING:
    from dropbatch.client.stack import Stack

RECORD = ".dropbatch.json"
"""The name of the file that says of which objects the files of a folder are copies."""

PART = ".part"


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file of results on this machine. `fetched` bytes came now; the others were there before."""

    name: str
    path: Path
    size: int
    fetched: int


def download(
    stack: "Stack", run: Run, folder: Path, only: Sequence[str], progress: Callable[[str, int, int], object]
) -> list[Downloaded]:
    """Download a run's results; see `Stack.download`."""
    names = _chosen(stack, run, only)
    folder.mkdir(parents=True, exist_ok=True)
    record = _read_record(folder)
    done = []
    for name in names:
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise WrongUseError(f"The result {name} would be written outside of {folder}.")
        done.append(_fetch(stack, run.prefix + name, name, target, record, progress))
        (folder / RECORD).write_text(json.dumps(record, indent=2))
    return done


def _chosen(stack: "Stack", run: Run, only: Sequence[str]) -> list[str]:
    """Return the names of the results to download. `only` has their names, or their words in `Run.objects`."""
    there = [key.removeprefix(run.prefix) for key in watching.names(stack, stack.results_bucket, run.prefix)]
    if not only:
        return there
    words = {word: key.removeprefix(run.prefix) for word, key in run.objects.items()}
    wanted = [words.get(name, name) for name in only]
    missing = [name for name in wanted if name not in there]
    if missing:
        raise WrongUseError(f"The run has no {', '.join(missing)}; it has {', '.join(there) or 'no results yet'}.")
    return wanted


def _fetch(
    stack: "Stack",
    key: str,
    name: str,
    target: Path,
    record: dict[str, str],
    progress: Callable[[str, int, int], object],
) -> Downloaded:
    info = stack.objects.head(stack.results_bucket, key)
    if target.is_file() and target.stat().st_size == info.size and record.get(name) == info.etag:
        progress(name, info.size, info.size)
        return Downloaded(name, target, info.size, 0)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The part's name has the content's hash, so that a download never continues another content.
    part = target.with_name(f".{target.name[:100]}.{hashlib.sha256(info.etag.encode()).hexdigest()[:12]}{PART}")
    start = part.stat().st_size if part.exists() else 0
    if start > info.size:
        part.unlink()
        start = 0
    got = start
    with part.open("ab") as file:
        progress(name, got, info.size)
        for block in stack.objects.blocks(stack.results_bucket, key, start=start):
            file.write(block)
            got += len(block)
            progress(name, got, info.size)
    if got != info.size:
        part.unlink()
        raise WrongUseError(f"{name} was replaced while it was downloaded: run the command again.")
    part.replace(target)
    record[name] = info.etag
    return Downloaded(name, target, info.size, got - start)


def _read_record(folder: Path) -> dict[str, str]:
    try:
        found: Mapping[str, str] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return dict(found)
