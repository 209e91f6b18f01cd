"""The text of a recipe with the files that it names: finding it, reading it, and comparing it."""

import codecs
import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from dropbatch.domain.drops import recipe_keys
from dropbatch.domain.errors import DropRejectedError, ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Problem
from dropbatch.ports import Objects
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.compiler import compile_recipe
from dropbatch.recipes.file_values import NO_FILE_YET, FileValues
from dropbatch.recipes.keys import READING_KEYS, Recipe
from dropbatch.recipes.parser import parse_recipe
from dropbatch.recipes.quoted_names import quoted
from dropbatch.recipes.yaml import MAX_BYTES, too_long
from dropbatch.storage.objects import read_object

MAX_FILES_BYTES = 4 * MAX_BYTES
"""How many bytes a recipe and the files that it names may have together. Each one may have `MAX_BYTES`."""


@dataclass(frozen=True, slots=True)
class RecipeText:
    """A recipe as it was when a job took it: its text, and the texts of the files that it names.

    `marked` are the files that began with a byte-order mark. The mark is not part of their texts. `caches` is false if
    a release took it whose requests had no members about prompt caching: they are built again as they were.
    """

    path: str
    text: bytes
    files: Mapping[str, str]
    marked: frozenset[str] = frozenset()
    caches: bool = True

    @property
    def names(self) -> Sequence[str]:
        """The files that it names, relative to its folder, whether they exist or not."""
        return self.parsed().files

    def parsed(self) -> Recipe:
        """Return its keys, whether they can be used or not. Raise DropRejectedError if it has none."""
        return _parsed(self.text, self.path)

    def compiled(
        self, *, checked: bool = False, columns: Sequence[str] = (), file: FileValues | None = NO_FILE_YET
    ) -> CompiledRecipe:
        """Return the compiled recipe. Raise DropRejectedError if it cannot be used.

        `checked` says that it was compiled before, as the recipe that a job stores was. `columns` are those of a drop,
        for the advice in a rejection. `file` holds the values of the drop that templates can use, None if the drop has
        a column of that name.
        """
        text = self.path, self.text, tuple(sorted(self.files.items())), checked, tuple(columns), self.caches
        if file == NO_FILE_YET:
            return _compiled(*text, file)
        try:
            found = _compiled(*text, NO_FILE_YET)  # one for all files: few recipes use values that differ
        except DropRejectedError:
            return _compiled(*text, file)
        return _compiled(*text, file) if found.depends_on(file) else found

    def note_in(self, job: Job) -> None:
        """Write into a job which recipe it has, and the recipe's keys about messages."""
        job.recipe_path, job.recipe_sha256 = self.path, self.sha256
        try:
            keys = self.parsed()
        except DropRejectedError:
            return  # compiling it reports the problem
        job.notify, job.digest = list(keys.notify), keys.digest

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256(self.text)
        for name, text in sorted(self.files.items()):
            digest.update(b"\0" + name.encode() + b"\0" + text.encode())
        return digest.hexdigest()

    @property
    def reading(self) -> str:
        """A hash of the keys that say how files are read; empty if the recipe has no keys."""
        try:
            recipe = self.parsed()
        except DropRejectedError:
            return ""
        values = [getattr(recipe, key) for key in READING_KEYS]
        return hashlib.sha256(repr((*values, recipe.limit)).encode()).hexdigest()

    @property
    def meaning(self) -> str:
        """A hash of all that it means for files, so without comments and `try`; empty if it is wrong in itself."""
        try:
            recipe = self.parsed()
        except DropRejectedError:
            return ""
        if recipe.problems:
            return ""
        meant = replace(recipe, path="", tried=()), sorted(self.files.items())
        return hashlib.sha256(repr(meant).encode("utf-8", "surrogatepass")).hexdigest()

    def originals(self) -> Iterator[tuple[str, bytes]]:
        """Yield the recipe and its files byte for byte as dropped, each with its path from the recipe's folder."""
        yield posixpath.basename(self.path), self.text
        for name, text in self.files.items():
            yield posixpath.normpath(name), (codecs.BOM_UTF8 if name in self.marked else b"") + text.encode()

    def to_json(self) -> bytes:
        members = {"path": self.path, "text": self.text.decode(), "files": dict(self.files)}
        return json.dumps({**members, "marked": sorted(self.marked), "caches": self.caches}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "RecipeText":
        members = json.loads(data)
        marked = frozenset(members.get("marked", ()))
        caches = members.get("caches", False)
        return cls(members["path"], members["text"].encode(), members["files"], marked, caches)


@lru_cache(maxsize=16)  # a warm function needs the same few recipes again and again
def _parsed(text: bytes, path: str) -> Recipe:
    return parse_recipe(text, path)


@lru_cache(maxsize=16)  # as above
def _compiled(
    path: str,
    text: bytes,
    files: tuple[tuple[str, str], ...],
    checked: bool,
    columns: tuple[str, ...],
    caches: bool,
    file: FileValues | None,
) -> CompiledRecipe:
    recipe = _parsed(text, path)
    return compile_recipe(recipe, dict(files), checked=checked, columns=columns, file=file, caches=caches)


def read_recipe(objects: Objects, bucket: str, key: str, version_id: str | None = None) -> bytes:
    """Return a recipe's text. Raise ObjectNotFoundError if there is none, DropRejectedError if it is too large."""
    text = _bounded(objects, bucket, key, MAX_BYTES, version_id)
    if isinstance(text, int):
        raise too_long(key)
    return text


def find_recipe(objects: Objects, bucket: str, key: str) -> RecipeText | None:
    """Return the recipe that counts for a drop, with the files that it names; None if there is none up to the root."""
    found = nearest_recipe(objects, bucket, key)
    return found and with_files(objects, bucket, found.path, found.text)


def nearest_recipe(objects: Objects, bucket: str, key: str) -> RecipeText | None:
    """Return the recipe that counts for a drop, without the files that it names, even if it cannot be used."""
    for candidate in recipe_keys(key):
        try:
            return RecipeText(candidate, read_recipe(objects, bucket, candidate), {})
        except ObjectNotFoundError:
            continue
    return None


def with_files(objects: Objects, bucket: str, path: str, text: bytes) -> RecipeText:
    """Return the recipe with the files that it names; without missing files, or without any if it cannot be parsed.

    Raise DropRejectedError if a file is too large.
    """
    files: dict[str, str] = {}
    marked: set[str] = set()
    try:
        recipe = _parsed(text, path)
    except DropRejectedError:
        return RecipeText(path, text, files)  # compiling it reports the problems
    room = MAX_FILES_BYTES - len(text)
    for name in recipe.files:
        most = min(MAX_BYTES, room)
        try:
            found = _bounded(objects, bucket, beside(path, name), most)
        except ObjectNotFoundError:
            continue  # compiling the recipe names the missing file
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


def beside(path: str, name: str) -> str:
    """Return the key of a file that the recipe at `path` names: in the recipe's folder, or below it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


def _bounded(objects: Objects, bucket: str, key: str, most: int, version_id: str | None = None) -> bytes | int:
    """Return an object's bytes; if there are more than `most`, return their number and read none of them."""
    size = objects.head(bucket, key, version_id).size
    if size > most:
        return size
    found = read_object(objects, bucket, key, version_id)
    return found if len(found) <= most else len(found)  # it may have been replaced meanwhile


def _file_too_large(recipe: Recipe, name: str, size: int) -> Problem:
    why = "1 MiB is the maximum" if size > MAX_BYTES else "a recipe and its files may have 4 MiB together"
    sentence = f"the file {quoted(name)} has {size:,} bytes, and {why}; shorten it, or put what differs into rows."
    return recipe.problem("file_too_large", recipe.file_keys[name], sentence)
