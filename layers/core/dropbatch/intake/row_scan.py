"""The scan of a drop's rows: each row is checked, becomes a request, and is written into a shard.

With a recipe's `limit` of the first rows, the other rows are only counted. For a sample, one pass counts all rows, and
another takes the rows that were drawn.
"""

from array import array
from collections.abc import Sequence

from dropbatch.batch_api.limits import Limits
from dropbatch.batch_api.request import Request
from dropbatch.domain.errors import DropRejectedError, RowRejectedError
from dropbatch.domain.jobs import Limited
from dropbatch.domain.outcomes import WHEN
from dropbatch.domain.problems import Problem, Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.formats.jsonl.fast_line_template import RawChunk
from dropbatch.formats.jsonl.raw_request import raw_custom_id
from dropbatch.formats.records import Chunk, Record
from dropbatch.intake.fast_sharding import ChunkSharder
from dropbatch.intake.opening import Reader
from dropbatch.intake.repeated_requests import RepeatedRequests
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.rows.request_builder import RequestBuilder, find_size_problems
from dropbatch.rows.sampling import sampled_rows
from dropbatch.storage.context import Context
from dropbatch.storage.unique_ids import UniqueIds

HANDOVER_SECONDS = 30
"""With less time left a scan stops: it must set its open shard aside, and store up to a hundred megabytes of ids."""

BATCH_SECONDS = 0.02
"""How long it takes to write the item of a batch, with a margin."""


BuiltRequest = tuple[Request | None, int, str, Sequence[Problem]]
"""The request of a row, its size as a line, the code that says why a row has no request, and the row's problems.

A plain tuple: with a named one, scanning rows one by one takes some 5 % longer.
"""

NO_REQUEST: BuiltRequest = None, 0, WHEN, ()


def build_request(builder: RequestBuilder, record: Record, unit: str, limits: Limits) -> BuiltRequest:
    """Build the request of one row, and check its size. `unit` is the word for a row's place in messages."""
    try:
        request = builder.request(record)
        if request is None:
            return None, 0, builder.skip_code(record), ()
    except RowRejectedError as rejected:
        return None, 0, WHEN, rejected.problems
    size = request.line_size(str(record.number))
    return request, size, WHEN, find_size_problems(unit, record.line, request, size, limits)


