"""Advice after a rejection: which file or recipe to correct, as lines to copy."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from dropbatch.domain.drops import RECIPE_NAMES, Drop, recipe_beside
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import LOOKS_LIKE_RECIPE, Problems
from dropbatch.reporting.phrases import MAX_PROBLEMS, drop_command, in_console, marker_command
from dropbatch.storage.context import Context

COLUMNS_CHANGED = "columns_changed"
"""The code of a recipe that adds other columns than the one whose answers a `.retry` would keep."""


NOTHING_LEFT = frozenset({"nothing_to_retry", "rows_gone"})
"""The codes of a `.retry` that has no rows to ask. They have a path if another recipe would change that."""


def draft_steps(context: Context, draft: str | None) -> list[str]:
    """Return the step to begin with the draft of a recipe, whose key this is; none if there is none."""
    if draft is None:
        return []
    source = shlex.quote(f"s3://{context.buckets.results}/{draft}")
    return [
        f"A recipe is drafted for this file. Download it, and edit it, above all its question: aws s3 cp {source} "
        f"recipe.yaml{in_console('open `recipe.yaml` in the folder of the results')}"
    ]


def what_to_do(job: Job, problems: Problems, draft: Sequence[str] = ()) -> list[str]:
    """Return the steps against a rejected job's problems, as lines to copy; none if nothing can be done.

    `draft` is the step to begin with a draft of a recipe, if there is one.
    """
    if problems.has(COLUMNS_CHANGED):
        return [f"To ask all rows with today's recipe: {marker_command(job.drop, 'rerun')}"]
    paths = paths_to_correct(problems)
    if job.retry_of is not None:
        if any(map(problems.has, NOTHING_LEFT)) and not paths:
            return []
        return recipe_lines(job.drop, paths, "the failed rows are then retried")
    if problems.has("no_recipe"):
        recipe = replace(job.drop, key=recipe_beside(job.drop.key))
        return [*draft, f"Upload the recipe; the file is then read again automatically: {drop_command(recipe)}"]
    if problems.has(LOOKS_LIKE_RECIPE):
        return ["In the S3 console, choose the file, then *Actions*, *Rename object*, and name it `recipe.yaml`."]
    lines = recipe_lines(job.drop, paths, "the file is then read again")
    if problems.has("missing_file"):
        lines.insert(0, "Upload the missing files that the recipe names; the file is then read again automatically.")
    if all(group.first.path for group in problems.groups):
        return lines
    if job.recipe_path is not None and _lacks_columns_in_many_rows(problems):
        lines = recipe_lines(job.drop, [job.recipe_path], "the file is then read again")
        return [*lines, f"Or correct the file, then: {drop_command(job.drop)}"]
    lines.append(f"Correct the file, then: {drop_command(job.drop)}")
    if not lines[1:] and job.recipe_sha256 is not None and problems.may_be_cured_by_recipe:
        how = "have the recipe say how to read it (as `encoding`, `delimiter` or `bad_rows` do)"
        change = how if problems.may_be_cured_by_reading_alone else "change the recipe"
        lines.append(f"Or {change}; the file is then read again automatically.")
    return lines


def _lacks_columns_in_many_rows(problems: Problems) -> bool:
    """Return whether the only problems are columns that several rows lack: then the recipe is probably wrong."""
    groups = problems.groups
    return all(
        group.first.code == "undefined_name" and group.first.path is None and group.count > 1 for group in groups
    )


def paths_to_correct(problems: Problems) -> list[str]:
    """Return the paths of the recipe, and of the files that it names, that have a problem and exist."""
    return [group.first.path for group in problems.groups if group.first.path and group.first.code != "missing_file"]


def recipe_lines(drop: Drop, paths: Sequence[str], then: str) -> list[str]:
    """Say how to correct a recipe, or a file that it names, and what happens automatically afterwards."""
    lines = []
    for path in list(dict.fromkeys(paths))[:MAX_PROBLEMS]:
        which = replace(drop, key=path)
        what = "the recipe" if which.name in RECIPE_NAMES else which.name
        command = "" if path.endswith("…") else f": {drop_command(which)}"
        lines.append(f"Correct {what} and upload it; {then} automatically{command}")
    return lines
