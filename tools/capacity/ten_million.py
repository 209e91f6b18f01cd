"""A drop of ten million rows, from the inbox to its joined results, on one machine: `make scale` (ROWS=… for fewer).

The study runs the product's use cases, each message as an invocation with its time, and the real adapter to OpenAI. The
adapter calls the emulator, a process whose clock moves forward minute by minute. A token limit lets only some batches
run at once, and a few expire half done. Objects are on disk, and are removed at the end.

It checks that every row came back, in order, with its outcome, and that no batch was created twice.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote
from urllib.request import Request, urlopen

from benchmarks.inputs import FOLDER, csv_drop
from dropbatch.adapters.openai import OpenAIBatches
from dropbatch.batch_api.limits import Limits
from dropbatch.client.local.context import BUCKETS, MemoryQueue, MemoryTable, folder_context
from dropbatch.client.local.objects import FolderObjects
from dropbatch.collection.collect import collect
from dropbatch.domain.errors import RetryLaterError
from dropbatch.domain.jobs import Job
from dropbatch.domain.states import ENDED_JOBS, BatchState, JobState
from dropbatch.intake.intake import take_in
from dropbatch.intake.row_scan import HANDOVER_SECONDS
from dropbatch.messages import BatchMessage, IntakeMessage
from dropbatch.polling.poll import poll
from dropbatch.reporting.event_members import results_prefix
from dropbatch.storage.context import Context
from dropbatch.storage.object_lines import read_lines
from dropbatch.storage.objects import read_object
from dropbatch.submission.create_search import METADATA_KEY
from dropbatch.submission.submit import submit
from local.openai_emulator.clock import Clock
from local.programs import Program, free_port, stop

ROWS = 10_000_000
MODEL = "gpt-6-luna"
RECIPE = f"""\
model: {MODEL}
system: Say in one sentence what the review praises, and what it complains about.
prompt: "{{{{ product }}}}: {{{{ text }}}}"
parameters: {{reasoning_effort: none, max_completion_tokens: 500}}
""".encode()
KEY, VERSION = "reviews/reviews.csv", "000000001"
EMULATOR, MARK = "openai", "local.openai_emulator"
API_KEY = "sk-emulated"

FUNCTION_SECONDS = 300.0
"""The seconds that an invocation has (template.yaml)."""

MINUTE = 60
MAX_MINUTES = 72 * 60
"""A job that takes longer meets its deadline."""

ENQUEUED, COUNTED = 182, 153
"""About a row's tokens: as the emulator enqueues them, by the bytes of the request, and as it counts them when it
answers, by those of the texts alone."""

MB = 1 << 20
MAX_MB = 256
"""Maximum peak of a process's memory."""


@dataclass(frozen=True, slots=True)
class Day:
    """The size of a day.

    `at_once` batches may be enqueued at once. Each takes `batch_minutes`, but `expiring` of them expire after half of
    that. Reading a drop hands over after `reading_seconds`.
    """

    rows: int = ROWS
    limits: Limits = field(default_factory=Limits)
    at_once: int = 25
    batch_minutes: int = 165
    expiring: int = 5
    reading_seconds: float = 10.0

    def tokens_at_once(self, of_a_row: int) -> int:
        return self.at_once * self.limits.batch_requests * of_a_row

    @property
    def faults(self) -> list[dict[str, Any]]:
        half = self.limits.batch_requests // 2
        return [{"kind": "expire_after_rows", "rows": half, "times": self.expiring}]


@dataclass(slots=True)
class Stage:
    """The invocations of one kind: their seconds, those of the longest, and those of a processor."""

    invocations: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    longest: float = 0.0
    peak_mb: float = 0.0


