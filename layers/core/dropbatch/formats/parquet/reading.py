"""Rows of a Parquet file as records.

A row becomes an object of JSON on a line of its own, so that all later steps treat a table as JSON Lines. Bytes of
programs that mark no texts (Impala, old Spark) are texts if they can be: see `unmarked_texts`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

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
from dropbatch.formats.parquet.files import Source, batches_from, damage_told, damaged, open_table
from dropbatch.formats.parquet.json_values import form_of, json_values
from dropbatch.formats.parquet.unmarked_texts import unmarked_texts
from dropbatch.formats.reading import Position
from dropbatch.formats.records import Chunk, Record, Records, quote_name
from dropbatch.formats.resumable_stream import ResumePoint


class TableReader:
    """A Parquet drop with its `layout`, to be iterated once for its rows.

    `position` is the next row's; its offset is the size of the JSON of all rows before.
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
        self._forms = [form_of(texts.get(field.name, field.type), field.name) for field in schema]

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(chunk.records() for chunk in self.chunks())

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows. Raise DropRejectedError if the rest cannot be read."""
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
        """Skip the remaining rows, and yield how many they are, as the footer says."""
        rows: int = self._table.metadata.num_rows
        count = rows + 1 - self.position.number
        self.position = Position(self.position.offset, rows + 1, rows + 1)
        yield count

    def digest(self) -> str:
        """Return the hash of all rows so far. Wherever a reader begins, its chunks end where any other's do."""
        return self._digest

    def mark(self, offset: int) -> ResumePoint:
        """Return where to continue, besides the position."""
        return ResumePoint(hashed=offset, digest=self._digest)

    def _too_large(self, raw: bytes, number: int, size: int) -> Problem | None:
        most = self._limits.line_bytes
        if len(raw) > most:
            message = f"Row {number} is longer than {most:,} bytes, the most a row may have; shorten it."
            return Problem("line_too_long", message, line=number)
        return too_large(self._limits.drop_bytes) if size > self._limits.drop_bytes else None

    def _batches(self, first: int) -> Iterator[Iterator[bytes]]:
        """Yield the rows' JSON, a batch at a time."""
        names = self.layout.columns
        batches = batches_from(self._table, first)
        while True:
            with damage_told():
                batch = next(batches, None)
                if batch is None:
                    return
                try:
                    columns = [json_values(batch.column(place), form) for place, form in enumerate(self._forms)]
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
    """Read a drop, from `position` on, up to which its rows have the hash `digest`.

    Raise DropRejectedError, here or while iterating, if the file is damaged or encrypted, has no rows, or columns that
    JSON cannot show, or if its rows are more than the limits allow.
    """
    with damage_told():
        table = open_table(file)
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


def _check_names(schema: pa.Schema) -> None:
    """Raise DropRejectedError if an object of a row would have a name twice, or a column has none."""
    problems = Problems()
    seen: set[str] = set()
    for place, name in enumerate(schema.names):
        if not name.strip():
            problems.add(Problem("empty_column", f"Column {place + 1} has no name; give it one."))
        elif name in seen:
            message = f"The file has the column {quote_name(name)} more than once; rename all but one."
            problems.add(Problem("duplicate_column", message, column=cut(name, 60)))
        elif _repeats(schema.field(place).type):
            message = (
                f"Column {quote_name(name)} holds a structure that has a member more than once; rename all but one."
            )
            problems.add(Problem("duplicate_column", message, column=cut(name, 60)))
        seen.add(name)
    if problems:
        raise DropRejectedError(problems)


def _repeats(kind: pa.DataType) -> bool:
    children = [kind.field(place) for place in range(kind.num_fields)]
    names = [child.name for child in children]
    repeats = pa.types.is_struct(kind) and len(set(names)) < len(names)
    return repeats or any(_repeats(child.type) for child in children)
