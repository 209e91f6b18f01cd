"""The draft of a recipe for a file that has none: its columns, its first rows, and its encoding say what is in it."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import DropRejectedError, ObjectForbiddenError, ObjectNotFoundError
from dropbatch.domain.jobs import Job
from dropbatch.domain.problems import Problem
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


_HEADER = re.compile(r"`header: (\d+)`")
"""The line that a problem about a title says to write."""


class FirstRows(NamedTuple):
    """The columns of a file, none if each row names its own, and its first rows.

    `keys` are keys of a recipe without which they could not be read so: `encoding`, `header`.
    """

    columns: Sequence[str]
    rows: Sequence[dict[str, Any]]
    keys: Mapping[str, str]


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
    return write_draft(context, job, draft(found.columns, found.rows, keys=found.keys))


def first_rows(context: Context, drop: Drop) -> FirstRows | None:
    """Read the first rows of a file; return None if it has ready requests, and needs no recipe.

    A text that is not UTF-8 is read in the encoding that it seems to have, if only one is likely, and a title above the
    header is left out: the draft says so. Raise DropRejectedError if no recipe can be drafted.
    """
    kind = file_type(drop.key)
    keys: dict[str, str] = {}
    while True:
        found, rejected = None, None
        try:
            found, problems = _read(context, drop, kind, keys)
        except DropRejectedError as error:
            rejected, problems = error, list(error.problems)
        needed = _needed_keys(context, drop, kind, problems)
        if needed.keys() <= keys.keys():
            if rejected is not None:
                raise rejected
            return found
        keys = {**needed, **keys}


def _read(
    context: Context, drop: Drop, kind: FileType, keys: Mapping[str, str]
) -> tuple[FirstRows | None, list[Problem]]:
    """Return the first rows, and what is wrong or doubtful about them."""
    text = "".join(f"{name}: {value}\n" for name, value in keys.items())
    _, reader = open_drop(context, drop, kind, RecipeText("", text.encode(), {}) if text else None)
    if reader.layout.raw:
        return None, []
    records = list(islice(chain.from_iterable(chunk.records() for chunk in reader.chunks()), MAX_ROWS))
    rows = [record.values for record in records if record.values is not None]
    problems = [record.problem for record in records if record.problem is not None]
    return FirstRows(list(reader.layout.columns), rows, dict(keys)), [*problems, *reader.hints]


def _needed_keys(context: Context, drop: Drop, kind: FileType, problems: Sequence[Problem]) -> dict[str, str]:
    """Return the keys of a recipe that solve problems of reading, with their values."""
    keys = {}
    if any(problem.code == NOT_UTF_8 for problem in problems):
        encoding = _likely_encoding(context, drop, kind)
        if encoding is not None:
            keys["encoding"] = encoding
    title = next((_HEADER.search(each.message) for each in problems if each.code == "title_above_header"), None)
    if title is not None:
        keys["header"] = title[1]
    return keys


def _likely_encoding(context: Context, drop: Drop, kind: FileType) -> str | None:
    """Return the encoding that a file seems to have; None if there are several, or a recipe cannot name it."""
    if kind.kind not in (Kind.CSV, Kind.TSV, Kind.TXT):
        return None
    sample = b""
    for block in content_of(context, drop, kind):
        sample += block
        if len(sample) >= 4 * SAMPLE_BYTES:
            break
    else:
        sample += b"\n"  # the last line is a whole one
    guess = guess_encoding(sample)
    return guess.names[0] if guess.is_sure else None
