"""A shard's pieces of the results: its rows with their answers, OpenAI's own lines, the rows that failed.

The pieces follow from the rows, the recipe and the batches' results alone: each process that renders a shard writes the
same rows in the same way. A shard has one piece of each result for each invocation that it takes.
"""

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from dropbatch.answers.tally import Tally
from dropbatch.delivery.known_answers import KnownAnswers
from dropbatch.delivery.report_rows import CrossCounter, RowCollector
from dropbatch.delivery.row_results import RowChunk, RowResults
from dropbatch.delivery.shard_pieces import (
    AnswersWriter,
    FailedWriter,
    PieceFacts,
    ResponsesWriter,
    ShardPieces,
    has_fingerprints,
)
from dropbatch.delivery.shared_answers import SharedAnswers
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import Outcome
from dropbatch.json_encoding import to_json
from dropbatch.ports import JSON
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import Found, Result, ResultsReader, responses_key
from dropbatch.storage.context import Context
from dropbatch.storage.objects import read_object
from dropbatch.storage.shard_index import BAD_ROW

MAX_SAMPLES = 5
"""How many rows of each kind a batch, and so a shard, keeps for the report."""

CHUNK_ROWS = 128
"""How many rows are written at once: enough to save calls; with embeddings they take ten megabytes."""

MAX_CHUNK_BYTES = 33_554_432
"""How many bytes of results are written at once: with images of two megabytes, fewer rows."""


class ChunkWriter(Protocol):
    """A writer of one piece, or of what the report shows."""

    def write(self, chunk: RowChunk) -> None: ...


@dataclass(slots=True)
class _Progress:
    """The progress of rendering: the rows of the shard that are done, and the place of each batch's next result."""

    places: Sequence[Sequence[int]]
    position: int = 0
    pieces: dict[str, list[PieceFacts]] = field(default_factory=dict)
    samples: list[dict[str, object]] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, Any] | None = None
    fingerprints: list[str] | None = field(default_factory=list)

    def add_samples(self, chunk: RowChunk) -> None:
        if [result.shown for result, _ in chunk.found].count(None) < len(chunk.found):
            for raw, (result, _) in zip(chunk.raws, chunk.found, strict=True):
                if result.shown is not None:
                    _add_sample(self.samples, raw, result)

    def add_pieces(self, pieces: ShardPieces) -> None:
        for name, piece in pieces.opened.items():
            self.pieces.setdefault(name, []).append(piece.facts())
        if pieces.fingerprints is None or self.fingerprints is None:
            return
        if pieces.fingerprints.is_whole:
            self.fingerprints.append(pieces.fingerprints.key)
        else:
            self.fingerprints = None

    def to_json(self) -> dict[str, Any]:
        """Return the progress as JSON members. `asdict` would copy every sum, and takes no Counter within another."""
        return {name: getattr(self, name) for name in self.__slots__}

    def stats(self, tally: Tally) -> dict[str, object]:
        """Return the contents of `stats.json`, once all rows are done."""
        return {
            "tally": tally.to_json(),
            "samples": self.samples,
            "shown": self.shown,
            "pieces": self.pieces,
            "fingerprints": self.fingerprints,
        }


