"""The command as a whole: its help, its exit codes, its errors, colours and completion."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dropbatch
from dropbatch.cli.exit_codes import MEANINGS, ExitCode, code_of
from dropbatch.cli.main import app
from dropbatch.cli.output import console
from dropbatch.client import NotReachableError, Run, Stack
from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from tests.driving import RECIPE, rows
from tests.unit.cli.conftest import Terminal

ROOT = Path(__file__).parents[3]
COMMANDS = [
    "init", "check", "try", "put", "status", "watch", "get", "show", "diff", "cost", "approve", "cancel", "retry",
    "rerun", "doctor",
]  # fmt: skip
WITHOUT_STACK = {"init", "check"}


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, without credentials."""
    code = "from dropbatch.cli.main import main; main()"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OPENAI_"))}
    clean |= {
        "PYTHONPATH": str(ROOT / "layers" / "core"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
    }
    clean |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, **environment}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=clean, capture_output=True, text=True, check=False
    )


def test_the_help_names_all_commands_and_exit_codes(terminal: Terminal) -> None:
    shown = " ".join(terminal("--help").out.split())
    assert {info.name or info.callback.__name__ for info in app.registered_commands if info.callback} == set(COMMANDS)
    for name in COMMANDS:
        assert f" {name} " in shown
        assert "--json" in terminal(name, "--help").out
    for code in ExitCode:
        assert f"{int(code)} {MEANINGS[code].split()[0]}" in shown
    assert dropbatch.__version__ in terminal("--version").out


SLOW_MODULES = {"boto3", "botocore", "httpx2", "jinja2", "jsonschema", "openai", "pydantic", "ruamel"}
SMALL_ROOMS = {"cli", "client", "domain", "formats", "json_encoding", "ports"}


def test_help_and_completion_load_no_slow_module() -> None:
    """AWS's and OpenAI's clients take seconds to import, which nobody wants to wait for at each tab key."""
    code = (
        "import sys; sys.argv = ['dropbatch', '--help']\n"
        "from dropbatch.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "layers" / "core")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    assert "typer" in loaded
    assert not SLOW_MODULES & {name.partition(".")[0] for name in loaded}
    assert {name.split(".")[1] for name in loaded if name.startswith("dropbatch.")} <= SMALL_ROOMS


def test_each_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "command.md").read_text()
    for code, meaning in MEANINGS.items():
        assert f"| {int(code)} | {meaning} |" in page
    for name in COMMANDS:
        assert f"`dropbatch {name}" in page


@pytest.mark.parametrize(
    ("status", "rows_", "code"),
    [
        ("succeeded", {"total": 2, "ok": 2}, ExitCode.DONE),
        ("succeeded", {"total": 2, "ok": 1, "skipped": 1}, ExitCode.DONE),
        ("partial", {"total": 2, "ok": 1, "error": 1}, ExitCode.FAILED_ROWS),
        ("failed", {}, ExitCode.FAILED_ROWS),
        ("cancelled", {"total": 2, "ok": 2}, ExitCode.FAILED_ROWS),
        ("rejected", {}, ExitCode.REJECTED),
        ("held", {}, ExitCode.HELD),
        ("running", {}, ExitCode.DONE),
    ],
)
def test_the_code_of_a_run(status: str, rows_: dict[str, int], code: ExitCode) -> None:
    assert code_of(Run("a", "1", "a/1/", status, {"rows": rows_})) is code


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_STACK])
def test_every_command_ends_with_5_if_aws_is_not_reachable(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def unreachable(*_: object, **__: object) -> Stack:
        raise NotReachableError("AWS cannot be reached: check the network.")

    monkeypatch.setattr(Stack, "find", unreachable)
    terminal.write("a.csv", rows(1))
    terminal.write("recipe.yaml", RECIPE)
    arguments = {"cost": [], "doctor": [], "status": [], "try": ["a.csv", "--yes"]}.get(name, ["a.csv"])

    ended = terminal(name, *arguments, code=5)

    assert "AWS cannot be reached: check the network." in ended.err
    assert not ended.out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_STACK])
def test_a_fault_of_the_command_is_a_sentence_that_says_what_to_report(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def broken(*_: object, **__: object) -> Stack:
        raise ZeroDivisionError("the text of a row")

    monkeypatch.setattr(Stack, "find", broken)
    terminal.write("a.csv", rows(1))
    terminal.write("recipe.yaml", RECIPE)
    arguments = {"cost": [], "doctor": [], "status": [], "try": ["a.csv", "--yes"]}.get(name, ["a.csv"])

    ended = terminal(name, *arguments, code=70)

    assert "ZeroDivisionError at broken in test_interface.py" in ended.err
    assert "report" in ended.err
    assert dropbatch.__version__ in ended.err
    assert "the text of a row" not in ended.err


def _raising(error: BaseException) -> Any:
    def find(*_: object, **__: object) -> Stack:
        raise error

    return find


def test_other_ends_have_their_codes(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "find", _raising(KeyboardInterrupt()))
    assert "Interrupted" in terminal("status", code=130).err
    monkeypatch.setattr(Stack, "find", _raising(DropRejectedError.because(Problem("x", "It is wrong; correct it."))))
    assert "It is wrong; correct it." in terminal("status", code=3).err
    assert terminal("status", "--nothing", code=2).err
    assert terminal("nothing", code=2).err


def test_a_traceback_is_shown_only_on_demand(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "find", _raising(ZeroDivisionError()))
    monkeypatch.setenv("DROPBATCH_DEBUG", "1")
    with pytest.raises(AssertionError, match="Traceback"):
        terminal("status", code=70)


def test_nobody_is_asked_for_credentials_that_are_not_there() -> None:
    ended = command("status")
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "There are no AWS credentials" in ended.stderr


def test_an_endpoint_that_does_not_answer_is_named() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    ended = command("status", **keys)
    assert ended.returncode == 5
    assert "AWS_ENDPOINT_URL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_colours_are_only_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert not console().is_terminal
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == 200
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert console().color_system
    monkeypatch.setenv("NO_COLOR", "1")
    assert console().no_color


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    ended = command(_DROPBATCH_COMPLETE=f"source_{shell}")
    assert ended.returncode == 0
    assert "dropbatch" in ended.stdout


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(rows(1))
    (tmp_path / "recipe.yaml").write_bytes(RECIPE)
    code = "from dropbatch.cli.main import main; main()"
    program = f'{sys.executable} -c "{code}" check {tmp_path}/a.csv --json'
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "layers" / "core")}
    done = subprocess.run(
        ["sh", "-c", f"{program} | true"], env=environment, capture_output=True, text=True, check=False
    )
    assert not re.search("Traceback|BrokenPipe", done.stderr)
