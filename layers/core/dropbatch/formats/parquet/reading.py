"""Rows of a Parquet file as records.

A row becomes an object of JSON on a line of its own, so that all that follows treats a table as JSON Lines. What JSON
does not have is written as text: decimals with all their digits, times as ISO 8601 has them, bytes as base64. NaN is
null. Bytes of programs that mark no texts (Impala, old Spark) are texts where they can be: see `unmarked_texts`.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.drops import cut
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem, Problems
from dropbatch.formats.compression import too_large
from dropbatch.formats.encodings import UTF_8
from dropbatch.formats.file_types import Kind
from dropbatch.formats.layout import Layout
from dropbatch.formats.parquet.files import Source, batches_from, damage_told, damaged, opened
from dropbatch.formats.parquet.unmarked_texts import unmarked_texts
from dropbatch.formats.reading import Position
from dropbatch.formats.records import Chunk, Record, Records, called
from dropbatch.formats.resumable_stream import ResumePoint


class TableReader:
    """A Parquet drop with its `layout`, to be iterated once for its rows.

    `position` tells which row follows those given so far; its offset is the size of their JSON.
    """

    def __init__(self, table: pq.ParquetFile, limits: Limits, position: Position, digest: str) -> None:
        schema = table.schema_arrow
        self.layout = Layout(Kind.PARQUET, False, tuple(schema.names), None, UTF_8, b"", "\n", False)
        self.position = position
        self.hints: Sequence[Problem] = ()
        self._digest = digest
        self._table = table
        self._limits = limits
        texts = unmarked_texts(table)
        self._has_unmarked = bool(texts)
        self._forms = [_form(texts.get(field.name, field.type), field.name) for field in schema]

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(chunk.records() for chunk in self.chunks())

    def chunks(self) -> Iterator[Chunk]:
        first = self.position.number
        for batch in self._batches(first):
            records: list[Record] = []
            problem = None
            size = self.position.offset
            for raw in batch:
                number = first + len(records)
                problem = self._too_large(raw, number, size + len(raw))
                if problem is not None:
                    break
                size += len(raw)
                records.append(Record(number, number, raw, _decode(raw)))
            first += len(records)
            if records:
                chunk = Records(records)
                self.position = Position(size, first, first)
                self._digest = hashlib.sha256(b"".join([self._digest.encode(), *chunk.raws])).hexdigest()
                yield chunk
            if problem is not None:
                raise DropRejectedError.because(problem)
        if first <= self._table.metadata.num_rows:
            raise DropRejectedError.because(damaged())

    def pass_over(self) -> Iterator[int]:
        """Passes over the rows that are left: the footer says how many there are."""
        rows: int = self._table.metadata.num_rows
        count = rows + 1 - self.position.number
        self.position = Position(self.position.offset, rows + 1, rows + 1)
        yield count

    def digest(self) -> str:
        """The hash of all rows given so far. Wherever a reader begins, its chunks end where any other's do."""
        return self._digest

    def mark(self, offset: int) -> ResumePoint:
        """Where to go on, besides the position."""
        return ResumePoint(hashed=offset, digest=self._digest)

    def _too_large(self, raw: bytes, number: int, size: int) -> Problem | None:
        most = self._limits.line_bytes
        if len(raw) > most:
            message = f"Row {number} is longer than {most:,} bytes, the most a row may have; shorten it."
            return Problem("line_too_long", message, line=number)
        return too_large(self._limits.drop_bytes) if size > self._limits.drop_bytes else None

    def _batches(self, first: int) -> Iterator[Iterator[bytes]]:
        """The rows' JSON, a batch at a time."""
        names = self.layout.columns
        batches = batches_from(self._table, first)
        while True:
            with damage_told():
                batch = next(batches, None)
                if batch is None:
                    return
                try:
                    columns = [_shown(batch.column(place), form) for place, form in enumerate(self._forms)]
                except KeyError as error:
                    message = (
                        f"A map in rows {first} to {first + batch.num_rows - 1} has a key more than once; keep one of "
                        "them."
                    )
                    raise DropRejectedError.because(Problem("duplicate_key", message, line=first)) from error
                except pa.ArrowInvalid as error:
                    if not self._has_unmarked:
                        raise
                    raise DropRejectedError.because(_no_text(first, first + batch.num_rows - 1)) from error
            first += batch.num_rows
            yield (_encode(dict(zip(names, values, strict=True))) + b"\n" for values in zip(*columns, strict=True))


