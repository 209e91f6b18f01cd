"""The draft of a recipe beside the rejection of a file that has none."""

from itertools import chain, islice

from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.formats.file_types import file_type
from dropbatch.intake.opening import open_drop
from dropbatch.recipes.draft import draft
from dropbatch.reporting.result_files import write_draft
from dropbatch.storage.context import Context

MAX_ROWS = 100
"""How many of a file's first rows a draft is made out of."""

MIN_SECONDS = 30
"""With less time left, a file is rejected without a draft: a table may take long to open."""


def draft_recipe(context: Context, job: Job) -> str | None:
    """Write a draft of a recipe for a job's file, and return its key; None if the file's first rows cannot be read."""
    if context.seconds_left() < MIN_SECONDS:
        return None
    drop = job.drop
    try:
        _, reader = open_drop(context, drop, file_type(drop.key), None)
        if reader.layout.raw:
            return None  # it has requests, and needs no recipe
        records = chain.from_iterable(chunk.records() for chunk in reader.chunks())
        rows = [record.values for record in islice(records, MAX_ROWS) if record.values is not None]
    except (DropRejectedError, ObjectForbiddenError, ObjectNotFoundError):
        return None  # the recipe has to say how to read it
    return write_draft(context, job, draft(reader.layout.columns, rows))
