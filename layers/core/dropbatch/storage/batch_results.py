"""What became of a batch's rows, kept from when it is collected to when its shard is rendered.

Two objects, a line a row, in order: what the row's answer comes to, with its columns as they will be written; and its
line of responses.jsonl. Where one batch asks all rows of a shard, the latter is the shard's piece of it already.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, dropwhile, repeat

import msgspec

from dropbatch.domain.outcomes import Outcome
from dropbatch.ports import BYTES, Writer
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import lines, whole_lines


class Result(msgspec.Struct, array_like=True, gc=False):
    """What became of one row. `columns` are what is added to it; None in a raw drop.

    `shown` is its answer in short, for the report, where the row is among the first of its batch. `fingerprints` are
    those of a good answer's values, if it is to be compared with others.
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
    """Takes a batch's results, many at once: a call for every row costs more than its bytes."""

    def __init__(self, results: Writer, responses: Writer) -> None:
        self._results, self._responses = results, responses

    def add(self, results: Sequence[Result], responses: Sequence[bytes]) -> None:
        """Adds the next rows, with their response lines."""
        if results:
            self._results.write(_encode_lines(results))
            self._responses.write(b"\n".join([*responses, b""]))


@contextmanager
def writing_results(context: Context, key: str) -> Iterator[ResultsWriter]:
    """Writes a batch's results under a key, and their response lines beside."""
    bucket = context.buckets.work
    with (
        context.objects.writing(bucket, key, BYTES) as results,
        context.objects.writing(bucket, responses_key(key), BYTES) as responses,
    ):
        yield ResultsWriter(results, responses)


def responses_key(key: str) -> str:
    """Where the response lines of the results under `key` lie."""
    return key + ".responses"


def read_results(context: Context, key: str) -> Iterator[Result]:
    """A batch's results, in order."""
    return chain.from_iterable(map(_decode_lines, whole_lines(context.objects, context.buckets.work, key)))


def read_responses(context: Context, key: str) -> Iterator[bytes]:
    """Their response lines, without line feeds."""
    return (line[:-1] for line in lines(context.objects, context.buckets.work, responses_key(key)))


Found = tuple[Result, bytes]
"""A row's result, and its line of responses.jsonl."""

Place = tuple[int, int]
"""Where reading can be taken up again: an offset into the results, and one into their response lines."""


class ResultsReader:
    """Reads a batch's results in order, and tells from where another reader can go on."""

    def __init__(self, context: Context, key: str, place: Place = (0, 0), *, with_responses: bool = True) -> None:
        self._objects, self._bucket, self._key = context.objects, context.buckets.work, key
        self._with_responses = with_responses
        self._at, self._responses_at = place
        self._marks: list[tuple[int, Place]] = [(0, place)]  # the first row of what was read at once, and its place

    def read(self, first_row: int = 0) -> Iterator[Found]:
        """Yield the results from this row on, each with its response line, or b"" if those are not asked for."""
        results = chain.from_iterable(self._results())
        found = zip(results, self._responses() if self._with_responses else repeat(b""), strict=self._with_responses)
        return dropwhile(lambda found: found[0].row < first_row, found) if first_row else found

    def place(self, row: int) -> Place:
        """Return a place from which on this row can be read, if it has not been passed over before."""
        return next(place for first, place in reversed(self._marks) if first <= row)

    def _results(self) -> Iterator[Sequence[Result]]:
        for block in whole_lines(self._objects, self._bucket, self._key, self._at):
            results = _decode_lines(block)
            self._marks.append((results[0].row, (self._at, self._responses_at)))
            self._at += len(block)
            yield results

    def _responses(self) -> Iterator[bytes]:
        for line in lines(self._objects, self._bucket, responses_key(self._key), self._responses_at):
            self._responses_at += len(line)
            yield line[:-1]
