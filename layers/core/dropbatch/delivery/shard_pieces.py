"""The pieces of the results that one invocation writes for a shard, and a writer for each kind of piece.

Every piece begins with the head of its file, so that any of them may be the first. Joining leaves out the other heads.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from dropbatch.delivery.row_results import RowChunk
from dropbatch.domain.outcomes import LEFT_OUT, Outcome
from dropbatch.formats.compression import Compression, compress, compressing
from dropbatch.formats.transcoding import PLAIN, Storage
from dropbatch.formats.writing import RowWriter, answers_head, failed_head, failed_row, rows_separator
from dropbatch.ports import BYTES, Writer
from dropbatch.rows.job_rows import JobRows
from dropbatch.storage.batch_results import Result
from dropbatch.storage.context import Context
from dropbatch.storage.fingerprints import VALUE_BYTES, compared_columns
from dropbatch.storage.fingerprints import piece_key as fingerprints_key

PieceFacts = tuple[str, int, int, int, bool]
"""A piece's key, the bytes of its head, its size, the bytes of its first separator, and whether it has rows."""


class CountingWriter:
    """A writer that counts the bytes."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self.size = 0

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self.size += len(data)


class PieceWriter:
    """A writer of one piece. Its head is written already, and `rows` takes its rows, compressed as the drop is.

    After the head comes the separator between its rows and those of a piece before it. Joining leaves out one of the
    two.
    """

    def __init__(
        self, key: str, out: CountingWriter, head_bytes: int, rows: Writer, separator: bytes, storage: Storage
    ) -> None:
        self._key = key
        self._head_bytes = head_bytes
        self._separator_bytes = out.size - head_bytes
        self._out = out
        self._rows = rows
        self._separator = separator
        self._storage = storage
        self._has_rows = False

    def facts(self) -> PieceFacts:
        """Return the facts that joining needs; call it once the piece is closed."""
        return self._key, self._head_bytes, self._out.size, self._separator_bytes, self._has_rows

    def write(self, rows: Sequence[bytes]) -> None:
        """Write some rows, which are complete and in order."""
        data = self._separator.join(rows)
        if self._separator and rows and self._has_rows:
            data = self._separator + data
        self._has_rows = self._has_rows or bool(rows)
        self._rows.write(data if self._storage.is_plain else self._storage.stored(data))


class ShardPieces:
    """The pieces that one invocation writes for a shard. `stack` closes them."""

    def __init__(self, context: Context, rows: JobRows, shard_number: int, token: str, stack: ExitStack) -> None:
        self._context, self._rows, self._shard_number, self._stack = context, rows, shard_number, stack
        self._token = token
        self.opened: dict[str, PieceWriter] = {}
        self.fingerprints: FingerprintsWriter | None = None

    def open(self, name: str, head: bytes = b"", separator: bytes = b"", storage: Storage = PLAIN) -> PieceWriter:
        """Open a piece of a result, and write its head."""
        # Two processes may render a shard, each in its own steps. Neither may write into the other's pieces.
        key = self._rows.files.piece_key(self._shard_number, f"{name}.{self._token}")
        out = CountingWriter(self._open_object(key))
        # OpenAI's own lines are never compressed, nor is a result of a raw drop.
        is_compressed = self._rows.compiled is not None and name != "responses"
        compression = self._rows.compression if is_compressed else Compression.NONE
        out.write(compress(storage.stored(head), compression))
        head_bytes = out.size
        out.write(compress(storage.stored(separator), compression))
        rows = self._stack.enter_context(compressing(out, compression))
        self.opened[name] = piece = PieceWriter(key, out, head_bytes, rows, separator, storage)
        return piece

    def _open_object(self, key: str) -> Writer:
        return self._stack.enter_context(self._context.objects.writing(self._context.buckets.work, key, BYTES))

    def open_fingerprints(self) -> "FingerprintsWriter":
        """Open the piece of the answers' fingerprints."""
        key = fingerprints_key(self._rows.job.id, self._shard_number, self._token)
        self.fingerprints = FingerprintsWriter(key, self._open_object(key), _blank_fingerprint(self._rows))
        return self.fingerprints


class AnswersWriter:
    """The rows of the drop with the recipe's columns."""

    def __init__(self, pieces: ShardPieces, rows: JobRows, writer: RowWriter, columns: Sequence[str]) -> None:
        layout = rows.layout
        self._writer = writer
        self._piece = pieces.open("answers", answers_head(layout, columns), rows_separator(layout), layout.storage)

    def write(self, chunk: RowChunk) -> None:
        columns = [result.columns or "" for result, _ in chunk.found]
        written = list(self._writer.rows(chunk.raws, columns))
        for place in chunk.bad_places:
            written[place] = self._writer.bad_row(chunk.raws[place], columns[place])
        self._piece.write(written)


class ResponsesWriter:
    """The lines of responses.jsonl."""

    def __init__(self, pieces: ShardPieces) -> None:
        self._piece = pieces.open("responses")

    def write(self, chunk: RowChunk) -> None:
        self._piece.write([response + b"\n" for _, response in chunk.found])


class FailedWriter:
    """The rows of the drop without a good answer, as they were. Bad rows are among them, to be corrected."""

    def __init__(self, pieces: ShardPieces, rows: JobRows) -> None:
        self._layout = layout = rows.layout
        self._piece = pieces.open("failed", failed_head(layout), rows_separator(layout), layout.storage)

    def write(self, chunk: RowChunk) -> None:
        rows = enumerate(zip(chunk.raws, chunk.found, strict=True), chunk.first_row)
        self._piece.write(
            [failed_row(self._layout, number, raw) for number, (raw, (result, _)) in rows if _is_failed(result)]
        )


class FingerprintsWriter:
    """The fingerprints of the answers, by which they are compared with those of another run."""

    def __init__(self, key: str, out: Writer, blank: bytes) -> None:
        self.key = key
        self.is_whole = True
        self._out = out
        self._blank = blank

    def write(self, chunk: RowChunk) -> None:
        fingerprints = [result.fingerprints for result, _ in chunk.found]
        self._out.write(b"".join([each or self._blank for each in fingerprints]))
        good = [result.outcome for result, _ in chunk.found].count(Outcome.OK)
        if good > len(fingerprints) - fingerprints.count(None):  # results of an earlier release have none
            self.is_whole = False


def has_fingerprints(rows: JobRows) -> bool:
    """Return whether the answers of a job are compared with those of other runs."""
    return bool(_blank_fingerprint(rows))


def _blank_fingerprint(rows: JobRows) -> bytes:
    """Return the fingerprint of a row without an answer; empty if the answers are not compared."""
    return bytes(VALUE_BYTES * len(compared_columns(rows.compiled)))


def _is_failed(result: Result) -> bool:
    """Return whether a row belongs into the failed file: it has no good answer, and was not left out."""
    if result.outcome is Outcome.SKIPPED:
        return result.code not in LEFT_OUT
    return result.outcome is not Outcome.OK
