"""Starts and answers of the built functions and layers, run as AWS runs them, without Docker.

AWS's runtime interface emulator starts `awslambdaric` with a built function and its layers, in the environment of the
deployed one. That process has one core, and everything else has the others: the emulator, the embedded AWS, and the
emulator of OpenAI. Code is compiled when it is built, and a run writes none.

Cold is the time from the first invocation, which starts the process, to its answer. Warm is the time of a later
invocation with such an event. Both have the smallest real work: a drop of ten rows, its batch, a poll that finds
nothing open. The main step is the same with real sizes, in a warm process.

Lambda differs in four ways. It takes the processor away at times from a function of less than 1,769 MB, after its
initialization. It limits the memory from outside; here only the function's own limit holds
(`entrypoints/memory_limit.py`), and the largest peak is printed. Its connections have TLS. It loads the code from a
disk; here the code is in the page cache.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import inputs
from benchmarks.environments import installed
from benchmarks.runs import Spread
from local.deployed import Deployed
from local.programs import free_port
from local.stack import TOOLS, Stack

RUNS = 20
FEW_ROWS, MANY_ROWS = 10, 3_000
RUNTIME = "python3.13"
"""The template's default."""

FOLDER = TOOLS / "benchmarks" / "starting"
RUNTIME_CLIENT = "awslambdaric==4.2.2"
BATCH_SECONDS = 3_600
"""How long a batch is open, by the clock of OpenAI's emulator."""

INVOCATIONS = "2015-03-31/functions/function/invocations"
GIVE_UP_SECONDS = 240
MIB = 1 << 20

RECIPE = "recipe.yaml"
UNCHECKED = (1).to_bytes(4, "little")
"""The flags of a compiled module that is loaded without a look at its source (PEP 552)."""

_COLD = {"take_in": "≤ 0.9", "submit": "≤ 0.9", "poll": "≤ 0.5", "poll_open": "", "collect": "≤ 0.9"}
FIGURES = {
    **{f"cold_{step}_s": ("s", bound) for step, bound in _COLD.items()},
    **{f"cold_{step}_cpu_s": ("s of CPU", "") for step in _COLD},
    **{f"warm_{step}_s": ("s", "") for step in ("take_in", "submit", "poll", "collect")},
    **{f"main_{step}_s": ("s", "") for step in ("take_in", "submit", "poll", "collect")},
}
"""`take_in` and `submit` are the two kinds of events of the submit function. `poll_open` is a poll with open batches.

Seconds are those of the clock, and of CPU those of the function's process.
"""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Event = Mapping[str, Any]


