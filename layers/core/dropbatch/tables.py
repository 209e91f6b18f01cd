"""The results of a Parquet drop. What its shards' pieces say becomes what is to be added to the drop's own bytes.

A piece of the answers holds an object a row with the added members; one of the failed rows holds their numbers.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from dropbatch.domain.errors import ObjectMissing
from dropbatch.domain.jobs import Job
from dropbatch.jobfiles import JobFiles, lines, whole
from dropbatch.ports import BYTES, JSON, Piece, World
from dropbatch.ranged import RangedFile
from dropbatch.recipes.compiling import CompiledRecipe
from dropbatch.recipes.parsing import EMBEDDINGS, MODERATIONS


def parquet_pieces(world: World, files: JobFiles, job: Job, name: str, pieces: Sequence[Piece]) -> list[Piece]:
    """What the result `name` is to be joined of: the drop's first bytes where they are kept, and what is new.

    The latter is written into the work bucket, unless an invocation before this one has done so.
    """
    work, key = world.buckets.work, files.table_key(name)
    try:
        kept = json.loads(whole(world.objects, work, key + ".json"))["kept"]
    except ObjectMissing:
        kept = _written(world, files, job, name, pieces)
        world.objects.put(work, key + ".json", json.dumps({"kept": kept}).encode(), JSON)
    drop = job.drop
    new = Piece(work, key, 0, world.objects.head(work, key).size)
    return [Piece(drop.bucket, drop.key, 0, drop.size, kept, drop.version_id), new] if kept else [new]


def _written(world: World, files: JobFiles, job: Job, name: str, pieces: Sequence[Piece]) -> int:
    """Writes what is new in a result; returns how many bytes of the drop stand before it."""
    # pyarrow is deployed, and its quarter of a second is spent, only where there are tables.
    from dropbatch.formats.parquet.writing import DoesNotFit, write_answers, write_failed

    drop = job.drop
    file = RangedFile(world.objects, drop.bucket, drop.key, drop.version_id, drop.size)
    work, key = world.buckets.work, files.table_key(name)

    def found() -> Iterator[bytes]:
        return (line for piece in pieces for line in lines(world.objects, piece.bucket, piece.key))

    if name == "failed":
        with world.objects.writing(work, key, BYTES) as out:
            write_failed(file, map(int, found()), out, world.scratch)
        return 0
    recipe = files.recipe()
    assert recipe is not None  # noqa: S101  # a table always has one; tells the type checker
    schemas = column_schemas(recipe.compiled())
    while True:
        kept: list[int] = []
        try:
            with world.objects.writing(work, key, BYTES) as out:
                write_answers(file, schemas, found(), job.rows, out, kept.append, world.scratch)
            return sum(kept)
        except DoesNotFit as misfit:
            schemas[misfit.column] = None  # a text, which holds anything


def column_schemas(compiled: CompiledRecipe) -> dict[str, Any]:
    """The JSON Schemas of the columns that a recipe adds, None where there is none."""
    schema = compiled.validator.schema if compiled.validator else None
    if compiled.properties is not None and isinstance(schema, Mapping):
        found: list[Any] = [schema["properties"][name] for name in compiled.properties]
    else:
        found = list(_SCHEMAS.get(compiled.endpoint, ()))
    # What is computed from a response, and the outcome, come after.
    return dict(zip_longest(compiled.all_columns, found))


_SCHEMAS = {
    EMBEDDINGS: ({"type": "array", "items": {"type": "number"}},),
    MODERATIONS: ({"type": "boolean"}, {"type": "array", "items": {"type": "string"}}),
}
