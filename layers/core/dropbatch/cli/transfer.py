"""The commands that move files: `put`, `get`, and `show` for the report of a run."""

import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dropbatch.cli.exit_codes import ExitCode, code_of
from dropbatch.cli.options import (
    AsJson,
    Key,
    KeyOrFolder,
    LocalFile,
    RecipeFile,
    Region,
    RunNumber,
    StackName,
    To,
    find_recipe,
    find_stack,
)
from dropbatch.cli.output import note, print_json, say, transfers
from dropbatch.cli.views import Watching, phase_of, run_lines, run_members
from dropbatch.client.errors import WrongUseError
from dropbatch.client.runs import Run
from dropbatch.formats.file_types import Kind, file_type

if TYPE_CHECKING:
    from dropbatch.client.stack import Stack

Timeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait at most.")]
Folder = Annotated[
    Path | None,
    typer.Option("--to", metavar="FOLDER", help="A folder of this machine. By default <name of the file>.results."),
]

REPORT = "report.html"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(put)
    app.command()(get)
    app.command()(show)


def put(
    file: LocalFile,
    to: To = None,
    recipe: RecipeFile = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the run has ended, and download its results.")
    ] = False,
    timeout: Timeout = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="With --wait: where to download to.")
    ] = None,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Upload a file, and its recipe if that has changed."""
    found = find_stack(stack, region)
    key = found.key_for(file, to)
    local = find_recipe(file, recipe)
    if local is None and file_type(file.name).kind is not Kind.JSONL and not found.has_recipe(key):
        raise WrongUseError(
            f"There is no recipe beside {file}, and none in the inbox for {key}: `dropbatch init {file}` drafts one."
        )
    with transfers() as bars:
        upload = found.put(
            file,
            to=to,
            recipe=local.path if local is not None else None,
            progress=lambda done, size: bars(file.name, done, size),
        )
    if upload.recipe_written:
        note(f"Uploaded the recipe {local.path if local else ''}.")
    members = {"key": key, "version_id": upload.version_id, "recipe_written": upload.recipe_written}
    if not wait:
        if as_json:
            print_json(members)
        else:
            say(f"Uploaded s3://{found.inbox}/{key}", f"To follow it: dropbatch watch {key}")
        return
    with Watching(key) as watching:
        run = found.wait(upload, timeout=timeout, on_change=watching.show)
    folder = output or _default_folder(key)
    has_results = run.is_ended and not run.is_rejected
    files = _download(found, run, folder, ()) if has_results else []
    if as_json:
        print_json({**members, **run_members(run), "files": files})
    else:
        say(*run_lines(run), *([f"Results: {folder}/"] if files else []))
    raise typer.Exit(code_of(run))


def get(
    key: KeyOrFolder,
    to: Folder = None,
    run: RunNumber = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="NAME", help="A result, such as answers, failed or report.html. May be repeated."
        ),
    ] = None,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Download the results of a run, or of the newest run of each file of a folder.

    A download that was broken off continues where it stopped.
    """
    found = find_stack(stack, region)
    key = found.key(key)
    if not key or key.endswith("/"):
        if run is not None:
            raise WrongUseError("--run names a run of one file, and not of a folder.")
        _get_folder(found, key, to, only or (), as_json=as_json)
        return
    chosen = found.run(key, run)
    folder = to or _default_folder(key)
    files = _download(found, chosen, folder, only or ())
    if as_json:
        print_json({**run_members(chosen), "files": files})
    else:
        say(*run_lines(chosen), f"Results: {folder}/")
    raise typer.Exit(code_of(chosen))


def _get_folder(
    stack: "Stack", folder: str, to: Path | None, only: "tuple[str, ...] | list[str]", *, as_json: bool
) -> None:
    """Download the results of the newest run of each file below a folder, those that have ended."""
    target = to or _default_folder(folder.rstrip("/") or stack.name)
    code, found = ExitCode.DONE, []
    for run in stack.newest_runs(folder):
        files: list[str] = []
        place = target / run.key.removeprefix(folder)
        try:
            if not place.resolve().is_relative_to(target.resolve()):
                note(f"Left out: {run.key} would be written outside of {target}.")
            elif run.is_ended and not run.is_rejected:
                files = _download(stack, run, place, only)
            else:
                note(f"Left out: {run.key} {run.status if run.is_rejected else phase_of(run)}.")
        except WrongUseError as error:
            note(f"Left out: {run.key}: {error}")
        code = max(code, code_of(run))
        found.append({**run_members(run), "files": files})
    if as_json:
        print_json({"runs": found})
    else:
        count = sum(bool(each["files"]) for each in found)
        say(f"Results of {count:,} of {len(found):,} files: {target}/")
    raise typer.Exit(code)


def show(
    key: Key,
    run: RunNumber = None,
    text: Annotated[bool, typer.Option("--text", help="Print a summary here, and open no browser.")] = False,
    to: Folder = None,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Open the report of a run in a browser, or print its summary."""
    found = find_stack(stack, region)
    key = found.key(key)
    chosen = found.run(key, run)
    if as_json:
        print_json(run_members(chosen))
        raise typer.Exit(code_of(chosen))
    say(*run_lines(chosen))
    if chosen.is_ended and not text and sys.stdout.isatty():
        folder = to or _default_folder(key)
        _download(found, chosen, folder, (REPORT,))
        page = (folder / REPORT).resolve()
        if not webbrowser.open(page.as_uri()):
            note(f"No browser could be opened: the report is {page}.")
    raise typer.Exit(code_of(chosen))


def _download(stack: "Stack", run: Run, folder: Path, only: "tuple[str, ...] | list[str]") -> list[str]:
    with transfers() as bars:
        done = stack.download(run, folder, only=only, progress=bars)
    return [str(each.path) for each in done]


def _default_folder(key: str) -> Path:
    return Path(f"{key.rpartition('/')[2]}.results")
