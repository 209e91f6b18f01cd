"""Joins a job's shards into its results and ends the job: results, decision, summary, state, notification, in order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from dropbatch.answers.tally import Tally
from dropbatch.delivery.mirror import Answers, mirror
from dropbatch.delivery.parquet_results import Tables
from dropbatch.delivery.run_comparison import compare
from dropbatch.domain.comparisons import Comparison
from dropbatch.domain.drops import results_name
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outcomes import Outcome, job_status
from dropbatch.formats.compression import compressed
from dropbatch.formats.file_types import Kind, file_type
from dropbatch.formats.writing import answers_extension, file_tail
from dropbatch.intake.retry_job import KEPT, recipe_of
from dropbatch.jobs.end import end
from dropbatch.ports import BYTES, HTML, Piece
from dropbatch.reporting import details, report_page, result_files
from dropbatch.reporting.details import Ended, UsedRecipe
from dropbatch.reporting.report_page import ColumnNames
from dropbatch.rows.request_builder import JobRows
from dropbatch.storage.context import Context
from dropbatch.storage.fingerprints import Head, compared_columns, few_values, keep_head
from dropbatch.storage.job_ends import decide, decision_of, whole
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.repository import Repository

SPARE_SECONDS = 60
"""When a joining hands over: what is under way (a copy of 1 GiB within S3) is done by then, and the telling."""

COMPARE_SECONDS = 30
"""With less time left the answers are not compared with those of the run before: the job ends now."""

SAMPLES = 8
"""How many rows of each kind the report shows."""

_TYPES = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "gz": "application/gzip",
    "zst": "application/zstd",
}


def assemble(context: Context, job: Job) -> bool:
    """Make the results of a job whose shards are all rendered, and end it; the caller holds the job's lease.

    Returns whether all is done; else time has run out, and another invocation is to go on. How the job ended is decided
    once, and written down before anything says so: summary, state and notification all follow from that.
    """
    files = JobFiles(context.objects, context.buckets.work, job.id)
    decision = decision_of(context, job.id)
    if decision is None:
        ended, samples = _results(context, job, files) or (None, [])
        if ended is None:
            return False
        page = report_page.page(context, ended, samples, _column_names(files))
        prefix = details.results_prefix(job)
        context.objects.put(context.buckets.results, prefix + "report.html", page, HTML)
        decided = result_files.decision(context, ended)
        if "mirror" in ended.objects:
            answers = ended.objects["answers"]
            decided["mirror"] = Answers(answers, _content_type(answers))._asdict()
        decision = decide(context, job.id, decided)
    # Whoever is told of the end finds the answers in their mirror.
    mirrored = decision.get("mirror")
    if mirrored is not None and not mirror(context, job, Answers(**mirrored), lambda: _in_time(context)):
        return False
    end(context, job, decision)
    return True


def _in_time(context: Context) -> bool:
    return context.seconds_left() > SPARE_SECONDS


def _content_type(key: str) -> str:
    return _TYPES.get(key.rpartition(".")[2].lower(), "application/x-ndjson")


def _column_names(files: JobFiles) -> ColumnNames:
    """What the columns of a drop, and those of its answers, are called."""
    recipe = files.recipe()
    return ColumnNames(files.layout().columns, recipe.compiled(checked=True).columns if recipe else ())


def _results(context: Context, job: Job, files: JobFiles) -> tuple[Ended, list[dict[str, object]]] | None:
    """Join the pieces of all shards; returns how the job ended and some rows to show, or None if time has run out."""
    rows = JobRows(context, job)
    shards = context.repository.shards(job.id)
    tally = Tally()
    samples: list[dict[str, object]] = []
    pieces: dict[str, list[list[Piece]]] = {}  # by shard
    prints: list[str] | None = []
    for shard in shards:
        stats = json.loads(whole(context.objects, context.buckets.work, files.piece_key(shard.number, "stats.json")))
        tally.merge(Tally.from_json(stats["tally"]))
        for name, places in stats["pieces"].items():
            found = pieces.setdefault(name, [])
            found.append([])
            for place in places:
                found[-1] += _parts(context, *place, is_first=not any(found))
        its = stats.get("fingerprints")
        prints = None if prints is None or its is None else [*prints, *its]
        for sample in stats["samples"]:
            if sum(1 for kept in samples if kept["good"] is sample["good"]) < SAMPLES:
                samples.append(sample | {"row": rows.number_in_file(sample["row"])})
    if tally.rows != job.rows:
        raise AssertionError(f"{job.id} has {job.rows} rows, and its outcomes add up to {tally.rows}")
    for reason in tally.reasons.values():
        reason.row = rows.number_in_file(reason.row)
    objects = _join(context, rows, job, shards, pieces)
    if objects is None:
        return None
    skipped = files.skipped()
    if skipped.needs_telling:
        objects["skipped"] = details.results_prefix(job) + details.SKIPPED_NAME
    cancelled = job.cancel_requested and tally.outcomes[Outcome.CANCELLED] > 0
    status = job_status(tally.outcomes, cancelled=cancelled)
    if job.mirror and not cancelled and tally.outcomes[Outcome.OK]:
        objects["mirror"] = job.mirror
    recipes = _recipes(context.repository, files, job, tally)
    recipe = details.recipe_key(job)
    if recipe is not None:
        objects["recipe"] = recipe
    compared = _compared(context, rows, prints)
    if not tally.outcomes[Outcome.OK]:
        compared = None  # there is nothing to compare: that no row has an answer is said anyhow
    is_older = details.is_older(context, job)
    return Ended(job, status, tally, objects, context.now(), skipped, recipes, compared, is_older), samples


def _compared(context: Context, rows: JobRows, prints: list[str] | None) -> Comparison | None:
    """Keep what the answers can be compared by, and compare them with those of the run before."""
    job, compiled = rows.job, rows.compiled
    columns = compared_columns(compiled)
    if not prints or compiled is None or not columns:
        return None
    limit: Any = None
    if job.limited is not None:
        limit = job.rows if job.limited.seed is None else [job.rows, job.limited.seed]
    own = Head(
        list(columns), few_values(compiled), job.rows, job.drop.version_id, job.content, limit=limit, pieces=prints
    )
    keep_head(context, job.id, own)
    compared = compare(context, job, own, lambda: context.seconds_left() > COMPARE_SECONDS)
    for column in compared.columns if compared is not None else ():
        column.first_row = column.first_row and rows.number_in_file(column.first_row)
    return compared


def _recipes(repository: Repository, files: JobFiles, job: Job, tally: Tally) -> list[UsedRecipe]:
    """The recipes that the job's rows were asked with, each with how many; none for ready requests."""
    own = files.recipe()
    if own is None:
        return []
    known = list(files.recipes()) or [{"path": own.path, "sha256": own.sha256}]
    counts = [0] * len(known)
    for batch in repository.batches(job.id):
        if batch.attempt == KEPT:
            counts[recipe_of(batch, len(known))] += batch.requests
    counts[-1] += tally.rows - tally.outcomes[Outcome.SKIPPED] - sum(counts)
    rows: dict[tuple[str, str], int] = {}
    for recipe, count in zip(known, counts, strict=True):
        named = recipe["path"], recipe["sha256"]
        rows[named] = rows.get(named, 0) + count
    return [UsedRecipe(path, sha256, count) for (path, sha256), count in rows.items()]


