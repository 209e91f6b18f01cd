"""The embedded stack: ministack for AWS, the emulator for OpenAI, and the application as `sam deploy` deploys it.

`make up`, `make tick` and `make down` run `python -m local.stack up | tick | down` for the stack in `.local`. Tests and
the demo make stacks of their own. All servers listen on 127.0.0.1, and all data is in the stack's directory.
"""

import fcntl
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from local import programs
from local.deployed import AWS, AWS_MARK, KEY, KEY_ID, REGION, Deployed, read_environment
from local.programs import LocalError, Program

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / ".local"
"""Where `make setup` installs ministack and SAM, each into an environment of its own."""

OLDEST_RUNTIME = "python3.12"
"""The oldest runtime that the template accepts. Its name has no effect here: functions run on ministack's Python."""

EMULATOR_KEY = "sk-emulated"
EMULATOR_PARAMETERS = {"AbsenceConfirmationSeconds": "10"}
"""Parameters of a stack with the emulator. Its list does not lag. The list of another server may, and a second batch
there costs money."""

EXAMPLE = "AbsenceConfirmationSeconds=2 LogRetentionDays=7"
"""A value of PARAMETERS."""

OPENAI, OPENAI_MARK = "openai", "local.openai_emulator"


@dataclass(frozen=True, slots=True)
class Stack:
    """One embedded stack.

    `openai_url` and `openai_key` name a server to use instead of the emulator. `parameters` are parameters of the
    template, and override those that are chosen here. `emulator` holds environment variables of the emulator. `say`
    gets a line about each step. `shared_build` is the folder of a build for several stacks with the same parameters:
    the first one builds. `runtime` is the Python of the layers (`python3.13`), by default that of ministack. With
    another one, ministack cannot run the functions.
    """

    directory: Path
    aws_port: int
    openai_port: int
    openai_url: str | None = None
    openai_key: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    emulator: Mapping[str, str] = field(default_factory=dict)
    name: str = "dropbatch"
    say: Callable[[str], None] = print
    shared_build: Path | None = None
    runtime: str = ""

    def up(self) -> "Deployed":
        """Start the servers that do not run, deploy, and write `stack.env`. A second call changes nothing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        aws, (openai, emulator_key) = self._aws(), self._openai()
        key = self.openai_key if self.openai_url else emulator_key
        if self.openai_url:
            programs.stop(self.directory, OPENAI, OPENAI_MARK)
            base_url = self.openai_url
            self.say(f"OpenAI is the server at {base_url}.")
            if not key:
                self.say(
                    "OPENAI_API_KEY is not set, so the stack's secret stays as it is; where any key will do, set any."
                )
        else:
            aws.check()  # before the emulator starts: if one of the two cannot start, neither does
            if openai.start():
                self.say(f"The OpenAI emulator listens on {openai.url}/v1.")
            base_url = openai.url + "/v1"
        if aws.start():
            self.say(f"The embedded AWS listens on {aws.url}.")
        self._deploy(aws, base_url)
        values = {
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "STACK_NAME": self.name,
            "OPENAI_BASE_URL": base_url,
        }
        if not self.openai_url:
            values |= {"OPENAI_API_KEY": emulator_key, "OPENAI_EMULATOR_URL": base_url}
        deployed = Deployed(self.directory, values)
        values |= deployed.outputs()
        if key:
            deployed.store_key(key)
        for topic in ("NOTIFICATIONS", "EVENTS"):
            values[f"{topic}_QUEUE_URL"] = deployed.subscribe(
                values[f"{topic}_TOPIC_ARN"], f"{self.name}-{topic.lower()}"
            )
        # `tick` prints from a queue of its own, so that it takes no message from the user's queue.
        values["NEWS_QUEUE_URL"] = deployed.subscribe(values["NOTIFICATIONS_TOPIC_ARN"], f"{self.name}-news")
        deployed.write()
        return deployed

    def down(self) -> bool:
        """Stop both servers, and keep their data. Return whether one of them ran."""
        stopped = [
            programs.stop(self.directory, AWS, AWS_MARK),
            programs.stop(self.directory, OPENAI, OPENAI_MARK),
        ]
        return any(stopped)

    @contextmanager
    def deployed_anew(self) -> Iterator["Deployed"]:
        """Yield the stack, deployed into an empty directory, and stop its servers in the end.

        Servers of an earlier run, which was killed, are stopped first.
        """
        self.down()
        shutil.rmtree(self.directory, ignore_errors=True)
        try:
            yield self.up()
        finally:
            self.down()

    def _aws(self) -> Program:
        state = self.directory / AWS
        settings = {
            "BIND_HOST": "127.0.0.1",  # without this setting and the next, it listens on every address
            "IOT_MTLS_ENABLED": "0",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.aws_port),
            "AUTH": "true",  # enforce policies, so that a run proves the roles' rights
            "PERSIST_STATE": "1",
            "S3_PERSIST": "1",
            "STATE_DIR": str(state / "state"),
            "S3_DATA_DIR": str(state / "s3"),
            "TMPDIR": str(state / "tmp"),
        }
        (state / "tmp").mkdir(parents=True, exist_ok=True)
        return Program(
            name=AWS,
            command=[str(_tool("ministack", "python")), "-m", AWS_MARK],
            environment=_clean_environment() | settings,
            port=self.aws_port,
            port_variable="AWS_PORT",
            health_path="/_ministack/health",
            mark=AWS_MARK,
            directory=self.directory,
        )

    def _openai(self) -> tuple[Program, str]:
        environment = _clean_environment() | dict(self.emulator)
        keys = environment.setdefault("OPENAI_EMULATOR_KEY", EMULATOR_KEY)
        environment |= {
            "OPENAI_EMULATOR_HOST": "127.0.0.1",
            "OPENAI_PORT": str(self.openai_port),
            "OPENAI_EMULATOR_DIR": str(self.directory / OPENAI),
        }
        program = Program(
            name=OPENAI,
            command=[sys.executable, "-m", OPENAI_MARK],
            environment=environment,
            port=self.openai_port,
            port_variable="OPENAI_PORT",
            health_path="/_emulator/health",
            mark=OPENAI_MARK,
            directory=self.directory,
        )
        return program, keys.split(",")[0].partition("=")[0].strip()

    def _deploy(self, aws: Program, openai_url: str) -> None:
        """Run `sam build` and `sam deploy` for this machine's processor and, by default, ministack's interpreter."""
        build = self.shared_build or self.directory / "build"
        runtime = self.runtime or f"python{_python_version()}"
        machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        parameters = {
            "Runtime": max(runtime, OLDEST_RUNTIME, key=_minor),
            "Architecture": machine,
            "OpenAIBaseUrl": openai_url,
            **({} if self.openai_url else EMULATOR_PARAMETERS),
            **self.parameters,
        }
        for name in sorted(parameters.keys() - template_parameters((ROOT / "template.yaml").read_text())):
            self.say(f"The template has no parameter {name}: left out.")
            del parameters[name]
        environment = _clean_environment() | {
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "SAM_CLI_TELEMETRY": "0",
            "DROPBATCH_RUNTIME": runtime,
            "DROPBATCH_ARCHITECTURE": parameters["Architecture"],
            "DROPBATCH_PARQUET": parameters.get("Parquet", "disabled"),
        }
        if sys.platform == "darwin":  # functions run on this machine, and Lambda's wheels do not
            environment["DROPBATCH_PLATFORM"] = f"{machine.replace('arm64', 'aarch64')}-apple-darwin"
        settings = ["--config-file", str(ROOT / "samconfig.toml"), "--config-env", "embedded"]
        template = ["--template-file", str(ROOT / "template.yaml"), "--build-dir", str(build)]
        with exclusive_build():
            if not (self.shared_build and (build / "template.yaml").exists()):  # `sam build` writes it at its end
                self.say("Building …")
                self._sam("build", [*settings, *template], environment)
        self.say("Deploying …")
        template = ["--template-file", str(build / "template.yaml"), "--stack-name", self.name]
        overrides = [f'{name}="{value}"' for name, value in parameters.items()]
        self._sam("deploy", [*settings, *template, "--parameter-overrides", *overrides], environment)

    def _sam(self, command: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        log = self.directory / "logs" / f"{command}.log"
        # SAM leaves empty folders behind where it keeps what is temporary.
        with log.open("wb") as out, TemporaryDirectory() as scratch:
            done = subprocess.run(
                [str(_tool("sam", "sam")), command, *arguments],
                cwd=ROOT,
                env={**environment, "TMPDIR": scratch},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                check=False,
            )
        if done.returncode:
            with log.open(encoding="utf-8", errors="replace") as lines:
                last = "".join(deque(lines, 25))
            raise LocalError(f"{last}\n`sam {command}` failed: its whole output is in {log}.")


@contextmanager
def exclusive_build() -> Iterator[None]:
    """Wait until no other stack is built. All builds write the layers' requirements to the same files."""
    with (ROOT / "layers" / "layers.mk").open() as layers:
        fcntl.flock(layers, fcntl.LOCK_EX)
        yield


