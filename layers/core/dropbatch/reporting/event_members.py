"""Facts about a job for programs: the members of events and of the small files in the results bucket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dropbatch import __version__
from dropbatch.domain.comparisons import MAX_EVENT_COLUMNS, Comparison
from dropbatch.domain.drops import Drop, results_path, results_root
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import GAVE_UP, JobStatus, Outcome
from dropbatch.domain.problems import Notice, Problems
from dropbatch.domain.skipped import SkippedRows
from dropbatch.reporting.advice import HOW_OF_OLDER, HOW_OF_REPEATED, remedy
from dropbatch.reporting.costs import cost_members
from dropbatch.reporting.duplicate_rows import saved_members
from dropbatch.reporting.phrases import MAX_PROBLEMS, iso
from dropbatch.reporting.quote_lines import quoted_and_paid
from dropbatch.reporting.row_limit import cost_of_all, row_members
from dropbatch.storage.context import Context

if TYPE_CHECKING:  # tallies know of recipes, which a poll does not load
    from dropbatch.answers.tally import Tally

SCHEMA_VERSION = 1


CANARY_PAGE_NAME = "canary.html"
"""The name of the page with the answers to the rows that are sent first."""

APPROVAL_PAGE_NAME = "approval.html"
"""The name of the page of a job that waits for an approval of its price."""

QUOTE_NAME = "quote.json"
"""The name of the result file that has the job's quote."""

SKIPPED_NAME = "skipped.json"
"""The name of the result file that lists the rows that were not sent, and why."""


GAVE_UP_REASONS = [{"outcome": str(Outcome.ERROR), "code": GAVE_UP}]


@dataclass(frozen=True, slots=True)
class Ended:
    """A job at its end. `objects` are the keys of its results by name: answers, responses, failed, skipped, recipe.

    `recipes` are the recipes of its rows, several after a `.retry`. The last is the job's own.
    """

    job: Job
    status: JobStatus
    tally: "Tally"
    objects: Mapping[str, str]
    ended_at: int
    skipped: SkippedRows = field(default_factory=SkippedRows)
    recipes: Sequence["UsedRecipe"] = ()
    compared: Comparison | None = None
    is_older: bool = False  # there is a newer version of the file
    before: Mapping[str, Any] | None = None  # the cost of the jobs whose rows this `.retry` sent again

    @property
    def reasons(self) -> list[tuple[Outcome, str]]:
        return list(self.tally.reasons)

    @property
    def has_recipe(self) -> bool:
        return self.job.recipe_sha256 is not None

    def remedy(self, outcome: Outcome, code: str) -> str:
        """Return a sentence about what a person can do for the job's rows with this outcome and code."""
        how = HOW_OF_OLDER if self.is_older else HOW_OF_REPEATED if self.job.is_unapproved_repeat else None
        return remedy(outcome, code, has_recipe=self.has_recipe, how=how)


@dataclass(frozen=True, slots=True)
class UsedRecipe:
    """A recipe, and the number of a job's rows that were sent with it; None if it is not known yet.

    `is_gone` says that the file was deleted before its job began.
    """

    path: str
    sha256: str
    rows: int | None = None
    is_gone: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "sha256": self.sha256, "rows": self.rows}


def results_prefix(job: Job) -> str:
    """Return the key prefix of a job's results."""
    return f"{results_root(job.drop.key)}{job.id}/"


def recipe_prefix(job: Job) -> str:
    """Return the key prefix, among a run's results, below which its recipe is copied."""
    return results_prefix(job) + "recipe/"


def recipe_key(job: Job) -> str | None:
    """Return the key of that copy; None if the run has none."""
    if job.recipe_path is None:
        return None
    return results_path(recipe_prefix(job), job.recipe_path.rpartition("/")[2])


def is_older(context: Context, job: Job) -> bool:
    """Return whether there is a newer version of the file."""
    newest = context.repository.latest_job(job.drop.bucket, job.drop.key)
    other = context.repository.job(newest.job_id) if newest.job_id not in (None, job.id) else None
    return other is not None and other.drop.version_id != job.drop.version_id


def job_members(context: Context, job: Job, event: str, status: str) -> dict[str, Any]:
    """Return the members that all events and files about a job have."""
    return {
        "schema_version": SCHEMA_VERSION,
        "event": event,
        "job_id": job.id,
        "status": status,
        "drop": named_drop(job.drop),
        "results": named_results(context, results_prefix(job)),
        "times": {"dropped": iso(job.drop.modified), "created": iso(job.created_at)},
        "run": job.run or None,
        "models": job.models,
        "endpoints": job.endpoints,
        "recipe": {"path": job.recipe_path, "sha256": job.recipe_sha256} if job.recipe_path else None,
        "recipe_folder": job.recipe_folder,
        "recipe_sha256": job.recipe_sha256,
        "dropbatch_version": __version__,
        "labels": dict(job.drop.labels),
    }


def end_members(end: Ended) -> dict[str, Any]:
    """Return the members that describe how a job ended."""
    tally, job = end.tally, end.job
    return {
        "rows": {
            **row_members(job),
            **{str(outcome): tally.outcomes[outcome] for outcome in Outcome},
            **({"duplicates": tally.duplicates.rows} if tally.duplicates.rows else {}),
        },
        "cost": {**cost_members(tally, job, cost_of_all(job, tally), end.before), **saved_members(tally.duplicates)},
        **quoted_and_paid(job.quote, tally.paid),
        "times": end_times(job, end.ended_at),
        "reasons": [
            {
                "outcome": str(outcome),
                "code": code,
                "rows": reason.count,
                "row": reason.row,
                **({"message": reason.message} if reason.message else {}),
                "remedy": end.remedy(outcome, code),
            }
            for outcome, code, reason in tally.commonest(10)
        ],
        "skipped": end.skipped.to_json(MAX_PROBLEMS),
        "recipes": [recipe.to_json() for recipe in end.recipes],
        "compared_with": end.compared.to_json(MAX_EVENT_COLUMNS) if end.compared else None,
        "objects": dict(end.objects),
    }


def end_times(job: Job, ended_at: int) -> dict[str, Any]:
    """Return the times of a job that has ended."""
    return {
        "dropped": iso(job.drop.modified),
        "created": iso(job.created_at),
        "ended": iso(ended_at),
        "seconds": ended_at - job.created_at,
    }


def named_drop(drop: Drop) -> dict[str, str]:
    """Return the members that name a drop."""
    return {"bucket": drop.bucket, "key": drop.key, "version_id": drop.version_id}


def named_results(context: Context, prefix: str) -> dict[str, str]:
    """Return the members that name the place of results."""
    return {"bucket": context.buckets.results, "prefix": prefix}


def draft_members(draft: str | None) -> dict[str, str]:
    """Return the member that names the draft of a recipe, by its key in the results bucket."""
    return {} if draft is None else {"draft": draft}


def listed_problems(problems: Problems, maximum: int) -> dict[str, Any]:
    """Return the members that describe problems: counts, the first causes and the first problems."""
    return {
        "total": problems.total,
        "causes": problems.causes,
        "groups": [group.to_json() for group in problems.groups[:maximum]],
        "first": [problem.to_json() for problem in problems.kept[:maximum]],
    }


def listed_notices(notices: Sequence[Notice]) -> list[dict[str, str]]:
    """Return the members that describe notices."""
    return [notice.to_json() for notice in notices]
