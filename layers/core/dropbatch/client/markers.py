"""Markers: what a person asks of the newest run of a file, or of the runs of all files of a folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dropbatch.client import watching
from dropbatch.client.errors import WrongUseError
from dropbatch.client.runs import Run, Upload
from dropbatch.domain.drops import ObjectKind, kind_of_object
from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.domain.markers import MarkerKind
from dropbatch.domain.states import JobState

if TYPE_CHECKING:
    from dropbatch.client.stack import Stack


@dataclass(frozen=True, slots=True)
class Marked:
    """A marker that was written. `upload` is what to wait for after a `.retry` or a `.rerun`."""

    key: str
    marker: str
    version_id: str
    upload: Upload


def mark(stack: "Stack", kind: MarkerKind, key: str) -> list[Marked]:
    """Write a marker beside a file; for a folder (`lake/`), beside each file of it on whose newest run it can act."""
    if not key or key.endswith("/"):
        return [_write(stack, kind, name, run) for name, run in _concerned(stack, kind, key)]
    try:
        version = stack.objects.head(stack.inbox, key).version_id
    except ObjectNotFoundError:
        raise WrongUseError(
            f"There is no file {key} in the inbox of the stack {stack.name}. A folder ends in a slash: {key}/."
        ) from None
    return [_write(stack, kind, key, None, version)]


def _concerned(stack: "Stack", kind: MarkerKind, folder: str) -> Iterator[tuple[str, Run]]:
    """Yield the files below a folder whose newest run the marker is for, each with that run."""
    found = False
    for name in list(watching.names(stack, stack.inbox, folder)):
        if kind_of_object(name) is not ObjectKind.DROP:
            continue
        found = True
        try:
            run = watching.run(stack, name, None)
        except WrongUseError:
            continue  # it has no run
        if _is_for(kind, run):
            yield name, run
    if not found:
        raise WrongUseError(f"There is no file below {folder or 'the top of the inbox'} in the stack {stack.name}.")


def _is_for(kind: MarkerKind, run: Run) -> bool:
    if kind is MarkerKind.APPROVE:
        return run.is_held
    if kind is MarkerKind.CANCEL:
        return not run.is_ended
    if kind is MarkerKind.RETRY:
        return run.is_held or (run.is_ended and not run.is_complete and not run.is_rejected)
    return run.is_ended or run.status == JobState.REJECTED


def _write(stack: "Stack", kind: MarkerKind, key: str, run: Run | None, version: str = "") -> Marked:
    marker = f"{key}.{kind}"
    written = stack.uploads.put(stack.inbox, marker, b"")
    drop_version = (run.version_id if run is not None else "") or version
    if run is None and kind in (MarkerKind.RETRY, MarkerKind.RERUN):
        drop_version = _version_of_newest_run(stack, key) or version
    return Marked(key, marker, written, Upload(key, drop_version, written))


def _version_of_newest_run(stack: "Stack", key: str) -> str:
    try:
        return watching.run(stack, key, None).version_id
    except WrongUseError:
        return ""
