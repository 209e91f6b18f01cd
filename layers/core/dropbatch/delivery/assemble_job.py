"""The end of a job: its shards are joined into its results, then come decision, summary, state and notification."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from dropbatch.answers.tally import Tally
from dropbatch.delivery.mirror import Answers, is_mirrored, mirror
from dropbatch.delivery.parquet_results import TableResults
from dropbatch.delivery.report_rows import MAX_EXAMPLES
from dropbatch.delivery.run_comparison import compare, few_values
from dropbatch.domain.comparisons import Comparison
from dropbatch.domain.drops import results_name
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.outcomes import Outcome, job_status
from dropbatch.formats.compression import compress
from dropbatch.formats.file_types import Kind, file_type
from dropbatch.formats.writing import answers_extension, file_tail
from dropbatch.intake.carry_over import KEPT, KEPT_GROUP, recipe_of
from dropbatch.jobs.end_job import end
from dropbatch.jobs.spending import settle_all
from dropbatch.ports import BYTES, HTML, Piece
from dropbatch.reporting import event_members, report_page, result_files
from dropbatch.reporting.costs import cost_before
from dropbatch.reporting.event_members import Ended, UsedRecipe
from dropbatch.reporting.report_facts import ColumnNames, ReportFacts, ReportRows
from dropbatch.reporting.report_page import MAX_SHOWN_ROWS
from dropbatch.reporting.timeline import rounds
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.storage.fingerprints import Head, compared_columns, keep_head
from dropbatch.storage.job_ends import decide, decision_of
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.repository import Repository

HANDOVER_SECONDS = 60
"""Time left at which joining hands over: enough for a copy of 1 GiB within S3 to end, and for the notifications."""

MIN_COMPARE_SECONDS = 30
"""With less time left, the answers are not compared with those of the run before: the job ends now."""

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
    """Make the results of a job whose shards are all rendered, and end it. The caller holds the job's lease.

    Return whether all is done. If not, time has run out, and another invocation has to continue. The end of the job is
    decided once, and stored first: summary, state and notification all follow from that decision.
    """
    files = JobFiles(context.objects, context.buckets.work, job.id)
    decision = decision_of(context, job.id)
    if decision is None:
        settle_all(context, job, context.repository.batches(job.id))  # the message names what the month has spent
        made = _make_results(context, job, files)
        if made is None:
            return False
        ended, rows = made
        page = report_page.page(context, ended, _facts(context.repository, job, files, rows))
        prefix = event_members.results_prefix(job)
        context.objects.put(context.buckets.results, prefix + "report.html", page, HTML)
        decided = result_files.decision(context, ended)
        if "mirror" in ended.objects:
            answers = ended.objects["answers"]
            decided["mirror"] = Answers(answers, _content_type(answers))._asdict()
        decision = decide(context, job.id, decided)
    # The mirror comes first, so that readers of the notification find the answers there.
    mirrored = decision.get("mirror")
    if mirrored is not None and not mirror(context, job, Answers(**mirrored), lambda: _in_time(context)):
        return False
    end(context, job, decision)
    return True


def _in_time(context: Context) -> bool:
    return context.seconds_left() > HANDOVER_SECONDS


def _content_type(key: str) -> str:
    return _TYPES.get(key.rpartition(".")[2].lower(), "application/x-ndjson")


def _facts(repository: Repository, job: Job, files: JobFiles, rows: ReportRows) -> ReportFacts:
    """Return what the report shows beside how the job ended."""
    recipe = files.recipe()
    names = ColumnNames(files.layout().columns, recipe.compiled(checked=True).columns if recipe else ())
    originals = tuple(recipe.originals()) if recipe else ()
    return ReportFacts(rows, names, originals, rounds(repository.batches(job.id)))


@dataclass(slots=True)
class _Rendered:
    """The sums and the pieces of all shards of a job."""

    tally: Tally = field(default_factory=Tally)
    samples: list[dict[str, object]] = field(default_factory=list)
    first: list[list[Any]] = field(default_factory=list)
    examples: list[list[Any]] = field(default_factory=list)
    pieces: dict[str, list[list[Piece]]] = field(default_factory=dict)  # of each result, by shard
    fingerprints: list[str] | None = field(default_factory=list)


def _read_rendered(context: Context, rows: JobRows, shards: Sequence[Shard]) -> _Rendered:
    """Add up the stats of all shards. Their row numbers become those of the drop."""
    rendered = _Rendered()
    keys = [rows.files.piece_key(shard.number, "stats.json") for shard in shards]
    for stats in map(json.loads, context.objects.read_many(context.buckets.work, keys)):
        rendered.tally.merge(Tally.from_json(stats["tally"]))
        for name, places in stats["pieces"].items():
            found = rendered.pieces.setdefault(name, [])
            found.append([])
            for place in places:
                found[-1] += _parts(context, *place, is_first=not any(found))
        fingerprints, own = rendered.fingerprints, stats.get("fingerprints")
        rendered.fingerprints = None if fingerprints is None or own is None else [*fingerprints, *own]
        for sample in stats["samples"]:
            if sum(1 for kept in rendered.samples if kept["good"] is sample["good"]) < MAX_SHOWN_ROWS:
                rendered.samples.append(sample | {"row": rows.number_in_file(sample["row"])})
        _add_shown(rendered, rows, stats.get("shown", {}))
    for reason in rendered.tally.reasons.values():
        reason.row = rows.number_in_file(reason.row)
    for column in rendered.tally.agreement.values():
        for each in column["disagreements"]:
            each["row"] = rows.number_in_file(each["row"])
    return rendered


def _add_shown(rendered: _Rendered, rows: JobRows, shown: Mapping[str, Any]) -> None:
    """Add the rows of a shard that the report shows. A shard that an older release has rendered has none."""
    rendered.first += [[rows.number_in_file(row[0]), *row[1:]] for row in shown.get("first", ())]
    for example in shown.get("examples", ()):
        if sum(1 for kept in rendered.examples if kept[3:5] == example[3:5]) < MAX_EXAMPLES:
            rendered.examples.append([rows.number_in_file(example[0]), *example[1:]])


def _make_results(context: Context, job: Job, files: JobFiles) -> tuple[Ended, ReportRows] | None:
    """Join the pieces of all shards; return how the job ended, and some rows to show. None if time ran out."""
    rows = JobRows(context, job)
    shards = context.repository.shards(job.id)
    rendered = _read_rendered(context, rows, shards)
    tally = rendered.tally
    if tally.rows != job.rows:
        raise AssertionError(f"{job.id} has {job.rows} rows, and its outcomes add up to {tally.rows}")
    objects = _join(context, rows, job, shards, rendered.pieces)
    if objects is None:
        return None
    skipped = files.skipped()
    if skipped.must_be_reported:
        objects["skipped"] = event_members.results_prefix(job) + event_members.SKIPPED_NAME
    cancelled = job.cancel_requested and tally.outcomes[Outcome.CANCELLED] > 0
    status = job_status(tally.outcomes, cancelled=cancelled)
    if job.mirror and is_mirrored(job, is_cancelled=cancelled, answered=tally.outcomes[Outcome.OK]):
        objects["mirror"] = job.mirror
    recipes = _recipes(context.repository, files, job, tally)
    recipe = event_members.recipe_key(job)
    if recipe is not None:
        objects["recipe"] = recipe
    compared = _compared(context, rows, rendered.fingerprints)
    if not tally.outcomes[Outcome.OK]:
        compared = None  # there is nothing to compare, and the message says anyway that no row has an answer
    is_older = event_members.is_older(context, job)
    before = cost_before(decision_of(context, job.retry_of)) if job.retry_of else None
    end = Ended(job, status, tally, objects, context.now(), skipped, recipes, compared, is_older, before)
    return end, ReportRows(rendered.first, rendered.examples, rendered.samples)


def _compared(context: Context, rows: JobRows, fingerprints: list[str] | None) -> Comparison | None:
    """Store the head of the answers' fingerprints, and compare them with those of the run before."""
    job, compiled = rows.job, rows.compiled
    columns = compared_columns(compiled)
    if not fingerprints or compiled is None or not columns:
        return None
    limit: Any = None
    if job.limited is not None:
        limit = job.rows if job.limited.seed is None else [job.rows, job.limited.seed]
    values, drop = few_values(compiled), job.drop
    own = Head(list(columns), values, job.rows, drop.version_id, job.content, limit=limit, pieces=fingerprints)
    keep_head(context, job.id, own)
    compared = compare(context, job, own, lambda: context.seconds_left() > MIN_COMPARE_SECONDS)
    for column in compared.columns if compared is not None else ():
        column.first_row = column.first_row and rows.number_in_file(column.first_row)
    return compared


