"""Renders a shard's pieces of the results: its rows with their answers, OpenAI's own lines, the rows that failed.

What is written follows from the rows, the recipe and the batches' results alone: each process that renders a shard
writes the same rows in the same way. A shard has one piece of each result for each invocation that it takes. Every
piece begins with the head of its file, so that any of them may be the first; joining leaves out the others'.
"""

import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import orjson

from dropbatch.answers.tally import Tally
from dropbatch.delivery.response_lines import unanswered_response
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Shard
from dropbatch.domain.outcomes import COLUMN_EXISTS, LEFT_OUT, WHEN, Outcome
from dropbatch.formats.compression import Compression, compressed, compressing
from dropbatch.formats.reading import Record, read_rows
from dropbatch.formats.transcoding import PLAIN, Storage
from dropbatch.formats.writing import RowWriter, answers_head, failed_head, failed_row, rows_separator
from dropbatch.ports import BYTES, JSON, Writer
from dropbatch.rows.request_builder import JobRows
from dropbatch.storage.batch_results import Found, Result, ResultsReader, responses_key
from dropbatch.storage.context import Context
from dropbatch.storage.fingerprints import VALUE_BYTES, compared_columns
from dropbatch.storage.fingerprints import piece_key as fingerprints_key
from dropbatch.storage.job_ends import whole
from dropbatch.storage.shard_index import BAD_ROW

SAMPLES = 5
"""How many rows of each kind a batch, and so a shard, keeps for the report."""

CHUNK_ROWS = 128
"""How many rows are written at once: enough to save calls, and ten megabytes where they are embeddings."""

CHUNK_BYTES = 33_554_432
"""How large their results are together: of images, two megabytes each, fewer rows are written at once."""


def render(
    context: Context,
    rows: JobRows,
    shard: Shard,
    batches: Sequence[Batch],
    in_time: Callable[[], bool] = lambda: True,
) -> bool:
    """Write a shard's pieces of the results: rows with answers, OpenAI's lines, rows that failed, sums.

    Returns False if time ran out: call again for the rest; each call comes further. In the end `stats.json` lies beside
    the pieces: {"tally": …, "samples": […], "pieces": {name: [[key, bytes of its head, size, bytes of what separates
    its rows from those before, whether it has any], …]}, "fingerprints": the keys of those, None if they lack any}.
    """
    files, work = rows.files, context.buckets.work
    keys = [files.results_key(batch) for batch in batches]
    sent = Tally()
    for key in keys:
        sent.merge(Tally.from_json(json.loads(whole(context.objects, work, key + ".tally"))))
    index = rows.index(shard)
    # Where one batch has asked all rows, its response lines are the shard's piece of them.
    complete = len(keys) == 1 and sent.rows == len(index)
    progress = _Progress(**(files.rendered(shard.number) or {"places": [(0, 0)] * len(keys)}))
    skipped = Tally.from_json(progress.skipped) if progress.skipped else Tally()
    readers = [
        ResultsReader(context, key, (place[0], place[1]), with_responses=not complete)
        for key, place in zip(keys, progress.places, strict=True)
    ]
    streams = [reader.read(shard.first_row + progress.position) for reader in readers]
    results: Iterator[Found] = streams[0] if complete else heapq.merge(*streams, key=lambda found: found[0].row)
    samples = progress.samples
    made: dict[str, _Piece] = {}
    writer = rows.writer()
    token = context.new_token()
    with ExitStack() as stack:

        def piece(name: str, head: bytes = b"", separator: bytes = b"", storage: Storage = PLAIN) -> _Piece:
            # Of two processes that render a shard, each by its own steps, neither may write into the other's pieces.
            key = files.piece_key(shard.number, f"{name}.{token}")
            out = _Counting(stack.enter_context(context.objects.writing(work, key, BYTES)))
            # What is OpenAI's own is never packed, nor is what a raw drop gives.
            packs = rows.compression if writer is not None and name != "responses" else Compression.NONE
            out.write(compressed(storage.stored(head), packs))
            head_bytes = out.size
            out.write(compressed(storage.stored(separator), packs))
            packing = stack.enter_context(compressing(out, packs))
            made[name] = _Piece(key, out, head_bytes, packing, separator, storage)
            return made[name]

        layout = rows.layout
        own = rows_separator(layout), layout.storage
        answers = piece("answers", answers_head(layout, rows.compiled.all_columns), *own) if rows.compiled else None
        responses = None if complete else piece("responses")
        # Bad rows were not asked, and have no good answer: they are to be mended, and dropped again.
        has_failed = sent.unanswered or BAD_ROW in index.groups
        failed = piece("failed", failed_head(layout), *own) if has_failed else None
        blank = bytes(VALUE_BYTES * len(compared_columns(rows.compiled))) if progress.fingerprints is not None else b""
        prints_key = fingerprints_key(rows.job.id, shard.number, token)
        prints = stack.enter_context(context.objects.writing(work, prints_key, BYTES)) if blank else None
        number = shard.first_row + progress.position - 1
        ahead: list[Found] = []  # of rows that come later
        blocks = files.shard_blocks(shard.number, sum(index.sizes[: progress.position]))
        for raws in index.chunks(blocks, _rows_at_once(context, keys, sent.rows), progress.position):
            number += len(raws)  # of the last of them
            found = [*ahead, *islice(results, len(raws) - len(ahead))]
            ahead = []
            bad: list[int] = []  # which of them no row can be written from as it is
            if not found or found[-1][0].row != number or len(found) < len(raws):
                known, found = {result.row: (result, response) for result, response in found}, []
                for place, (row, raw) in enumerate(zip(range(number - len(raws) + 1, number + 1), raws, strict=True)):
                    if row in known:
                        found.append(known.pop(row))
                        continue
                    record = next(iter(read_rows([raw], rows.layout, first_number=row, first_line=1)))
                    code = index.skipped(row - shard.first_row) or WHEN
                    found.append(_skipped(rows, writer, record, code))
                    skipped.count(row, Outcome.SKIPPED, code)
                    if record.problem is not None or code == COLUMN_EXISTS:
                        bad.append(place)  # with a name of the answers it would have that twice
                ahead = list(known.values())
            if responses is not None:
                responses.write([response + b"\n" for _, response in found])
            if answers is not None and writer is not None:
                columns = [result.columns or "" for result, _ in found]
                written = list(writer.rows(raws, columns))
                for place in bad:
                    written[place] = writer.bad_row(raws[place], columns[place])
                answers.write(written)
            if failed is not None:
                numbers = range(number - len(raws) + 1, number + 1)
                rows_found = zip(numbers, raws, found, strict=True)
                failed.write(
                    [failed_row(rows.layout, n, raw) for n, raw, (result, _) in rows_found if _is_failed(result)]
                )
            if prints is not None:
                its = [result.fingerprints for result, _ in found]
                prints.write(b"".join([each or blank for each in its]))
                good = [result.outcome for result, _ in found].count(Outcome.OK)
                if good > len(its) - its.count(None):  # an earlier release made none of them
                    progress.fingerprints = None
            if [result.shown for result, _ in found].count(None) < len(found):
                for raw, (result, _) in zip(raws, found, strict=True):
                    if result.shown is not None:
                        _sample(samples, raw, result)
            progress.position += len(raws)
            if progress.position < len(index) and not in_time():
                break
    for name, each in made.items():
        progress.pieces.setdefault(name, []).append(
            (each.key, each.head_bytes, each.size, each.separator_bytes, each.has_rows)
        )
    if prints is not None and progress.fingerprints is not None:
        progress.fingerprints.append(prints_key)
    if progress.position < len(index):
        progress.places = [reader.place(number + 1) for reader in readers]
        progress.skipped = skipped.to_json()
        files.keep_rendered(shard.number, asdict(progress))
        return False
    if complete:
        key = responses_key(keys[0])
        progress.pieces["responses"] = [(key, 0, context.objects.head(work, key).size, 0, True)]
    sent.merge(skipped)
    stats = {
        "tally": sent.to_json(),
        "samples": samples,
        "pieces": progress.pieces,
        "fingerprints": progress.fingerprints,
    }
    # The first to be done decides which pieces are joined, so that joining finds the same whenever it goes on.
    context.objects.put_new(work, files.piece_key(shard.number, "stats.json"), orjson.dumps(stats), JSON)
    return True