STAGES = ("reading", "submitting", "polling", "collecting", "joining")


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a day. `waited` are the seconds in which only the emulator was busy."""

    day: Day
    job: Job
    stages: Mapping[str, Stage]
    seconds: float
    waited: float
    emulator_mb: float
    emulator_cpu: float
    minutes: int
    created: Sequence[Mapping[str, Any]]  # the batches at OpenAI
    summary: Mapping[str, Any]
    sent_bytes: int
    answered_bytes: int
    objects: FolderObjects
    table_calls: Mapping[str, int]

    @property
    def outcomes(self) -> dict[str, int]:
        return {outcome: n for outcome, n in self.summary["rows"].items() if n and outcome != "total"}

    @property
    def peaks_mb(self) -> list[float]:
        return [*(stage.peak_mb for stage in self.stages.values()), self.emulator_mb]

    def show(self) -> None:
        rows = self.day.rows
        print(
            f"  {'stage':<12} {'invocations':>11} {'seconds':>9} {'cpu':>9} {'longest':>9} {'rows/s':>9} {'peak MB':>8}"
        )
        for name, stage in self.stages.items():
            print(
                f"  {name:<12} {stage.invocations:>11,} {stage.seconds:>9.1f} {stage.cpu:>9.1f} {stage.longest:>9.1f}"
                f" {rows / stage.seconds:>9,.0f} {stage.peak_mb:>8.0f}"
            )
        waited, busy = self.waited, self.emulator_cpu
        print(f"  {'emulator':<12} {'':>11} {waited:>9.1f} {busy:>9.1f} {'':>9} {'':>9} {self.emulator_mb:>8.0f}")
        print(f"  {self.seconds:,.0f} seconds for {self.minutes / 60:.1f} hours; rows: {self.outcomes}")
        statuses = Counter(batch["status"] for batch in self.created)
        tokens = max(batch["tokens"] / max(1, batch["total"]) for batch in self.created)
        print(f"  tokens enqueued a row: {tokens:.0f}; counted {self.summary['tokens']}")
        print(f"  {self.job.shards} shards, {len(self.created)} batches: {dict(statuses)}")
        found = self.objects
        moved = {"sent": self.sent_bytes, "answered": self.answered_bytes, "read from S3": found.read_bytes}
        results = sum(found.head(BUCKETS.results, key).size for key, _ in found.names(BUCKETS.results, ""))
        moved |= {"written to S3": found.written_bytes, "results": results}
        print("  MB " + ", ".join(f"{what} {size / MB:,.0f}" for what, size in moved.items()))
        print(f"  S3 {found.calls}; DynamoDB {self.table_calls}")


class Emulator:
    """A client of the emulator, its clock and its files."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.base_url = program.url + "/v1"
        self.sent_bytes = self.answered_bytes = 0  # of the deleted files

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self._program.url + path, data, headers, method=method)) as answer:
            return json.load(answer)

    def advance(self, seconds: float) -> None:
        self.call("POST", "/_emulator/clock", {"advance": seconds})

    def forget(self, batch_id: str) -> None:
        """Delete a batch's files as soon as it is collected, so that the disk holds no second copy of all rows."""
        batch = self.call("GET", f"/v1/batches/{batch_id}")
        self.sent_bytes += self._forget_file(batch["input_file_id"])
        self.answered_bytes += self._forget_file(batch["output_file_id"]) + self._forget_file(batch["error_file_id"])

    def _forget_file(self, file_id: str | None) -> int:
        if not file_id:
            return 0
        size: int = self.call("GET", f"/v1/files/{file_id}")["bytes"]
        self.call("DELETE", f"/v1/files/{file_id}")
        return size

    @property
    def _pid(self) -> str:
        return (self._program.directory / f"{self._program.name}.pid").read_text().strip()

    def peak_mb(self) -> float:
        return _peak_mb(self._pid)

    def cpu(self) -> float:
        """Return the seconds of a processor that the emulator has used."""
        user, system = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def emulating(folder: Path, day: Day) -> Iterator[Emulator]:
    """Start an emulator on a free port, yield its client, and stop it after the block."""
    port = free_port()
    program = Program(
        name=EMULATOR,
        command=[sys.executable, "-m", MARK],
        environment={
            **os.environ,
            "OPENAI_EMULATOR_HOST": "127.0.0.1",
            "OPENAI_PORT": str(port),
            "OPENAI_EMULATOR_DIR": str(folder / EMULATOR),
            "OPENAI_EMULATOR_KEY": API_KEY,
            "OPENAI_EMULATOR_TOKEN_LIMITS": f"{MODEL}={day.tokens_at_once(ENQUEUED)}",
            "OPENAI_EMULATOR_VALIDATING_SECONDS": str(5 * MINUTE),
            "OPENAI_EMULATOR_IN_PROGRESS_SECONDS": str(day.batch_minutes * MINUTE),
            "OPENAI_EMULATOR_FINALIZING_SECONDS": str(5 * MINUTE),
        },
        port=port,
        port_variable="OPENAI_PORT",
        health_path="/_emulator/health",
        mark=MARK,
        directory=folder,
    )
    program.start()
    try:
        yield Emulator(program)
    finally:
        stop(folder, EMULATOR, MARK)