def template_parameters(template: str) -> set[str]:
    """Return the names of a template's parameters: the keys two spaces deep below `Parameters:`."""
    section = re.search(r"^Parameters:\n((?:[ #].*\n|\n)*)", template, re.MULTILINE)
    return set(re.findall(r"^  (\w+):", section[1], re.MULTILINE)) if section else set()


def stack_from(environment: Mapping[str, str], directory: Path = TOOLS) -> Stack:
    """Return the stack of `make up` by AWS_PORT, OPENAI_PORT, OPENAI_BASE_URL, OPENAI_API_KEY and PARAMETERS."""
    openai_port = _port(environment, "OPENAI_PORT", 4580)
    url = environment.get("OPENAI_BASE_URL", "").rstrip("/") or None
    # A shell that has read stack.env has the emulator's URL: it does not name another server.
    emulator_url = read_environment(directory / "stack.env").get("OPENAI_EMULATOR_URL")
    if url and url == emulator_url and "OPENAI_PORT" not in environment:
        openai_port = int(url.removesuffix("/v1").rpartition(":")[2])
    if url in (emulator_url, f"http://127.0.0.1:{openai_port}/v1"):
        url = None
    return Stack(
        directory=directory,
        aws_port=_port(environment, "AWS_PORT", 4570),
        openai_port=openai_port,
        openai_url=url,
        openai_key=environment.get("OPENAI_API_KEY"),
        parameters=_parameters(environment.get("PARAMETERS", "")),
    )


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["up"]:
                deployed = stack_from(os.environ).up()
                print(
                    f"It is up. In a shell:\n\n"
                    f"  . {_shown(deployed.directory / 'stack.env')}\n"
                    "  aws s3 cp examples/reviews/ s3://$INBOX_BUCKET/reviews/ --recursive\n"
                    "  aws sqs receive-message --queue-url $NOTIFICATIONS_QUEUE_URL --wait-time-seconds 20\n\n"
                    "It polls every minute; `make tick` polls now, `make down` stops it and keeps what it holds."
                )
            case ["tick"]:
                deployed = Deployed.at(TOOLS)
                deployed.tick()
                print("Polled.", *(deployed.news() or ["Nothing new yet."]), sep="\n")
            case ["down"]:
                print("Stopped." if stack_from({}).down() else "Nothing was running.")
            case _:
                print("usage: python -m local.stack up | tick | down", file=sys.stderr)
                return 2
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _tool(environment: str, name: str) -> Path:
    tool = TOOLS / environment / "bin" / name
    if not tool.exists():
        raise LocalError(f"{environment} is not installed: run `make setup` first.")
    return tool


def _python_version() -> str:
    """Return the version of ministack's interpreter, which runs the functions."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run(
        [_tool("ministack", "python"), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _minor(runtime: str) -> int:
    return int(runtime.rpartition(".")[2])


def _clean_environment() -> dict[str, str]:
    """Return this process's environment without the variables that name another AWS or another OpenAI."""
    apart = ("AWS_", "OPENAI_BASE_URL", "OPENAI_API_KEY", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS", "PARAMETERS")
    kept = {"AWS_CA_BUNDLE"}
    clean = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(apart)}
    # A company's proxy cannot reach this machine.
    for name in ("no_proxy", "NO_PROXY"):
        clean[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1,localhost"]))
    return clean


def _parameters(text: str) -> dict[str, str]:
    parameters = {}
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not equals or not name.isalnum():
            raise LocalError(f'PARAMETERS must read like "{EXAMPLE}"; {word} does not.')
        parameters[name] = value
    return parameters


def _port(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise LocalError(f"{variable} must be a port between 1 and 65535; {text} is not.")
    return int(text)


def _shown(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
