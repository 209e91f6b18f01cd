"""The footer of a Parquet file as it is changed, or made of parts: parquet.thrift of the format's specification.

https://github.com/apache/parquet-format
"""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from dropbatch.formats.parquet import thrift
from dropbatch.formats.parquet.files import MAGIC, footer_of

# The ids of the structures' fields
SCHEMA, NUM_ROWS, ROW_GROUPS, KEY_VALUES, COLUMN_ORDERS = 2, 3, 4, 5, 7  # FileMetaData
NUM_CHILDREN = 5  # SchemaElement
COLUMNS, TOTAL_BYTES, GROUP_ROWS, GROUP_OFFSET, TOTAL_COMPRESSED = 1, 2, 3, 5, 6  # RowGroup
CHUNK_OFFSET, META_DATA = 2, 3  # ColumnChunk
TYPE_TO_CODEC = (1, 2, 3, 4)  # ColumnMetaData: type, encodings, path_in_schema, codec
NUM_VALUES, UNCOMPRESSED, COMPRESSED, DATA_PAGE_OFFSET = 5, 6, 7, 9

_ARROW_SCHEMA = b"ARROW:schema"


def add_columns(footer: thrift.Struct, table: pq.ParquetFile, added: pa.Schema) -> None:
    """Add columns to a footer: to its schema, and to pyarrow's own if there is one."""
    theirs = empty_footer(added)
    root, *elements = thrift.items(footer[SCHEMA])
    fields = thrift.parse(root)
    fields[NUM_CHILDREN] = plus(fields[NUM_CHILDREN], len(added))
    footer[SCHEMA] = thrift.structs([thrift.build(fields), *elements, *thrift.items(theirs[SCHEMA])[1:]])
    if COLUMN_ORDERS in footer:
        orders = thrift.items(footer[COLUMN_ORDERS]) + thrift.items(theirs[COLUMN_ORDERS])
        footer[COLUMN_ORDERS] = thrift.structs(orders)
    if KEY_VALUES in footer:
        schema = _key_values(empty_footer(with_columns(table.schema_arrow, added)))[_ARROW_SCHEMA]
        footer[KEY_VALUES] = thrift.structs(
            [schema if key == _ARROW_SCHEMA else pair for key, pair in _key_values(footer).items()]
        )


def _key_values(footer: thrift.Struct) -> dict[bytes, bytes]:
    pairs = thrift.items(footer[KEY_VALUES])
    return {thrift.to_bytes(thrift.parse(pair)[1].data): pair for pair in pairs}


def with_columns(schema: pa.Schema, added: pa.Schema) -> pa.Schema:
    """Return a schema with more columns."""
    for field in added:
        schema = schema.append(field)
    return schema


def empty_footer(schema: pa.Schema) -> thrift.Struct:
    """Return the footer of a file of this schema, without rows."""
    sink = io.BytesIO()
    pq.ParquetWriter(sink, schema).close()
    return thrift.parse(footer_of(sink))


def column_chunk(pattern: thrift.Struct, values: int, uncompressed: int, compressed: int, at: int) -> bytes:
    """Return the footer's entry of a column chunk at `at`: `pattern`, with its number of values and its sizes."""
    meta = {identity: pattern[identity] for identity in TYPE_TO_CODEC}
    meta[NUM_VALUES] = number_field(values)
    meta[UNCOMPRESSED] = number_field(uncompressed)
    meta[COMPRESSED] = number_field(compressed)
    meta[DATA_PAGE_OFFSET] = number_field(at)
    return thrift.build({CHUNK_OFFSET: number_field(0), META_DATA: thrift.Field(thrift.STRUCT, thrift.build(meta))})


def number_field(value: int) -> thrift.Field:
    """Return a field that holds a number."""
    return thrift.Field(thrift.I64, thrift.from_int(value))


def plus(field: thrift.Field, more: int) -> thrift.Field:
    """Return a field whose number is larger by `more`."""
    return thrift.Field(field.kind, thrift.from_int(thrift.to_int(field.data) + more))


def end_of_file(footer: thrift.Struct) -> bytes:
    """Return the end of a file."""
    data = thrift.build(footer)
    return data + len(data).to_bytes(4, "little") + MAGIC
