"""The recipe of a `.retry`: today's recipe, if its meaning differs from the former job's."""

from dataclasses import replace

from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Problem, Problems
from dropbatch.formats.layout import Layout
from dropbatch.recipes.file_values import file_values
from dropbatch.recipes.quoted_names import listed
from dropbatch.reporting.event_members import UsedRecipe
from dropbatch.reporting.rejection_advice import COLUMNS_CHANGED
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.recipe_text import RecipeText, find_recipe


def choose_recipe(
    context: Context, job: Job, files: JobFiles, old: JobFiles, layout: Layout
) -> tuple[RecipeText | None, list[UsedRecipe]]:
    """Return the recipe with which failed rows are retried, and all recipes with which the job's rows were sent.

    It is today's recipe if its meaning differs from the former job's. Raise DropRejectedError if it cannot be used, or
    if its columns differ from those of the answers that are kept.
    """
    former = old.recipe()
    if former is None:
        return None, []
    kept = files.recipe()
    is_gone = False
    if kept is None:
        today = find_recipe(context.objects, job.drop.bucket, job.drop.key)
        is_gone = today is None
        if today is None or means_the_same(today, former):
            kept = files.keep_recipe(former)
        else:
            files.found = today
            _check_recipe_again(today, former, job.drop, layout)
            kept = files.keep_recipe(today)
    known = list(old.recipes()) or [{"path": former.path, "sha256": former.sha256}]
    if kept.sha256 != former.sha256:
        known.append({"path": kept.path, "sha256": kept.sha256})
    if len(known) > 1:
        files.keep_recipes(known)
    used = [UsedRecipe(each["path"], each["sha256"]) for each in known]
    used[-1] = replace(used[-1], is_gone=is_gone)
    return kept, used


def means_the_same(today: RecipeText, former: RecipeText) -> bool:
    """Return whether two recipes have the same meaning, whatever their comments and their folders."""
    if today.sha256 == former.sha256:
        return True
    parsed = today.parsed()
    return not parsed.problems and replace(parsed, path=former.path) == former.parsed() and today.files == former.files


def _check_recipe_again(today: RecipeText, former: RecipeText, drop: Drop, layout: Layout) -> None:
    """Raise DropRejectedError if today's recipe cannot be used, or one file cannot hold all answers."""
    compiled = today.compiled(file=file_values(drop.key, layout.columns))
    problems = Problems()
    problems.extend(compiled.check_columns(layout.columns) if layout.columns else [])
    before = former.compiled(checked=True).all_columns
    if compiled.all_columns != before:
        problems.add(
            Problem(
                COLUMNS_CHANGED,
                f"{today.path} adds other columns today ({listed(compiled.all_columns)}) than the answers have that "
                f"would stay ({listed(before)}), and one file cannot hold both; put a .rerun beside the drop to ask "
                "all rows with today's recipe, or add the former columns again.",
                path=today.path,
            )
        )
    if problems:
        raise DropRejectedError(problems)