def render(
    context: Context,
    rows: JobRows,
    shard: Shard,
    batches: Sequence[Batch],
    in_time: Callable[[], bool] = lambda: True,
) -> bool:
    """Write a shard's pieces of the results: rows with answers, OpenAI's lines, rows that failed, sums.

    Return False if time ran out: call again for the other rows; each call does some. When all are done, `stats.json`
    is beside the pieces: {"tally": …, "samples": […], "shown": {…}, "pieces": {name: [[key, bytes of its head, size,
    bytes of the separator after the head, whether it has rows], …]}, "fingerprints": their keys, None if some are
    missing}.
    """
    files, work = rows.files, context.buckets.work
    keys = [files.results_key(batch) for batch in batches]
    tally = _sum_tallies(context, keys)
    index = rows.index(shard)
    # If one batch has all rows, its response lines are the shard's piece of them.
    is_one_batch = len(keys) == 1 and tally.rows == len(index)
    progress = _Progress(**(files.rendered(shard.number) or {"places": [(0, 0)] * len(keys)}))
    skipped = Tally.from_json(progress.skipped) if progress.skipped else Tally()
    readers = [
        ResultsReader(context, key, (place[0], place[1]), with_responses=not is_one_batch)
        for key, place in zip(keys, progress.places, strict=True)
    ]
    shared = SharedAnswers(context, rows, index, skipped) if index.duplicates else None
    merged = _merged(readers, shard.first_row + progress.position)
    results = RowResults(rows, shard, index, merged, skipped, shared)
    with ExitStack() as stack:
        pieces = ShardPieces(context, rows, shard.number, context.new_token(), stack)
        has_failed = bool(tally.unanswered) or BAD_ROW in index.groups
        has_failed |= shared is not None and shared.may_have_failed
        writers = _open_pieces(pieces, rows, has_responses=not is_one_batch, has_failed=has_failed)
        if rows.compiled is not None and rows.compiled.expected:
            writers.append(KnownAnswers(rows, rows.compiled, skipped))
        if progress.fingerprints is not None and has_fingerprints(rows):
            writers.append(pieces.open_fingerprints())
        shown, crosses = RowCollector(rows, progress.shown), CrossCounter(rows, shard, skipped.cross_tables)
        at_once = _rows_at_once(context, keys, tally.rows)

        def continues() -> bool:
            can_load = shared is None or shared.can_load(progress.position, at_once)
            return progress.position >= len(index) or (in_time() and can_load)

        _write(results.chunks(progress.position, at_once), [*writers, shown, crosses], progress, continues)
    crosses.flush()
    progress.shown = shown.to_json()
    if shared is not None:
        shared.finish()
    progress.add_pieces(pieces)
    if progress.position < len(index):
        progress.places = [reader.place(shard.first_row + progress.position) for reader in readers]
        progress.skipped = skipped.to_json()
        files.keep_rendered(shard.number, progress.to_json())
        return False
    if is_one_batch:
        key = responses_key(keys[0])
        progress.pieces["responses"] = [(key, 0, context.objects.head(work, key).size, 0, True)]
    tally.merge(skipped)
    # The first process to finish decides which pieces are joined, so that joining always finds the same ones.
    stats = to_json(progress.stats(tally))
    context.objects.put_new(work, files.piece_key(shard.number, "stats.json"), stats, JSON)
    return True


def _sum_tallies(context: Context, keys: Sequence[str]) -> Tally:
    tally = Tally()
    for key in keys:
        stored = read_object(context.objects, context.buckets.work, key + ".tally")
        tally.merge(Tally.from_json(json.loads(stored)))
    return tally


def _merged(readers: Sequence[ResultsReader], first_row: int) -> Iterator[Found]:
    """Return the results of all batches from a row on, in the order of the rows."""
    streams = [reader.read(first_row) for reader in readers]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=lambda found: found[0].row)


def _open_pieces(pieces: ShardPieces, rows: JobRows, *, has_responses: bool, has_failed: bool) -> list[ChunkWriter]:
    writers: list[ChunkWriter] = []
    writer = rows.writer()
    if writer is not None and rows.compiled is not None:
        writers.append(AnswersWriter(pieces, rows, writer, rows.compiled.all_columns))
    if has_responses:
        writers.append(ResponsesWriter(pieces))
    if has_failed:
        writers.append(FailedWriter(pieces, rows))
    return writers


def _write(
    chunks: Iterable[RowChunk], writers: Sequence[ChunkWriter], progress: _Progress, continues: Callable[[], bool]
) -> None:
    for chunk in chunks:
        for writer in writers:
            writer.write(chunk)
        progress.add_samples(chunk)
        progress.position += len(chunk.raws)
        if not continues():
            break


def _rows_at_once(context: Context, keys: Sequence[str], rows: int) -> int:
    """Return how many rows are written at once: as many as fit in memory if all are of average size."""
    size = sum(context.objects.head(context.buckets.work, key).size for key in keys)
    return max(1, min(CHUNK_ROWS, MAX_CHUNK_BYTES // (size // max(1, rows) + 1)))


def _add_sample(samples: list[dict[str, object]], raw: bytes, result: Result) -> None:
    """Keep a few rows for the report, cut short; they stay in S3."""
    good = result.outcome is Outcome.OK
    if sum(1 for sample in samples if sample["good"] is good) < MAX_SAMPLES:
        samples.append(
            {
                "good": good,
                "row": result.row,
                "text": raw[:300].decode(errors="replace").strip(),
                "answer": result.shown,
                "outcome": result.outcome,
                "code": result.code,
            }
        )
