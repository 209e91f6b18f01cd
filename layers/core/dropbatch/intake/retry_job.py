"""The job of a `.retry`: it sends the failed rows of a former job again, and keeps the former job's answers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from dropbatch.domain.batches import Batch
from dropbatch.domain.deadlines import ITEM_LIFETIME_SECONDS
from dropbatch.domain.errors import DropRejectedError, ObjectNotFoundError
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.problems import Problem
from dropbatch.domain.skipped import SkippedRows
from dropbatch.formats.layout import Layout
from dropbatch.intake.carry_over import Carried, Former, carry_over
from dropbatch.intake.quoting import expected_again, quote_batches
from dropbatch.intake.repeated_requests import RepeatedRequests
from dropbatch.intake.retry_recipe import choose_recipe
from dropbatch.intake.start_job import ReadyJob
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.file_values import file_values
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.recipe_text import RecipeText

HANDOVER_SECONDS = 60
"""With less time left no further shard is carried over: one takes seconds."""

_ALL_IS_DONE = Problem(
    "nothing_to_retry",
    "No row of the former job can be sent again as it is: all are answered or left out, would fail again, or may be "
    "paid already; if there is a failed file, correct the rows in it, and drop it; a .rerun beside the drop asks all "
    "rows.",
)

_ROWS_GONE = Problem(
    "rows_gone",
    "The rows of the former job are no longer kept, and cannot be sent again; drop its failed file.",
)


def prepare_retry(
    context: Context, job: Job, files: JobFiles, digest: str, hand_over: Callable[[str], object]
) -> ReadyJob | None:
    """Carry the former job of a `.retry` over into `job`, shard by shard; None after `hand_over` if time ran out.

    The rows are the same. The recipe is today's. The first process that comes this far chooses it, once. Raise
    DropRejectedError if no row can be sent again.
    """
    former, old, layout = _former(context, job)
    recipe, used = choose_recipe(context, job, files, old, layout)
    files.keep_layout(layout)
    job.limited = former.limited
    _keep_sample(former, old, files)
    rows = JobRows(context, job)
    is_changed = len(used) > max(1, len(old.recipes()))
    today = recipe.compiled(file=file_values(job.drop.key, layout.columns)) if recipe and is_changed else None
    done = int(job.progress or 0)  # shards, by earlier invocations
    origin = _origin(context, job, former, old, rows, today, done)
    parts = _CarriedShards()
    for shard in context.repository.shards(former.id):
        copy = _copy(shard, job)
        parts.add(copy, carry_over(context, context.repository.batches(former.id, shard.number), origin, rows, copy))
        if len(parts.shards) > done and context.seconds_left() < HANDOVER_SECONDS:
            if origin.repeats is not None and origin.repeats.digests is not None:
                files.keep_digests(_digests_name(len(parts.shards)), origin.repeats.digests)
            hand_over(str(len(parts.shards)))
            return None
    if not parts.to_send and not parts.skipped.codes:
        raise DropRejectedError.because(_nothing_to_retry(recipe))
    skipped = old.skipped()
    skipped.merge(parts.skipped)
    expected = [expected_again(batch, former.quote, rows.compiled) for batch in parts.to_send]
    return ReadyJob(
        rows=former.rows,
        shards=parts.shards,
        batches=parts.to_send,
        kept=parts.kept,
        recipe=recipe,
        compiled=rows.compiled,
        claim=digest,
        skipped=skipped,
        content=former.content,
        limited=former.limited,
        former=former,
        recipes=used,
        quote=quote_batches(context, job, former.rows, parts.to_send, expected, rows.compiled),
        duplicates=parts.duplicates,
    )


@dataclass(slots=True)
class _CarriedShards:
    """The shards that are carried over so far, and the sums of what came with them."""

    shards: list[Shard] = field(default_factory=list)
    kept: list[Batch] = field(default_factory=list)
    to_send: list[Batch] = field(default_factory=list)
    skipped: SkippedRows = field(default_factory=SkippedRows)
    duplicates: int = 0

    def add(self, shard: Shard, carried: Carried) -> None:
        self.shards.append(shard)
        self.kept += carried.kept
        self.to_send += carried.to_send
        self.skipped.merge(carried.skipped)
        self.duplicates += carried.duplicates


def _origin(
    context: Context,
    job: Job,
    former: Job,
    old: JobFiles,
    rows: JobRows,
    today: CompiledRecipe | None,
    done: int,
) -> Former:
    """Return what is carried over into `rows`; `done` shards of it were by earlier invocations."""
    # Shards that a killed process carried over are not in these: a few requests are then sent twice.
    digests = rows.files.digests(_digests_name(done)) if done else None
    repeats = RepeatedRequests(today, job.drop, digests=digests) if today is not None and today.dedupes else None
    former_rows = rows if today is None else JobRows(context, former)
    return Former(old, former_rows, max(1, len(old.recipes())), today, repeats)


def _keep_sample(former: Job, old: JobFiles, files: JobFiles) -> None:
    """Keep which rows the former job drew at random, if it did."""
    sampled = old.sampled() if former.limited is not None and former.limited.seed is not None else None
    if sampled is not None:
        files.keep_sampled(sampled)


def _former(context: Context, job: Job) -> tuple[Job, JobFiles, Layout]:
    """Return the former job, its files and its layout. Raise DropRejectedError if they are gone."""
    former = context.repository.job(job.retry_of or "")
    if former is None:
        raise DropRejectedError.because(_ROWS_GONE)
    if former.is_clean and not former.keeps_work:
        raise DropRejectedError.because(_ALL_IS_DONE)  # its files were deleted for that reason
    files = JobFiles(context.objects, context.buckets.work, former.id)
    try:
        return former, files, files.layout()
    except ObjectNotFoundError:
        raise DropRejectedError.because(_ROWS_GONE) from None


def _digests_name(shards: int) -> str:
    return f"carried-{shards}"


def _copy(shard: Shard, job: Job) -> Shard:
    expires_at = job.created_at + ITEM_LIFETIME_SECONDS
    return Shard(job.id, shard.number, shard.first_row, shard.first_line, shard.rows, expires_at=expires_at)


def _nothing_to_retry(recipe: RecipeText | None) -> Problem:
    why = "all are answered or left out, may be paid already, or were truncated or refused, and would be so again"
    if recipe is None:
        sentence = f"No row of the former job can be sent again: {why}; correct them in the failed file, and drop it."
        return Problem("nothing_to_retry", sentence)
    sentence = (
        f"No row of the former job can be sent again with the same recipe: {why}; change {recipe.path}, or correct "
        "the rows in the failed file and drop it."
    )
    return Problem("nothing_to_retry", sentence, path=recipe.path)