@dataclass(slots=True)
class Process:
    """A process of a function, behind the runtime interface emulator, which starts it with the first invocation."""

    url: str
    emulator: int

    def invoke(self, event: Event) -> float:
        """Return the seconds of the clock until the function has answered. Raise RuntimeError if it failed."""
        request = urllib.request.Request(self.url, json.dumps(event).encode())
        began = time.perf_counter()
        with _DIRECT.open(request, timeout=GIVE_UP_SECONDS) as response:
            answer = response.read()
        took = time.perf_counter() - began
        if answer not in (b"null", b'{"batchItemFailures": []}', b'{"batchItemFailures":[]}'):
            raise RuntimeError(f"the function answered {answer[:500]!r}: {FOLDER}/functions.log says why")
        return took

    @property
    def pid(self) -> int:
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.emulator)], capture_output=True, text=True)
        return int(listed.stdout)

    @property
    def processor(self) -> float:
        """The seconds of the processor of the function's process, so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_mb(self) -> float:
        [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(peak) * 1024 / MIB


@dataclass(frozen=True, slots=True)
class Function:
    """A built function, with the configuration of the deployed one."""

    configuration: Mapping[str, Any]
    code: Path
    layers: Sequence[Path]
    interpreter: str
    emulator: Path
    core: int
    endpoint: Mapping[str, str]
    peaks: list[float] = field(default_factory=list)

    @contextmanager
    def process(self) -> Iterator[Process]:
        """Yield a process of this function that starts with its first invocation."""
        port = free_port()
        command = [
            str(self.emulator),
            *("--log-level", "error"),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
            *("--runtime-api-address", f"127.0.0.1:{free_port()}"),
            *("taskset", "--cpu-list", str(self.core), self.interpreter, "-m", "awslambdaric"),
            self.configuration["Handler"],
        ]
        with (FOLDER / "functions.log").open("ab") as log:
            emulator = subprocess.Popen(command, cwd=self.code, env=self._environment(), stdout=log, stderr=log)
        process = Process(f"http://127.0.0.1:{port}/{INVOCATIONS}", emulator.pid)
        try:
            _wait_for(f"http://127.0.0.1:{port}/", emulator)
            yield process
            self.peaks.append(process.peak_mb)
        finally:
            pid = process.pid if emulator.poll() is None else None
            emulator.kill()
            emulator.wait()
            if pid:
                subprocess.run(["kill", "-9", str(pid)], stderr=subprocess.DEVNULL, check=False)

    def _environment(self) -> dict[str, str]:
        """Return the variables that Lambda sets, and those of the deployed function."""
        configuration = self.configuration
        return {
            "PATH": os.environ["PATH"],
            "LANG": "en_US.UTF-8",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{RUNTIME}",
            "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(self.code),
            "PYTHONPATH": os.pathsep.join(str(layer / "python") for layer in self.layers),
            "PYTHONDONTWRITEBYTECODE": "1",  # on Lambda, nothing can be written there
            **self.endpoint,
            **configuration["Environment"]["Variables"],
        }


@dataclass(slots=True)
class Times:
    """The seconds of one step, in new processes and in a process that has started."""

    cold: list[float] = field(default_factory=list)
    cold_processor: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    main: list[float] = field(default_factory=list)
    mean_processor: dict[str, float] = field(default_factory=dict)
    """Of the warm invocations. The system counts hundredths of seconds, which is too little for one of them."""


@dataclass(frozen=True, slots=True)
class Series:
    """The events of one step, which invoke new processes, a process that has started, and the same with real sizes."""

    cold: Sequence[Event]
    warm: Sequence[Event]
    main: Sequence[Event] = ()


def starting() -> dict[str, float | Spread | None]:
    """Measure the three functions. The figures are None if this machine cannot run them."""
    interpreter, emulator = _interpreter(), _emulator()
    if interpreter is None or emulator is None:
        print(f"  {RUNTIME} or the runtime interface emulator is missing here: left out")
        return dict.fromkeys(FIGURES)
    client = installed(FOLDER.with_name("awslambdaric"), [RUNTIME_CLIENT], interpreter)
    if client is None:
        return dict.fromkeys(FIGURES)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:-1] or cores)  # this process, and the servers that it starts
    try:
        return _measured(client, emulator, cores[-1])
    finally:
        os.sched_setaffinity(0, cores)


def _measured(interpreter: str, emulator: Path, core: int) -> dict[str, float | Spread | None]:
    build = _build_folder()
    stack = Stack(
        FOLDER,
        free_port(),
        free_port(),
        parameters={"PollSchedule": "rate(15 minutes)"},
        emulator={"OPENAI_EMULATOR_IN_PROGRESS_SECONDS": str(BATCH_SECONDS)},
        say=lambda what: print(f"  {what}"),
        shared_build=build,
        runtime=RUNTIME,
    )
    with stack.deployed_anew() as deployed:
        check_compiled(build)
        _connect(deployed, connected=False)

        def function(name: str) -> Function:
            configuration = deployed.client("lambda").get_function_configuration(
                FunctionName=deployed.values[f"{name.upper()}_FUNCTION"]
            )
            layers = [build / layer for layer in ("DependenciesLayer", "CoreLayer")]
            code = build / f"{name.title()}Function"
            endpoint = {key: value for key, value in deployed.values.items() if key.startswith("AWS_")}
            return Function(configuration, code, layers, interpreter, emulator, core, endpoint)

        return _figures(deployed, function("submit"), function("poll"), function("collect"))


def _figures(
    deployed: Deployed, submit: Function, poll: Function, collect: Function
) -> dict[str, float | Spread | None]:
    """Take three series of drops through the functions, step by step."""
    times = {"poll": _measure(poll, Series([{}] * RUNS, [{}] * (RUNS + 1)))}
    _drop(deployed)
    intake = _events(deployed, "INTAKE", len(_keys()) + 1)
    with submit.process() as process:
        process.invoke(intake[RECIPE])
    times["take_in"] = _measure(submit, _series(intake))
    batches = _events(deployed, "DISPATCH", len(_keys()))
    times["submit"] = _measure(submit, _series(batches))
    times["poll_open"] = _measure(poll, Series([{}] * RUNS, [{}], [{}] * RUNS))
    _end_batches(deployed)
    with poll.process() as process:
        process.invoke({})
    _send(deployed, "COLLECT", batches)
    times["collect"] = _measure(collect, _series(_events(deployed, "COLLECT", len(_keys()))))
    _check_results(deployed)
    for name, its in times.items():
        _show(name, its)
    for function in (submit, poll, collect):
        limit = function.configuration["MemorySize"]
        print(f"  {function.code.name}: at most {max(function.peaks):.0f} of {limit} MiB")
    times["poll"].main = times["poll_open"].main
    return {
        **{f"cold_{step}_s": Spread.of(times[step].cold) for step in times},
        **{f"cold_{step}_cpu_s": Spread.of(times[step].cold_processor) for step in times},
        **{f"warm_{step}_s": Spread.of(times[step].warm) for step in times if step != "poll_open"},
        **{f"main_{step}_s": Spread.of(times[step].main) for step in times if step != "poll_open"},
    }


def _measure(function: Function, series: Series) -> Times:
    times = Times()
    for event in series.cold:
        with function.process() as process:
            times.cold.append(process.invoke(event))
            times.cold_processor.append(process.processor)
    with function.process() as process:
        process.invoke(series.warm[0])
        for name, measured, events in (("warm", times.warm, series.warm[1:]), ("main", times.main, series.main)):
            before = process.processor
            measured.extend(map(process.invoke, events))
            if events:
                times.mean_processor[name] = (process.processor - before) / len(events)
    return times


def _show(step: str, times: Times) -> None:
    shown = []
    for name, seconds in (("cold", times.cold), ("warm", times.warm), ("main", times.main)):
        if seconds:
            processor = times.mean_processor.get(name) or median(times.cold_processor)
            shown.append(f"{name} {median(seconds):.3f} s, {processor:.3f} of the processor")
    print(f"  {step:<10}", "; ".join(shown))


# ---------------------------------------------------------------------------------------------------------------------
# The drops and their events
# ---------------------------------------------------------------------------------------------------------------------


def _keys_of_series() -> dict[str, list[str]]:
    """Return the keys of the drops by series. The first one of the warm series starts the process."""
    numbers = {"cold": RUNS, "warm": RUNS + 1, "main": RUNS}
    return {name: [f"{name}/{n}.csv" for n in range(number)] for name, number in numbers.items()}


def _keys() -> list[str]:
    return [key for keys in _keys_of_series().values() for key in keys]


def _drop(deployed: Deployed) -> None:
    """Drop the recipe and three series of files."""
    s3, bucket = deployed.client("s3"), deployed.values["INBOX_BUCKET"]
    s3.put_object(Bucket=bucket, Key=RECIPE, Body=inputs.RECIPE)
    lines = inputs.csv_drop(MANY_ROWS).read_bytes().splitlines(keepends=True)
    for key in _keys():
        rows = MANY_ROWS if key.startswith("main") else FEW_ROWS
        s3.put_object(Bucket=bucket, Key=key, Body=b"".join(lines[: rows + 1]))


def _series(events: Mapping[str, Event]) -> Series:
    """Return the events by the series of their drops."""
    cold, warm, main = ([events[key] for key in keys] for keys in _keys_of_series().values())
    return Series(cold, warm, main)


def _events(deployed: Deployed, queue: str, number: int) -> dict[str, Event]:
    """Take this number of messages from a queue. Return the event of each for its function, by the key of its drop."""
    sqs, url = deployed.client("sqs"), deployed.values[f"{queue}_QUEUE_URL"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    events: dict[str, Event] = {}
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while len(events) < number:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(events)} of {number} messages came to the queue {queue}")
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, AttributeNames=["All"])
        for message in received.get("Messages", []):
            record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {},
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": attributes["QueueArn"],
                "awsRegion": deployed.values["AWS_REGION"],
            }
            events[_key(deployed, json.loads(message["Body"]))] = {"Records": [record]}
    return events


def _send(deployed: Deployed, queue: str, batches: Mapping[str, Event]) -> None:
    """Send messages about these batches. A poll sends only as many as it expects to be worked on soon."""
    for event in batches.values():
        body = event["Records"][0]["body"]
        deployed.client("sqs").send_message(QueueUrl=deployed.values[f"{queue}_QUEUE_URL"], MessageBody=body)


def _key(deployed: Deployed, message: Mapping[str, Any]) -> str:
    """Return the key of a message's drop."""
    if "job_id" not in message:
        return str(message["detail"]["object"]["key"])
    key = {"pk": {"S": f"job#{message['job_id']}"}, "sk": {"S": "job"}}
    found = deployed.client("dynamodb").get_item(TableName=deployed.values["TABLE"], Key=key, ConsistentRead=True)
    return str(found["Item"]["drop"]["M"]["key"]["S"])


