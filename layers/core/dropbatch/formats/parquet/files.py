"""A Parquet file that was dropped: opened with care, and read in batches of bounded size."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.parquet import thrift

MAX_FOOTER_BYTES = 16 << 20
"""The longest footer that is read. pyarrow makes tens of bytes of each of its bytes; one of this size describes about
100,000 column chunks."""

BATCH_BYTES = 4 << 20
"""About how much of a row group is decoded at once."""

BATCH_ROWS = 128
"""The maximum of rows that are decoded at once. A batch costs 0.1 ms, so that more would gain little; and if values are
kept in a dictionary, rows may be larger than their place in the file lets expect."""

BUFFERED_BYTES = 32 << 20
"""How much is buffered of all columns together."""

MAGIC = b"PAR1"
_MAGIC_ENCRYPTED = b"PARE"
_ENCRYPTION = 8  # the footer's field of that name

_DAMAGE = (pa.ArrowException, OSError, thrift.MalformedError, UnicodeDecodeError)


Source = IO[bytes] | io.RawIOBase
"""A file that can be read at any place."""


@contextmanager
def damage_told() -> Iterator[None]:
    """Turn what pyarrow raises at a damaged file into DropRejectedError; let through what reading from S3 raised."""
    try:
        yield
    except _DAMAGE as error:
        if isinstance(error, OSError) and type(error) is not OSError:
            raise  # a connection's; pyarrow has no kinds of its own
        raise DropRejectedError.because(damaged()) from error


def damaged() -> Problem:
    """Return the problem of a file that cannot be read."""
    return Problem(
        "corrupt_parquet", "The Parquet file is damaged, or not Parquet at all; write the table and drop it again."
    )


def open_table(file: Source) -> pq.ParquetFile:
    """Open a file, its column chunks to be read in pieces. Raise DropRejectedError if that is impossible."""
    footer = thrift.parse(footer_of(file))
    if _ENCRYPTION in footer:
        raise DropRejectedError.because(_encrypted())
    metadata = pq.read_metadata(file)
    buffer = max(1 << 16, min(4 << 20, BUFFERED_BYTES // max(1, metadata.num_columns)))
    return pq.ParquetFile(file, metadata=metadata, buffer_size=buffer, pre_buffer=False)


def row_count(file: Source) -> int:
    """Return the number of a drop's rows."""
    count: int = open_table(file).metadata.num_rows
    return count


def _encrypted() -> Problem:
    return Problem("encrypted_parquet", "The Parquet file is encrypted; drop it as plain Parquet.")


def footer_of(file: Source) -> bytes:
    """Return the footer, as Thrift. Raise DropRejectedError if there is none that can be read."""
    size = file.seek(0, io.SEEK_END)
    if size < 12:
        raise DropRejectedError.because(damaged())
    file.seek(size - 8)
    end = file.read(8) or b""
    length = int.from_bytes(end[:4], "little")
    if end[4:] == _MAGIC_ENCRYPTED:
        raise DropRejectedError.because(_encrypted())
    if end[4:] != MAGIC or length > size - 12:
        raise DropRejectedError.because(damaged())
    if length > MAX_FOOTER_BYTES:
        message = (
            f"The Parquet file's footer takes {length:,} bytes, and {MAX_FOOTER_BYTES:,} is the maximum; write fewer "
            "and larger row groups."
        )
        raise DropRejectedError.because(Problem("footer_too_large", message))
    file.seek(size - 8 - length)
    return file.read(length) or b""


def batches_from(table: pq.ParquetFile, first_row: int = 1) -> Iterator[pa.RecordBatch]:
    """Yield the rows from `first_row` on."""
    start = 1
    for group in range(table.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        if start + rows > first_row:
            yield from _skipped(batches_of_group(table, group), max(0, first_row - start))
        start += rows


def batches_of_group(table: pq.ParquetFile, group: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a row group, counted from 0."""
    metadata = table.metadata.row_group(group)
    average = metadata.total_byte_size // max(1, metadata.num_rows)
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, average)))
    return iter(table.iter_batches(batch_size=rows, row_groups=[group], use_threads=False))


def _skipped(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if rows < batch.num_rows:
            yield batch.slice(rows) if rows else batch
        rows = max(0, rows - batch.num_rows)
