"""Joins a job's shards into its results and ends the job: results, summary, notification, state, in this order."""

import json
from collections.abc import Sequence

from dropbatch import report, telling
from dropbatch.domain.drops import results_name
from dropbatch.domain.errors import ConditionFailed, TryLater
from dropbatch.domain.jobs import ENDED_JOBS, Job, JobState
from dropbatch.domain.outcomes import Outcome, job_status
from dropbatch.formats.compression import compressed
from dropbatch.formats.kinds import file_type
from dropbatch.formats.writing import answers_extension, answers_head, failed_head
from dropbatch.jobfiles import JobFiles, whole
from dropbatch.ledger import Ledger
from dropbatch.ports import World
from dropbatch.tallies import Tally
from dropbatch.telling import Ended

LEASE_MARGIN_SECONDS = 10
"""How much longer than its function a lease lives."""

SAMPLES = 8
"""How many rows of each kind the report shows."""

_TYPES = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
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
        _assemble(world, ledger, job)
    except Exception:
        _release(world, ledger, job)
        raise


def _assemble(world: World, ledger: Ledger, job: Job) -> None:
    shards = ledger.shards(job.id)
    files = JobFiles(world.objects, world.buckets.work, job.id)
    tally = Tally()
    samples: list[dict[str, object]] = []
    for shard in shards:
        stats = json.loads(whole(world.objects, world.buckets.work, files.piece_key(shard.number, "stats.json")))
        tally.merge(Tally.from_json(stats["tally"]))
        for sample in stats["samples"]:
            if sum(1 for kept in samples if kept["good"] is sample["good"]) < SAMPLES:
                samples.append(sample)
    if tally.rows != job.rows:
        raise AssertionError(f"{job.id} has {job.rows} rows, and its outcomes add up to {tally.rows}")
    objects = _join(world, files, job, [shard.number for shard in shards], tally)
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


def _join(world: World, files: JobFiles, job: Job, shards: Sequence[int], tally: Tally) -> dict[str, str]:
    """Joins the pieces of each kind of result. Returns the keys of the results by what they are."""
    kind = file_type(job.drop.key)
    layout = files.layout()
    prefix = telling.results_prefix(job)
    recipe = files.recipe()

    def join(name: str, head: bytes, key: str) -> str:
        pieces: list[tuple[str, str] | bytes] = [head] if head else []
        pieces += [(world.buckets.work, files.piece_key(number, name)) for number in shards]
        content_type = _TYPES.get(key.rpartition(".")[2].lower(), "application/x-ndjson")
        world.objects.join(pieces, world.buckets.results, key, content_type)
        return key

    made = {"responses": join("responses", b"", prefix + "responses.jsonl")}
    if recipe is None:
        if tally.unanswered:
            made["failed"] = join("failed", b"", prefix + "failed.jsonl")
        return made
    names = recipe.compiled().all_columns
    answers = f".answers.{answers_extension(kind)}{kind.compression}"
    made["answers"] = join(
        "answers", compressed(answers_head(layout, names), kind.compression), results_name(prefix, kind.stem, answers)
    )
    if tally.unanswered:
        failed = f".failed.{kind.extension}{kind.compression}"
        made["failed"] = join(
            "failed", compressed(failed_head(layout), kind.compression), results_name(prefix, kind.stem, failed)
        )
    return made


def _release_claim(ledger: Ledger, job: Job) -> None:
    """Lets the same content be worked on again."""
    claim = ledger.claim(job.claim) if job.claim else None
    if claim is None or claim.job_id != job.id:
        return
    try:
        ledger.remove(claim)
    except ConditionFailed as error:
        raise TryLater(1, "the claim was moved meanwhile") from error


def _release(world: World, ledger: Ledger, job: Job) -> None:
    lease = job.lease

    def release(current: Job) -> bool:
        if current.lease != lease:
            return False
        current.lease, current.lease_until = None, world.now()
        return True

    ledger.change(lambda: ledger.job(job.id), release)
