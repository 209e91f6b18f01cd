"""Texts that lack their mark: Impala and old Spark write bytes, and do not say that they are UTF-8.

The rule: where a file does not hold Arrow's own schema, whose writers mark texts, a column of bytes is a text if all of
its values up to the first that is not empty, and all of the first 1,024 rows, are UTF-8. So it follows from the file
alone, wherever reading begins. A later value that is none is refused, for its column would change its meaning.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

MIN_ROWS = 1_024
BATCH_ROWS = 128

_ARROW_SCHEMA = b"ARROW:schema"


def unmarked_texts(table: pq.ParquetFile) -> dict[str, pa.DataType]:
    """Return the types of the columns that hold such texts, with texts in place of bytes."""
    schema = table.schema_arrow
    names = [field.name for field in schema if _holds_bytes(field.type)]
    if not names or _ARROW_SCHEMA in (table.metadata.metadata or {}):
        return {}
    found: dict[str, list[pa.Array]] = {name: [] for name in names}
    types: dict[str, pa.DataType] = {}
    rows = 0
    for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=names, use_threads=False):
        rows += batch.num_rows
        for name in names:
            column = batch.column(name)
            if rows <= MIN_ROWS or not any(map(_has_bytes, found[name])):
                found[name] = [*(kept for kept in found[name] if _has_bytes(kept)), column]
        if rows >= MIN_ROWS and all(any(map(_has_bytes, found[name])) for name in names):
            break
    for name in names:
        kind = schema.field(name).type
        text = _with_texts(kind, found[name])
        if text != kind:
            types[name] = text
    return types


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    if pa.types.is_nested(kind):
        return any(_holds_bytes(kind.field(place).type) for place in range(kind.num_fields))
    return False


def _has_bytes(column: pa.Array) -> bool:
    """Return whether some value of a column is neither null nor empty."""
    kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return any(len(value) for value in column.to_pylist() if value is not None)
    return any(map(_has_bytes, _children(column)))


def _children(column: pa.Array) -> Sequence[pa.Array]:
    kind = column.type
    if pa.types.is_struct(kind):
        return column.flatten()  # type: ignore[no-any-return]  # pyarrow has no types
    if pa.types.is_map(kind):
        return [column.keys, column.items]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [column.flatten()]
    return []


def _with_texts(kind: pa.DataType, columns: Sequence[pa.Array]) -> pa.DataType:
    types = pa.types
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _text_or_bytes(kind, columns)
    children = list(zip(*map(_children, columns), strict=True))
    if not children:
        return kind
    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return pa.struct(
            [field.with_type(_with_texts(field.type, its)) for field, its in zip(fields, children, strict=True)]
        )
    if types.is_map(kind):
        return pa.map_(_with_texts(kind.key_type, children[0]), _with_texts(kind.item_type, children[1]))
    item = _with_texts(kind.value_type, children[0])
    if types.is_fixed_size_list(kind):
        return pa.list_(item, kind.list_size)
    return (pa.large_list if types.is_large_list(kind) else pa.list_)(item)


def _text_or_bytes(kind: pa.DataType, columns: Sequence[pa.Array]) -> pa.DataType:
    text = pa.large_string() if pa.types.is_large_binary(kind) else pa.string()
    try:
        for column in columns:
            column.cast(text)
    except pa.ArrowInvalid:
        return kind
    return text if any(map(_has_bytes, columns)) else kind
