"""The terminal recording: the same commands and outputs give the same picture, whenever and wherever they run."""

import re
import stat
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from local import recording


def test_the_picture_shows_each_command_with_its_output() -> None:
    recorded = [(recording.typed(command), f"output {number}\n") for number, command in enumerate(recording.COMMANDS)]

    drawn = recording.picture(recorded)

    assert drawn == recording.picture(recorded)
    assert "url(http" not in drawn
    shown = "".join(ET.fromstring(drawn).itertext()).replace("\xa0", " ")
    for command, printed in recorded:
        assert f"$ {command}" in shown
        assert printed.strip() in shown
    assert [command.split()[1] for command, _ in recorded] == ["init", "check", "try", "put", "show"]


def test_what_differs_each_time_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        f"Uploaded s3://my-inbox-bucket-1x2y/a.csv 20251231T235959Z-abcdef012345 at 2025-12-31T23:59:59Z "
        f"in {tmp_path}/a"
    )
    program = tmp_path / "dropbatch"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(recording, "PROGRAM", [str(program)])

    found = recording.run(("put", "a.csv"), tmp_path)

    assert found == "Uploaded s3://inbox/a.csv 20261128T090000Z-0123456789ab at 2026-11-28T09:00:00Z in a\n"


def test_a_shell_without_a_stack_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert recording.main() == 1
    assert re.search("make up", capsys.readouterr().err)