def _parts(
    context: Context, key: str, head: int, size: int, separator: int = 0, has_rows: bool = True, *, is_first: bool
) -> Iterator[Piece]:
    """What goes of a piece into its file.

    Each begins with the head of the file and with what separates its rows from others: the first gives the former, all
    others the latter. Where rows are separated, the first is one that has rows.
    """
    work = context.buckets.work
    if not separator:
        yield Piece(work, key, 0 if is_first else head, size)
    elif has_rows and is_first:
        yield Piece(work, key, 0, size, head)
        yield Piece(work, key, head + separator, size)
    elif has_rows:
        yield Piece(work, key, head, size)


def _join(
    context: Context,
    rows: JobRows,
    job: Job,
    shards: Sequence[Shard],
    pieces: Mapping[str, Sequence[Sequence[Piece]]],
) -> dict[str, str] | None:
    """Joins the pieces of each kind of result, from where an invocation before this one left off.

    Returns the keys of the results by what they are; None where time has run out, and how far it came is kept.
    """
    files = rows.files
    done = files.joined()
    made: dict[str, str] = done.get("made", {})
    begun: dict[str, Any] | None = done.get("begun")

    def in_time() -> bool:
        return _in_time(context)

    is_table = file_type(job.drop.key).kind is Kind.PARQUET
    tables = Tables(context, files, job, in_time, rows.number_in_file) if is_table else None
    for name, key in _keys(files, job, has_failed="failed" in pieces):
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
        if tables is None and name != "responses":
            parts = [*parts, *_tail(context, files, job)]
        begun = context.objects.join(parts, context.buckets.results, key, _content_type(key), in_time, begun)
        if begun is None:
            made[name] = key
        if begun is not None or not in_time():
            files.keep_joined({"made": made, "begun": begun})
            return None
    return made


def _tail(context: Context, files: JobFiles, job: Job) -> list[Piece]:
    """What stands behind the last row of the answers and of the failed file; nothing, but for JSON that is no lines."""
    data = compressed(file_tail(files.layout()), file_type(job.drop.key).compression)
    if not data:
        return []
    key = files.table_key("tail")
    context.objects.put(context.buckets.work, key, data, BYTES)
    return [Piece(context.buckets.work, key, 0, len(data))]


def _keys(files: JobFiles, job: Job, *, has_failed: bool) -> Iterator[tuple[str, str]]:
    """What a job's results are, and where each is to lie."""
    kind = file_type(job.drop.key)
    prefix = details.results_prefix(job)
    yield "responses", prefix + "responses.jsonl"
    if files.recipe() is None:
        if has_failed:
            yield "failed", prefix + "failed.jsonl"
        return
    yield "answers", results_name(prefix, kind.stem, f".answers.{answers_extension(kind)}{kind.compression}")
    if has_failed:
        yield "failed", results_name(prefix, kind.stem, f".failed.{kind.extension}{kind.compression}")
