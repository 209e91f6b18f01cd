"""Opening a drop: a reader of its rows, from the first row or from the place where an earlier invocation stopped."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.csv.dialect import NO_OPTIONS, NONE, CsvOptions
from dropbatch.formats.file_types import FileType, Kind, file_type
from dropbatch.formats.layout import Layout
from dropbatch.formats.reading import Position, read_drop, read_on
from dropbatch.formats.records import Chunk
from dropbatch.formats.resumable_stream import ResumableStream, ResumePoint
from dropbatch.formats.transcoding import Storage
from dropbatch.storage.context import Context
from dropbatch.storage.ranged_file import RangedFile
from dropbatch.storage.recipe_text import RecipeText

if TYPE_CHECKING:
    from dropbatch.formats.parquet.reading import TableReader

LAST_SECONDS = 4
"""Dropbatch gives a drop up if an invocation has less time left before it reaches the place where the last stopped."""


class Reader(Protocol):
    """A reader of a drop's rows, chunk by chunk."""

    @property
    def layout(self) -> Layout: ...

    @property
    def hints(self) -> Sequence[Problem]:
        """Possible causes if the drop lacks columns that a recipe names."""
        ...

    @property
    def position(self) -> Position:
        """The start of the row after those that were returned."""
        ...

    def chunks(self) -> Iterator[Chunk]: ...

    def pass_over(self) -> Iterator[int]:
        """Skip the other rows, and yield for each step how many it has skipped."""
        ...


class Source(Protocol):
    """The content that a drop's rows are read from."""

    def mark(self, offset: int) -> ResumePoint:
        """Return the place from which to read again to continue at `offset`, a reader's position."""
        ...

    def digest(self) -> str:
        """Return the hash of all content that was read."""
        ...


def open_drop(context: Context, drop: Drop, kind: FileType, recipe: RecipeText | None) -> tuple[Source, Reader]:
    """Open a drop at its first row, and detect its layout as far as the recipe does not say it."""
    if kind.kind is Kind.PARQUET:
        table = _table(context, drop)
        return table, table
    keys = recipe.parsed() if recipe else None
    options = CsvOptions(keys.delimiter, keys.quoting, keys.escape, keys.header) if keys else NO_OPTIONS
    has_quotes = kind.kind in (Kind.CSV, Kind.TSV) and options.quoting != NONE
    content = content_of(context, drop, kind, has_quotes=has_quotes)
    encoding = keys.encoding if keys else None
    return content, read_drop(
        content, kind, options=options, encoding=encoding, limits=context.limits, storage=content.storage
    )


def reopen_drop(
    context: Context, drop: Drop, layout: Layout, position: Position, mark: ResumePoint
) -> tuple[Source, Reader]:
    """Open a drop at a position that an earlier invocation reached."""
    if layout.kind is Kind.PARQUET:
        table = _table(context, drop, position, mark)
        return table, table
    content = content_of(context, drop, file_type(drop.key), mark, position.offset, layout.storage)
    return content, read_on(content, layout, position, context.limits)


def content_of(
    context: Context,
    drop: Drop,
    kind: FileType,
    mark: ResumePoint | None = None,
    offset: int = 0,
    storage: Storage | None = None,
    *,
    has_quotes: bool = False,
) -> ResumableStream:
    """Return the unpacked content of a drop from `offset` on."""

    def passing_over() -> None:
        if context.seconds_left() < LAST_SECONDS:
            raise DropRejectedError.because(
                Problem(
                    "too_large_packed",
                    f"The file is compressed, and too large to be read on with: to unpack its first {offset:,} bytes "
                    "again takes longer than a function may run; drop it uncompressed, or as several files.",
                )
            )

    return ResumableStream(
        lambda start: context.objects.blocks(drop.bucket, drop.key, drop.version_id, start),
        kind.compression,
        context.limits.drop_bytes,
        mark,
        offset,
        passing_over,
        storage,
        has_quotes=has_quotes,
    )


def _table(
    context: Context, drop: Drop, position: Position | None = None, mark: ResumePoint | None = None
) -> "TableReader":
    # Imported here, because pyarrow takes a tenth of a second and may not be deployed.
    from dropbatch.formats.parquet.reading import START, read_parquet

    file = RangedFile(context.objects, drop.bucket, drop.key, drop.version_id, drop.size)
    return read_parquet(file, context.limits, position or START, mark.digest if mark else "")
