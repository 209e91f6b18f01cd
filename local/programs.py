"""Servers that run in the background. A pid file names the process of each; a server is stopped by its process id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

PORTS = range(20_000, 32_000)
"""Ports of servers for which nobody chose one. Linux gives clients ports from 32,768 on, macOS from 49,152 on."""

START_SECONDS = 60
STOP_SECONDS = 20
"""How long a server may take to save its state before it is killed."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs without a proxy: a company's proxy cannot reach this machine."""

_children: dict[int, subprocess.Popen[bytes]] = {}
"""The servers that this process started. A child stays in the system's table until its parent waits for it."""


class LocalError(Exception):
    """A state of this machine, or a setting, with which a command cannot work. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Program:
    """One server. Its pid is in `<directory>/<name>.pid`, its output in `<directory>/logs/<name>.log`.

    `mark` is a word of its command line. A process without it is another one, because the system uses pids again.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port: int
    port_variable: str
    health_path: str
    mark: str
    directory: Path

    @property
    def log(self) -> Path:
        return self.directory / "logs" / f"{self.name}.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def check(self) -> bool:
        """Return whether the server runs. Raise a LocalError if it does not and cannot be started."""
        if running(self.directory, self.name, self.mark):
            if self._answers():
                return True
            raise LocalError(
                f"{self.name} runs, but does not answer on port {self.port}: run `make down` first, then try again."
            )
        if not _is_free(self.port):
            another = self.port + 1000 if self.port < 64000 else self.port - 1000
            raise LocalError(
                f"Port {self.port} is in use by another program: stop that one, or choose another port, "
                f"e.g. {self.port_variable}={another}."
            )
        return False

    def start(self) -> bool:
        """Start the server if it does not run, and wait until it answers. Return whether it was started."""
        if self.check():
            return False
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _children[process.pid] = process
        _pid_file(self.directory, self.name).write_text(f"{process.pid}\n")
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if process.poll() is not None:
                raise LocalError(f"{self.name} did not start: {self.log} says why.")
            if time.monotonic() > deadline:
                raise LocalError(f"{self.name} did not answer within {START_SECONDS} seconds: {self.log} may say why.")
            time.sleep(0.1)
        return True

    def _answers(self) -> bool:
        try:
            with _DIRECT.open(self.url + self.health_path, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def running(directory: Path, name: str, mark: str) -> int | None:
    """Return the pid of the server that was started in this directory, or None if it does not run."""
    try:
        pid = int(_pid_file(directory, name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if mark in _command_line(pid) else None


def stop(directory: Path, name: str, mark: str) -> bool:
    """Stop the server and all processes that it started. Return whether it ran."""
    pid = running(directory, name, mark)
    _pid_file(directory, name).unlink(missing_ok=True)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    # The server leads a process group. Processes that remain in it are functions that still run.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if child := _children.pop(pid, None):
        child.wait()
    return True


def free_port() -> int:
    """Return a port that was free a moment ago. The system gives it to no client, so a stopped server gets it again."""
    return next(filter(_is_free, SystemRandom().sample(PORTS, len(PORTS))))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_alive(pid: int) -> bool:
    if child := _children.get(pid):
        return child.poll() is None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _pid_file(directory: Path, name: str) -> Path:
    return directory / f"{name}.pid"


def _command_line(pid: int) -> str:
    """Return a process's command line; an empty one if there is no process, or if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        if Path("/proc/self").exists():
            return ""
    found = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False)
    return found.stdout