def _connect(deployed: Deployed, *, connected: bool) -> None:
    """Take the functions off their queues, so that the messages stay for this benchmark, or put them back."""
    functions = deployed.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=connected)


def _end_batches(deployed: Deployed) -> None:
    """Move the clock of OpenAI's emulator forward, until all batches have ended."""
    base = deployed.values["OPENAI_EMULATOR_URL"].removesuffix("/v1")
    request = urllib.request.Request(
        f"{base}/_emulator/clock",
        json.dumps({"advance": BATCH_SECONDS + 60}).encode(),
        {"content-type": "application/json"},
    )
    _DIRECT.open(request, timeout=GIVE_UP_SECONDS).close()


def _check_results(deployed: Deployed) -> None:
    """Wait until each drop has its summary. The stack does a step itself that was put off on a busy machine."""
    _connect(deployed, connected=True)
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while missing := set(_keys()) - _ended(deployed):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no results of {len(missing)} drops")
        deployed.tick()
        time.sleep(1)


def _ended(deployed: Deployed) -> set[str]:
    """Return the keys of the drops that have their summary."""
    pages = deployed.client("s3").get_paginator("list_objects_v2").paginate(Bucket=deployed.values["RESULTS_BUCKET"])
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return {key for key in _keys() if any(it.startswith(f"{key}/") and it.endswith("/summary.json") for it in keys)}


