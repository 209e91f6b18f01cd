"""The validation of a drop: one pass over all rows, in as many invocations as it takes, which writes them into shards.

Each row is checked, its request sized, and its bytes written into a shard. When an invocation's time runs out, it
stores a checkpoint at the start of a row: sums, shards, problems and ids. The next invocation reads no row again,
except in a compressed drop (see `formats.resumable_stream`), and the shards come out the same.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.drops import Drop, is_almost_a_recipe
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.jobs import Job, Limited
from dropbatch.domain.problems import Problem, Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.formats.compression import too_large
from dropbatch.formats.file_types import FileType, Kind, check_deployed, file_type
from dropbatch.formats.layout import Layout
from dropbatch.intake.checkpoint import read_checkpoint, write_checkpoint
from dropbatch.intake.drop_recipe import (
    checked_recipe,
    compile_for,
    holds_recipe,
    misnamed_recipe,
    recipe_of,
    with_recipe_problems,
)
from dropbatch.intake.fast_sharding import ChunkSharder
from dropbatch.intake.opening import Source, open_drop, reopen_drop
from dropbatch.intake.repeated_requests import RepeatedRequests
from dropbatch.intake.row_scan import RowScan
from dropbatch.intake.sharding import ShardPlan
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.recipe_text import RecipeText


class ValidDrop(NamedTuple):
    """A drop without problems, whose rows are in shards."""

    layout: Layout
    recipe: RecipeText | None
    compiled: CompiledRecipe | None
    plans: list[ShardPlan]
    rows: int
    skipped: SkippedRows
    content: str  # hash of the drop's content
    limited: Limited | None
    sampled: "array[int] | None"  # the numbers that a sample's rows have in the drop


HandOver = Callable[[str], object]
"""Gives a job back to the queue, with the name of the checkpoint from which the next invocation continues."""


def validate(context: Context, job: Job, files: JobFiles, hand_over: HandOver) -> ValidDrop | None:
    """Validate and shard a job's drop from where the last invocation stopped.

    Raise DropRejectedError with all problems. Return None after `hand_over` if time ran out.
    """
    return (_resume if job.progress else _start)(context, job, files, hand_over)


def _start(context: Context, job: Job, files: JobFiles, hand_over: HandOver) -> ValidDrop | None:
    drop = job.drop
    kind = _checked_kind(drop, context.limits)
    if holds_recipe(context, drop, kind):
        raise DropRejectedError.because(misnamed_recipe(drop))
    recipe = None if kind.kind is Kind.JSONL else recipe_of(context, drop, files)
    with with_recipe_problems(recipe):
        source, reader = open_drop(context, drop, kind, recipe)
    if kind.kind is Kind.JSONL and not reader.layout.raw:
        recipe = recipe_of(context, drop, files)
    with with_recipe_problems(recipe):
        compiled, problems = checked_recipe(context, job, recipe, reader)
        parsed = recipe.parsed() if recipe else None
        limit = parsed.limit.rows if parsed and parsed.limit else None
        scan = RowScan(
            context,
            reader,
            compiled,
            ChunkSharder(files, context.limits, _token(job)),
            limit=limit,
            seed=parsed.limit.seed if parsed and parsed.limit else None,
            skips_bad_rows=parsed is not None and parsed.bad_rows == "skip",
            hopeless=bool(problems),
            problems=problems,
            repeats=RepeatedRequests(compiled, drop, limit) if compiled and compiled.dedupes else None,
        )
        return _Validation(context, job, scan, source, files, recipe).run(hand_over)


def _checked_kind(drop: Drop, limits: Limits) -> FileType:
    """Return the kind of file that a drop is. Raise DropRejectedError if its key or its size rules it out."""
    if is_almost_a_recipe(drop.key):
        raise DropRejectedError.because(misnamed_recipe(drop))
    kind = file_type(drop.key)
    if len(drop.key.encode()) > limits.key_bytes:
        raise DropRejectedError.because(
            Problem(
                "key_too_long",
                f"The key is {len(drop.key.encode()):,} bytes long, and {limits.key_bytes} is the maximum, because the "
                "results need room below it; give the file or its folders shorter names.",
            )
        )
    check_deployed(kind.kind)
    if not kind.compression and drop.size > limits.drop_bytes:
        raise DropRejectedError.because(too_large(limits.drop_bytes))
    return kind


def _resume(context: Context, job: Job, files: JobFiles, hand_over: HandOver) -> ValidDrop | None:
    name = job.progress or ""
    checkpoint = read_checkpoint(files, name)
    layout = Layout.from_json(checkpoint.layout)
    source, reader = reopen_drop(context, job.drop, layout, checkpoint.position, checkpoint.mark)
    recipe = None if layout.raw else files.recipe()
    compiled = compile_for(job.drop, recipe, layout.columns) if recipe and not checkpoint.hopeless else None
    repeats = None
    if compiled is not None and compiled.dedupes:
        repeats = RepeatedRequests(compiled, job.drop, checkpoint.limit, files.digests(name))
    scan = RowScan(
        context,
        reader,
        compiled,
        ChunkSharder(files, context.limits, _token(job), checkpoint.sharded),
        limit=checkpoint.limit,
        seed=checkpoint.seed,
        in_file=checkpoint.in_file,
        skips_bad_rows=checkpoint.skips_bad_rows,
        hopeless=checkpoint.hopeless,
        problems=Problems.of(checkpoint.problems, checkpoint.problems_total, checkpoint.groups),
        rows=checkpoint.rows,
        skipped=SkippedRows.from_json(checkpoint.skipped) if checkpoint.skipped else None,
        ids=files.ids(name) if layout.raw else None,
        repeats=repeats,
    )
    validation = _Validation(context, job, scan, source, files, recipe, checkpoint.content, checkpoint.counted)
    return validation.run(hand_over)


@dataclass(slots=True)
class _Validation:
    """One invocation's part of the validation of a drop."""

    context: Context
    job: Job
    scan: RowScan
    source: Source
    files: JobFiles
    recipe: RecipeText | None
    content: str | None = None  # hash of the drop's content, once it is read to the end
    counted: str | None = None  # hash of the content as the first of two passes read it

    def run(self, hand_over: HandOver) -> ValidDrop | None:
        """Scan the rows to the end, or until time runs out."""
        scan = self.scan
        with scan.sharder:
            if self.content is None:
                self.content = self._scan_to_end()
                if self.content is None or not scan.has_time_for_batches():
                    name = write_checkpoint(self.files, scan, self.source, content=self.content, counted=self.counted)
                    hand_over(name)
                    return None
            if scan.problems:
                raise DropRejectedError(scan.problems)
            scan.sharder.finish()
        return ValidDrop(
            scan.reader.layout,
            self.recipe,
            scan.compiled,
            scan.sharder.plans,
            scan.rows,
            scan.skipped,
            self.content,
            scan.limited,
            scan.sampled,
        )

    def _scan_to_end(self) -> str | None:
        """Scan the rows, and return the hash of the content; None if time runs out first."""
        try:
            is_done = self._count_for_sample() and self.scan.scan()
        except DropRejectedError as rejected:
            # The reader cannot continue. The problems that were found before are reported, too.
            self.scan.problems.extend(rejected.problems)
            raise DropRejectedError(self.scan.problems) from rejected
        if is_done and self.scan.count_rest():
            return self.counted or self.source.digest()
        return None

    def _count_for_sample(self) -> bool:
        """Count the rows of which a sample is drawn, and open the drop again; False if time runs out first."""
        if not self.scan.must_count:
            return True
        if not self.scan.count_rows():
            return False
        self.counted = self.source.digest() or None  # of a table, only the rows that are read are hashed
        drop, kind = self.job.drop, file_type(self.job.drop.key)
        self.source, reader = open_drop(self.context, drop, kind, None if kind.kind is Kind.JSONL else self.recipe)
        self.scan.restart(reader)
        return True


def _token(job: Job) -> str:
    if job.lease is None:
        raise AssertionError(f"no process builds {job.id}")
    return job.lease
