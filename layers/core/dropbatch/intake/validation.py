"""Reads a drop into shards: one pass over every row, in as many invocations as it takes.

Each row is validated, its request sized, and its bytes written into a shard. When an invocation's time runs out, it
writes down how far it came, at the start of a row: sums, shards, problems and ids. Whoever takes that up
reads nothing again, save where the drop is packed (see `formats.content`), and the shards come out the same.

Where a recipe's `limit` takes the first rows, the others are counted, and nothing else is asked of them. A sample takes
two passes: one counts all rows, the other takes those that were drawn.
"""

import shlex
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from dropbatch.domain.drops import Drop, cut, is_almost_a_recipe, recipe_beside, recipe_keys, without_controls
from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.jobs import Job, Limited
from dropbatch.domain.outcomes import WHEN
from dropbatch.domain.problems import LOOKS_LIKE_RECIPE, Problem, ProblemGroup, Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.formats.compression import too_large
from dropbatch.formats.csv.dialect import NO_OPTIONS, NONE, CsvOptions
from dropbatch.formats.file_types import FileType, Kind, check_deployed, file_type
from dropbatch.formats.jsonl.fast_line_template import RawChunk
from dropbatch.formats.jsonl.raw_request import raw_custom_id
from dropbatch.formats.layout import Layout
from dropbatch.formats.reading import Position, read_drop, read_on
from dropbatch.formats.records import Chunk, Record
from dropbatch.formats.resumable_stream import ResumableStream, ResumePoint
from dropbatch.formats.transcoding import Storage
from dropbatch.intake.fast_sharding import ChunkSharder
from dropbatch.intake.sharding import Sharded, ShardPlan
from dropbatch.jobs.pending import may_come
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.file_values import file_values
from dropbatch.recipes.recipe_detection import MAX_EXAMINED, is_recipe_object, is_recipe_text
from dropbatch.rows.request_builder import RequestBuilder, find_size_problems
from dropbatch.rows.sampling import sampled_rows
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles, RecipeText, nearest_recipe, with_files
from dropbatch.storage.ranged_file import RangedFile
from dropbatch.storage.unique_ids import UniqueIds

if TYPE_CHECKING:
    from dropbatch.formats.parquet.reading import TableReader

SPARE_SECONDS = 30
"""With so much time left reading stops: an open shard is to be set aside, and a hundred megabytes of ids kept."""

LAST_SECONDS = 4
"""With so little time left an invocation that has not even come to where the last one stopped gives the drop up."""

MAX_PLACES = 6
"""How many places are named in which a recipe was looked for."""

BATCH_SECONDS = 0.02
"""How long it takes to write a batch down, with room."""


class Built(NamedTuple):
    """What the pass over a drop found."""

    layout: Layout
    recipe: RecipeText | None
    compiled: CompiledRecipe | None
    plans: list[ShardPlan]
    rows: int
    skipped: SkippedRows
    content: str  # hash of the drop's content
    limited: Limited | None
    sampled: "array[int] | None"  # the numbers that a sample's rows have in the drop


class Reader(Protocol):
    """A drop's rows, chunk by chunk."""

    @property
    def layout(self) -> Layout: ...

    @property
    def hints(self) -> Sequence[Problem]:
        """What may be the cause if the drop has not the columns that a recipe names."""
        ...

    @property
    def position(self) -> Position:
        """Where the row starts that follows those given so far."""
        ...

    def chunks(self) -> Iterator[Chunk]: ...

    def pass_over(self) -> Iterator[int]:
        """Passes over the rows that are left, and gives how many each step has passed."""
        ...


class Source(Protocol):
    """What a drop's rows are read from."""

    def mark(self, offset: int) -> ResumePoint:
        """Where to take it up so as to go on at `offset`, a reader's position."""
        ...

    def digest(self) -> str:
        """The hash of all that was read."""
        ...


@dataclass(slots=True)
class Progress:
    """How far the pass came, as it is written down."""

    layout: dict[str, Any]
    position: Position
    mark: ResumePoint
    sharded: Sharded
    rows: int
    limit: int | None
    skips_bad_rows: bool
    hopeless: bool
    problems: list[Problem] = field(default_factory=list)
    problems_total: int = 0
    groups: list[ProblemGroup] = field(default_factory=list)
    content: str | None = None  # hash of the drop's content, where it was read to the end
    skipped: dict[str, Any] | None = None  # the rows that are not asked
    seed: int | None = None  # of a sample
    in_file: int | None = None  # how many rows the drop has, once they are counted
    counted: str | None = None  # hash of the content as the first of two passes read it


