"""Each command against the deployed stack, as a person types it. Meanwhile the stack polls every two seconds."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from dropbatch.cli.main import app
from dropbatch.client import watching
from examples import notebook
from local import recording
from tests.e2e.conftest import Embedded

RECIPE = """\
model: gpt-6-luna
prompt: "{{ text }}"
schema:
  sentiment: [positive, negative]
"""


@dataclass(frozen=True)
class Shell:
    """A shell that has read `stack.env`, in a folder of its own."""

    folder: Path

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run the command, which must end with this code. Return what it printed to standard output."""
        ended = CliRunner().invoke(app, list(arguments))
        assert ended.exit_code == code, f"{arguments} ended with {ended.exit_code}: {ended.output}"
        assert "Traceback" not in ended.output
        return ended.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def shell(healthy: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    for name, value in healthy.names.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DROPBATCH_STACK", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "MAX_PAUSE", 2.0)  # a batch of the emulator takes seconds, not hours
    stopped = threading.Event()

    def poll() -> None:
        while not stopped.wait(2):
            healthy.tick()

    polling = threading.Thread(target=poll)
    polling.start()
    yield Shell(tmp_path)
    stopped.set()
    polling.join()


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


def rows(count: int) -> str:
    return "id,text\n" + "".join(f"{number},this is fine {number}\n" for number in range(count))


def test_a_file_goes_from_the_check_to_a_comparison(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    write("recipe.yaml", RECIPE)
    write("cli.csv", rows(30))

    assert "30 rows" in shell("check", "cli.csv")
    put = shell.json("put", "cli.csv", "--wait", "--timeout", "300")
    assert (put["status"], put["rows"]["ok"], put["key"]) == ("succeeded", 30, "cli/cli.csv")
    assert Path("cli.csv.results/cli.answers.csv").read_text().count("ok") == 30

    assert "cli/cli.csv" in shell("status")
    assert "succeeded" in shell("status", "cli/cli.csv")
    assert "Rows: 30 (30 ok)" in shell("watch", "cli/cli.csv")
    assert "sentiment:" in shell("show", "cli/cli.csv", "--text")
    assert "Results: there/" in shell("get", "cli/cli.csv", "--to", "there", "--only", "report.html")
    assert "<html" in Path("there/report.html").read_text()

    write("recipe.yaml", RECIPE.replace("[positive, negative]", "[negative, positive]"))
    notebook.main("cli.csv")
    assert "'ok': 30" in capsys.readouterr().out
    compared = shell.json("diff", "cli/cli.csv", "--with", "1")
    assert (compared["rows"], compared["unmatched"]) == (30, 0)
    assert "tokens" in shell("diff", "cli/cli.csv")

    (month,) = shell.json("cost", "--by", "month,folder,model", "--months", "1")["months"]
    assert month["paid_usd"] > 0
    assert "cli" in [line["name"] for line in month["by_folder"]]


def test_a_recipe_is_drafted_and_tried(shell: Shell) -> None:
    write("angry.csv", rows(10))

    assert "Drafted recipe.yaml" in shell("init", "angry.csv", "--ask", "Is it angry?")
    assert "angry (boolean)" in shell("check", "angry.csv")
    tried = shell.json("try", "angry.csv", "--rows", "2", "--yes")["rows"]
    assert [(row["outcome"], type(row["answers"]["angry"])) for row in tried] == [("ok", bool)] * 2
    assert all(row["paid_usd"] > 0 for row in tried)
    assert "This cost" in shell("try", "angry.csv", "--rows", "1", "--yes")


def test_the_picture_of_the_readme_shows_what_the_commands_say(shell: Shell) -> None:
    recorded = recording.record()

    drawn = ElementTree.fromstring(recording.PICTURE.read_text(encoding="utf-8"))
    shown = "".join(drawn.itertext()).replace("\xa0", " ")
    for command, printed in recorded:
        assert f"$ {command}" in shown
        assert printed.strip()
    drawn_words = "".join(shown.split())
    for command, printed in recorded[:3]:  # what the others print follows from how long the batch takes
        assert "".join(printed.split()) in drawn_words, f"{command} prints other words now: run local/recording.py"
    assert "Rows: 500 (500 ok)" in recorded[-1][1]


def test_markers_let_a_held_run_go_on_or_end(shell: Shell) -> None:
    write("recipe.yaml", RECIPE + "hold: true\n")
    write("held.csv", rows(3))
    write("other.csv", rows(4))

    assert "dropbatch approve" in shell("put", "held.csv", "--to", "held/", "--wait", "--timeout", "300", code=4)
    shell("put", "other.csv", "--to", "held/", "--wait", "--timeout", "300", code=4)
    assert "Wrote held/other.csv.cancel" in shell("cancel", "held/other.csv")
    shell("watch", "held/other.csv", "--through-holds", "--timeout", "300", code=1)

    assert [marker["key"] for marker in shell.json("approve", "held/")["markers"]] == ["held/held.csv"]
    assert "succeeded" in shell("watch", "held/held.csv", "--through-holds", "--timeout", "300")
    assert "Nothing to do" in shell("approve", "held/")
    retried = shell.json("retry", "held/other.csv", "--wait", "--timeout", "300", code=4)
    assert retried["run"] == 2
    assert "Wrote held/held.csv.rerun" in shell("rerun", "held/held.csv")
    shell("cancel", "held/")


def test_a_rejected_file_has_its_own_exit_code(shell: Shell) -> None:
    write("recipe.yaml", RECIPE)
    write("bad.csv", "comment\nx\n")

    assert "no column 'text'" in shell("put", "bad.csv", "--wait", "--timeout", "300", code=3)
    assert "has no run" not in shell("status", "bad/bad.csv", code=3)


def test_the_doctor_finds_that_the_stack_is_well(shell: Shell, healthy: Embedded) -> None:
    healthy.tick()
    findings = shell.json("doctor")["findings"]
    level = {finding["check"]: finding["level"] for finding in findings if finding["level"] != "warning"}
    for check in ("stack", "outputs", "key", "models", "schedule", "queues"):
        assert level[check] == "ok", findings
    assert not [finding for finding in findings if finding["level"] in ("problem", "unknown")], findings
