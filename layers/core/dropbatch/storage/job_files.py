"""A job's files in the work bucket, and what they say: which recipe, how the rows are laid out, the rows themselves."""

import codecs
import hashlib
import json
import posixpath
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

from dropbatch.domain.batches import Batch
from dropbatch.domain.drops import recipe_keys
from dropbatch.domain.errors import DropRejectedError, ObjectNotFoundError
from dropbatch.domain.jobs import Job, Shard
from dropbatch.domain.problems import Problem
from dropbatch.domain.skipped import SkippedRows
from dropbatch.formats import line_blocks
from dropbatch.formats.layout import Layout
from dropbatch.formats.reading import DropReader, read_rows
from dropbatch.ports import BYTES, JSON, Objects, Piece, Writer
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.file_values import NO_FILE_YET, FileValues
from dropbatch.recipes.keys import READING_KEYS, Recipe
from dropbatch.recipes.naming import quoted
from dropbatch.recipes.parser import parse_recipe
from dropbatch.recipes.yaml import MAX_BYTES, too_long
from dropbatch.storage.job_ends import whole, work_prefix
from dropbatch.storage.shard_index import ShardIndex
from dropbatch.storage.unique_ids import UniqueIds

MAX_FILES_BYTES = 4 * MAX_BYTES
"""How large a recipe and the files that it names may be together; each by itself may have `MAX_BYTES`."""


