"""The entry point of the command `dropbatch`: its commands, and the end of each error in a sentence."""

import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from dropbatch import __version__
from dropbatch.cli import account, compare, local, marking, transfer, watch
from dropbatch.cli.exit_codes import MEANINGS, ExitCode
from dropbatch.cli.output import note, say
from dropbatch.client.errors import NotDoneError, NotReachableError, WrongUseError
from dropbatch.domain.errors import DropRejectedError

DEBUG_VARIABLE = "DROPBATCH_DEBUG"

EPILOG = "Exit codes: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS.items()) + "."


class Commands(TyperGroup):
    """The commands. Each error of one becomes a sentence on standard error and an exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TyperException, typer.Exit):
            raise
        except (KeyboardInterrupt, EOFError, typer.Abort):
            note("Interrupted. Runs that have begun continue.")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of the pipe has what it wants. Python must not fail once more when it flushes at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.DONE) from None
        except Exception as error:  # noqa: BLE001 - the last resort: no traceback, ever
            raise typer.Exit(_explained(error)) from None


def _explained(error: Exception) -> ExitCode:
    """Print the sentence of an error, and return the exit code for it."""
    if isinstance(error, WrongUseError):
        note(str(error))
        return ExitCode.WRONG_USE
    if isinstance(error, NotReachableError):
        note(str(error))
        return ExitCode.NOT_REACHABLE
    if isinstance(error, NotDoneError):
        note(str(error))
        return ExitCode.NOT_DONE
    if isinstance(error, DropRejectedError):
        note(*(problem.message for problem in error.problems.kept))
        return ExitCode.REJECTED
    if isinstance(error, OSError):
        note(f"{error.filename or 'The output'}: {error.strerror or type(error).__name__}.")
        return ExitCode.WRONG_USE
    place = traceback.extract_tb(error.__traceback__)[-1]
    note(
        f"A fault of the command itself: {type(error).__name__} at {place.name} in {os.path.basename(place.filename)}, "
        f"line {place.lineno}.",
        f"Please report this line with the command and the version {__version__}. {DEBUG_VARIABLE}=1 shows where it "
        "happened; look for texts of your own in that before you send it.",
    )
    if os.environ.get(DEBUG_VARIABLE):
        note(*traceback.format_exception(error))
    return ExitCode.FAULT


app = typer.Typer(
    cls=Commands,
    name="dropbatch",
    help="Have the rows of files answered by OpenAI's Batch API, through a stack of Dropbatch.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"dropbatch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # its callback does all
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for module in (local, transfer, watch, compare, account, marking):
    module.register(app)


def main() -> None:
    """Run the command with the arguments of the process."""
    try:
        app(prog_name="dropbatch")
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
