"""Notifications of rejected drops: what is wrong."""

from collections.abc import Sequence
from dataclasses import replace

from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import GAVE_UP
from dropbatch.domain.problems import Problem, Problems
from dropbatch.ports import Notification
from dropbatch.reporting.event_members import draft_members, listed_problems, results_prefix
from dropbatch.reporting.notifications import notification_of
from dropbatch.reporting.phrases import (
    console_link,
    counted,
    problem_lines,
    unit_of,
)
from dropbatch.reporting.rejection_advice import draft_steps, what_to_do
from dropbatch.storage.context import Context

GIVEN_UP = Problem(
    GAVE_UP,
    "The file could not be read for a day, although Dropbatch tried again and again; the submit function's log says "
    "why: fix that, then drop the file again.",
)


def rejected(
    context: Context, job: Job, problems: Problems, elsewhere: Sequence[str] = (), draft: str | None = None
) -> Notification:
    """Return the rejection of a drop.

    `elsewhere` says where a recipe was dropped instead, if one was missing. `draft` is the key of one that was drafted.
    """
    count = counted(problems.causes, "problem")
    is_of_recipe = all(group.first.path for group in problems.groups)
    why = "was rejected because of its recipe" if is_of_recipe else "was rejected"
    text = [f"{job.drop.name} {why}: {count}. Nothing was sent to OpenAI, and nothing is billed."]
    text += problem_lines(problems, unit_of(job.drop))
    text += [
        f"All of them: s3://{context.buckets.results}/{results_prefix(job)}report.html (rejected.json for programs)",
        f"In the console: {console_link(context.region, context.buckets.results, results_prefix(job))}",
    ]
    steps = [*elsewhere, *what_to_do(job, problems, draft_steps(context, draft))]
    detail = {"problems": listed_problems(problems, 10), **draft_members(draft)}
    notification = notification_of(context, job, "rejected", "rejected", f"rejected, {count}", [*text, *steps], detail)
    return replace(notification, steps=tuple(steps))


def drop_given_up(context: Context, job: Job) -> Notification:
    """Return the rejection of a drop that could not be read for a day."""
    problems = Problems()
    problems.add(GIVEN_UP)
    return rejected(context, job, problems)
