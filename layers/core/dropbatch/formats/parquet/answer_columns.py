"""The columns that answers add to a table: their types, and their values out of JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import pyarrow as pa

from dropbatch.formats.parquet.files import BATCH_BYTES, BATCH_ROWS
from dropbatch.json_encoding import to_json

ANSWERS_AT_ONCE = 8 * BATCH_ROWS
"""The maximum of answers that are encoded at once, if they are no more than `BATCH_BYTES`."""


class DoesNotFitError(Exception):
    """A column holds a value that is not of its type."""

    def __init__(self, column: str) -> None:
        super().__init__("a value is not of its column's type")
        self.column = column


def answer_type(schema: Any) -> pa.DataType:
    """Return the type of the column for a member with this JSON Schema; text, which can hold all, if that is open."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(kind, list):
        others = [name for name in kind if name != "null"]
        kind = others[0] if len(others) == 1 else None
    match kind:
        case "integer":
            return pa.int64()
        case "number":
            return pa.float64()
        case "boolean":
            return pa.bool_()
        case "array":
            return pa.list_(answer_type(schema.get("items")))
    return pa.string()


def columns_of(schemas: Mapping[str, Any]) -> pa.Schema:
    """Return the columns for members with these JSON Schemas by names."""
    return pa.schema([pa.field(name, answer_type(schema)) for name, schema in schemas.items()])


def answer_batches(added: pa.Schema, answers: Iterator[bytes], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield batches of the next `rows` answers, of bounded size. Raise DoesNotFitError if a value does not fit."""
    while rows:
        lines: list[bytes] = []
        size = 0
        for line in islice(answers, min(rows, ANSWERS_AT_ONCE)):
            lines.append(line)
            size += len(line)
            if size >= BATCH_BYTES:
                break
        if not lines:
            raise AssertionError("there are fewer answers than rows")
        yield _answer_batch(added, lines)
        rows -= len(lines)


def _answer_batch(added: pa.Schema, lines: Sequence[bytes]) -> pa.RecordBatch:
    found = [msgspec.json.decode(line) for line in lines]
    arrays = []
    for field in added:
        fit = _fit(field.type)
        try:
            values = [fit(values.get(field.name)) for values in found]
            arrays.append(pa.array(values, field.type))
        except (pa.ArrowException, OverflowError, TypeError) as error:
            raise DoesNotFitError(field.name) from error
    return pa.RecordBatch.from_arrays(arrays, schema=added)


def _fit(kind: pa.DataType) -> Callable[[Any], Any]:
    """Return what makes a value fit a type, as pyarrow is too lenient. It raises TypeError if a value does not fit."""
    if pa.types.is_string(kind):
        return lambda value: value if value is None or isinstance(value, str) else to_json(value).decode()
    if pa.types.is_int64(kind):
        return _whole
    if pa.types.is_list(kind):
        fit = None if pa.types.is_float64(kind.value_type) else _fit(kind.value_type)
        return lambda value: _items(value, fit)
    return lambda value: value


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 3.0 is a whole number in JSON Schema
    if value is None or type(value) is int:
        return value
    raise TypeError


def _items(value: Any, fit: Callable[[Any], Any] | None) -> list[Any] | None:
    if value is None or (fit is None and isinstance(value, list)):
        return value
    if fit is None or not isinstance(value, list):
        raise TypeError
    return [fit(item) for item in value]


def check_all_taken(answers: Iterator[bytes]) -> None:
    """Raise AssertionError if answers are left."""
    if next(answers, None) is not None:
        raise AssertionError("there are more answers than rows")
