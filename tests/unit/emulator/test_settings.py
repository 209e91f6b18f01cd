"""The environment variables, and the program that reads them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from local.openai_emulator.settings import SettingsError, Upstream, settings_from


def test_without_variables_it_listens_on_the_loopback_interface_only() -> None:
    settings = settings_from({})
    assert (settings.host, settings.port, settings.keys) == ("127.0.0.1", 4580, {"sk-emulated": "default"})


def test_keys_may_belong_to_projects_of_their_own() -> None:
    assert settings_from({"OPENAI_EMULATOR_KEY": "sk-a, sk-b"}).keys == {"sk-a": "default", "sk-b": "default"}
    assert settings_from({"OPENAI_EMULATOR_KEY": "sk-a=p1,sk-b=p2"}).keys == {"sk-a": "p1", "sk-b": "p2"}


def test_token_limits_models_delays_and_upstream_are_read() -> None:
    settings = settings_from(
        {
            "OPENAI_EMULATOR_TOKEN_LIMITS": "gpt-6-*=10,gpt-5.5=20",
            "OPENAI_EMULATOR_MODELS": "gpt-6-sol, gpt-5.5",
            "OPENAI_EMULATOR_IN_PROGRESS_SECONDS": "2.5",
            "UPSTREAM_BASE_URL": "http://127.0.0.1:1/v1/",
            "UPSTREAM_CONCURRENCY": "3",
            "OPENAI_EMULATOR_ONLY_JSONL": "1",
        }
    )
    assert settings.token_limits == {"gpt-6-*": 10, "gpt-5.5": 20}
    assert settings.models == ("gpt-6-sol", "gpt-5.5")
    assert settings.delays.in_progress == 2.5
    assert settings.only_jsonl
    assert settings.upstream == Upstream("http://127.0.0.1:1/v1", concurrency=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_PORT", "http"),
        ("OPENAI_EMULATOR_VALIDATING_SECONDS", "-1"),
        ("OPENAI_EMULATOR_CANCELLING_SECONDS", "nan"),
        ("OPENAI_EMULATOR_TOKEN_LIMITS", "gpt-6-sol"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings_from({name: value})


@pytest.mark.slow
def test_the_program_serves_until_it_gets_a_signal(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OPENAI_PORT": str(port), "OPENAI_EMULATOR_DIR": str(tmp_path / "a" / "b")}
    with subprocess.Popen([sys.executable, "-W", "error", "-m", "local.openai_emulator"], env=environment) as program:
        try:
            assert healthy(f"http://127.0.0.1:{port}/_emulator/health")
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(10) == -signal.SIGTERM


def healthy(url: str) -> bool:
    """Return whether the server answers within ten seconds."""
    for _ in range(200):
        try:
            return httpx2.get(url).status_code == 200
        except httpx2.TransportError:
            time.sleep(0.05)
    return False
