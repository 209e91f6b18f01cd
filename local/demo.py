"""The demo, `make demo`: 3,000 reviews get answers, with the template that is deployed to AWS.

It starts a stack of its own, and uses it as a user does: it puts files into S3, receives notifications, reads results.
Its exit status is 0 only if every row came back unchanged, in order, with an answer.
"""

import csv
import io
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from local.deployed import Deployed
from local.programs import LocalError, free_port
from local.stack import ROOT, TOOLS, Stack

EXAMPLE = ROOT / "examples" / "reviews"
FOLDER = TOOLS / "demo"
KEY = "reviews/reviews.csv"
GIVE_UP_SECONDS = 150


@dataclass(frozen=True, slots=True)
class Results:
    """The results: the job's objects by name, and the last notification."""

    prefix: str
    objects: dict[str, bytes]
    subject: str
    text: str


def main() -> int:
    console = Console()
    # `kill` ends the demo as Ctrl-C does: the servers that it started are stopped.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _stack(console) as stack:
            results = _run_example(stack, console)
    except LocalError as error:
        console.print(Text(str(error), style="red"))
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped, and all that it had started.")
        return 130
    wrong = list(problems((EXAMPLE / "reviews.csv").read_bytes(), results.objects.get("reviews.answers.csv", b"")))
    _show(console, results, stack)
    if wrong:
        console.print(Text(f"Something is wrong: {len(wrong):,} problem(s), the first: {wrong[0]}", style="red"))
        return 1
    console.print("Every row came back as it was, in order, with an answer. Drop your own: [bold]make up[/bold]")
    return 0


def _stack(console: Console) -> AbstractContextManager[Deployed]:
    stack = Stack(
        directory=FOLDER / "stack",
        aws_port=free_port(),
        openai_port=free_port(),
        # Long enough for the progress bar to show the batch. At OpenAI a batch may take hours.
        emulator={"OPENAI_EMULATOR_IN_PROGRESS_SECONDS": "6"},
        say=lambda what: console.print(what, style="dim", highlight=False),
    )
    return stack.deployed_anew()


def _run_example(stack: Deployed, console: Console) -> Results:
    """Drop the example, and poll until its job ends. Raise a LocalError if it does not end well."""
    s3, inbox = stack.client("s3"), stack.values["INBOX_BUCKET"]
    for name in ("recipe.yaml", "reviews.csv"):
        s3.upload_file(str(EXAMPLE / name), inbox, f"reviews/{name}")
    deadline = time.monotonic() + GIVE_UP_SECONDS
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console,
    )  # fmt: skip
    with bar:
        task = bar.add_task("dropped", total=None)
        while (event := _event(stack)) is None or event["event"] not in ("ended", "rejected", "held"):
            if time.monotonic() > deadline:
                raise LocalError(
                    f"Nothing came back within {GIVE_UP_SECONDS} seconds: {TOOLS}/demo/stack/logs say why."
                )
            stack.tick()
            status = _status(stack)
            if status and (requests := status.get("requests")):
                done = requests["completed"] + requests["failed"]
                bar.update(task, description="OpenAI answers", total=requests["total"], completed=done)
        bar.update(task, description=event["status"])
    notification = _notification(stack, event["event"])
    if event["event"] != "ended":
        raise LocalError(f"The drop was {event['status']}: {notification['Message']}")
    prefix, bucket = event["results"]["prefix"], stack.values["RESULTS_BUCKET"]
    found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    objects = {item["Key"].removeprefix(prefix): _read(s3, bucket, item["Key"]) for item in found}
    for name, data in objects.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)  # the recipe is in a folder of its own
        path.write_bytes(data)
    return Results(prefix, objects, notification["Subject"], notification["Message"])


def problems(dropped: bytes, answers: bytes) -> Iterator[str]:
    """Yield the problems of an answer file. Its lines must be the drop's, byte for byte, each followed by an answer."""
    before, after = _lines(dropped), _lines(answers)
    if len(before) != len(after):
        yield f"{len(before):,} lines went in, {len(after):,} came back"
        return
    for number, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        if not new.startswith(old + b","):
            yield f"line {number} is not as it was"
            continue
        added = new[len(old) + 1 :].decode().split(",")
        good = [["sentiment", "_status", "_error"]] if number == 1 else [["positive", "ok", ""], ["negative", "ok", ""]]
        if added not in good:
            yield f"line {number} has no good answer"


def _lines(data: bytes) -> list[bytes]:
    # Not splitlines(): only \n ends a line here, and two reviews contain the character U+0085.
    return data.removesuffix(b"\n").split(b"\n")


def _event(stack: Deployed) -> dict[str, Any] | None:
    """Return the next event, or None if none comes within a second."""
    message = _receive(stack, "EVENTS_QUEUE_URL", wait=1)
    return json.loads(message["Message"]) if message else None


def _notification(stack: Deployed, event: str) -> dict[str, Any]:
    """Return the message for people about this event. A poll sends it, a little later than the event for programs."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        while message := _receive(stack, "NOTIFICATIONS_QUEUE_URL", wait=1):
            if message.get("MessageAttributes", {}).get("event", {}).get("Value") == event:
                return message
        stack.tick()
    raise LocalError("The notification did not come.")


def _receive(stack: Deployed, queue: str, wait: int) -> dict[str, Any] | None:
    sqs, url = stack.client("sqs"), stack.values[queue]
    found = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=wait, MaxNumberOfMessages=1).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        envelope: dict[str, Any] = json.loads(message["Body"])
        return envelope
    return None


def _status(stack: Deployed) -> dict[str, Any] | None:
    """Return the newest job's status.json, or None if there is none yet."""
    s3, bucket = stack.client("s3"), stack.values["RESULTS_BUCKET"]
    try:
        latest = json.loads(_read(s3, bucket, f"{KEY}/latest.json"))
        status: dict[str, Any] = json.loads(_read(s3, bucket, latest["results"]["prefix"] + "status.json"))
    except s3.exceptions.NoSuchKey:
        return None
    return status


def _read(s3: Any, bucket: str, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def _show(console: Console, results: Results, stack: Deployed) -> None:
    console.rule(Text(results.subject, "bold"), align="left")
    console.print(Text(results.text.strip()), soft_wrap=True)  # users copy its lines
    console.rule()
    answers = io.StringIO(results.objects.get("reviews.answers.csv", b"").decode(), newline="")
    rows = list(csv.DictReader(answers))
    table = Table("before: text", "after: sentiment", "_status", title="Three rows", title_justify="left")
    for row in rows[:3]:
        table.add_row(Text(row["text"]), Text(row["sentiment"]), Text(row["_status"]))
    console.print(table)
    counts = Counter(row["_status"] for row in rows)
    console.print("Rows: " + ", ".join(f"{count:,} {status}" for status, count in counts.most_common()))
    where = (
        f"Dropped    s3://{stack.values['INBOX_BUCKET']}/{KEY}\n"
        f"Results    s3://{stack.values['RESULTS_BUCKET']}/{results.prefix}\n"
        f"Copies     {FOLDER.relative_to(ROOT)}/: {', '.join(sorted(results.objects))}"
    )
    console.print(Text(where), soft_wrap=True)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
