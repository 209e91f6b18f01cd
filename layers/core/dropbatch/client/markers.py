"""Markers: what a person asks of the newest run of a file, or of the runs of all files of a folder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dropbatch.client import watching
from dropbatch.client.errors import WrongUseError
from dropbatch.client.runs import Run, Upload
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
    if watching.is_folder(key):
        return [_write(stack, kind, run.key, run) for run in watching.newest_runs(stack, key) if _is_for(kind, run)]
    try:
        version = stack.objects.head(stack.inbox, key).version_id
    except ObjectNotFoundError:
        raise WrongUseError(
            f"There is no file {key} in the inbox of the stack {stack.name}. A folder ends in a slash: {key}/."
        ) from None
    return [_write(stack, kind, key, None, version)]


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
