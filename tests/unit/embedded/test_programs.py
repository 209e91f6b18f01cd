import os
import socket
import sys
from pathlib import Path

import pytest

from local import programs
from local.programs import LocalError, Program, free_port, running, stop

MARK = "http.server"


def server(directory: Path, port: int) -> Program:
    return Program(
        name="server",
        command=[sys.executable, "-m", MARK, "--bind", "127.0.0.1", str(port)],
        environment=os.environ,
        port=port,
        port_variable="SERVER_PORT",
        health_path="/LICENSE",
        mark=MARK,
        directory=directory,
    )


def test_a_server_is_started_once_and_found_again_by_its_pid(tmp_path: Path) -> None:
    program = server(tmp_path, free_port())
    try:
        assert program.start()
        assert not program.start()
        assert running(tmp_path, "server", MARK) == int((tmp_path / "server.pid").read_text())
    finally:
        assert stop(tmp_path, "server", MARK)
    assert running(tmp_path, "server", MARK) is None
    assert not stop(tmp_path, "server", MARK)


def test_a_port_that_somebody_else_uses_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(LocalError, match=rf"^Port {port} is in use by another program: .*SERVER_PORT=\d+\.$"):
            server(tmp_path, port).start()


def test_a_port_that_somebody_else_uses_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        used = other.getsockname()[1]
        monkeypatch.setattr(programs, "PORTS", range(used, used + 20))

        assert used < free_port() < used + 20


def test_a_server_that_runs_on_another_port_is_not_started_twice(tmp_path: Path) -> None:
    server(tmp_path, free_port()).start()
    try:
        with pytest.raises(LocalError, match="make down"):
            server(tmp_path, free_port()).start()
    finally:
        stop(tmp_path, "server", MARK)


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    program = server(tmp_path, free_port())
    broken = Program(
        **{name: getattr(program, name) for name in Program.__slots__} | {"command": [sys.executable, "-c", ""]}
    )

    with pytest.raises(LocalError, match=str(tmp_path / "logs" / "server.log")):
        broken.start()


def test_a_process_that_only_has_the_pid_of_a_former_server_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "server.pid").write_text(f"{os.getpid()}\n")

    assert not stop(tmp_path, "server", MARK)


@pytest.mark.parametrize("written", ["", "not a pid", "999999999"])
def test_an_invalid_pid_file_is_not_a_server(tmp_path: Path, written: str) -> None:
    (tmp_path / "server.pid").write_text(written)

    assert running(tmp_path, "server", MARK) is None
