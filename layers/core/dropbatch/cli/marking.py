"""The commands that write markers: `approve`, `cancel`, `retry` and `rerun`, for a file or a folder."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dropbatch.cli.exit_codes import ExitCode, code_of
from dropbatch.cli.options import AsJson, KeyOrFolder, Region, StackName, find_stack
from dropbatch.cli.output import print_json, say
from dropbatch.cli.transfer import Timeout
from dropbatch.cli.views import Watching, run_lines, run_members
from dropbatch.client.errors import WrongUseError
from dropbatch.client.runs import Run

if TYPE_CHECKING:
    from dropbatch.client.markers import Marked
    from dropbatch.client.stack import Stack

Wait = Annotated[bool, typer.Option("--wait", help="Wait until the new run has ended.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(approve)
    app.command()(cancel)
    app.command()(retry)
    app.command()(rerun)


def approve(key: KeyOrFolder, stack: StackName = None, region: Region = None, as_json: AsJson = False) -> None:
    """Continue a run that waits for an approval."""
    _report(find_stack(stack, region).approve(key), as_json=as_json)


def cancel(key: KeyOrFolder, stack: StackName = None, region: Region = None, as_json: AsJson = False) -> None:
    """Stop the open runs of a file, and keep the answers that OpenAI has given."""
    _report(find_stack(stack, region).cancel(key), as_json=as_json)


def retry(
    key: KeyOrFolder,
    wait: Wait = False,
    timeout: Timeout = None,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Send the rows without a good answer again."""
    found = find_stack(stack, region)
    marked = found.retry(key)
    _finish(found, marked, wait=wait, timeout=timeout, as_json=as_json)


def rerun(
    key: KeyOrFolder,
    wait: Wait = False,
    timeout: Timeout = None,
    stack: StackName = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Send all rows again, with the recipe as it is now."""
    found = find_stack(stack, region)
    marked = found.rerun(key)
    _finish(found, marked, wait=wait, timeout=timeout, as_json=as_json)


def _finish(stack: "Stack", marked: "Sequence[Marked]", *, wait: bool, timeout: float | None, as_json: bool) -> None:
    if not wait:
        _report(marked, as_json=as_json)
        return
    if len(marked) != 1:
        raise WrongUseError(f"--wait waits for one run, and {len(marked):,} markers were written: watch each of them.")
    with Watching(marked[0].key) as watching:
        run: Run = stack.wait(marked[0].upload, timeout=timeout, on_change=watching.show)
    if as_json:
        print_json(run_members(run))
    else:
        say(*run_lines(run))
    raise typer.Exit(code_of(run))


def _report(marked: "Sequence[Marked]", *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"markers": [{"key": each.key, "marker": each.marker, "version_id": each.version_id} for each in marked]}
        )
    elif not marked:
        say("Nothing to do: no run of these files is in a state in which the marker acts.")
    else:
        say(*(f"Wrote {each.marker}" for each in marked), "A message says what each has done.")
    raise typer.Exit(ExitCode.DONE)