def build(context: Context, job: Job, files: JobFiles, keep: Callable[[str], object]) -> Built | None:
    """Read, validate and shard the drop from where the last invocation stopped; DropRejectedError with all problems.

    None where time has run out, and how far it came has been written down; `keep` is called with the name of that.
    """
    return (_go_on if job.progress else _begin)(context, job, files, keep)


def _begin(context: Context, job: Job, files: JobFiles, keep: Callable[[str], object]) -> Built | None:
    drop, limits = job.drop, context.limits
    if is_almost_a_recipe(drop.key):
        raise DropRejectedError.because(_almost_a_recipe(drop))
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
    if _holds_recipe(context, drop, kind):
        raise DropRejectedError.because(_almost_a_recipe(drop))
    recipe = None if kind.kind is Kind.JSONL else _recipe_of(context, drop, files)
    with _with_flaws_of(recipe):
        source, reader = _opened(context, drop, kind, recipe)
    if kind.kind is Kind.JSONL and not reader.layout.raw:
        recipe = _recipe_of(context, drop, files)
    with _with_flaws_of(recipe):
        compiled, problems = _checked(context, job, recipe, reader)
        parsed = recipe.parsed() if recipe else None
        scan = _Scan(
            context,
            reader,
            compiled,
            ChunkSharder(files, context.limits, _token(job)),
            limit=parsed.limit.rows if parsed and parsed.limit else None,
            seed=parsed.limit.seed if parsed and parsed.limit else None,
            skips_bad_rows=parsed is not None and parsed.bad_rows == "skip",
            hopeless=bool(problems),
            problems=problems,
        )
        return _Pass(context, job, scan, source, files, recipe).go_on(keep)


@contextmanager
def _with_flaws_of(recipe: RecipeText | None) -> Iterator[None]:
    """Say of a rejection what is wrong with the recipe, too."""
    try:
        yield
    except DropRejectedError as rejected:
        if recipe is None or any(group.first.path for group in rejected.problems.groups):
            raise  # it is said already
        try:
            recipe.compiled()
        except DropRejectedError as of_recipe:
            of_recipe.problems.extend(rejected.problems)
            raise of_recipe from rejected
        raise


def _checked(
    context: Context, job: Job, recipe: RecipeText | None, reader: Reader
) -> tuple[CompiledRecipe | None, Problems]:
    """The recipe as it is used for a drop, if it can be, and what is wrong with it, or between it and the columns."""
    problems = Problems()
    compiled: CompiledRecipe | None = None
    if recipe is None:
        return None, problems
    columns = reader.layout.columns
    try:
        compiled = _compiled(recipe, job.drop, columns)
    except DropRejectedError as rejected:
        problems.extend(rejected.problems)
        if may_come(context, problems, job.created_at):
            raise
    else:
        problems.extend(compiled.check_columns(columns) if columns else [])
    if problems.has("undefined_name"):
        problems.extend(reader.hints)
    return compiled, problems


def _compiled(recipe: RecipeText, drop: Drop, columns: Sequence[str]) -> CompiledRecipe:
    """The compiled recipe; a rejection names the drop's columns where it advises to use one."""
    file = file_values(drop.key, columns)
    try:
        return recipe.compiled(file=file)
    except DropRejectedError:
        return recipe.compiled(columns=columns, file=file)


def _opened(context: Context, drop: Drop, kind: FileType, recipe: RecipeText | None) -> tuple[Source, Reader]:
    if kind.kind is Kind.PARQUET:
        table = _table(context, drop)
        return table, table
    keys = recipe.parsed() if recipe else None
    options = CsvOptions(keys.delimiter, keys.quoting, keys.escape, keys.header) if keys else NO_OPTIONS
    has_quotes = kind.kind in (Kind.CSV, Kind.TSV) and options.quoting != NONE
    content = _content(context, drop, kind, has_quotes=has_quotes)
    encoding = keys.encoding if keys else None
    return content, read_drop(
        content, kind, options=options, encoding=encoding, limits=context.limits, storage=content.storage
    )


def _opened_again(context: Context, drop: Drop, layout: Layout, kept: "Progress") -> tuple[Source, Reader]:
    if layout.kind is Kind.PARQUET:
        table = _table(context, drop, kept.position, kept.mark)
        return table, table
    content = _content(context, drop, file_type(drop.key), kept.mark, kept.position.offset, layout.storage)
    return content, read_on(content, layout, kept.position, context.limits)


