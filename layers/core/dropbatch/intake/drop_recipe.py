"""The recipe of a drop: found, compiled, and checked against the drop's columns. A drop may also be a recipe itself."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dropbatch.domain.drops import Drop, cut, recipe_beside, recipe_keys, without_controls
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import LOOKS_LIKE_RECIPE, Problem, Problems
from dropbatch.formats.file_types import FileType, Kind, file_type
from dropbatch.intake.opening import Reader, content_of
from dropbatch.jobs.pending import may_come
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.file_values import file_values
from dropbatch.recipes.recipe_detection import MAX_EXAMINED, is_recipe_object, is_recipe_text
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.recipe_text import RecipeText, nearest_recipe, with_files

MAX_PLACES = 6
"""How many of the places without a recipe a message names."""


def recipe_of(context: Context, drop: Drop, files: JobFiles) -> RecipeText:
    """Return the recipe that the job stores; at first the nearest one, which is stored if it can be used.

    Raise DropRejectedError if there is none.
    """
    kept = files.recipe()
    if kept is not None:
        return kept
    found = files.found = nearest_recipe(context.objects, drop.bucket, drop.key)
    if found is None:
        keys = [key for key in recipe_keys(drop.key) if key.endswith(".yaml")]
        places = keys if len(keys) <= MAX_PLACES else [*keys[: MAX_PLACES - 1], f"{len(keys) - MAX_PLACES + 1} more"]
        ready = file_type(drop.key).kind is Kind.JSONL
        raw = "; a ready batch file needs none, but its first line must have custom_id, method, url and body"
        raise DropRejectedError.because(
            Problem(
                "no_recipe",
                f"There is no recipe for this file: none of {', '.join(places)} exists; put a recipe.yaml into the "
                f"file's folder{raw if ready else ''}.",
            )
        )
    found = files.found = with_files(context.objects, drop.bucket, found.path, found.text)
    try:
        found.compiled()
    except DropRejectedError:
        return found  # compiling it again reports the problems
    return files.keep_recipe(found)


def holds_recipe(context: Context, drop: Drop, kind: FileType) -> bool:
    """Return whether the content of a file with a drop's name is a recipe."""
    if kind.kind is Kind.TXT:
        return is_recipe_text(next(content_of(context, drop, kind), b""))
    if kind.extension == "json" and kind.stem.lower().startswith("recipe") and drop.size <= MAX_EXAMINED:
        return is_recipe_object(b"".join(content_of(context, drop, kind)))
    return False


def misnamed_recipe(drop: Drop) -> Problem:
    """Return the problem of a recipe under a wrong name."""
    source, target = (shlex.quote(f"s3://{drop.bucket}/{key}") for key in (drop.key, recipe_beside(drop.key)))
    return Problem(
        LOOKS_LIKE_RECIPE,
        f"{without_controls(cut(drop.name, 200))} looks like a recipe, but only recipe.yaml is read as one; name it "
        f"recipe.yaml: `aws s3 mv {source} {target}`.",
    )


@contextmanager
def with_recipe_problems(recipe: RecipeText | None) -> Iterator[None]:
    """Add the problems of the recipe to a rejection in the block."""
    try:
        yield
    except DropRejectedError as rejected:
        if recipe is None or any(group.first.path for group in rejected.problems.groups):
            raise  # they are in it already
        try:
            recipe.compiled()
        except DropRejectedError as of_recipe:
            of_recipe.problems.extend(rejected.problems)
            raise of_recipe from rejected
        raise


def compile_for(drop: Drop, recipe: RecipeText, columns: Sequence[str]) -> CompiledRecipe:
    """Return the compiled recipe. A rejection that advises to use a column names the drop's columns."""
    file = file_values(drop.key, columns)
    try:
        return recipe.compiled(file=file)
    except DropRejectedError:
        return recipe.compiled(columns=columns, file=file)


def checked_recipe(
    context: Context, job: Job, recipe: RecipeText | None, reader: Reader
) -> tuple[CompiledRecipe | None, Problems]:
    """Return the recipe compiled for a drop, if it can be used, and its problems with the drop's columns."""
    problems = Problems()
    compiled: CompiledRecipe | None = None
    if recipe is None:
        return None, problems
    columns = reader.layout.columns
    try:
        compiled = compile_for(job.drop, recipe, columns)
    except DropRejectedError as rejected:
        problems.extend(rejected.problems)
        if may_come(context, problems, job.created_at):
            raise
    else:
        problems.extend(compiled.check_columns(columns) if columns else [])
    if problems.has("undefined_name"):
        problems.extend(reader.hints)
    return compiled, problems