# ---------------------------------------------------------------------------------------------------------------------
# The build, and what runs it
# ---------------------------------------------------------------------------------------------------------------------


def _build_folder() -> Path:
    """Return the folder of a build of the present sources, and delete builds of others."""
    digest = hashlib.sha256()
    for path in sorted(_sources()):
        digest.update(f"{path}\0".encode() + path.read_bytes())
    builds = FOLDER.with_name("built")
    its = builds / digest.hexdigest()[:16]
    for other in builds.glob("*"):
        if other != its:
            shutil.rmtree(other)
    return its / "build"  # SAM writes a file of its own beside it


def _sources() -> Iterator[Path]:
    yield from map(Path, ("template.yaml", "uv.lock", "pyproject.toml"))
    for folder in ("functions", "layers"):
        for path in Path(folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.name != "requirements.txt":
                yield path


def check_compiled(build: Path) -> None:
    """Raise RuntimeError unless the layers have the compiled form of each module, which is used without a check."""
    tag = RUNTIME.replace("python", "cpython-").replace(".", "")
    for layer in ("DependenciesLayer", "CoreLayer"):
        for path in (build / layer).rglob("*.py"):
            compiled = path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc"
            if not compiled.exists() or compiled.read_bytes()[4:8] != UNCHECKED:
                raise RuntimeError(f"{path} is not compiled for {RUNTIME}")


def _interpreter() -> str | None:
    """Return the interpreter with which the layers are compiled, or None if this machine has none of that version."""
    show = ["make", "--silent", "--file", "layers/layers.mk", "--eval", "show: ; @echo $(interpreter)", "show"]
    ran = subprocess.run([*show, f"DROPBATCH_RUNTIME={RUNTIME}"], capture_output=True, text=True, check=True)
    return ran.stdout.strip() or None


def _emulator() -> Path | None:
    """Return AWS's runtime interface emulator, which is part of SAM, or None if it does not run here."""
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    found = [*TOOLS.glob(f"sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}")]
    return found[0] if found and sys.platform == "linux" else None


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a server answers, whatever it answers."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _DIRECT.open(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise TimeoutError(f"the runtime interface emulator did not start: {FOLDER}/functions.log says why")