def _go_on(context: Context, job: Job, files: JobFiles, keep: Callable[[str], object]) -> Built | None:
    name = job.progress or ""
    kept = msgspec.json.decode(files.progress(name), type=Progress)
    layout = Layout.from_json(kept.layout)
    source, reader = _opened_again(context, job.drop, layout, kept)
    recipe = None if layout.raw else files.recipe()
    problems = Problems.of(kept.problems, kept.problems_total, kept.groups)
    scan = _Scan(
        context,
        reader,
        _compiled(recipe, job.drop, layout.columns) if recipe and not kept.hopeless else None,
        ChunkSharder(files, context.limits, _token(job), kept.sharded),
        limit=kept.limit,
        seed=kept.seed,
        in_file=kept.in_file,
        skips_bad_rows=kept.skips_bad_rows,
        hopeless=kept.hopeless,
        problems=problems,
        rows=kept.rows,
        skipped=SkippedRows.from_json(kept.skipped) if kept.skipped else None,
        ids=files.ids(name) if layout.raw else None,
    )
    return _Pass(context, job, scan, source, files, recipe, kept.counted).go_on(keep, kept.content)


@dataclass(slots=True)
class _Pass:
    """One invocation's part of reading a drop, and what that takes."""

    context: Context
    job: Job
    scan: "_Scan"
    source: Source
    files: JobFiles
    recipe: RecipeText | None
    counted: str | None = None

    def go_on(self, keep: Callable[[str], object], digest: str | None = None) -> Built | None:
        """Read on, with the hash of the content if only the end is left to do."""
        scan = self.scan
        with scan.sharder:
            if digest is None:
                try:
                    done = self._count_all() and scan.go_through()
                except DropRejectedError as rejected:
                    # The reader could not go on; what was found before is told as well.
                    scan.problems.extend(rejected.problems)
                    raise DropRejectedError(scan.problems) from rejected
                if done and scan.count_rest():
                    digest = self.counted or self.source.digest()
                if digest is None or not scan.has_time_to_end():
                    self._keep(keep, digest)
                    return None
            if scan.problems:
                raise DropRejectedError(scan.problems)
            scan.sharder.finish()
        return Built(
            scan.reader.layout,
            self.recipe,
            scan.compiled,
            scan.sharder.plans,
            scan.rows,
            scan.skipped,
            digest,
            scan.limited,
            scan.sampled,
        )

    def _count_all(self) -> bool:
        """Count the rows of which a sample is to be drawn, and begin again; False where time runs out before."""
        if not self.scan.is_to_be_counted:
            return True
        if not self.scan.pass_over():
            return False
        self.counted = self.source.digest() or None  # of a table only the rows are hashed that are read
        drop, kind = self.job.drop, file_type(self.job.drop.key)
        self.source, reader = _opened(self.context, drop, kind, None if kind.kind is Kind.JSONL else self.recipe)
        self.scan.begin_again(reader)
        return True

    def _keep(self, keep: Callable[[str], object], digest: str | None) -> None:
        """Writes down how far the pass came, and then that this is where to go on."""
        scan = self.scan
        position = scan.reader.position
        progress = Progress(
            layout=scan.reader.layout.to_json(),
            position=position,
            mark=self.source.mark(position.offset),
            sharded=scan.sharder.suspend(),
            rows=scan.rows,
            limit=scan.limit,
            skips_bad_rows=scan.skips_bad_rows,
            hopeless=scan.hopeless,
            problems=scan.problems.kept,
            problems_total=scan.problems.total,
            groups=scan.problems.groups,
            content=digest,
            skipped=scan.skipped.to_json(),
            seed=scan.seed,
            in_file=scan.in_file,
            counted=self.counted,
        )
        name = scan.sharder.token
        if scan.ids is not None:
            self.files.keep_ids(name, scan.ids)
        self.files.keep_progress(name, msgspec.json.encode(progress))
        keep(name)


