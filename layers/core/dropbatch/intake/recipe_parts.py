"""Files that a recipe names with `file://`: one that comes has its recipe checked, as if that had come."""

from collections.abc import Iterator

from dropbatch.domain.drops import Drop, ObjectKind, meaning_of, recipe_keys
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.formats.file_types import file_type
from dropbatch.jobs.pending import pending_for
from dropbatch.messages import IntakeMessage
from dropbatch.recipes.parser import parse_recipe
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import beside, read_recipe

_ENDINGS = (".md", ".j2", ".txt")
"""How the names of prompts mostly end: what is no data by its name is looked at, too."""


def may_be_part(key: str) -> bool:
    """Return whether a recipe may name an object instead of having it answered: by the object's name alone."""
    if key.lower().endswith(_ENDINGS):
        return True
    if meaning_of(key) is not ObjectKind.DROP:
        return False
    try:
        file_type(key)
    except DropRejectedError:
        return True
    return False


def check_recipes_of_part(context: Context, part: Drop) -> bool:
    """Have each recipe checked that names an object; False if none does."""
    named = False
    for path, version_id in _recipes_that_name(context, part):
        named = True
        waiting = context.repository.reload(pending_for(context, IntakeMessage(part.bucket, path, version_id)))
        if waiting is not None and not waiting.is_done:  # for this very file, it may be
            look = IntakeMessage(part.bucket, path, version_id, "", waiting.event_at, waiting.sequencer)
        else:
            look = IntakeMessage(part.bucket, path, version_id, part.version_id, part.arrived)
        context.intake.send(look.to_json())
    return named


def is_part(context: Context, drop: Drop) -> bool:
    """Return whether a recipe names an object, so that it is not answered."""
    return may_be_part(drop.key) and next(_recipes_that_name(context, drop), None) is not None


def _recipes_that_name(context: Context, part: Drop) -> Iterator[tuple[str, str]]:
    """Yield the key and version of each recipe that names an object: they lie in its folder or above."""
    for path in recipe_keys(part.key):
        try:
            version_id = context.objects.head(part.bucket, path).version_id
            recipe = parse_recipe(read_recipe(context.objects, part.bucket, path, version_id), path)
        except (ObjectNotFoundError, ObjectForbiddenError, DropRejectedError):
            continue
        if any(beside(path, name) == part.key for name in recipe.files):
            yield path, version_id
