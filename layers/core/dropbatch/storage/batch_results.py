"""Results of a batch's rows, stored from its collection until its shard is rendered.

There are two objects with a line for each row, in order. One holds the row's outcome, and its columns as they will be
written. The other holds its line of responses.jsonl. If one batch has all rows of a shard, that object is already the
shard's piece of responses.jsonl.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, dropwhile, repeat

import msgspec

from dropbatch.domain.outcomes import Outcome
from dropbatch.ports import BYTES, Writer
from dropbatch.storage.context import Context
from dropbatch.storage.object_lines import read_line_blocks, read_lines


class Result(msgspec.Struct, array_like=True, gc=False):
    """The result of one row. `columns` is the text of its added columns; None in a raw drop.

    `shown` is a short form of the answer for the report, if the row is among the first of its batch. `fingerprints` are
    those of a good answer's values, if the run is to be compared with others.
    """

    row: int
    outcome: Outcome
    code: str | None
    columns: str | None
    shown: str | None = None
    fingerprints: bytes | None = None


_encode_lines = msgspec.json.Encoder().encode_lines
_decode_lines = msgspec.json.Decoder(Result).decode_lines


class ResultsWriter:
    """A writer of a batch's results, many at once: a call for every row costs more than its bytes."""

    def __init__(self, results: Writer, responses: Writer) -> None:
        self._results, self._responses = results, responses

    def add(self, results: Sequence[Result], responses: Sequence[bytes]) -> None:
        """Add the results of the next rows, with their response lines."""
        if results:
            self._results.write(_encode_lines(results))
            self._responses.write(b"\n".join([*responses, b""]))


@contextmanager
def writing_results(context: Context, key: str) -> Iterator[ResultsWriter]:
    """Write a batch's results under a key, and their response lines beside it."""
    bucket = context.buckets.work
    with (
        context.objects.writing(bucket, key, BYTES) as results,
        context.objects.writing(bucket, responses_key(key), BYTES) as responses,
    ):
        yield ResultsWriter(results, responses)


def responses_key(key: str) -> str:
    """Return the key of the response lines that belong to the results under `key`."""
    return key + ".responses"


def read_results(context: Context, key: str) -> Iterator[Result]:
    """Yield a batch's results, in order."""
    return chain.from_iterable(map(_decode_lines, read_line_blocks(context.objects, context.buckets.work, key)))


def read_responses(context: Context, key: str) -> Iterator[bytes]:
    """Yield the response lines of a batch's results, without line feeds."""
    return (line[:-1] for line in read_lines(context.objects, context.buckets.work, responses_key(key)))


Found = tuple[Result, bytes]
"""A row's result, and its line of responses.jsonl."""

Place = tuple[int, int]
"""A place from which reading can resume: an offset into the results, and one into their response lines."""


class ResultsReader:
    """A reader of a batch's results in order. It knows the place from which another reader can resume."""

    def __init__(self, context: Context, key: str, place: Place = (0, 0), *, with_responses: bool = True) -> None:
        self._objects, self._bucket, self._key = context.objects, context.buckets.work, key
        self._with_responses = with_responses
        self._at, self._responses_at = place
        self._marks: list[tuple[int, Place]] = [(0, place)]  # the first row of what was read at once, and its place

    def read(self, first_row: int = 0) -> Iterator[Found]:
        """Yield the results from this row on, each with its response line, or with b"" without responses."""
        results = chain.from_iterable(self._results())
        found = zip(results, self._responses() if self._with_responses else repeat(b""), strict=self._with_responses)
        return dropwhile(lambda found: found[0].row < first_row, found) if first_row else found

    def place(self, row: int) -> Place:
        """Return a place from which this row can be read, unless this reader started after it."""
        return next(place for first, place in reversed(self._marks) if first <= row)

    def _results(self) -> Iterator[Sequence[Result]]:
        for block in read_line_blocks(self._objects, self._bucket, self._key, self._at):
            results = _decode_lines(block)
            self._marks.append((results[0].row, (self._at, self._responses_at)))
            self._at += len(block)
            yield results

    def _responses(self) -> Iterator[bytes]:
        for line in read_lines(self._objects, self._bucket, responses_key(self._key), self._responses_at):
            self._responses_at += len(line)
            yield line[:-1]
