"""Notifications about recipes: how one was understood, which files it takes up, or what is wrong with it."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dropbatch.domain.drops import Drop
from dropbatch.domain.problems import Notice, Problems
from dropbatch.domain.recipe_summary import Understood
from dropbatch.ports import Notification
from dropbatch.reporting.event_members import SCHEMA_VERSION, listed_notices, listed_problems, named_drop
from dropbatch.reporting.phrases import (
    as_text,
    copy_command,
    counted,
    marker_command,
    notice_lines,
    place,
    problem_lines,
    subject,
)
from dropbatch.reporting.recipe_summary import understood_lines
from dropbatch.reporting.rejection_advice import paths_to_correct, recipe_lines
from dropbatch.reporting.trial import Trial

MAX_FILES = 5
"""How many of the files that continue are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class FilesFound:
    """The files that waited for a recipe when it came.

    `count` files continue with it; `first` are the keys of the first of them. `is_empty` says that the recipe's folder
    has no file at all. `elsewhere` is then the key of a file that waits for a recipe in another folder. `has_retries`
    says that some of their rows were sent before. `parts` are the files that the recipe names, relative to its folder.
    """

    count: int = 0
    first: Sequence[str] = ()
    is_empty: bool = False
    elsewhere: str | None = None
    has_retries: bool = False
    parts: Sequence[str] = ()


def usable(
    drop: Drop,
    understood: Understood,
    notices: Sequence[Notice] = (),
    files: FilesFound | None = None,
    trial: tuple[Trial, str] | None = None,
) -> Notification:
    """Return the notification of a recipe that can be used: how it was understood, and what happens now.

    `trial` is the trial of its rows, and the bucket of the trial's page; None if there are no such rows.
    """
    if notices:
        verdict = "usable, but see the notice"
        text = [f"{drop.key} can be used, but:", *notice_lines(notices)]
        text.append("Files dropped into its folder are answered by it.")
    else:
        verdict = "usable"
        text = [f"{drop.key} can be used: files dropped into its folder are answered by it."]
    text += ["Please check that this is what you mean:", *understood_lines(understood)]
    detail: dict[str, Any] = {"understood": understood.to_json()}
    if trial is not None:
        verdict += f", {trial[0].verdict}"
        text += trial[0].lines(trial[1])
        detail["tried"] = trial[0].to_json()
    if files is not None:
        if files.count:
            verdict += f", {counted(files.count, 'file')} {'is' if files.count == 1 else 'are'} read again"
        text += _files_lines(drop, files)
        detail["files"] = {"count": files.count, "first": list(files.first)}
    return _notification(drop, "usable", verdict, text, Problems(), notices, detail)


def broken(drop: Drop, problems: Problems) -> Notification:
    """Return the notification of a recipe that cannot be used: what is wrong, and how to correct it."""
    count = counted(problems.causes, "problem")
    text = [f"{drop.key} cannot be used: {count}.", *problem_lines(problems)]
    paths = paths_to_correct(problems)
    if problems.has("missing_file"):
        text.append("Upload the missing files that it names; files that wait for it are then read automatically.")
    text += recipe_lines(drop, paths, "files that wait for it are then read")
    return _notification(drop, "invalid", f"cannot be used, {count}", text, problems)


def _files_lines(drop: Drop, files: FilesFound) -> list[str]:
    if files.count:
        names = [f"`{_within(drop, key)}`" for key in files.first[:MAX_FILES]]
        more = files.count - len(names)
        listed = ", ".join(names) + (f" and {more:,} more" if more else "")
        verb = "is read again with it" if files.count == 1 else "are read again with it"
        first = replace(drop, key=files.first[0])
        paid = "" if files.has_retries else " Nothing was paid for them before."
        return [
            f"{counted(files.count, 'file')} that waited for it {verb}: {listed}.{paid}",
            f"To stop {'it' if files.count == 1 else 'the first of them'}: {marker_command(first, 'cancel')}",
        ]
    if not files.is_empty:
        return [
            "No file waits for it. To read a file again that is already there, make a folder "
            "`<the file's name>.rerun` beside it."
        ]
    lines = [f"There is no file in its folder yet. Upload files into {place(drop)}."]
    if files.elsewhere:
        folder, slash, _ = files.elsewhere.rpartition("/")
        where = f"`{folder}/`" if folder else "the bucket itself"
        lines.append(
            f"`{files.elsewhere}` waits for a recipe; to use this one, put it into {where}: "
            f"{_copy_recipe(drop, drop.key, folder + slash, files.parts)}"
        )
    return lines


def _copy_recipe(drop: Drop, path: str, folder: str, parts: Sequence[str]) -> str:
    """Say how to copy a recipe, and the files that it names, into a folder, which ends in a slash or is empty."""
    own, slash, name = path.rpartition("/")
    names = [name, *dict.fromkeys(posixpath.normpath(part) for part in parts)]
    return copy_command(drop, [own + slash + each for each in names], [folder + each for each in names])


def dropped_elsewhere(drop: Drop, path: str, seconds: int, parts: Sequence[str] = ()) -> list[str]:
    """Say that a recipe was dropped into another folder, and how a file without a recipe can use it.

    `parts` are the files that the recipe names, relative to its folder.
    """
    folder = path.rpartition("/")[0]
    own, slash, _ = drop.key.rpartition("/")
    source = f"`{folder}/`" if folder else "the bucket itself"
    target = f"`{own}/`" if own else "the bucket itself"
    return [
        f"A recipe was dropped into {source} {_ago(seconds)}; to use it for this file, put it into {target}: "
        f"{_copy_recipe(drop, path, own + slash, parts)}"
    ]


def _ago(seconds: int) -> str:
    if seconds < 90:
        return "a moment ago"
    if seconds < 5_400:
        return f"{counted(round(seconds / 60), 'minute')} ago"
    if seconds < 129_600:
        return f"{counted(round(seconds / 3600), 'hour')} ago"
    return f"{counted(round(seconds / 86_400), 'day')} ago"


def _within(drop: Drop, key: str) -> str:
    """Return the key of a file relative to the recipe's folder."""
    return key.removeprefix(drop.key[: drop.key.rfind("/") + 1])


def _notification(
    drop: Drop,
    status: str,
    verdict: str,
    text: Sequence[str],
    problems: Problems,
    notices: Sequence[Notice] = (),
    more: Mapping[str, Any] | None = None,
) -> Notification:
    detail = {
        "schema_version": SCHEMA_VERSION,
        "event": "recipe",
        "status": status,
        "drop": named_drop(drop),
        "recipe_folder": drop.folder,
        "problems": listed_problems(problems, 10),
        "notices": listed_notices(notices),
        "labels": dict(drop.labels),
        **(more or {}),
    }
    return Notification(
        "recipe",
        status,
        drop.folder,
        subject(drop.key, verdict),
        as_text(text),
        detail,
        verdict,
        recipe_folder=drop.folder,
    )
