"""The results of a Parquet drop: the drop's own bytes, with columns that are added from the shards' pieces.

A piece of the answers has one object for each row, with the added members. A piece of the failed rows has their
numbers. Each shard's answers become column pages of their own, so that any number of invocations can share the work.
Joining copies within S3: the drop up to its footer, then the pages in the order of the file, then the new footer.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from dropbatch.batch_api.endpoints import endpoint_at
from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.domain.jobs import Job, Shard
from dropbatch.ports import BYTES, JSON, Piece, Writer
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.object_lines import read_lines
from dropbatch.storage.objects import read_object
from dropbatch.storage.ranged_file import RangedFile


class TableResults:
    """The results of one job. `in_time` says whether there is time for more."""

    def __init__(
        self,
        context: Context,
        files: JobFiles,
        job: Job,
        in_time: Callable[[], bool],
        number_in_file: Callable[[int], int],
    ) -> None:
        self._context, self._files, self._job, self._in_time = context, files, job, in_time
        self._number = number_in_file
        drop = job.drop
        self._file = RangedFile(context.objects, drop.bucket, drop.key, drop.version_id, drop.size)

    def failed(self, pieces: Iterable[Piece]) -> list[Piece]:
        """Return the parts of the failed rows' file."""
        # Only stacks that take tables deploy pyarrow. Its import takes a tenth of a second.
        from dropbatch.formats.parquet.selected_rows import write_failed

        numbers = map(self._number, map(int, self._lines(pieces)))
        return [self._once("failed", lambda out: write_failed(self._file, numbers, out, self._context.scratch))]

    def answers(self, shards: Sequence[Shard], pieces: Sequence[Sequence[Piece]]) -> list[Piece] | None:
        """Return the parts of the answers' file, made of each shard's pieces.

        Return None if time ran out; the finished parts are kept. If a value does not fit the type of its column, the
        column becomes a text, and all shards start again.
        """
        from dropbatch.formats.parquet.answer_columns import DoesNotFitError
        from dropbatch.formats.parquet.files import row_count

        recipe = self._files.recipe()
        assert recipe is not None  # noqa: S101  # a table always has one; tells the type checker
        schemas = column_schemas(recipe.compiled())
        texts: list[str] = self._kept("texts.json") or []
        while True:
            typed = schemas | dict.fromkeys(texts)
            try:
                if self._job.rows < row_count(self._file):
                    return self._limited(typed, chain.from_iterable(pieces))
                return self._appended(typed, f"{len(texts)}", shards, pieces)
            except DoesNotFitError as misfit:
                texts.append(misfit.column)
                self._keep("texts.json", texts)

    def _limited(self, schemas: Mapping[str, Any], pieces: Iterable[Piece]) -> list[Piece]:
        """Write the rows that the recipe's `limit` selects as a table of their own."""
        from dropbatch.formats.parquet.selected_rows import write_some

        def write(out: Writer) -> None:
            numbers = map(self._number, range(1, self._job.rows + 1))
            write_some(self._file, schemas, self._lines(pieces), numbers, out, self._context.scratch)

        return [self._once("answers", write)]

    def _appended(
        self, schemas: Mapping[str, Any], name: str, shards: Sequence[Shard], pieces: Sequence[Sequence[Piece]]
    ) -> list[Piece] | None:
        from dropbatch.formats.parquet.appended_columns import Segment, join_parts, write_part

        objects, work = self._context.objects, self._context.buckets.work
        parts: list[list[Segment]] = []
        for shard, shard_pieces in zip(shards, pieces, strict=True):
            part = f"{name}/{shard.number:06d}"
            kept = self._kept(part + ".json")
            if kept is None:
                with objects.writing(work, self._files.table_key(part), BYTES) as out:
                    answers = self._lines(shard_pieces)
                    kept = write_part(
                        self._file, schemas, answers, shard.first_row, shard.rows, out, self._context.scratch
                    )
                self._keep(part + ".json", kept)
                if not self._in_time():
                    return None
            parts.append([Segment(*segment) for segment in kept])
        before, ranges, footer = join_parts(self._file, schemas, parts)
        end = self._files.table_key(f"{name}/footer")
        objects.put(work, end, footer, BYTES)
        made = [self._made(self._files.table_key(f"{name}/{shard.number:06d}")) for shard in shards]
        drop = self._job.drop
        return [
            Piece(drop.bucket, drop.key, 0, drop.size, before, drop.version_id),
            *(Piece(work, made[part].key, start, made[part].size, stop) for part, start, stop in ranges),
            Piece(work, end, 0, len(footer)),
        ]

    def _once(self, name: str, write: Callable[[Writer], None]) -> Piece:
        """Return the object that `write` makes, unless an earlier invocation has made it."""
        key = self._files.table_key(name)
        if self._kept(name + ".json") is None:
            with self._context.objects.writing(self._context.buckets.work, key, BYTES) as out:
                write(out)
            self._keep(name + ".json", True)
        return self._made(key)

    def _lines(self, pieces: Iterable[Piece]) -> Iterator[bytes]:
        return (line for piece in pieces for line in read_lines(self._context.objects, piece.bucket, piece.key))

    def _made(self, key: str) -> Piece:
        work = self._context.buckets.work
        return Piece(work, key, 0, self._context.objects.head(work, key).size)

    def _kept(self, name: str) -> Any:
        """Return a value that an earlier invocation stored; None if there is none."""
        try:
            return json.loads(
                read_object(self._context.objects, self._context.buckets.work, self._files.table_key(name))
            )
        except ObjectNotFoundError:
            return None

    def _keep(self, name: str, value: Any) -> None:
        data = json.dumps(value).encode()
        self._context.objects.put(self._context.buckets.work, self._files.table_key(name), data, JSON)


def column_schemas(compiled: CompiledRecipe) -> dict[str, Any]:
    """Return the JSON Schema of each column that a recipe adds; None for a column without a schema."""
    schema = compiled.validator.schema if compiled.validator else None
    if compiled.properties is not None and isinstance(schema, Mapping):
        found: list[Any] = [schema["properties"][name] for name in compiled.properties]
    else:
        found = [column.schema for column in endpoint_at(compiled.endpoint).columns]
    # The columns that are computed from a response, and the outcome, come last.
    return dict(zip_longest(compiled.all_columns, found))
