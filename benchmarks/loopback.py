"""Servers on 127.0.0.1 for measurements with the real clients: DynamoDB with SQS and S3, and OpenAI.

Each server is a process, and has only the rules that a measured function needs, so that the client's work is measured.
`python -m benchmarks.loopback aws|openai <number> ...` prints the port, and serves until its standard input ends.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from dropbatch.domain.batches import Batch
    from dropbatch.domain.jobs import Job

PAGE_BYTES = 1_048_576
"""Maximum size of a page of items, as DynamoDB's."""

PATHS = os.pathsep.join(["layers/core", "functions/poll", "."])
NOW = int(time.time())
"""Jobs are new, because the poller ends old ones."""
BLOCK = b"x" * 1_048_576


@contextmanager
def served(what: str, *numbers: int) -> Iterator[str]:
    """Start a server, yield its URL, and stop it after the block."""
    command = [sys.executable, "-m", "benchmarks.loopback", what, *map(str, numbers)]
    its = {**os.environ, "PYTHONPATH": PATHS}
    with subprocess.Popen(command, env=its, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def environment(aws: str, openai: str = "http://127.0.0.1:9") -> dict[str, str]:
    """Return the environment of a function of the stack, with AWS and OpenAI at these URLs."""
    return {
        **os.environ,
        **dict.fromkeys(("INBOX_BUCKET", "RESULTS_BUCKET", "WORK_BUCKET"), "bucket"),
        **{name: f"{aws}/0/{name}" for name in ("INTAKE_QUEUE_URL", "DISPATCH_QUEUE_URL", "COLLECT_QUEUE_URL")},
        **dict.fromkeys(
            ("NOTIFICATIONS_TOPIC_ARN", "EVENTS_TOPIC_ARN", "ALARMS_TOPIC_ARN"), "arn:aws:sns:us-east-1:0:x"
        ),
        **{f"{name}_DEAD_LETTERS_URL": f"{aws}/0/dead" for name in ("INTAKE", "DISPATCH", "COLLECT", "DROP_EVENT")},
        "TABLE": "table",
        "OPENAI_SECRET_ARN": "secret",
        "OPENAI_BASE_URL": f"{openai}/v1",
        "OPENAI_FILE_DAYS": "7",
        "ABSENCE_CONFIRMATION_SECONDS": "600",
        "RECIPE_WAIT_SECONDS": "120",
        "MAX_JOB_COST": "0",
        "TRY_AT_ONCE": "disabled",
        "MAX_MONTHLY_COST": "0",
        "TIME_ZONE": "UTC",
        "MAX_DROP_GIGABYTES": "50",
        "MAX_LINE_MEGABYTES": "64",
        "AWS_ENDPOINT_URL": aws,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "POWERTOOLS_SERVICE_NAME": "dropbatch",
        "POWERTOOLS_METRICS_NAMESPACE": "Dropbatch",
        "PYTHONPATH": PATHS,
    }


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Log no requests."""

    def handle_expect_100(self) -> bool:
        go_on = super().handle_expect_100()
        self.wfile.flush()  # else the client waits a second for it
        return go_on

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def answer(self, *blocks: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(sum(map(len, blocks)) if length is None else length))
        self.end_headers()
        for block in blocks:
            self.wfile.write(block)
        self.wfile.flush()


class _Table:
    """Items by their keys, as DynamoDB writes them. Conditions always hold."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], tuple[dict[str, Any], bytes]] = {}

    def put(self, item: dict[str, Any]) -> None:
        self._items[item["pk"]["S"], item["sk"]["S"]] = item, json.dumps(item).encode()

    def get(self, key: dict[str, Any]) -> list[bytes]:
        found = self._items.get((key["pk"]["S"], key["sk"]["S"]))
        return [b'{"Item":', found[1], b"}"] if found else [b"{}"]

    def query(self, query: dict[str, Any]) -> list[bytes]:
        values = {name: value["S"] for name, value in query["ExpressionAttributeValues"].items()}
        if "IndexName" in query:
            found = [e for e in self._items.values() if e[0].get("open", {}).get("S") == values[":kind"]]
            found.sort(key=lambda entry: str(entry[0]["since"]["S"]))
        else:
            prefix = values.get(":sk", "")
            found = [e for (pk, sk), e in self._items.items() if pk == values[":pk"] and sk.startswith(prefix)]
        start = int(query.get("ExclusiveStartKey", {}).get("place", {}).get("N", 0))
        blocks, size, place = [], 0, start
        for place, (_, text) in enumerate(found[start:], start + 1):
            blocks.append(text)
            size += len(text)
            if size > PAGE_BYTES and place < len(found):
                break
        last = b',"LastEvaluatedKey":{"place":{"N":"%d"}}' % place if place < len(found) else b""
        return [b'{"Items":[', b",".join(blocks), b"]", last, b"}"]


def aws(batches: int, jobs: int) -> type[_Server]:
    """Serve `batches` batches at OpenAI of `jobs` running jobs, empty queues, and buckets that accept everything."""
    from dropbatch.adapters.dynamodb import typed
    from dropbatch.domain.poller import SweepCursor
    from dropbatch.storage.repository import to_item

    table = _Table()
    table.put(typed(to_item(SweepCursor(began_at=1, due_at=2**40, rev=1))))
    for number in range(jobs):
        table.put(typed(to_item(open_job(number))))
    for number in range(batches):
        table.put(typed(to_item(open_batch(number, jobs))))

    class Server(_Server):
        def do_PUT(self) -> None:
            self.body()
            self.answer()

        def do_POST(self) -> None:
            request = json.loads(self.body())
            match self.headers["x-amz-target"].rpartition(".")[2]:
                case "Query":
                    self.answer(*table.query(request))
                case "GetItem":
                    self.answer(*table.get(request["Key"]))
                case "PutItem":
                    table.put(request["Item"])
                    self.answer(b"{}")
                case "TransactWriteItems":
                    for write in request["TransactItems"]:
                        table.put(write["Put"]["Item"])
                    self.answer(b"{}")
                case "GetSecretValue":
                    self.answer(b'{"SecretString":"sk-x"}')
                case _:
                    self.answer(b"{}")

    return Server


def open_job(number: int) -> "Job":
    """Return a running job with batches at OpenAI."""
    from dropbatch.domain.drops import Drop
    from dropbatch.domain.jobs import Job
    from dropbatch.domain.states import JobState

    drop = Drop("dropbatch-inbox-1a2b3c", f"reviews/2026/{number}.csv", "v" * 32, NOW, 500_000_000)
    return Job(
        id=_job(number), drop=drop, created_at=NOW, state=JobState.RUNNING, requested_at=NOW, rows=5_000_000,
        recipe_sha256="0" * 64, shards=100, claim="0" * 64, deadline_at=2**40, sent_at=2**40, rev=3,
    )  # fmt: skip


def open_batch(number: int, jobs: int) -> "Batch":
    """Return a batch at OpenAI of one of `jobs` jobs."""
    from dropbatch.domain.batches import Batch
    from dropbatch.domain.states import BatchState, OpenAIStatus

    return Batch(
        job_id=_job(number % jobs), shard=number // jobs, model_group=0, endpoint="/v1/chat/completions",
        model="gpt-6-luna", requests=50_000, tokens=9_000_000, created_at=NOW, admitted_at=NOW, sent_at=NOW, rev=4,
        state=BatchState.SUBMITTED, file_id=_batch(number)["input_file_id"], secret_version="0123456789ab",
        openai_id=_batch(number)["id"], openai_status=OpenAIStatus.IN_PROGRESS, submitted_at=2**33,
    )  # fmt: skip


def openai(batches: int, others: int) -> type[_Server]:
    """Serve `batches` batches of ours and `others` newer ones of others, in pages of a hundred or one by one.

    Each request of a page moves all batches on it on a little. Uploads are read, and each file's content has 200 MB.
    `/calls` returns the number of calls.
    """
    listed = [_batch(number) for number in range(batches)] + [_batch(10**9 + number) for number in range(others)]
    listed.reverse()
    places = {batch["id"]: place for place, batch in enumerate(listed)}
    progress, calls = count(1), count()
    made: dict[str, Any] = {}  # by the calls that create, by id

    class Server(_Server):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/calls":
                self.answer(str(next(calls)).encode())
                return
            next(calls)
            name = url.path.rpartition("/")[2]
            if name == "content":
                self.answer(*[BLOCK] * 200)
            elif name in made:
                self.answer(json.dumps(made[name]).encode())
            elif name in places:
                self.answer(json.dumps(listed[places[name]]).encode())
            else:
                after = parse_qs(url.query).get("after")
                start = places[after[0]] + 1 if after else 0
                page = listed[start : start + 100]
                for batch in page:
                    batch["request_counts"]["completed"] = next(progress) // 100
                members = {"object": "list", "data": page, "has_more": start + 100 < len(listed)}
                self.answer(json.dumps(members).encode())

        def do_POST(self) -> None:
            if self.path.endswith("/batches"):
                asked = json.loads(self.body())
                batch = _batch(10**12 + next(calls)) | {name: asked[name] for name in ("input_file_id", "metadata")}
                made[batch["id"]] = batch = batch | {"status": "validating"}
                self.answer(json.dumps(batch).encode())
                return
            left = int(self.headers["content-length"])
            while left:
                left -= len(self.rfile.read(min(left, len(BLOCK))))
            self.answer(b'{"id":"file-1","object":"file"}')

    return Server


def _job(number: int) -> str:
    return f"{number:08d}-0123456789abcdef"


def _batch(number: int) -> dict[str, Any]:
    """Return a batch as OpenAI shows it, with all its members."""
    job = _job(number)
    return {
        "id": f"batch_{number:032x}",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "model": "gpt-6-luna",
        "errors": None,
        "input_file_id": f"file-{number:024x}",
        "completion_window": "24h",
        "status": "in_progress",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": 2**33 + number,
        "in_progress_at": NOW,
        "expires_at": NOW + 86_400,
        **dict.fromkeys(("finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")),
        "request_counts": {"total": 50_000, "completed": 0, "failed": 0},
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        },
        "metadata": {"dropbatch": f"{job}/0.0/0", "job": job},
    }


SERVERS: dict[str, Callable[..., type[_Server]]] = {"aws": aws, "openai": openai}

if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), SERVERS[sys.argv[1]](*map(int, sys.argv[2:])))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
