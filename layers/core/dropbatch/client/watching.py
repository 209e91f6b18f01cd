"""Watching runs by the small files of the results bucket.

A run is found by its version: the id of its job ends in a hash of it. So no older run counts for a new upload, however
late Dropbatch notices the upload.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from dropbatch.client.errors import NotDoneError, NotReachableError, WrongUseError
from dropbatch.client.runs import ENDED, JobEntry, Run, Upload, entry_of
from dropbatch.domain.drops import Drop, ObjectKind, job_id, kind_of_object, results_root
from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.domain.states import JobState
from dropbatch.jobs.deduplication import claimed_job
from dropbatch.storage.objects import read_object
from dropbatch.storage.repository import UnreadableItemError

if TYPE_CHECKING:
    from dropbatch.client.stack import Stack

FIRST_PAUSE, MAX_PAUSE, PAUSE_FACTOR = 1.0, 15.0, 1.3
"""How many seconds `wait` pauses between two looks: at first, at most, and by which factor longer each time."""

DUPLICATE_SECONDS = 20
"""How long an upload may have no run before the table is asked whether an open run does its work already."""

MAX_LISTED_OBJECTS, MAX_JOBS = 20_000, 500
"""How many objects of the results bucket are listed, and jobs read, on a stack that has no `index.json` yet."""

INDEX = "index.json"

PAGE = 1_000


def wait(
    stack: "Stack",
    upload: Upload,
    timeout: float | None,
    *,
    stop_if_held: bool,
    on_change: Callable[[Run], object],
) -> Run:
    """Wait for the end of an upload's run; see `Stack.wait`."""
    prefix: str | None = None

    def look(waited: float) -> Run | None:
        nonlocal prefix
        prefix = prefix or _prefix_of(stack, upload)
        if prefix is None and waited >= DUPLICATE_SECONDS:
            prefix = _prefix_of_same_work(stack, upload)
        return read_run(stack, upload.key, prefix) if prefix is not None else None

    return _until_end(stack, upload.key, look, timeout, stop_if_held=stop_if_held, on_change=on_change)


def follow(
    stack: "Stack", run: Run, timeout: float | None, *, stop_if_held: bool, on_change: Callable[[Run], object]
) -> Run:
    """Wait for the end of a run that has begun; see `Stack.follow`."""

    def look(_: float) -> Run:
        return read_run(stack, run.key, run.prefix)

    return _until_end(stack, run.key, look, timeout, stop_if_held=stop_if_held, on_change=on_change)


def _until_end(
    stack: "Stack",
    key: str,
    look: Callable[[float], Run | None],
    timeout: float | None,
    *,
    stop_if_held: bool,
    on_change: Callable[[Run], object],
) -> Run:
    """Look at a run, rarer and rarer, until it has ended. `look` gets how many seconds have passed."""
    began, pause = stack.clock(), FIRST_PAUSE
    seen: Run | None = None
    while True:
        waited = stack.clock() - began
        run = look(waited)
        if run is not None and run != seen:
            on_change(run)
            seen = run
        if run is not None and (run.is_ended or (run.is_held and stop_if_held)):
            return run
        if timeout is not None and waited >= timeout:
            state = "has not begun" if run is None else f"is still {run.status}"
            raise NotDoneError(
                f"After {timeout:,.0f} seconds the run of {key} {state}. It continues: `dropbatch watch {key}` "
                "shows it."
            )
        stack.sleep(pause if timeout is None else max(0.0, min(pause, timeout - waited)))
        pause = min(MAX_PAUSE, pause * PAUSE_FACTOR)


def run_of(stack: "Stack", upload: Upload) -> Run | None:
    """Return the run of an upload; None if there is nothing about it yet."""
    prefix = _prefix_of(stack, upload)
    return None if prefix is None else read_run(stack, upload.key, prefix)


def run(stack: "Stack", key: str, number: int | str | None) -> Run:
    """Return the newest run of a key, or the one with a number or a job id."""
    if number is None:
        latest = _json(stack, results_root(key) + "latest.json")
        if latest is not None:
            return read_run(stack, key, latest["results"]["prefix"])
        found = runs(stack, key)
        if found:
            return found[-1]
    else:
        text = str(number)
        found = [each for each in runs(stack, key) if text in (str(each.number), each.job_id)]
        if found:
            return found[-1]
    which = "has no run" if number is None else f"has no run {number}"
    raise WrongUseError(f"{key} {which} in the stack {stack.name}: `dropbatch status` lists the files with runs.")


def is_folder(key: str) -> bool:
    """Return whether a key is that of a folder of the inbox, or of its top."""
    return not key or key.endswith("/")


def newest_runs(stack: "Stack", folder: str) -> Iterator[Run]:
    """Yield the newest run of each file below a folder of the inbox that has one."""
    found = False
    for name in list(names(stack, stack.inbox, folder)):
        if kind_of_object(name) is not ObjectKind.DROP:
            continue
        found = True
        with suppress(WrongUseError):  # it has no run yet
            yield run(stack, name, None)
    if not found:
        raise WrongUseError(f"There is no file below {folder or 'the top of the inbox'} in the stack {stack.name}.")


def runs(stack: "Stack", key: str) -> Sequence[Run]:
    """Return the runs of a key, the oldest first."""
    return [read_run(stack, key, prefix) for prefix in _prefixes(stack, key)]