class Worker:
    """The functions: it handles each message of the queues as an invocation with its time."""

    def __init__(self, context: Context, day: Day) -> None:
        self.context = context
        self.stages = {name: Stage() for name in STAGES}
        self._reading_seconds = HANDOVER_SECONDS + day.reading_seconds

    def handle_all(self) -> None:
        """Handle each message that is due, and those that follow from it."""
        queues = (self.context.intake, self.context.collect, self.context.dispatch)
        intake, collects, dispatch = (cast("MemoryQueue", queue) for queue in queues)
        while True:
            if message := intake.take():
                self._invoke(self._read, message, self._reading_seconds)
            elif message := collects.take():
                self._invoke(self._collect, message)
            elif message := dispatch.take():
                self._invoke(self._submit, message)
            else:
                return

    def poll(self) -> None:
        self._invoke(self._poll, {})

    def _invoke(
        self, handle: Callable[[Context, Any], str], message: Mapping[str, Any], seconds: float = FUNCTION_SECONDS
    ) -> None:
        _forget_peak()
        began, busy = time.perf_counter(), time.thread_time()
        context = replace(self.context, seconds_left=lambda: began + seconds - time.perf_counter())
        stage = self.stages[handle(context, message)]
        took = time.perf_counter() - began
        stage.invocations += 1
        stage.seconds += took
        stage.cpu += time.thread_time() - busy
        stage.longest = max(stage.longest, took)
        stage.peak_mb = max(stage.peak_mb, _peak_mb("self"))

    def _read(self, context: Context, message: Mapping[str, Any]) -> str:
        take_in(context, IntakeMessage.from_json(message))
        return "reading"

    def _submit(self, context: Context, message: Mapping[str, Any]) -> str:
        submit(context, BatchMessage.from_json(message))
        return "submitting"

    def _poll(self, context: Context, _: object) -> str:
        poll(context)
        return "polling"

    def _collect(self, context: Context, message: Mapping[str, Any]) -> str:
        work = BatchMessage.from_json(message)
        try:
            collect(context, work)
        except RetryLaterError as later:
            context.collect.send(message, later.seconds)
        job = self.context.repository.job(work.job_id)
        # The collector of the last batch also joins the results of all.
        return "collecting" if job and job.state is JobState.RUNNING else "joining"


def take_through(day: Day, folder: Path = FOLDER / "scale") -> Figures:
    """Take a drop through its day, check its results, and remove all files."""
    source = FOLDER / f"{day.rows}.csv"
    was_there = source.exists()
    stop(folder, EMULATOR, MARK)  # the emulator of an earlier run that was killed
    shutil.rmtree(folder, ignore_errors=True)
    try:
        csv_drop(day.rows)
        _place(source, folder)
        with emulating(folder, day) as emulator:
            figures = _through(day, folder, emulator)
        figures.show()
        _check(figures, source)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not was_there:
            source.unlink(missing_ok=True)
            source.with_name(source.name + ".part").unlink(missing_ok=True)
    return figures


def _place(source: Path, folder: Path) -> None:
    """Put the drop and its recipe into the inbox, the drop as a hard link."""
    inbox = folder / "objects" / BUCKETS.inbox
    for key in (KEY, "recipe.yaml"):
        (inbox / quote(key, safe="")).mkdir(parents=True)
    (inbox / "recipe.yaml" / f"{VERSION}.000000.0.{len(RECIPE)}").write_bytes(RECIPE)
    (inbox / quote(KEY, safe="") / f"{VERSION}.000000.0.{source.stat().st_size}").hardlink_to(source)


