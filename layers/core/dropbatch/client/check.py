"""The check of a file on this machine: the intake itself reads file and recipe, and nothing leaves the machine."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dropbatch.client.errors import WrongUseError
from dropbatch.client.local.inbox import local_inbox
from dropbatch.client.recipes import LocalRecipe
from dropbatch.domain.drops import ObjectKind, kind_of_object
from dropbatch.domain.errors import ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import ProblemGroup, Problems
from dropbatch.domain.recipe_summary import Understood
from dropbatch.domain.skipped import SkippedRows
from dropbatch.domain.states import JobState
from dropbatch.intake.intake import take_in
from dropbatch.messages import IntakeMessage
from dropbatch.recipes.summary import understood
from dropbatch.reporting.duplicate_rows import duplicate_lines
from dropbatch.reporting.event_members import results_prefix
from dropbatch.reporting.notifications import skipped_lines
from dropbatch.reporting.phrases import problem_lines, unit_of, waits
from dropbatch.reporting.quote_lines import quote_lines, quote_members
from dropbatch.reporting.recipe_summary import understood_line
from dropbatch.reporting.row_limit import row_members, rows_taken
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.objects import read_object


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check: `lines` say it, `members` are the same for programs. `status` is that of the run."""

    status: str
    lines: Sequence[str]
    members: Mapping[str, Any] = field(default_factory=dict)
    needs_recipe: bool = False

    @property
    def is_usable(self) -> bool:
        return self.status != JobState.REJECTED


def check(file: Path, key: str, recipe: LocalRecipe | None) -> Checked:
    """Take in a file and its recipe as the stack would under this key, and return what the intake says."""
    if kind_of_object(key) is not ObjectKind.DROP:
        raise WrongUseError(f"Dropbatch would not read {file.name} as a file of rows: its name says that it is none.")
    with local_inbox(file, key, recipe) as context:
        take_in(context, IntakeMessage(context.buckets.inbox, key, None, event_at=int(time.time())))
        identity = context.repository.latest_job(context.buckets.inbox, key).job_id
        job = context.repository.job(identity) if identity is not None else None
        if job is None:
            raise WrongUseError(f"Dropbatch would not read {file.name}: a recipe names it, or it is left over.")
        return _rejected(context, job) if job.state is JobState.REJECTED else _usable(context, job)


def _rejected(context: Context, job: Job) -> Checked:
    found = _result(context, job, "rejected.json")["problems"]
    problems = Problems.of([], found["total"], [ProblemGroup.from_json(group) for group in found["groups"]])
    lines = [f"{job.drop.name} would be rejected:", *problem_lines(problems, unit_of(job.drop))]
    members = {"status": "rejected", "key": job.drop.key, "problems": found}
    return Checked(str(job.state), lines, members, needs_recipe=problems.has("no_recipe"))


def _usable(context: Context, job: Job) -> Checked:
    files = JobFiles(context.objects, context.buckets.work, job.id)
    text = files.recipe()
    summary: Understood | None = understood(text.compiled()) if text is not None else None
    skipped = _result(context, job, "skipped.json")
    lines = [
        f"{job.drop.name} can be used: {rows_taken(job)}.",
        *duplicate_lines(job),
        *([understood_line(summary)] if summary is not None else []),
        *quote_lines(job.quote),
    ]
    if skipped:
        lines += skipped_lines(context, job, SkippedRows.from_json(skipped))[:-1]  # the last one names the file in S3
    if job.state is JobState.HELD:
        lines.append(f"It would wait {waits(job)} before anything is sent.")
    members = {
        "status": str(job.state),
        "key": job.drop.key,
        "rows": row_members(job),
        "held_reason": job.held_reason,
        "recipe": summary.to_json() if summary is not None else None,
        "quote": quote_members(job.quote) if job.quote is not None else None,
        "skipped": skipped or None,
    }
    return Checked(str(job.state), lines, members)


def _result(context: Context, job: Job, name: str) -> Mapping[str, Any]:
    try:
        data = read_object(context.objects, context.buckets.results, results_prefix(job) + name)
    except ObjectNotFoundError:
        return {}
    found: Mapping[str, Any] = json.loads(data)
    return found
