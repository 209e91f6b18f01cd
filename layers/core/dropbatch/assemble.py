"""Joins a job's shards into its results and ends the job: results, summary, notification, state, in this order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from dropbatch import report, telling
from dropbatch.domain.drops import results_name
from dropbatch.domain.errors import ConditionFailed, TryLater
from dropbatch.domain.jobs import ENDED_JOBS, Job, JobState, Shard
from dropbatch.domain.outcomes import Outcome, job_status
from dropbatch.formats.kinds import Kind, file_type
from dropbatch.formats.writing import answers_extension
from dropbatch.jobfiles import JobFiles, whole
from dropbatch.ledger import Ledger
from dropbatch.messages import work_on
from dropbatch.ports import Piece, World
from dropbatch.tables import Tables
from dropbatch.tallies import Tally
from dropbatch.telling import Ended

LEASE_MARGIN_SECONDS = 10
"""How much longer than its function a lease lives."""

SPARE_SECONDS = 60
"""When a joining hands over: what is under way (a copy of 1 GiB within S3) is done by then, and the telling."""

SAMPLES = 8
"""How many rows of each kind the report shows."""

_TYPES = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
    "parquet": "application/vnd.apache.parquet",
    "gz": "application/gzip",
    "zst": "application/zstd",
}


def assemble(world: World, ledger: Ledger, job_id: str) -> None:
    """Makes the results of a job whose shards are all rendered. Of several callers one at a time does the work."""
    token, until = world.new_token(), int(world.clock() + world.seconds_left()) + LEASE_MARGIN_SECONDS

    def take(current: Job) -> bool:
        if current.state in (JobState.RUNNING, JobState.HELD):
            current.move(JobState.ASSEMBLING)
        elif current.state is not JobState.ASSEMBLING or current.lease_until > world.now():
            return False
        current.lease, current.lease_until = token, until
        return True

    job = ledger.change(lambda: ledger.job(job_id), take)
    if job is None:
        return
    try:
        done = _assemble(world, ledger, job)
    except Exception:
        _release(world, ledger, job)
        raise
    if not done:
        _release(world, ledger, job, came_further=True)
        world.collect.send(work_on(job))


def _assemble(world: World, ledger: Ledger, job: Job) -> bool:
    """Returns whether all is done; else time has run out, and another invocation is to go on."""
    shards = ledger.shards(job.id)
    files = JobFiles(world.objects, world.buckets.work, job.id)
    tally = Tally()
    samples: list[dict[str, object]] = []
    pieces: dict[str, list[list[Piece]]] = {}  # by shard
    for shard in shards:
        stats = json.loads(whole(world.objects, world.buckets.work, files.piece_key(shard.number, "stats.json")))
        tally.merge(Tally.from_json(stats["tally"]))
        for name, places in stats["pieces"].items():
            found = pieces.setdefault(name, [])
            found.append([])
            for key, head, size in places:
                # Every piece begins with the head of its file: the first gives it, the others do without.
                is_first = len(found) == 1 and not found[0]
                found[-1].append(Piece(world.buckets.work, key, 0 if is_first else head, size))
        for sample in stats["samples"]:
            if sum(1 for kept in samples if kept["good"] is sample["good"]) < SAMPLES:
                samples.append(sample)
    if tally.rows != job.rows:
        raise AssertionError(f"{job.id} has {job.rows} rows, and its outcomes add up to {tally.rows}")
    objects = _join(world, files, job, shards, pieces, tally)
    if objects is None:
        return False
    cancelled = job.cancel_requested and tally.outcomes[Outcome.CANCELLED] > 0
    ended = Ended(job, job_status(tally.outcomes, cancelled=cancelled), tally, objects, world.now())
    prefix = telling.results_prefix(job)
    page = report.page(ended, samples, world.region, world.buckets.results)
    world.objects.put(world.buckets.results, prefix + "report.html", page, "text/html; charset=utf-8")
    telling.write_final_status(world, ended)
    telling.write_summary(world, ended)
    if "ended" in job.notify:
        world.topics.publish(telling.ended(world, ended))
    _release_claim(ledger, job)

    def end(current: Job) -> bool:
        if current.state in ENDED_JOBS:
            return False
        current.lease, current.ended_at = None, ended.ended_at
        current.move(JobState(ended.status))
        return True

    if ledger.change(lambda: ledger.job(job.id), end):
        world.observer.measure("JobsEnded", 1, status=str(ended.status))
        for outcome, count in tally.outcomes.items():
            world.observer.measure("Rows", count, outcome=str(outcome))
        world.observer.note("job ended", job_id=job.id, status=str(ended.status), rows=job.rows)
    return True


def _join(
    world: World,
    files: JobFiles,
    job: Job,
    shards: Sequence[Shard],
    pieces: Mapping[str, Sequence[Sequence[Piece]]],
    tally: Tally,
) -> dict[str, str] | None:
    """Joins the pieces of each kind of result, from where an invocation before this one left off.

    Returns the keys of the results by what they are; None where time has run out, and how far it came is kept.
    """
    done = files.joined()
    made: dict[str, str] = done.get("made", {})
    begun: dict[str, Any] | None = done.get("begun")

    def in_time() -> bool:
        return world.seconds_left() > SPARE_SECONDS

    tables = Tables(world, files, job, in_time) if file_type(job.drop.key).kind is Kind.PARQUET else None
    for name, key in _keys(files, job, tally):
        if name in made:
            continue
        parts: Sequence[Piece] | None = list(chain.from_iterable(pieces.get(name, ())))
        if tables is not None and name == "answers":
            parts = tables.answers(shards, pieces[name])
        elif tables is not None and name == "failed":
            parts = tables.failed(parts or ())
        if parts is None:
            files.keep_joined({"made": made, "begun": None})
            return None
        content_type = _TYPES.get(key.rpartition(".")[2].lower(), "application/x-ndjson")
        begun = world.objects.join(parts, world.buckets.results, key, content_type, in_time, begun)
        if begun is None:
            made[name] = key
        if begun is not None or not in_time():
            files.keep_joined({"made": made, "begun": begun})
            return None
    return made


def _keys(files: JobFiles, job: Job, tally: Tally) -> Iterator[tuple[str, str]]:
    """What a job's results are, and where each is to lie."""
    kind = file_type(job.drop.key)
    prefix = telling.results_prefix(job)
    yield "responses", prefix + "responses.jsonl"
    if files.recipe() is None:
        if tally.unanswered:
            yield "failed", prefix + "failed.jsonl"
        return
    yield "answers", results_name(prefix, kind.stem, f".answers.{answers_extension(kind)}{kind.compression}")
    if tally.unanswered:
        yield "failed", results_name(prefix, kind.stem, f".failed.{kind.extension}{kind.compression}")


def _release_claim(ledger: Ledger, job: Job) -> None:
    """Lets the same content be worked on again."""
    claim = ledger.claim(job.claim) if job.claim else None
    if claim is None or claim.job_id != job.id:
        return
    try:
        ledger.remove(claim)
    except ConditionFailed as error:
        raise TryLater(1, "the claim was moved meanwhile") from error


def _release(world: World, ledger: Ledger, job: Job, *, came_further: bool = False) -> None:
    """Lets others go on with a job; one that came further has not been sent in vain."""
    lease = job.lease

    def release(current: Job) -> bool:
        if current.lease != lease:
            return False
        current.lease, current.lease_until = None, world.now()
        if came_further:
            current.sends, current.sent_at = 0, world.now()
        return True

    ledger.change(lambda: ledger.job(job.id), release)
