"""The draft of a recipe for a file that has none: its columns, its first rows, and its encoding say what is in it."""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.formats.encodings import NOT_UTF_8
from dropbatch.formats.file_types import FileType, Kind, file_type
from dropbatch.formats.guessing import SAMPLE_BYTES, guess_encoding
from dropbatch.intake.opening import content_of, open_drop
from dropbatch.recipes.draft import draft
from dropbatch.reporting.result_files import write_draft
from dropbatch.storage.context import Context
from dropbatch.storage.recipe_text import RecipeText

MAX_ROWS = 100
"""How many of a file's first rows a draft is made out of."""

MIN_SECONDS = 30
"""With less time left, a file is rejected without a draft: a table may take long to open."""


class FirstRows(NamedTuple):
    """The columns of a file, none if each row names its own, and its first rows.

    `encoding` is what the file seems to be encoded as; None for UTF-8.
    """

    columns: Sequence[str]
    rows: Sequence[dict[str, Any]]
    encoding: str | None = None


def draft_recipe(context: Context, job: Job) -> str | None:
    """Write a draft of a recipe for a job's file, and return its key; None if the file's first rows cannot be read."""
    if context.seconds_left() < MIN_SECONDS:
        return None
    try:
        found = first_rows(context, job.drop)
    except (DropRejectedError, ObjectForbiddenError, ObjectNotFoundError):
        return None  # the recipe has to say how to read it
    if found is None:
        return None
    return write_draft(context, job, draft(found.columns, found.rows, encoding=found.encoding))


def first_rows(context: Context, drop: Drop) -> FirstRows | None:
    """Read the first rows of a file; return None if it has ready requests, and needs no recipe.

    A text that is not UTF-8 is read in the encoding that it seems to have, if only one is likely: the draft says so.
    Raise DropRejectedError if no recipe can be drafted.
    """
    kind = file_type(drop.key)
    try:
        found, is_utf_8 = _read(context, drop, kind, None)
    except DropRejectedError as rejected:
        encoding = _likely_encoding(context, drop, kind)
        if encoding is None or not any(problem.code == NOT_UTF_8 for problem in rejected.problems):
            raise
        return _read(context, drop, kind, encoding)[0]
    encoding = None if is_utf_8 else _likely_encoding(context, drop, kind)
    return found if encoding is None else _read(context, drop, kind, encoding)[0]


def _read(context: Context, drop: Drop, kind: FileType, encoding: str | None) -> tuple[FirstRows | None, bool]:
    """Return the first rows, and whether they are UTF-8."""
    recipe = RecipeText("", f"encoding: {encoding}\n".encode(), {}) if encoding is not None else None
    _, reader = open_drop(context, drop, kind, recipe)
    if reader.layout.raw:
        return None, True
    records = list(islice(chain.from_iterable(chunk.records() for chunk in reader.chunks()), MAX_ROWS))
    rows = [record.values for record in records if record.values is not None]
    is_utf_8 = not any(record.problem is not None and record.problem.code == NOT_UTF_8 for record in records)
    return FirstRows(list(reader.layout.columns), rows, encoding), is_utf_8


def _likely_encoding(context: Context, drop: Drop, kind: FileType) -> str | None:
    """Return the encoding that a file seems to have; None if there are several, or a recipe cannot name it."""
    if kind.kind not in (Kind.CSV, Kind.TSV, Kind.TXT):
        return None
    sample = b""
    for block in content_of(context, drop, kind):
        sample += block
        if len(sample) >= 4 * SAMPLE_BYTES:
            break
    guess = guess_encoding(sample)
    return guess.names[0] if guess.is_sure else None
