"""Parts of a recipe: files that it names with `file://`. When one comes, its recipe is checked as if it had come."""

from collections.abc import Iterator

from dropbatch.domain.drops import Drop, ObjectKind, kind_of_object, recipe_keys
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.formats.file_types import file_type
from dropbatch.jobs.pending import pending_for
from dropbatch.messages import IntakeMessage
from dropbatch.recipes.parser import parse_recipe
from dropbatch.storage.context import Context
from dropbatch.storage.recipe_text import beside, read_recipe

_ENDINGS = (".md", ".j2", ".txt")
"""The usual endings of prompts' names. Other files whose names are not those of data may be parts, too."""


def may_be_part(key: str) -> bool:
    """Return whether an object may be a part of a recipe instead of a drop, by its name alone."""
    if key.lower().endswith(_ENDINGS):
        return True
    if kind_of_object(key) is not ObjectKind.DROP:
        return False
    try:
        file_type(key)
    except DropRejectedError:
        return True
    return False


def check_recipes_of_part(context: Context, part: Drop) -> bool:
    """Send a message for each recipe that names an object, to have it checked; False if none does."""
    named = False
    for path, version_id in _recipes_that_name(context, part):
        named = True
        waiting = context.repository.reload(pending_for(context, IntakeMessage(part.bucket, path, version_id)))
        if waiting is not None and not waiting.is_done:  # perhaps for this file
            message = IntakeMessage(part.bucket, path, version_id, "", waiting.event_at, waiting.sequencer)
        else:
            message = IntakeMessage(part.bucket, path, version_id, part.version_id, part.arrived)
        context.intake.send(message.to_json())
    return named


def is_part(context: Context, drop: Drop) -> bool:
    """Return whether a recipe names an object, so that the object is not a drop."""
    return may_be_part(drop.key) and next(_recipes_that_name(context, drop), None) is not None


def _recipes_that_name(context: Context, part: Drop) -> Iterator[tuple[str, str]]:
    """Yield the key and version of each recipe that names an object. They are in its folder or above."""
    for path in recipe_keys(part.key):
        try:
            version_id = context.objects.head(part.bucket, path).version_id
            recipe = parse_recipe(read_recipe(context.objects, part.bucket, path, version_id), path)
        except (ObjectNotFoundError, ObjectForbiddenError, DropRejectedError):
            continue
        if any(beside(path, name) == part.key for name in recipe.files):
            yield path, version_id