def read_run(stack: "Stack", key: str, prefix: str) -> Run:
    """Read what the results bucket says about a run. It has ended once its `summary.json` is there."""
    job = prefix.rstrip("/").rpartition("/")[2]
    status = _json(stack, prefix + "status.json")
    state = str(status["status"]) if status else str(JobState.BUILDING)
    if state in ENDED:
        summary = _json(stack, prefix + "summary.json")
        if summary is not None:
            return Run(key, job, prefix, str(summary["status"]), summary)
        return Run(key, job, prefix, str(JobState.ASSEMBLING), status or {})
    if state == JobState.BUILDING:
        rejected = _json(stack, prefix + "rejected.json")
        if rejected is not None:
            return Run(key, job, prefix, str(JobState.REJECTED), rejected)
    return Run(key, job, prefix, state, status or {})


def jobs(stack: "Stack", prefix: str) -> Sequence[JobEntry]:
    """Return the newest jobs, by the `index.json` of the folder or the root, or else by the list of objects."""
    folder = prefix[: prefix.rfind("/") + 1]
    for name in dict.fromkeys([folder + INDEX, INDEX]):
        index = _json(stack, name)
        if index is not None:
            found = [entry_of(members) for members in index.get("jobs", ())]
            return [entry for entry in found if entry.key.startswith(prefix)]
    found_runs = sorted(_runs_below(stack, prefix), key=lambda place: place[1].rpartition("/")[2], reverse=True)
    return [_entry(read_run(stack, key, f"{folder}/")) for key, folder in found_runs[:MAX_JOBS]]


def _runs_below(stack: "Stack", prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the key and the folder of each run, by the list of all objects of the results bucket."""
    last = ""
    for name in islice(names(stack, stack.results_bucket, prefix), MAX_LISTED_OBJECTS):
        folder = name.rpartition("/")[0]
        key, _, job = folder.rpartition("/")
        if folder != last and _is_job_id(job):
            last = folder
            yield key, folder


def _entry(found: Run) -> JobEntry:
    members = found.members
    times = members.get("times", {})
    cost = members.get("cost") or {}
    return entry_of(
        {
            "key": members.get("drop", {}).get("key", found.key),
            "job_id": found.job_id,
            "run": found.number,
            "status": found.status,
            "held_reason": members.get("held_reason"),
            "dropped_at": times.get("dropped"),
            "changed_at": members.get("updated_at") or times.get("ended"),
            "rows": found.rows,
            "paid_usd": cost.get("paid"),
            "saved_usd": cost.get("saved"),
            "results_prefix": found.prefix,
        }
    )


def names(stack: "Stack", bucket: str, prefix: str) -> Iterator[str]:
    """Yield the keys of a bucket that are longer than a prefix and begin with it, in order."""
    after = prefix
    while True:
        page = stack.objects.names(bucket, after)
        for key, _ in page:
            if not key.startswith(prefix):
                return
            yield key
        if len(page) < PAGE:
            return
        after = page[-1][0]


def _prefixes(stack: "Stack", key: str) -> Sequence[str]:
    """Return the folders of a key's runs, the oldest first."""
    root = results_root(key)
    folders = (name.removeprefix(root).partition("/") for name in names(stack, stack.results_bucket, root))
    found = dict.fromkeys(f"{root}{folder}/" for folder, slash, _ in folders if slash and _is_job_id(folder))
    return list(found)


def _is_job_id(folder: str) -> bool:
    when, dash, digest = folder.partition("-")
    return bool(dash) and len(when) == 16 and len(digest) == 12


def _prefix_of(stack: "Stack", upload: Upload) -> str | None:
    """Return the folder of an upload's run; None if there is none yet."""
    digest = job_id(_drop(stack, upload), 0, upload.marker_version).partition("-")[2]
    latest = _json(stack, results_root(upload.key) + "latest.json")
    if latest is not None and latest["results"]["prefix"].endswith(f"-{digest}/"):
        return str(latest["results"]["prefix"])
    return next((prefix for prefix in _prefixes(stack, upload.key) if prefix.endswith(f"-{digest}/")), None)


def _prefix_of_same_work(stack: "Stack", upload: Upload) -> str | None:
    """Return the folder of an open run that does the work of an upload already, as the table says.

    Return None if there is none, or nobody may read the table.
    """
    try:
        repository = stack.repository
        identity = claimed_job(repository, _drop(stack, upload), upload.marker_version)
        job = repository.job(identity) if identity is not None else None
        if job is None or job.state is not JobState.REJECTED or job.run:
            return None
        newest = repository.latest_job(stack.inbox, upload.key).job_id
    except (NotReachableError, UnreadableItemError):
        return None
    return f"{results_root(upload.key)}{newest}/" if newest is not None and newest != identity else None


def _drop(stack: "Stack", upload: Upload) -> Drop:
    return Drop(stack.inbox, upload.key, upload.version_id, 0)


def _json(stack: "Stack", key: str) -> Mapping[str, Any] | None:
    """Return a small file of the results bucket; None if there is none."""
    try:
        found: Mapping[str, Any] = json.loads(read_object(stack.objects, stack.results_bucket, key))
    except ObjectNotFoundError:
        return None
    return found