@dataclass(slots=True)
class _Progress:
    """How far rendering has come: how many of the shard's rows are done, and where the next one's result is found."""

    places: Sequence[Sequence[int]]
    position: int = 0
    pieces: dict[str, list[tuple[str, int, int, int, bool]]] = field(default_factory=dict)
    samples: list[dict[str, object]] = field(default_factory=list)
    skipped: dict[str, Any] | None = None
    fingerprints: list[str] | None = field(default_factory=list)


def _rows_at_once(context: Context, keys: Sequence[str], rows: int) -> int:
    """How many rows are written at once: as many as memory takes if all are of average size."""
    size = sum(context.objects.head(context.buckets.work, key).size for key in keys)
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // (size // max(1, rows) + 1)))


def _is_failed(result: Result) -> bool:
    """Whether a row is to be in the failed file: it has no good answer, and was not left out."""
    if result.outcome is Outcome.SKIPPED:
        return result.code not in LEFT_OUT
    return result.outcome is not Outcome.OK


def _skipped(rows: JobRows, writer: RowWriter | None, record: Record, code: str) -> Found:
    """What is written for a row that was not sent."""
    columns = None
    if rows.compiled and writer:
        columns = writer.columns([[*[None] * len(rows.compiled.columns), Outcome.SKIPPED, code]])[0]
    response = unanswered_response(record.number, rows.custom_id(record), Outcome.SKIPPED, code=code)
    return Result(record.number, Outcome.SKIPPED, code, columns), response


def _sample(samples: list[dict[str, object]], raw: bytes, result: Result) -> None:
    """Keeps a few rows for the report, cut short; they stay in S3."""
    good = result.outcome is Outcome.OK
    if sum(1 for sample in samples if sample["good"] is good) < SAMPLES:
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


class _Counting:
    """Writes, and counts the bytes."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self.size = 0

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self.size += len(data)


class _Piece:
    """A piece that is being written: its head is out, and `rows` takes its rows, to be packed as the drop is.

    Behind the head stands what separates its rows from those of a piece before it; joining leaves out one of the two.
    """

    def __init__(
        self, key: str, out: _Counting, head_bytes: int, rows: Writer, separator: bytes, storage: Storage
    ) -> None:
        self.key = key
        self.head_bytes = head_bytes
        self.separator_bytes = out.size - head_bytes
        self._out = out
        self._rows = rows
        self._separator = separator
        self._storage = storage
        self.has_rows = False

    @property
    def size(self) -> int:
        return self._out.size

    def write(self, rows: Sequence[bytes]) -> None:
        data = self._separator.join(rows)
        if self._separator and rows and self.has_rows:
            data = self._separator + data
        self.has_rows = self.has_rows or bool(rows)
        self._rows.write(data if self._storage.is_plain else self._storage.stored(data))
