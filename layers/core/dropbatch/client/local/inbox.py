"""An inbox on this machine with one file and its recipe, for what needs no account: a check, a preview, a draft."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from dropbatch.client.errors import WrongUseError
from dropbatch.client.local.context import SilentObserver, folder_context
from dropbatch.client.local.objects import FolderObjects
from dropbatch.client.recipes import LocalRecipe
from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats.file_types import check_deployed, file_type
from dropbatch.formats.records import Record
from dropbatch.intake.drafting import FirstRows, first_rows
from dropbatch.intake.opening import Reader, open_drop
from dropbatch.ports import BYTES, OpenAI
from dropbatch.storage.context import Context
from dropbatch.storage.recipe_text import RecipeText, beside, find_recipe


@contextmanager
def local_inbox(file: Path, key: str, recipe: LocalRecipe | None) -> Iterator[Context]:
    """Yield a context whose inbox has a file under a key, and beside it a recipe with its files.

    If a use case has caught an exception in the block and logged it, raise it at the end.
    """
    _check_can_be_read(key)
    with TemporaryDirectory(prefix="dropbatch-") as folder:
        observer = _KeepingObserver()
        offline = folder_context(Path(folder), cast(OpenAI, _Offline()), seconds_left=lambda: float("inf"))
        context = replace(offline, observer=observer, recipe_wait_seconds=0)
        inbox = context.buckets.inbox
        for name, data in (recipe.objects if recipe is not None else {}).items():
            context.objects.put(inbox, beside(key, name), data, BYTES)
        try:
            with file.open("rb"):
                cast(FolderObjects, context.objects).link(inbox, key, file.resolve())
        except OSError as error:
            raise WrongUseError(f"{file} cannot be read: {error.strerror}.") from error
        yield context
        if observer.raised is not None:
            raise observer.raised


def _check_can_be_read(key: str) -> None:
    """Raise WrongUseError if this machine lacks the library for a file that the stack may be able to read."""
    try:
        check_deployed(file_type(key).kind)
    except DropRejectedError as error:
        if error.problems.has("parquet_disabled"):
            raise WrongUseError(
                "To read Parquet on this machine, install pyarrow: pip install pyarrow, or uv tool install '.[parquet]'"
            ) from error


def open_local(context: Context, key: str) -> tuple[Reader, RecipeText | None]:
    """Open the file of a local inbox, with the recipe that counts for it. Raise DropRejectedError if that fails."""
    kind = file_type(key)
    recipe = find_recipe(context.objects, context.buckets.inbox, key)
    _, reader = open_drop(context, _drop(context, key), kind, recipe)
    return reader, recipe


def local_first_rows(file: Path) -> FirstRows:
    """Read the first rows of a file, for the draft of a recipe."""
    with local_inbox(file, file.name, None) as context:
        try:
            found = first_rows(context, _drop(context, file.name))
        except DropRejectedError as error:
            raise WrongUseError(error.problems.kept[0].message) from error
    if found is None:
        raise WrongUseError(f"{file.name} has ready requests, and needs no recipe: dropbatch check {file}")
    return found


def _drop(context: Context, key: str) -> Drop:
    info = context.objects.head(context.buckets.inbox, key)
    return Drop(context.buckets.inbox, key, info.version_id, info.modified, info.size)


def records_of(reader: Reader) -> Iterator[Record]:
    """Yield the rows of a reader one by one."""
    for chunk in reader.chunks():
        yield from chunk.records()


class _Offline:
    """OpenAI that is not asked: a check needs no account."""

    def has_model(self, model: str) -> bool | None:  # noqa: ARG002  # the port's
        return None


class _KeepingObserver(SilentObserver):
    """An observer that keeps the exception that a use case has caught, if there was one."""

    def __init__(self) -> None:
        super().__init__()
        self.raised: BaseException | None = None

    def exception(self, message: str, **fields: Any) -> None:
        super().info(message, **fields)
        self.raised = self.raised or sys.exception()