def _no_text(first: int, last: int) -> Problem:
    message = (
        f"Rows {first} to {last} hold bytes that are not UTF-8 in a column whose values before are texts, though the "
        "file does not mark them as such; cast the column to a string where all are texts, or leave it out."
    )
    return Problem("invalid_utf8", message, line=first)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

START = Position(0, 1, 1)


def read_parquet(file: Source, limits: Limits, position: Position = START, digest: str = "") -> TableReader:
    """Reads a drop, or goes on with it where another reader stood.

    DropRejectedError, here or while iterating, where the file is damaged or encrypted, has no rows, or columns
    that JSON cannot show, or where its rows are more than the limits allow.
    """
    with damage_told():
        table = opened(file)
        rows, names = table.metadata.num_rows, table.schema_arrow.names
        if not names:
            raise DropRejectedError.because(
                Problem("no_columns", "The Parquet file has no columns; drop one that has some.")
            )
        _check_names(table.schema_arrow)
        if not rows:
            message = "The Parquet file has no rows; drop one that has at least one."
            raise DropRejectedError.because(Problem("empty_file", message))
        shortest = sum(len(name) + len('"":0,') for name in names) + len("{}")
        if rows * shortest > limits.drop_bytes:
            raise DropRejectedError.because(too_large(limits.drop_bytes))
        return TableReader(table, limits, position, digest)


# Values, as JSON has them


_Show = Callable[[Any], Any]
_Form = tuple[pa.DataType, _Show | None]
"""What a column is cast to, and what then becomes of its values, None where they stay as they are."""