class RowScan:
    """The scan of a drop's rows: its settings, and its results so far."""

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
        repeats: RepeatedRequests | None = None,
    ) -> None:
        self.reader = reader
        self.compiled = compiled
        self.sharder = sharder
        self.limit = limit
        self.seed = seed
        self.in_file = in_file
        self.sampled = self._drawn()
        self.skips_bad_rows = skips_bad_rows
        self.hopeless = hopeless  # the recipe is wrong, or names a missing column: each row would have that problem
        self.problems = problems
        self.rows = rows
        self.skipped = skipped or SkippedRows()
        # Only ready requests have ids of their own, and even an empty set of them takes memory.
        self.ids = ids or (UniqueIds() if reader.layout.raw else None)
        self.repeats = repeats  # None: each row is asked, whatever earlier ones ask
        self._builder = RequestBuilder(compiled, reader.layout.unit)
        self._limits = context.limits
        self._seconds_left = context.seconds_left

    @property
    def must_count(self) -> bool:
        """True if all rows must be counted before a sample of them is drawn."""
        return self.seed is not None and self.in_file is None and not self.hopeless

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.rows >= self.limit

    @property
    def limited(self) -> Limited | None:
        """The effect of the recipe's `limit`; None if all rows are taken."""
        if self.sampled is not None:
            return Limited(self.in_file, self.seed)
        return Limited(self.in_file) if self.is_full and self.rows != self.in_file else None

    def _drawn(self) -> "array[int] | None":
        """Return the rows of a sample; None if all rows are taken, or the first ones."""
        if self.seed is None or self.limit is None or self.in_file is None or self.in_file <= self.limit:
            return None
        return sampled_rows(self.limit, self.in_file, self.seed)

    def restart(self, reader: Reader) -> None:
        """Restart at the first row, now that the rows are counted."""
        self.reader = reader
        self.sampled = self._drawn()

    def scan(self) -> bool:
        """Scan chunk after chunk of rows, at least one; False if time runs out before the last."""
        for chunk in () if self.is_full else self.reader.chunks():
            self._add_chunk(chunk)
            if self.is_full:
                break
            if not self.has_time:
                return False
        return True

    def count_rows(self) -> bool:
        """Count the other rows, without reading them; False if time runs out first."""
        for _ in self.reader.pass_over():
            if not self.has_time:
                return False
        self.in_file = self.reader.position.number - 1
        return True

    def count_rest(self) -> bool:
        """Count the rows after the first ones of a `limit`; False if time runs out first.

        These rows are not sent. If they cannot be read, their number stays unknown.
        """
        if not self.is_full or self.in_file is not None or self.problems:
            return True
        try:
            return self.count_rows()
        except DropRejectedError:
            return True

    @property
    def has_time(self) -> bool:
        return self._seconds_left() >= HANDOVER_SECONDS

    def has_time_for_batches(self) -> bool:
        """Return whether there is time to write the items of all batches, too."""
        batches = sum(len(plan.groups) for plan in self.sharder.plans)
        return self._seconds_left() >= HANDOVER_SECONDS + batches * BATCH_SECONDS

    def _add_chunk(self, chunk: Chunk) -> None:
        if self.sampled is not None:
            self._add_sampled(chunk, self.sampled)
            return
        count = len(chunk.raws)
        over = self.limit is not None and self.rows + count > self.limit
        requests = None if self.hopeless or over else self._builder.requests(chunk)
        if requests is not None and requests.fits(self._limits) and self._are_new(chunk):
            self.rows += count
            if not self.problems:
                originals = self.repeats.originals(chunk, requests) if self.repeats is not None else None
                self.sharder.add_chunk(chunk, requests, originals)
            return
        with self._builder.limited():
            for record in chunk.records():
                if self.limit is not None and self.rows >= self.limit:
                    return
                self._add_row(record)

    def _add_sampled(self, chunk: Chunk, sampled: "array[int]") -> None:
        """Add the rows that were drawn. Each gets its number within the sample."""
        if sampled[self.rows] >= chunk.number + len(chunk.raws):
            return
        with self._builder.limited():
            for record in chunk.records():
                if record.number == sampled[self.rows]:
                    self._add_row(record._replace(number=self.rows + 1))
                    if self.is_full:
                        return

    def _are_new(self, chunk: Chunk) -> bool:
        if self.ids is None or not isinstance(chunk, RawChunk):
            return True
        return self.ids.add_all([identity.encode() for identity in chunk.ids])

    def _add_row(self, record: Record) -> None:
        self.rows += 1
        request, size, code, found = NO_REQUEST
        if not self.hopeless or record.problem:
            request, size, code, found = build_request(self._builder, record, self.reader.layout.unit, self._limits)
        custom_id = raw_custom_id(record) if self.ids is not None else None
        if self.ids is not None and custom_id and not self.ids.add(custom_id.encode()):
            found = [*found, _used_twice(record.line)]
        if found and self.skips_bad_rows:
            request, size, code = None, 0, found[0].code
        else:
            self.problems.extend(found)
        if request is None:
            self.skipped.add(code, found)
        if not self.problems:
            original = self.repeats.original(record, request) if self.repeats is not None and request is not None else 0
            self.sharder.add(record.raw, record.number, record.line, request, size, code, original)


def _used_twice(line: int) -> Problem:
    return Problem(
        "duplicate_custom_id",
        f"Line {line} has a custom_id that an earlier line has already; give every line its own.",
        line=line,
        key="custom_id",
    )
