"""The command over the fakes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dropbatch.cli.main import app
from dropbatch.client import Stack
from tests.fakes import FakeContext
from tests.stacks import FakeServices, fake_stack


@dataclass(frozen=True)
class Ended:
    """The end of the command: its exit code, and what it printed to standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def members(self) -> Any:
        """The JSON that it printed."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """A folder to work in, a stack over the fakes, and the command."""

    fake: FakeContext
    stack: Stack
    services: FakeServices
    folder: Path

    def __call__(self, *arguments: str, typed: str = "", code: int | None = 0) -> Ended:
        """Run the command, which must end with this code, without a traceback and without colours."""
        result = CliRunner().invoke(app, list(arguments), input=typed)
        ended = Ended(result.exit_code, result.stdout, result.stderr)
        assert code is None or ended.code == code, f"{ended}"
        assert "Traceback" not in result.output
        assert "\x1b" not in result.output
        return ended

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)


@pytest.fixture
def terminal(fake: FakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    services = FakeServices()
    stack = fake_stack(fake, services)
    find: Callable[..., Stack] = lambda name=None, **_: stack  # noqa: E731  # as `Stack.find` is called
    monkeypatch.setattr(Stack, "find", find)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "DROPBATCH_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(fake, stack, services, folder)