def _form(kind: pa.DataType, column: str) -> _Form:
    """How values of a type become JSON. DropRejectedError (`unsupported_type`) where they cannot."""
    types = pa.types
    if types.is_dictionary(kind):
        return _form(kind.value_type, column)
    if types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        per_second = _PER_SECOND[kind.unit]
        return pa.int64(), _each(lambda value: _timestamp(value, per_second) + zone)
    if types.is_date32(kind):
        return pa.int32(), _each(_date)
    if types.is_date64(kind):
        return pa.int64(), _each(lambda value: _date(value // 86_400_000))
    if types.is_time(kind):
        per_second = _PER_SECOND[kind.unit]
        return pa.int32() if types.is_time32(kind) else pa.int64(), _each(lambda value: _time(value, per_second))
    if types.is_duration(kind):
        per_second = _PER_SECOND[kind.unit]
        return pa.int64(), _each(lambda value: _duration(value, per_second))
    if types.is_decimal(kind):
        return kind, _each(lambda value: format(value, "f"))
    if types.is_float32(kind):
        return pa.string(), _each(float)  # the shortest text of 32 bits: 0.1, not 0.10000000149011612
    if types.is_map(kind):
        return _map_form(kind, column)
    if types.is_fixed_size_list(kind):
        child, show = _form(kind.value_type, column)
        return pa.list_(child, kind.list_size), show and _each(_all(show))
    if types.is_list(kind) or types.is_large_list(kind):
        child, show = _form(kind.value_type, column)
        return (pa.large_list if types.is_large_list(kind) else pa.list_)(child), show and _each(_all(show))
    if types.is_struct(kind):
        return _struct_form(kind, column)
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name in ("arrow.json", "arrow.uuid"):
            return kind, None
        return _form(kind.storage_type, column)
    if any(test(kind) for test in _AS_THEY_ARE):
        return kind, None
    message = (
        f"Column {called(column)} has the type {cut(str(kind), 60)}, which JSON cannot show; cast it or leave it out."
    )
    raise DropRejectedError.because(Problem("unsupported_type", message, column=cut(column, 60)))


_AS_THEY_ARE: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_float16,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _map_form(kind: pa.MapType, column: str) -> _Form:
    key = kind.key_type
    if not (pa.types.is_string(key) or pa.types.is_large_string(key) or pa.types.is_integer(key)):
        message = f"Column {called(column)} is a map whose keys are neither texts nor whole numbers; cast them."
        raise DropRejectedError.because(Problem("unsupported_type", message, column=cut(column, 60)))
    item, show = _form(kind.item_type, column)
    if show is None:
        return pa.map_(key, item), None
    return pa.map_(key, item), _each(lambda value: {name: show(part) for name, part in value.items()})


def _struct_form(kind: pa.StructType, column: str) -> _Form:
    forms = {field.name: _form(field.type, column) for field in kind}
    shows = {name: show for name, (_, show) in forms.items() if show is not None}
    target = pa.struct([pa.field(name, child) for name, (child, _) in forms.items()])
    if not shows:
        return target, None
    return target, _each(lambda value: value | {name: show(value[name]) for name, show in shows.items()})


def _each(show: _Show) -> _Show:
    return lambda value: None if value is None else show(value)


def _all(show: _Show) -> _Show:
    return lambda values: [show(value) for value in values]


def _shown(column: pa.Array, form: _Form) -> list[Any]:
    target, show = form
    values: list[Any] = (column if column.type == target else column.cast(target)).to_pylist(maps_as_pydicts="strict")
    return values if show is None else [show(value) for value in values]


def _date(days: int) -> str:
    """The date so many days after 1970 began, of any year, which Python's own do not have (H. Hinnant's algorithm)."""
    era, day = divmod(days + 719_468, 146_097)
    of_era = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * of_era + of_era // 4 - of_era // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    year = of_era + era * 400 + (month <= 2)
    return f"{year:04}-{month:02}-{day + 1:02}" if 0 <= year <= 9999 else f"{year:+05}-{month:02}-{day + 1:02}"


def _time(value: int, per_second: int) -> str:
    seconds, fraction = divmod(value, per_second)
    text = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (_fraction(fraction, per_second) if fraction else "")


def _timestamp(value: int, per_second: int) -> str:
    days, rest = divmod(value, 86_400 * per_second)
    return f"{_date(days)}T{_time(rest, per_second)}"


def _duration(value: int, per_second: int) -> str:
    seconds, fraction = divmod(abs(value), per_second)
    return f"{'-' if value < 0 else ''}PT{seconds}{_fraction(fraction, per_second) if fraction else ''}S"


def _fraction(fraction: int, per_second: int) -> str:
    return "." + str(fraction).zfill(len(str(per_second)) - 1)


def _check_names(schema: pa.Schema) -> None:
    """DropRejectedError where an object of a row would have a name twice, or a column has none."""
    problems = Problems()
    seen: set[str] = set()
    for place, name in enumerate(schema.names):
        if not name.strip():
            problems.add(Problem("empty_column", f"Column {place + 1} has no name; give it one."))
        elif name in seen:
            message = f"The file has the column {called(name)} more than once; rename all but one."
            problems.add(Problem("duplicate_column", message, column=cut(name, 60)))
        elif _repeats(schema.field(place).type):
            message = f"Column {called(name)} holds a structure that has a member more than once; rename all but one."
            problems.add(Problem("duplicate_column", message, column=cut(name, 60)))
        seen.add(name)
    if problems:
        raise DropRejectedError(problems)


def _repeats(kind: pa.DataType) -> bool:
    children = [kind.field(place) for place in range(kind.num_fields)]
    names = [child.name for child in children]
    repeats = pa.types.is_struct(kind) and len(set(names)) < len(names)
    return repeats or any(_repeats(child.type) for child in children)