def _through(day: Day, folder: Path, emulator: Emulator) -> Figures:
    clock = Clock()
    openai = OpenAIBatches(lambda _fresh: (API_KEY, "1"), emulator.base_url)
    limits = {MODEL: day.tokens_at_once(COUNTED)}
    context = folder_context(folder, openai, clock=clock, limits=day.limits, token_limits=limits)
    worker = Worker(context, day)
    began = time.perf_counter()
    waited = 0.0
    forgotten: set[str] = set()
    context.intake.send(IntakeMessage(BUCKETS.inbox, KEY, VERSION).to_json())
    worker.handle_all()
    (job,) = context.repository.open_jobs()
    emulator.call("POST", "/_emulator/faults", day.faults)
    with ThreadPoolExecutor(1) as aside:
        minutes = 0
        while job.state not in ENDED_JOBS:
            minutes += 1
            assert minutes <= MAX_MINUTES, f"after {MAX_MINUTES // 60} hours the job is still {job.state}"
            # The batches continue while the functions run.
            advanced = aside.submit(emulator.advance, MINUTE)
            clock.advance(MINUTE)
            worker.handle_all()
            waits = time.perf_counter()
            advanced.result()
            waited += time.perf_counter() - waits
            batches = context.repository.batches(job.id)
            for batch in batches:
                if batch.state is BatchState.COLLECTED and batch.openai_id and batch.openai_id not in forgotten:
                    emulator.forget(batch.openai_id)
                    forgotten.add(batch.openai_id)
            worker.poll()  # last, because it deletes the files of an ended job
            job = context.repository.job(job.id) or job
    openai.close()
    objects, table = cast("FolderObjects", context.objects), cast("MemoryTable", context.table)
    return Figures(
        day=day,
        job=job,
        stages=worker.stages,
        seconds=time.perf_counter() - began,
        waited=waited,
        emulator_mb=emulator.peak_mb(),
        emulator_cpu=emulator.cpu(),
        minutes=minutes,
        created=emulator.call("GET", "/_emulator/batches")["data"],
        summary=json.loads(read_object(objects, BUCKETS.results, results_prefix(job) + "summary.json")),
        sent_bytes=emulator.sent_bytes,
        answered_bytes=emulator.answered_bytes,
        objects=objects,
        table_calls=table.calls,
    )


def _check(figures: Figures, source: Path) -> None:
    """Assert that all rows came back in order, each with its outcome, and that each key has one batch."""
    keys = Counter(batch["metadata"][METADATA_KEY] for batch in figures.created)
    assert max(keys.values()) == 1, "a key has two batches"
    outcomes = figures.outcomes
    assert sum(outcomes.values()) == figures.day.rows, outcomes
    prefix = results_prefix(figures.job)
    answers = read_lines(figures.objects, BUCKETS.results, prefix + "reviews.answers.csv")
    assert Counter(_statuses(source, answers)) == outcomes
    row = 0
    for row, line in enumerate(read_lines(figures.objects, BUCKETS.results, prefix + "responses.jsonl"), 1):
        assert b'"custom_id":"%d"' % row in line[:120], f"line {row} of responses.jsonl is another's"
    assert row == figures.day.rows, f"responses.jsonl has {row} lines"


def _statuses(source: Path, answers: Iterator[bytes]) -> Iterator[str]:
    """Yield each row's outcome, from a line that has the drop's bytes and columns that end in `_status`, `_error`."""
    with source.open("rb") as dropped:
        for row, (before, after) in enumerate(zip(dropped, answers, strict=True)):
            assert after.startswith(before.rstrip(b"\r\n") + b","), f"row {row} is not its own"
            if row:
                yield after.rsplit(b",", 2)[1].decode()


def _forget_peak() -> None:
    """Reset the kernel's record of this process's peak of memory."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb(pid: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    rows = int(os.environ.get("ROWS") or ROWS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # also removes all files then
    print(f"{rows:,} rows")
    figures = take_through(Day(rows))
    assert max(figures.peaks_mb) <= MAX_MB, "a process took too much memory"


if __name__ == "__main__":
    main()