def _recipes(repository: Repository, files: JobFiles, job: Job, tally: Tally) -> list[UsedRecipe]:
    """Return the recipes of the job's rows, each with its number of rows; none for ready requests."""
    own = files.recipe()
    if own is None:
        return []
    known = list(files.recipes()) or [{"path": own.path, "sha256": own.sha256}]
    counts = [0] * len(known)
    for batch in repository.batches(job.id):
        if batch.attempt == KEPT:
            counts[recipe_of(batch, len(known))] += batch.requests
    for group, count in tally.duplicates.kept.items():
        counts[KEPT_GROUP - int(group)] += count
    counts[-1] += tally.rows - tally.outcomes[Outcome.SKIPPED] - sum(counts)
    rows: dict[tuple[str, str], int] = {}
    for recipe, count in zip(known, counts, strict=True):
        named = recipe["path"], recipe["sha256"]
        rows[named] = rows.get(named, 0) + count
    return [UsedRecipe(path, sha256, count) for (path, sha256), count in rows.items()]


def _parts(
    context: Context, key: str, head: int, size: int, separator: int = 0, has_rows: bool = True, *, is_first: bool
) -> Iterator[Piece]:
    """Yield the parts of a piece that go into its file.

    Each piece begins with the head of the file and a separator. The first piece gives the head, all others give the
    separator. In a file with separators, the first piece is the first that has rows.
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
    """Join the pieces of each kind of result, and continue where an earlier invocation stopped.

    Return the keys of the results by their names; None if time ran out. The progress is stored then.
    """
    files = rows.files
    done = files.joined()
    made: dict[str, str] = done.get("made", {})
    begun: dict[str, Any] | None = done.get("begun")

    def in_time() -> bool:
        return _in_time(context)

    is_table = file_type(job.drop.key).kind is Kind.PARQUET
    tables = TableResults(context, files, job, in_time, rows.number_in_file) if is_table else None
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
    """Return the end of the answers and of the failed file, after their last row: only JSON documents have one."""
    data = compress(file_tail(files.layout()), file_type(job.drop.key).compression)
    if not data:
        return []
    key = files.table_key("tail")
    context.objects.put(context.buckets.work, key, data, BYTES)
    return [Piece(context.buckets.work, key, 0, len(data))]


def _keys(files: JobFiles, job: Job, *, has_failed: bool) -> Iterator[tuple[str, str]]:
    """Yield the names of a job's results, each with its key."""
    kind = file_type(job.drop.key)
    prefix = event_members.results_prefix(job)
    yield "responses", prefix + "responses.jsonl"
    if files.recipe() is None:
        if has_failed:
            yield "failed", prefix + "failed.jsonl"
        return
    yield "answers", results_name(prefix, kind.stem, f".answers.{answers_extension(kind)}{kind.compression}")
    if has_failed:
        yield "failed", results_name(prefix, kind.stem, f".failed.{kind.extension}{kind.compression}")