class _Scan:
    """The pass over the rows: what it goes by, and what it has found so far."""

    def __init__(
        self,
        context: Context,
        reader: Reader,
        compiled: CompiledRecipe | None,
        sharder: ChunkSharder,
        *,
        limit: int | None,
        seed: int | None,
        skips_bad_rows: bool,
        hopeless: bool,
        problems: Problems,
        rows: int = 0,
        in_file: int | None = None,
        skipped: SkippedRows | None = None,
        ids: UniqueIds | None = None,
    ) -> None:
        self.reader = reader
        self.compiled = compiled
        self.sharder = sharder
        self.limit = limit
        self.seed = seed
        self.in_file = in_file
        self.sampled = self._drawn()
        self.skips_bad_rows = skips_bad_rows
        self.hopeless = hopeless  # the recipe is wrong, or names a column that is not there: each row would say so
        self.problems = problems
        self.rows = rows
        self.skipped = skipped or SkippedRows()
        # Only ready requests have ids of their own; noting them takes memory even where there are none.
        self.ids = ids or (UniqueIds() if reader.layout.raw else None)
        self._asker = RequestBuilder(compiled, reader.layout.unit)
        self._limits = context.limits
        self._seconds_left = context.seconds_left

    @property
    def is_to_be_counted(self) -> bool:
        """Whether all rows are to be counted before a sample of them is drawn."""
        return self.seed is not None and self.in_file is None and not self.hopeless

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.rows >= self.limit

    @property
    def limited(self) -> Limited | None:
        """What of the drop was left out; None if nothing was."""
        if self.sampled is not None:
            return Limited(self.in_file, self.seed)
        return Limited(self.in_file) if self.is_full and self.rows != self.in_file else None

    def _drawn(self) -> "array[int] | None":
        """The rows of a sample; None where all rows are taken, or the first ones."""
        if self.seed is None or self.limit is None or self.in_file is None or self.in_file <= self.limit:
            return None
        return sampled_rows(self.limit, self.in_file, self.seed)

    def begin_again(self, reader: Reader) -> None:
        """Begin with the first row, now that the rows are counted."""
        self.reader = reader
        self.sampled = self._drawn()

    def go_through(self) -> bool:
        """Takes in row after row, and at least one chunk of them; False where time runs out before the last."""
        for chunk in () if self.is_full else self.reader.chunks():
            self._take(chunk)
            if self.is_full:
                break
            if not self.in_time:
                return False
        return True

    def pass_over(self) -> bool:
        """Counts the rows that are left; False where time runs out before."""
        for _ in self.reader.pass_over():
            if not self.in_time:
                return False
        self.in_file = self.reader.position.number - 1
        return True

    def count_rest(self) -> bool:
        """Counts the rows behind the first ones; False where time runs out before.

        Nothing is asked of these rows: where they cannot be read, nobody is told how many they are.
        """
        if not self.is_full or self.in_file is not None or self.problems:
            return True
        try:
            return self.pass_over()
        except DropRejectedError:
            return True

    @property
    def in_time(self) -> bool:
        return self._seconds_left() >= SPARE_SECONDS

    def has_time_to_end(self) -> bool:
        """Whether there is time to write down all batches as well."""
        batches = sum(len(plan.groups) for plan in self.sharder.plans)
        return self._seconds_left() >= SPARE_SECONDS + batches * BATCH_SECONDS

    def _take(self, chunk: Chunk) -> None:
        if self.sampled is not None:
            self._take_sampled(chunk, self.sampled)
            return
        count = len(chunk.raws)
        over = self.limit is not None and self.rows + count > self.limit
        requests = None if self.hopeless or over else self._asker.requests(chunk)
        if requests is not None and requests.fits(self._limits) and self._are_new(chunk):
            self.rows += count
            if not self.problems:
                self.sharder.add_chunk(chunk, requests)
            return
        with self._asker.limited():
            for record in chunk.records():
                if self.limit is not None and self.rows >= self.limit:
                    return
                self._take_one(record)

    def _take_sampled(self, chunk: Chunk, sampled: "array[int]") -> None:
        """Takes those of the rows that were drawn; each gets its number within the sample."""
        if sampled[self.rows] >= chunk.number + len(chunk.raws):
            return
        with self._asker.limited():
            for record in chunk.records():
                if record.number == sampled[self.rows]:
                    self._take_one(record._replace(number=self.rows + 1))
                    if self.is_full:
                        return

    def _are_new(self, chunk: Chunk) -> bool:
        if self.ids is None or not isinstance(chunk, RawChunk):
            return True
        return self.ids.add_all([identity.encode() for identity in chunk.ids])

    def _take_one(self, record: Record) -> None:
        self.rows += 1
        request, size, found, code = None, 0, [], WHEN
        try:
            if not self.hopeless or record.problem:
                request = self._asker.request(record)
            if request is not None:
                size = request.line_size(str(record.number))
                found = find_size_problems(self.reader.layout.unit, record.line, request, size, self._limits)
            elif not self.hopeless:
                code = self._asker.skip_code(record)
        except RowRejectedError as rejected:
            found = list(rejected.problems)
        custom_id = raw_custom_id(record) if self.ids is not None else None
        if self.ids is not None and custom_id and not self.ids.add(custom_id.encode()):
            found.append(_used_twice(record.line))
        if found and self.skips_bad_rows:
            request, size, code = None, 0, found[0].code
        else:
            self.problems.extend(found)
        if request is None:
            self.skipped.add(code, found)
        if not self.problems:
            self.sharder.add(record.raw, record.number, record.line, request, size, code)


