"""Reading of drops from bytes, and answers to their records."""

from collections.abc import Sequence

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.compression import Compression
from dropbatch.formats.csv.dialect import NONE, CsvOptions
from dropbatch.formats.file_types import Kind, file_type
from dropbatch.formats.layout import Layout
from dropbatch.formats.reading import DropReader, Record, read_drop
from dropbatch.formats.resumable_stream import ResumableStream
from dropbatch.formats.writing import row_writer


def drop(
    name: str,
    data: bytes,
    *,
    block: int = 1 << 20,
    delimiter: str | None = None,
    quoting: str | None = None,
    escape: str | None = None,
    header: int | None = None,
    encoding: str | None = None,
    limits: Limits | None = None,
) -> DropReader:
    limits = limits or Limits()
    kind = file_type(name)
    content = ResumableStream(
        lambda first: (data[start : start + block] for start in range(first, len(data), block)),
        Compression.NONE,
        limits.drop_bytes,
        storage=None,
        has_quotes=kind.kind in (Kind.CSV, Kind.TSV) and quoting != NONE,
    )
    options = CsvOptions(delimiter, quoting, escape, header)
    return read_drop(content, kind, options=options, encoding=encoding, limits=limits, storage=content.storage)


def rows(name: str, data: bytes, **options: str | int | Limits) -> list[Record]:
    return list(drop(name, data, **options))  # type: ignore[arg-type]  # passed on unchanged


def rejected(name: str, data: bytes, **options: str | int | Limits) -> Problem:
    """Return the one problem for which the whole drop is refused."""
    with pytest.raises(DropRejectedError) as caught:
        rows(name, data, **options)
    [problem] = caught.value.problems
    return problem


def row_problem(name: str, data: bytes, **options: str | int | Limits) -> Problem:
    """Return the one problem of the rows of the drop."""
    [problem] = [record.problem for record in rows(name, data, **options) if record.problem]
    return problem


def answered(layout: Layout, record: Record, names: Sequence[str], values: Sequence[object]) -> bytes:
    """Return a record with `values` added under `names`."""
    writer = row_writer(layout, names)
    columns = writer.columns([values])[0]
    return writer.bad_row(record.raw, columns) if record.problem else writer.rows([record.raw], [columns])[0]
