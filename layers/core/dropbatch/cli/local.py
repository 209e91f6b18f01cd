"""The commands that need no account: `init` and `check`; and `try`, which asks OpenAI about a few rows."""

import os
import shlex
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dropbatch.cli.exit_codes import ExitCode
from dropbatch.cli.options import AsJson, LocalFile, RecipeFile, Region, StackName, To, find_recipe, find_stack
from dropbatch.cli.output import note, print_json, print_table, say
from dropbatch.client.errors import DropbatchClientError, NotReachableError, WrongUseError
from dropbatch.domain.drops import RECIPE_NAMES
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.outcomes import COMPLETE
from dropbatch.formats.file_types import file_type
from dropbatch.json_encoding import to_json

if TYPE_CHECKING:
    from dropbatch.client.trying import Tried
    from dropbatch.ports import Answering

SHOWN_CHARACTERS = 300
"""How many characters of a value a trial shows; `--json` shows all."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(init)
    app.command()(check)
    app.command(name="try")(try_)


def init(
    file: LocalFile,
    ask: Annotated[
        str | None, typer.Option("--ask", metavar="QUESTION", help="The question to ask about each row.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="RECIPE", help="Where to write. By default recipe.yaml beside the file."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draft a recipe out of a file's own columns and first rows."""
    from dropbatch.client.local.inbox import local_first_rows
    from dropbatch.recipes.draft import draft

    found = local_first_rows(_existing(file))
    target = output or file.parent / RECIPE_NAMES[0]
    if target.exists() and not force:
        raise WrongUseError(f"{target} is there already: --force replaces it, --output names another file.")
    text = draft(found.columns, found.rows, ask, found.keys)
    target.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"recipe": str(target), "columns": list(found.columns), "text": text})
        return
    say(f"Drafted {target}. Read it, then: dropbatch check {shlex.quote(str(file))}")


def check(file: LocalFile, recipe: RecipeFile = None, to: To = None, as_json: AsJson = False) -> None:
    """Say what the stack would say about a file and its recipe, with a quote. Nothing leaves this machine."""
    from dropbatch.client import check as checking

    found = find_recipe(_existing(file), recipe)
    checked = checking.check(file, _key(file, to), found)
    if as_json:
        print_json(checked.members)
    else:
        say(*checked.lines)
        if checked.needs_recipe:
            say(f"`dropbatch init {shlex.quote(str(file))}` drafts one.")
    raise typer.Exit(ExitCode.DONE if checked.is_usable else ExitCode.REJECTED)


def try_(
    file: LocalFile,
    rows: Annotated[int, typer.Option("--rows", "-n", help="How many rows to ask about.")] = 5,
    recipe: RecipeFile = None,
    to: To = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it costs money.")] = False,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Ask OpenAI about the first rows at once, at the full price, and show rows and answers side by side.

    The key is OPENAI_API_KEY, or else the one that the stack stores.
    """
    from dropbatch.client import trying
    from dropbatch.reporting.phrases import rows_counted

    found = find_recipe(_existing(file), recipe)
    if found is None:
        raise WrongUseError(f"There is no recipe beside {file}: `dropbatch init {file}` drafts one.")
    trial = trying.prepare(file, _key(file, to), found, rows)
    note(
        f"This asks {trial.compiled.model or 'the model that each row names'} about {rows_counted(len(trial.records))} "
        "at once, at the full price: twice that of a batch."
    )
    if not yes and not _is_confirmed():
        note("Nothing was asked. --yes asks without this question.")
        raise typer.Exit(ExitCode.INTERRUPTED)
    tried = []
    openai, url = _openai(stack, region)
    for one in trial.run(openai, url):
        tried.append(one)
        if not as_json:
            _show(one)
    if as_json:
        print_json({"rows": [one.to_json() for one in tried]})
    else:
        say(_cost(tried))
    is_good = all(one.outcome in COMPLETE for one in tried)
    raise typer.Exit(ExitCode.DONE if is_good else ExitCode.FAILED_ROWS)


def _is_confirmed() -> bool:
    """Ask whether to go on; an input that has ended, as in a script, means no."""
    try:
        return typer.confirm("Go on?", default=True, err=True)
    except typer.Abort:
        note("")
        return False


def _cost(tried: "Sequence[Tried]") -> str:
    from dropbatch.reporting.phrases import money, rows_counted

    known = sum((one.usd for one in tried if one.usd is not None), Decimal(0))
    unknown = sum(one.usd is None for one in tried)
    return f"This cost {money(known)}" + (f", without {rows_counted(unknown)} of unknown price." if unknown else ".")


def _openai(stack: str | None, region: str | None) -> "tuple[Answering, str]":
    """Return OpenAI with the person's own key, or with the stack's, and the server's address."""
    from dropbatch.adapters.openai import OpenAIBatches
    from dropbatch.adapters.secrets import is_key

    key, url = os.environ.get("OPENAI_API_KEY", "").strip(), os.environ.get("OPENAI_BASE_URL", "")
    whose = "OPENAI_API_KEY is not an API key"
    if not key:
        try:
            found = find_stack(stack, region)
            key = found.openai_key()
        except DropbatchClientError as error:
            raise type(error)(f"OPENAI_API_KEY is not set, and no stack has a key. {error}") from error
        url, whose = found.openai_url(), "The stack has no API key yet"
    if not is_key(key):
        raise NotReachableError(f"{whose}: set OPENAI_API_KEY to one.")
    return OpenAIBatches(lambda _: (key, ""), url), url


def _show(tried: "Tried") -> None:
    values = [(name, _cut(value)) for name, value in tried.row.items()]
    answers = [(name, _cut(value)) for name, value in tried.answers.items()]
    outcome = tried.outcome if not tried.error else f"{tried.outcome}: {tried.error}"
    answers.append(("_status", outcome))
    lines = max(len(values), len(answers))
    blank = [("", "")] * lines
    pairs = zip((values + blank)[:lines], (answers + blank)[:lines], strict=True)
    print_table(
        ["column", "value", "added column", "answer"],
        [(*left, *right) for left, right in pairs],
        f"Row {tried.number:,}",
    )
    say("")


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise WrongUseError(f"There is no file {file}.")
    return file


def _key(file: Path, to: str | None) -> str:
    """Return the key that the file would have in the inbox, also if its ending is not one of a file of rows."""
    try:
        stem = file_type(file.name).stem
    except DropRejectedError:
        stem = file.stem
    folder = stem if to is None else to.strip("/")
    return f"{folder}/{file.name}" if folder else file.name
