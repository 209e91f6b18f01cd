"""The pages of column chunks, written batch by batch.

pyarrow writes only row groups that it holds as a whole. Therefore each batch of rows is written as a small file of its
own, and a chunk is put together from the pages of many: a chunk without a dictionary is its pages and nothing else.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile

import pyarrow as pa
import pyarrow.parquet as pq

from dropbatch.formats.parquet import thrift
from dropbatch.formats.parquet.files import BUFFERED_BYTES, footer_of
from dropbatch.formats.parquet.footer import (
    COLUMNS,
    COMPRESSED,
    DATA_PAGE_OFFSET,
    META_DATA,
    NUM_VALUES,
    ROW_GROUPS,
    UNCOMPRESSED,
)
from dropbatch.ports import Writer


class Pages:
    """Collects the pages of a row group's columns, batch by batch, on the disk if they are many."""

    def __init__(self, schema: pa.Schema, codec: str, scratch: Path) -> None:
        self._schema = schema
        self._codec = codec
        leaves = len(chunk_patterns(schema, codec))
        most = BUFFERED_BYTES // leaves + 1
        self._spools = [
            SpooledTemporaryFile(max_size=most, dir=str(scratch))  # noqa: SIM115  # closed with all others
            for _ in range(leaves)
        ]
        self._clear()

    def __enter__(self) -> "Pages":
        return self

    def __exit__(self, *_error: object) -> None:
        for spool in self._spools:
            spool.close()

    def _clear(self) -> None:
        self.rows = self.size = 0
        self._values = [0] * len(self._spools)
        self._uncompressed = [0] * len(self._spools)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the pages of a batch of rows."""
        table = pa.Table.from_batches([batch], self._schema)
        for place, (chunk, pages) in enumerate(_write_row_group(table, self._codec)):
            meta = thrift.parse(thrift.parse(chunk)[META_DATA].data)
            self._values[place] += thrift.to_int(meta[NUM_VALUES].data)
            self._uncompressed[place] += thrift.to_int(meta[UNCOMPRESSED].data)
            self._spools[place].write(pages)
            self.size += len(pages)
        self.rows += batch.num_rows

    def flush(self, out: Writer) -> list[tuple[int, int, int]]:
        """Write the columns one after another. Return how many values each has, and its size un- and compressed."""
        columns = []
        for place, spool in enumerate(self._spools):
            columns.append((self._values[place], self._uncompressed[place], spool.tell()))
            spool.seek(0)
            while block := spool.read(1 << 20):
                out.write(block)
            spool.seek(0)
            spool.truncate()
        self._clear()
        return columns


def chunk_patterns(schema: pa.Schema, codec: str) -> list[thrift.Struct]:
    """Return what the entries of each column have in common in any row group."""
    chunks = _write_row_group(schema.empty_table(), codec)
    return [thrift.parse(thrift.parse(chunk)[META_DATA].data) for chunk, _ in chunks]


def _write_row_group(table: pa.Table, codec: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield each column's chunk of the table as one row group: the footer's entry, and its pages."""
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        row_group_size=max(1, table.num_rows),
        compression=codec,
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
    )
    data = sink.getbuffer()
    [group] = thrift.items(thrift.parse(footer_of(sink))[ROW_GROUPS])
    for chunk in thrift.items(thrift.parse(group)[COLUMNS]):
        meta = thrift.parse(thrift.parse(chunk)[META_DATA].data)
        start = thrift.to_int(meta[DATA_PAGE_OFFSET].data)
        yield chunk, bytes(data[start : start + thrift.to_int(meta[COMPRESSED].data)])


def codec_of(table: pq.ParquetFile) -> str:
    """Return what the drop's first chunk is compressed with."""
    if not table.num_row_groups:
        return "NONE"
    codec: str = table.metadata.row_group(0).column(0).compression
    return "NONE" if codec == "UNCOMPRESSED" else codec