def _used_twice(line: int) -> Problem:
    return Problem(
        "duplicate_custom_id",
        f"Line {line} has a custom_id that an earlier line has already; give every line its own.",
        line=line,
        key="custom_id",
    )


def _token(job: Job) -> str:
    if job.lease is None:
        raise AssertionError(f"no process builds {job.id}")
    return job.lease


def _table(
    context: Context, drop: Drop, position: Position | None = None, mark: ResumePoint | None = None
) -> "TableReader":
    # pyarrow is deployed, and its tenth of a second is spent, only where there are tables.
    from dropbatch.formats.parquet.reading import START, read_parquet

    file = RangedFile(context.objects, drop.bucket, drop.key, drop.version_id, drop.size)
    return read_parquet(file, context.limits, position or START, mark.digest if mark else "")


def _content(
    context: Context,
    drop: Drop,
    kind: FileType,
    mark: ResumePoint | None = None,
    offset: int = 0,
    storage: Storage | None = None,
    *,
    has_quotes: bool = False,
) -> ResumableStream:
    def passing_over() -> None:
        if context.seconds_left() < LAST_SECONDS:
            raise DropRejectedError.because(
                Problem(
                    "too_large_packed",
                    f"The file is compressed, and too large to be read on with: to unpack its first {offset:,} bytes "
                    "again takes longer than a function may run; drop it uncompressed, or as several files.",
                )
            )

    return ResumableStream(
        lambda start: context.objects.blocks(drop.bucket, drop.key, drop.version_id, start),
        kind.compression,
        context.limits.drop_bytes,
        mark,
        offset,
        passing_over,
        storage,
        has_quotes=has_quotes,
    )


def _holds_recipe(context: Context, drop: Drop, kind: FileType) -> bool:
    """Whether a file is a recipe under the name of data."""
    if kind.kind is Kind.TXT:
        return is_recipe_text(next(_content(context, drop, kind), b""))
    if kind.extension == "json" and kind.stem.lower().startswith("recipe") and drop.size <= MAX_EXAMINED:
        return is_recipe_object(b"".join(_content(context, drop, kind)))
    return False


def _almost_a_recipe(drop: Drop) -> Problem:
    source, target = (shlex.quote(f"s3://{drop.bucket}/{key}") for key in (drop.key, recipe_beside(drop.key)))
    return Problem(
        LOOKS_LIKE_RECIPE,
        f"{without_controls(cut(drop.name, 200))} looks like a recipe, but only recipe.yaml is read as one; name it "
        f"recipe.yaml: `aws s3 mv {source} {target}`.",
    )


def _recipe_of(context: Context, drop: Drop, files: JobFiles) -> RecipeText:
    """The recipe that the job keeps; on the first look the nearest one, which is kept if it can be used."""
    kept = files.recipe()
    if kept is not None:
        return kept
    found = files.found = nearest_recipe(context.objects, drop.bucket, drop.key)
    if found is None:
        keys = [key for key in recipe_keys(drop.key) if key.endswith(".yaml")]
        places = keys if len(keys) <= MAX_PLACES else [*keys[: MAX_PLACES - 1], f"{len(keys) - MAX_PLACES + 1} more"]
        ready = file_type(drop.key).kind is Kind.JSONL
        raw = "; a ready batch file needs none, but its first line must have custom_id, method, url and body"
        raise DropRejectedError.because(
            Problem(
                "no_recipe",
                f"There is no recipe for this file: none of {', '.join(places)} exists; put a recipe.yaml into the "
                f"file's folder{raw if ready else ''}.",
            )
        )
    found = files.found = with_files(context.objects, drop.bucket, found.path, found.text)
    try:
        found.compiled()
    except DropRejectedError:
        return found  # whoever compiles it says what is wrong
    return files.keep_recipe(found)
