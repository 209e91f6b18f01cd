"""The files of a job in the work bucket: its recipe, its layout, its rows, and how far each step has come."""

import json
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.domain.jobs import Shard
from dropbatch.domain.skipped import SkippedRows
from dropbatch.formats.layout import Layout
from dropbatch.formats.reading import DropReader, read_rows
from dropbatch.ports import BYTES, JSON, Objects, Piece, Writer
from dropbatch.storage.job_ends import work_prefix
from dropbatch.storage.object_lines import read_lines
from dropbatch.storage.objects import read_object
from dropbatch.storage.recipe_text import RecipeText
from dropbatch.storage.request_digests import RequestDigests
from dropbatch.storage.shard_index import ShardIndex
from dropbatch.storage.unique_ids import UniqueIds


class BatchRow(NamedTuple):
    """A row that a batch has, and how often it failed before."""

    number: int
    tries: int

    def to_line(self) -> bytes:
        return b"%d %d\n" % self


class JobFiles:
    """The files of one job, below `jobs/<job id>/` in the work bucket.

    `found` is the job's recipe as this invocation read it, whether it can be used or not; None if it read none.
    """

    def __init__(self, objects: Objects, bucket: str, job_id: str) -> None:
        self._objects = objects
        self._bucket = bucket
        self._prefix = work_prefix(job_id)
        self.found: RecipeText | None = None

    def recipe(self) -> RecipeText | None:
        try:
            self.found = RecipeText.from_json(read_object(self._objects, self._bucket, self._prefix + "recipe.json"))
        except ObjectNotFoundError:
            return None
        return self.found

    def keep_recipe(self, recipe: RecipeText) -> RecipeText:
        """Store the job's recipe, unless one was stored before. Return the stored one."""
        if self._objects.put_new(self._bucket, self._prefix + "recipe.json", recipe.to_json(), JSON):
            return recipe
        return self.recipe() or recipe

    def layout(self) -> Layout:
        return Layout.from_json(json.loads(read_object(self._objects, self._bucket, self._prefix + "layout.json")))

    def keep_layout(self, layout: Layout) -> None:
        self._objects.put(self._bucket, self._prefix + "layout.json", json.dumps(layout.to_json()).encode(), JSON)

    def writing_shard(self, number: int, part: str | None = None) -> AbstractContextManager[Writer]:
        return self._objects.writing(self._bucket, self._shard_key(number, part), BYTES)

    def set_shard_aside(self, number: int, part: str, size: int) -> None:
        """Make the written bytes of a shard, `size` of them, its first part."""
        key = self._shard_key(number)
        if self._objects.head(self._bucket, key).size != size:
            raise AssertionError(f"shard {number} has been written by another process meanwhile")
        self._objects.join([Piece(self._bucket, key, 0, size)], self._bucket, self._shard_key(number, part), BYTES)

    def join_shard(self, number: int, parts: list[tuple[str, int]]) -> None:
        pieces = [Piece(self._bucket, self._shard_key(number, part), 0, size) for part, size in parts]
        self._objects.join(pieces, self._bucket, self._shard_key(number), BYTES)

    def copy_shard(self, number: int, other: "JobFiles") -> None:
        """Copy a shard of another job, byte for byte, with its index."""
        key = other._shard_key(number)
        piece = Piece(other._bucket, key, 0, self._objects.head(other._bucket, key).size)
        self._objects.join([piece], self._bucket, self._shard_key(number), BYTES)
        index = other.index(number)
        if index is not None:
            self.keep_index(number, index)

    def _shard_key(self, number: int, part: str | None = None) -> str:
        return f"{self._prefix}shards/{number:06d}" + (f".{part}" if part else "")

    def index(self, number: int, part: str | None = None) -> ShardIndex | None:
        """Return the index of a shard, or of its rows up to the end of a part; None if it was not stored."""
        try:
            key = self._shard_key(number, part) + ".index"
            return ShardIndex.from_bytes(read_object(self._objects, self._bucket, key))
        except ObjectNotFoundError:
            return None

    def keep_index(self, number: int, index: ShardIndex, part: str | None = None) -> None:
        self._objects.put(self._bucket, self._shard_key(number, part) + ".index", index.to_bytes(), BYTES)

    def checkpoint(self, name: str) -> bytes:
        """Return the checkpoint of an invocation that ran out of time."""
        return read_object(self._objects, self._bucket, f"{self._prefix}progress/{name}.json")

    def keep_checkpoint(self, name: str, checkpoint: bytes) -> None:
        self._objects.put(self._bucket, f"{self._prefix}progress/{name}.json", checkpoint, JSON)

    def ids(self, name: str) -> UniqueIds:
        """Return the custom_ids up to a checkpoint."""
        return UniqueIds.read(self._objects.blocks(self._bucket, f"{self._prefix}progress/{name}.ids"))

    def keep_ids(self, name: str, ids: UniqueIds) -> None:
        with self._objects.writing(self._bucket, f"{self._prefix}progress/{name}.ids", BYTES) as out:
            for part in ids.parts():
                out.write(part)

    def digests(self, name: str) -> RequestDigests | None:
        """Return the digests of the requests up to a checkpoint; None if there was no request yet."""
        try:
            return RequestDigests.read(self._objects.blocks(self._bucket, f"{self._prefix}progress/{name}.requests"))
        except ObjectNotFoundError:
            return None

    def keep_digests(self, name: str, digests: RequestDigests) -> None:
        with self._objects.writing(self._bucket, f"{self._prefix}progress/{name}.requests", BYTES) as out:
            for part in digests.parts():
                out.write(part)

    def shard_blocks(self, number: int, start: int = 0) -> Iterator[bytes]:
        """Yield a shard's bytes from `start` on: its records, one after another."""
        return iter(self._objects.blocks(self._bucket, self._shard_key(number), start=start))

    def records(self, shard: Shard, layout: Layout) -> DropReader:
        """Return a reader of a shard's rows, with the numbers that they have in the drop."""
        return read_rows(
            self.shard_blocks(shard.number), layout, first_number=shard.first_row, first_line=shard.first_line
        )

    def results_key(self, batch: Batch) -> str:
        """Return the key of a batch's results, row by row in order."""
        return f"{self._prefix}results/{batch.results_name}"

    def answers_key(self, batch: Batch, name: str) -> str:
        """Return the key of a part of a batch's answer files."""
        return f"{self._prefix}answers/{_own_name(batch)}/{name}"

    def fetched(self, batch: Batch) -> dict[str, Any]:
        """Return how far downloading a batch's answer files has come; empty if it was not interrupted."""
        return self._kept(f"answers/{_own_name(batch)}/progress.json")

    def keep_fetched(self, batch: Batch, members: Mapping[str, Any]) -> None:
        self._keep(f"answers/{_own_name(batch)}/progress.json", members)

    def judged(self, batch: Batch) -> dict[str, Any]:
        """Return how far writing a batch's results has come; empty if it was not interrupted."""
        return self._kept(f"results/{_own_name(batch)}.progress.json")

    def keep_judged(self, batch: Batch, members: Mapping[str, Any]) -> None:
        self._keep(f"results/{_own_name(batch)}.progress.json", members)

    def rendered(self, shard: int) -> dict[str, Any]:
        """Return how far rendering a shard has come; empty if it was not interrupted."""
        return self._kept(f"pieces/{shard:06d}/progress.json")

    def keep_rendered(self, shard: int, members: Mapping[str, Any]) -> None:
        self._keep(f"pieces/{shard:06d}/progress.json", members)

    def rows_key(self, name: str) -> str:
        """Return the key of a list of rows, given the name that batches have for it."""
        return f"{self._prefix}results/{name}"

    def rows(self, batch: Batch) -> "Iterator[BatchRow] | None":
        """Return the rows of a batch, in order; None if it has all rows of its shard and group."""
        if batch.rows is None:
            return None
        found = read_lines(self._objects, self._bucket, self.rows_key(batch.rows))
        return (BatchRow(*map(int, line.split())) for line in found)

    def piece_key(self, shard: int, name: str) -> str:
        """Return the key of a shard's piece of one of the results."""
        return f"{self._prefix}pieces/{shard:06d}/{name}"

    def table_key(self, name: str) -> str:
        """Return the key of the new parts of one of a Parquet drop's results."""
        return f"{self._prefix}tables/{name}"

    def carried(self, shard: int) -> Mapping[str, Any] | None:
        """Return what a shard was carried over into: `batches` and `skipped` rows; None before that is done."""
        try:
            found = json.loads(read_object(self._objects, self._bucket, f"{self._prefix}carried/{shard:06d}.json"))
        except ObjectNotFoundError:
            return None
        # An earlier release stored only the batches.
        members: Mapping[str, Any] = {"batches": found, "skipped": None} if isinstance(found, list) else found
        return members

    def keep_carried(self, shard: int, members: Mapping[str, Any]) -> None:
        self._keep(f"carried/{shard:06d}.json", members)

    def recipes(self) -> Sequence[Mapping[str, Any]]:
        """Return the recipes that the rows were sent with, the job's own last; empty if that is the only one."""
        found: Sequence[Mapping[str, Any]] = self._kept("recipes.json").get("recipes", ())
        return found

    def keep_recipes(self, recipes: Sequence[Mapping[str, Any]]) -> None:
        self._keep("recipes.json", {"recipes": list(recipes)})

    def sampled(self) -> "array[int] | None":
        """Return the numbers that the rows of a sample have in the drop; None if the job has no sample."""
        try:
            data = read_object(self._objects, self._bucket, self._prefix + "sampled")
        except ObjectNotFoundError:
            return None
        numbers = array("Q", data)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers

    def keep_sampled(self, numbers: "array[int]") -> None:
        data = b"".join(number.to_bytes(8, "little") for number in numbers)
        self._objects.put(self._bucket, self._prefix + "sampled", data, BYTES)

    def skipped(self) -> SkippedRows:
        """Return the rows that are skipped, and why; no rows if nothing was stored."""
        found = self._kept("skipped.json")
        return SkippedRows.from_json(found) if found else SkippedRows()

    def keep_skipped(self, skipped: SkippedRows) -> None:
        if skipped.codes:
            self._keep("skipped.json", skipped.to_json())

    def mirrored(self) -> dict[str, Any]:
        """Return how far copying the answers to their mirror has come; empty if it was not interrupted."""
        return self._kept("mirrored.json")

    def keep_mirrored(self, members: Mapping[str, Any]) -> None:
        self._keep("mirrored.json", members)

    def joined(self) -> dict[str, Any]:
        """Return how far joining the results has come; empty before it has begun."""
        return self._kept("joined.json")

    def keep_joined(self, members: Mapping[str, Any]) -> None:
        self._keep("joined.json", members)

    def _kept(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(read_object(self._objects, self._bucket, self._prefix + name))
        except ObjectNotFoundError:
            return {}
        return found

    def _keep(self, name: str, members: Mapping[str, Any]) -> None:
        self._objects.put(self._bucket, self._prefix + name, json.dumps(members).encode(), JSON)


def _own_name(batch: Batch) -> str:
    """Return the name of a batch among its job's batches. It does not depend on the process that collects the batch."""
    return f"{batch.shard:06d}.{batch.model_group:03d}.{batch.attempt}"
