"""A running emulator and the real client that talks to it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest

from local.openai_emulator.testing import RunningEmulator, running_emulator
from tests.unit.emulator.service import Service


@pytest.fixture
def service_with(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Yield a function that starts an emulator with the settings of a test."""
    with ExitStack() as opened:

        def start(**settings: Any) -> Service:
            running = opened.enter_context(running_emulator(tmp_path / "openai", **settings))
            client = openai.OpenAI(base_url=running.base_url, api_key=running.api_key, max_retries=0)
            return Service(running, opened.enter_context(client))

        yield start


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningEmulator, dict[str, str]]]:
    """Yield one emulator for all tests without settings, and its keys, to which each test adds one."""
    keys = {"sk-emulated": "default"}
    with running_emulator(tmp_path_factory.mktemp("openai"), keys=keys) as running:
        yield running, keys


@pytest.fixture
def service(shared: tuple[RunningEmulator, dict[str, str]]) -> Iterator[Service]:
    """Yield a service with a project for the test."""
    running, keys = shared
    key = f"sk-{len(keys)}"
    keys[key] = f"project-{len(keys)}"
    with openai.OpenAI(base_url=running.base_url, api_key=key, max_retries=0) as client:
        yield Service(running, client)
    running.faults.clear()
    running.finish()