@dataclass(frozen=True, slots=True)
class RecipeText:
    """A recipe as it stood when a job took it: its text, and the texts of the files that it names.

    `marked` are those of the files that began with a byte-order mark, which is no part of their texts.
    """

    path: str
    text: bytes
    files: Mapping[str, str]
    marked: frozenset[str] = frozenset()

    @property
    def names(self) -> Sequence[str]:
        """The files it names, relative to its folder, whether they exist or not."""
        return self.parsed().files

    def parsed(self) -> Recipe:
        """Its keys, whether they can be used or not; DropRejectedError where it has none."""
        return _parsed(self.text, self.path)

    def compiled(
        self, *, checked: bool = False, columns: Sequence[str] = (), file: FileValues | None = NO_FILE_YET
    ) -> CompiledRecipe:
        """DropRejectedError where it cannot be used; `checked` says that it can, as what a job has kept.

        `columns` are a drop's, for what a rejection advises; `file` is what templates can say of it, None if it has a
        column of that name.
        """
        text = self.path, self.text, tuple(sorted(self.files.items())), checked, tuple(columns)
        if file == NO_FILE_YET:
            return _compiled(*text, file)
        try:
            found = _compiled(*text, NO_FILE_YET)  # one for all files: few recipes use what differs
        except DropRejectedError:
            return _compiled(*text, file)
        return _compiled(*text, file) if found.depends_on(file) else found

    def note_in(self, job: Job) -> None:
        """Note in a job which recipe it has, and what that says about messages."""
        job.recipe_path, job.recipe_sha256 = self.path, self.sha256
        try:
            keys = self.parsed()
        except DropRejectedError:
            return  # compiling it says so
        job.notify, job.digest = list(keys.notify), keys.digest

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256(self.text)
        for name, text in sorted(self.files.items()):
            digest.update(b"\0" + name.encode() + b"\0" + text.encode())
        return digest.hexdigest()

    @property
    def reading(self) -> str:
        """The keys that say how files are read, in short, to be compared; empty if the recipe has no keys at all."""
        try:
            recipe = self.parsed()
        except DropRejectedError:
            return ""
        values = [getattr(recipe, key) for key in READING_KEYS]
        return hashlib.sha256(repr((*values, recipe.limit)).encode()).hexdigest()

    def originals(self) -> Iterator[tuple[str, bytes]]:
        """The recipe and its files byte for byte as they were dropped, each with its path from the recipe's folder."""
        yield posixpath.basename(self.path), self.text
        for name, text in self.files.items():
            yield posixpath.normpath(name), (codecs.BOM_UTF8 if name in self.marked else b"") + text.encode()

    def to_json(self) -> bytes:
        members = {"path": self.path, "text": self.text.decode(), "files": dict(self.files)}
        return json.dumps({**members, "marked": sorted(self.marked)}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "RecipeText":
        members = json.loads(data)
        marked = frozenset(members.get("marked", ()))
        return cls(members["path"], members["text"].encode(), members["files"], marked)


@lru_cache(maxsize=16)  # a function that stays warm meets the same few again and again
def _parsed(text: bytes, path: str) -> Recipe:
    return parse_recipe(text, path)


@lru_cache(maxsize=16)  # as above
def _compiled(
    path: str,
    text: bytes,
    files: tuple[tuple[str, str], ...],
    checked: bool,
    columns: tuple[str, ...],
    file: FileValues | None,
) -> CompiledRecipe:
    return compile_recipe(_parsed(text, path), dict(files), checked=checked, columns=columns, file=file)


class BatchRow(NamedTuple):
    """A row that a batch asks, and how often it failed before."""

    number: int
    tries: int

    def to_line(self) -> bytes:
        return b"%d %d\n" % self


def _bounded(objects: Objects, bucket: str, key: str, most: int, version_id: str | None = None) -> bytes | int:
    """Return an object's bytes; if it has more than `most`, how many it has, and read none of them."""
    size = objects.head(bucket, key, version_id).size
    if size > most:
        return size
    found = whole(objects, bucket, key, version_id)
    return found if len(found) <= most else len(found)  # it may have been replaced meanwhile


def read_recipe(objects: Objects, bucket: str, key: str, version_id: str | None = None) -> bytes:
    """Return a recipe's text; ObjectNotFoundError if there is none, DropRejectedError if it is too large to be one."""
    text = _bounded(objects, bucket, key, MAX_BYTES, version_id)
    if isinstance(text, int):
        raise too_long(key)
    return text


def find_recipe(objects: Objects, bucket: str, key: str) -> RecipeText | None:
    """The recipe that counts for a drop, with the files it names; None where there is none up to the root."""
    found = nearest_recipe(objects, bucket, key)
    return found and with_files(objects, bucket, found.path, found.text)


def nearest_recipe(objects: Objects, bucket: str, key: str) -> RecipeText | None:
    """The same without the files it names, whatever it holds."""
    for candidate in recipe_keys(key):
        try:
            return RecipeText(candidate, read_recipe(objects, bucket, candidate), {})
        except ObjectNotFoundError:
            continue
    return None


def with_files(objects: Objects, bucket: str, path: str, text: bytes) -> RecipeText:
    """The recipe with the files it names. Files that are not there are left out, and all if it cannot be parsed.

    DropRejectedError where a file is too large to be read.
    """
    files: dict[str, str] = {}
    marked: set[str] = set()
    try:
        recipe = _parsed(text, path)
    except DropRejectedError:
        return RecipeText(path, text, files)  # compiling it says what is wrong
    room = MAX_FILES_BYTES - len(text)
    for name in recipe.files:
        most = min(MAX_BYTES, room)
        try:
            found = _bounded(objects, bucket, beside(path, name), most)
        except ObjectNotFoundError:
            continue  # compiling the recipe names what it lacks
        if isinstance(found, int):
            raise DropRejectedError.because(_file_too_large(recipe, name, found))
        room -= len(found)
        try:
            files[name] = found.decode("utf-8-sig")
        except UnicodeDecodeError:
            continue  # as above
        if found.startswith(codecs.BOM_UTF8):
            marked.add(name)
    return RecipeText(path, text, files, frozenset(marked))


def _file_too_large(recipe: Recipe, name: str, size: int) -> Problem:
    why = "1 MiB is the maximum" if size > MAX_BYTES else "a recipe and its files may have 4 MiB together"
    sentence = f"the file {quoted(name)} has {size:,} bytes, and {why}; shorten it, or put what differs into rows."
    return recipe.problem("file_too_large", recipe.file_keys[name], sentence)


def beside(path: str, name: str) -> str:
    """The key of a file that the recipe at `path` names: in its folder, or below it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


class JobFiles:
    """Where a job keeps what, below `jobs/<job id>/` in the work bucket.

    `found` is the job's recipe as this invocation read it, whether it can be used or not; None if it read none.
    """

    def __init__(self, objects: Objects, bucket: str, job_id: str) -> None:
        self._objects = objects
        self._bucket = bucket
        self._prefix = work_prefix(job_id)
        self.found: RecipeText | None = None

    def recipe(self) -> RecipeText | None:
        try:
            self.found = RecipeText.from_json(whole(self._objects, self._bucket, self._prefix + "recipe.json"))
        except ObjectNotFoundError:
            return None
        return self.found

    def keep_recipe(self, recipe: RecipeText) -> RecipeText:
        """Keeps the job's recipe, unless one was kept before; returns the one that is."""
        if self._objects.put_new(self._bucket, self._prefix + "recipe.json", recipe.to_json(), JSON):
            return recipe
        return self.recipe() or recipe

    def layout(self) -> Layout:
        return Layout.from_json(json.loads(whole(self._objects, self._bucket, self._prefix + "layout.json")))

    def keep_layout(self, layout: Layout) -> None:
        self._objects.put(self._bucket, self._prefix + "layout.json", json.dumps(layout.to_json()).encode(), JSON)

    def writing_shard(self, number: int, part: str | None = None) -> AbstractContextManager[Writer]:
        return self._objects.writing(self._bucket, self._shard_key(number, part), BYTES)

    def set_shard_aside(self, number: int, part: str, size: int) -> None:
        """Makes what is written of a shard, `size` bytes, its first part."""
        key = self._shard_key(number)
        if self._objects.head(self._bucket, key).size != size:
            raise AssertionError(f"shard {number} has been written by another process meanwhile")
        self._objects.join([Piece(self._bucket, key, 0, size)], self._bucket, self._shard_key(number, part), BYTES)

    def join_shard(self, number: int, parts: list[tuple[str, int]]) -> None:
        pieces = [Piece(self._bucket, self._shard_key(number, part), 0, size) for part, size in parts]
        self._objects.join(pieces, self._bucket, self._shard_key(number), BYTES)

    def copy_shard(self, number: int, other: "JobFiles") -> None:
        """Takes over a shard of another job, byte for byte."""
        key = other._shard_key(number)
        piece = Piece(other._bucket, key, 0, self._objects.head(other._bucket, key).size)
        self._objects.join([piece], self._bucket, self._shard_key(number), BYTES)
        index = other.index(number)
        if index is not None:
            self.keep_index(number, index)

    def _shard_key(self, number: int, part: str | None = None) -> str:
        return f"{self._prefix}shards/{number:06d}" + (f".{part}" if part else "")

    def index(self, number: int, part: str | None = None) -> ShardIndex | None:
        """What is known of a shard's rows, or of those up to the end of a part; None where it has not been kept."""
        try:
            key = self._shard_key(number, part) + ".index"
            return ShardIndex.from_bytes(whole(self._objects, self._bucket, key))
        except ObjectNotFoundError:
            return None

    def keep_index(self, number: int, index: ShardIndex, part: str | None = None) -> None:
        self._objects.put(self._bucket, self._shard_key(number, part) + ".index", index.to_bytes(), BYTES)

    def progress(self, name: str) -> bytes:
        """How far an invocation came that ran out of time."""
        return whole(self._objects, self._bucket, f"{self._prefix}progress/{name}.json")

    def keep_progress(self, name: str, progress: bytes) -> None:
        self._objects.put(self._bucket, f"{self._prefix}progress/{name}.json", progress, JSON)

    def ids(self, name: str) -> UniqueIds:
        """The custom_ids that such an invocation had seen."""
        return UniqueIds.read(self._objects.blocks(self._bucket, f"{self._prefix}progress/{name}.ids"))

    def keep_ids(self, name: str, ids: UniqueIds) -> None:
        with self._objects.writing(self._bucket, f"{self._prefix}progress/{name}.ids", BYTES) as out:
            for part in ids.parts():
                out.write(part)

    def shard_blocks(self, number: int, start: int = 0) -> Iterator[bytes]:
        """A shard's bytes from `start` on: its records, one after another."""
        return iter(self._objects.blocks(self._bucket, self._shard_key(number), start=start))

    def records(self, shard: Shard, layout: Layout) -> DropReader:
        """A shard's rows, with the numbers they have in the drop."""
        return read_rows(
            self.shard_blocks(shard.number), layout, first_number=shard.first_row, first_line=shard.first_line
        )

    def results_key(self, batch: Batch) -> str:
        """Where a batch's answers lie, row by row in order."""
        return f"{self._prefix}results/{batch.results_name}"

    def answers_key(self, batch: Batch, name: str) -> str:
        """Where a part of a batch's answer files lies."""
        return f"{self._prefix}answers/{_own_name(batch)}/{name}"

    def fetched(self, batch: Batch) -> dict[str, Any]:
        """How far fetching a batch's answer files has come; empty before it was interrupted."""
        return self._kept(f"answers/{_own_name(batch)}/progress.json")

    def keep_fetched(self, batch: Batch, members: Mapping[str, Any]) -> None:
        self._keep(f"answers/{_own_name(batch)}/progress.json", members)

    def judged(self, batch: Batch) -> dict[str, Any]:
        """How far writing a batch's results has come; empty before it was interrupted."""
        return self._kept(f"results/{_own_name(batch)}.progress.json")

    def keep_judged(self, batch: Batch, members: Mapping[str, Any]) -> None:
        self._keep(f"results/{_own_name(batch)}.progress.json", members)

    def rendered(self, shard: int) -> dict[str, Any]:
        """How far rendering a shard has come; empty before it was interrupted."""
        return self._kept(f"pieces/{shard:06d}/progress.json")

    def keep_rendered(self, shard: int, members: Mapping[str, Any]) -> None:
        self._keep(f"pieces/{shard:06d}/progress.json", members)

    def rows_key(self, name: str) -> str:
        """Where the rows are listed that batches name so."""
        return f"{self._prefix}results/{name}"

    def rows(self, batch: Batch) -> "Iterator[BatchRow] | None":
        """The rows that a batch asks, in order; None for all of its shard's."""
        if batch.rows is None:
            return None
        found = lines(self._objects, self._bucket, self.rows_key(batch.rows))
        return (BatchRow(*map(int, line.split())) for line in found)

    def piece_key(self, shard: int, name: str) -> str:
        """Where a shard's piece of one of the results lies."""
        return f"{self._prefix}pieces/{shard:06d}/{name}"

    def table_key(self, name: str) -> str:
        """Where what is new in one of a Parquet drop's results lies."""
        return f"{self._prefix}tables/{name}"

    def carried(self, shard: int) -> Mapping[str, Any] | None:
        """What a shard was carried over into: `batches`, and the rows `skipped`; None before that is done."""
        try:
            found = json.loads(whole(self._objects, self._bucket, f"{self._prefix}carried/{shard:06d}.json"))
        except ObjectNotFoundError:
            return None
        # The release before this one kept the batches alone.
        members: Mapping[str, Any] = {"batches": found, "skipped": None} if isinstance(found, list) else found
        return members

    def keep_carried(self, shard: int, members: Mapping[str, Any]) -> None:
        self._keep(f"carried/{shard:06d}.json", members)

    def recipes(self) -> Sequence[Mapping[str, Any]]:
        """The recipes that the rows were asked with, the job's own last; empty if that is the only one."""
        found: Sequence[Mapping[str, Any]] = self._kept("recipes.json").get("recipes", ())
        return found

    def keep_recipes(self, recipes: Sequence[Mapping[str, Any]]) -> None:
        self._keep("recipes.json", {"recipes": list(recipes)})

    def sampled(self) -> "array[int] | None":
        """The numbers that the rows of a sample have in the drop; None if the job has no sample."""
        try:
            data = whole(self._objects, self._bucket, self._prefix + "sampled")
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
        """Which rows are not asked, and why; none if nothing was kept."""
        found = self._kept("skipped.json")
        return SkippedRows.from_json(found) if found else SkippedRows()

    def keep_skipped(self, skipped: SkippedRows) -> None:
        if skipped.codes:
            self._keep("skipped.json", skipped.to_json())

    def mirrored(self) -> dict[str, Any]:
        """How far copying the answers to their mirror has come; empty before it was interrupted."""
        return self._kept("mirrored.json")

    def keep_mirrored(self, members: Mapping[str, Any]) -> None:
        self._keep("mirrored.json", members)

    def joined(self) -> dict[str, Any]:
        """How far joining has come; empty before it has begun."""
        return self._kept("joined.json")

    def keep_joined(self, members: Mapping[str, Any]) -> None:
        self._keep("joined.json", members)

    def _kept(self, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(whole(self._objects, self._bucket, self._prefix + name))
        except ObjectNotFoundError:
            return {}
        return found

    def _keep(self, name: str, members: Mapping[str, Any]) -> None:
        self._objects.put(self._bucket, self._prefix + name, json.dumps(members).encode(), JSON)


def _own_name(batch: Batch) -> str:
    """Name a batch among its job's, whichever process collects it."""
    return f"{batch.shard:06d}.{batch.model_group:03d}.{batch.attempt}"


def lines(objects: Objects, bucket: str, key: str, start: int = 0) -> Iterator[bytes]:
    """An object's lines with their line feeds, from byte `start` on; nothing else ends a line."""
    for block in whole_lines(objects, bucket, key, start):
        yield from BytesIO(block).readlines()


def whole_lines(objects: Objects, bucket: str, key: str, start: int = 0) -> Iterator[bytes]:
    """The same, as many lines at once as end in a block."""
    return line_blocks.whole_lines(objects.blocks(bucket, key, start=start))
