"""The runs of a file: which one this is, which others are open, and the differences from the one before."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dropbatch import __version__
from dropbatch.domain.comparisons import ColumnChange, Comparison
from dropbatch.domain.drops import without_controls
from dropbatch.domain.jobs import MAX_MODELS, Job
from dropbatch.domain.states import BatchState
from dropbatch.reporting.phrases import about, counted, dollars, rows_counted
from dropbatch.storage.repository import Repository

MAX_RUNS = 5
"""How many open jobs of a key are described; the others are counted."""

MAX_SHOWN_MODELS = 3
"""How many models a message names."""

MAX_CHANGES = 5
"""How many changed columns a notification describes."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """An open job of the same key: how many of its rows are back, and the known part of their cost."""

    job: Job
    back: int
    usd: Decimal
    unpriced: int

    def to_json(self) -> dict[str, Any]:
        """Return the members of an event."""
        return {
            "job_id": self.job.id,
            "run": self.job.run or None,
            "version_id": self.job.drop.version_id,
            "rows": {"total": self.job.rows, "back": self.back},
            "cost": {"paid": dollars(self.usd), "unpriced_requests": self.unpriced},
        }


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """The older jobs of a key that are open when another one is accepted: the latest, and how many more."""

    shown: Sequence[OpenRun] = ()
    more: int = 0


NO_RUNS = OpenRuns()


def open_runs(repository: Repository, jobs: Sequence[Job]) -> OpenRuns:
    """Read the progress of the latest of these jobs."""
    latest = sorted(jobs, key=lambda job: (job.run, job.id), reverse=True)
    return OpenRuns([_open_run(repository, job) for job in latest[:MAX_RUNS]], len(latest[MAX_RUNS:]))


def _open_run(repository: Repository, job: Job) -> OpenRun:
    batches = [batch for batch in repository.batches(job.id) if batch.state is BatchState.COLLECTED]
    back = sum(batch.requests - batch.requests_moved_on for batch in batches)
    return OpenRun(
        job, back, sum((batch.paid for batch in batches), Decimal(0)), sum(batch.unpriced for batch in batches)
    )


def open_run_lines(job: Job, runs: OpenRuns) -> list[str]:
    """Say which older jobs of the file are still open, what they cost, and how to end them."""
    lines = []
    for run in runs.shown:
        which = "an older version of the file" if run.job.drop.version_id != job.drop.version_id else "the same file"
        name = f"Run {run.job.run}" if run.job.run else f"The job {run.job.id}"
        cost = f"{about(run.usd)} so far"
        if run.unpriced:
            cost += f", without {counted(run.unpriced, 'request')} of unknown price"
        rows = f"{run.back:,} of {rows_counted(run.job.rows)} are back"
        lines.append(f"{name}, of {which}, is still open: {rows}, {cost}.")
    if runs.more:
        lines.append(f"{counted(runs.more, 'more job')} of the file {'is' if runs.more == 1 else 'are'} still open.")
    if not lines:
        return []
    is_replaced = any(run.job.drop.version_id != job.drop.version_id for run in runs.shown)
    if is_replaced and job.cancels_older:
        return [*lines, "The recipe says `replace: cancel`: jobs of older versions are cancelled once this one runs."]
    hint = "; `replace: cancel` in the recipe ends those of older versions automatically" if is_replaced else ""
    return [*lines, f"A .cancel beside the file ends this job and the older ones{hint}."]


def run_line(job: Job) -> str:
    """Say which run of a file this is, with its models, recipe and release."""
    parts = [f"Run {job.run} of {job.drop.name}" if job.run else f"Job {job.id} of {job.drop.name}"]
    return ", ".join([*parts, *run_parts(job)]) + "."


def run_parts(job: Job) -> list[str]:
    """Return the names of a run's models, recipe and release."""
    parts = []
    if job.models:
        others = " and others" if len(job.models) > MAX_SHOWN_MODELS or len(job.models) == MAX_MODELS else ""
        names = " and ".join(job.models) if len(job.models) == 2 else ", ".join(job.models[:MAX_SHOWN_MODELS])
        parts.append(f"{'model' if len(job.models) == 1 else 'models'} {names}{others}")
    if job.recipe_sha256:
        digest = job.recipe_sha256[:8]
        named = f"{without_controls(job.recipe_path)} ({digest})" if job.recipe_path else digest
        parts.append(f"recipe {named}")
    return [*parts, f"Dropbatch {__version__}"]


def comparison_lines(compared: Comparison | None) -> list[str]:
    """Say in a line what differs from the run before; return none without such a run."""
    if compared is None:
        return []
    if not compared.same_file:
        return [f"The file differs from run {compared.run}'s, so answers are not compared."]
    changed = [column for column in compared.columns if column.rows]
    parts = [_changed(column, compared.rows) for column in changed[:MAX_CHANGES]]
    if len(changed) > MAX_CHANGES:
        parts.append(f"{counted(len(changed) - MAX_CHANGES, 'more column')} changed")
    if not changed and compared.rows and compared.columns:
        parts.append(f"no answer changed in {rows_counted(compared.rows)}")
    if compared.answered:
        parts.append(f"{rows_counted(compared.answered)} {_have(compared.answered)} an answer for the first time")
    if compared.unanswered:
        parts.append(f"{rows_counted(compared.unanswered)} {_have(compared.unanswered)} an answer no longer")
    parts += [f"`{column}` can be {', '.join(values)} now" for column, values in compared.new_values.items()]
    for names, what in ((compared.new_columns, "new"), (compared.gone_columns, "gone")):
        if names:
            listed = ", ".join(f"`{name}`" for name in names[:MAX_CHANGES])
            more = f" and {len(names) - MAX_CHANGES:,} more" if len(names) > MAX_CHANGES else ""
            parts.append(f"{listed}{more} {'is' if len(names) == 1 else 'are'} {what}")
    return [f"Compared with run {compared.run}: {'; '.join(parts)}."] if parts else []


def _changed(column: ColumnChange, rows: int) -> str:
    first = f"the first is row {column.first_row:,}" if column.rows > 1 else f"row {column.first_row:,}"
    return f"{column.name} changed in {column.rows:,} of {rows_counted(rows)}, {first}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
