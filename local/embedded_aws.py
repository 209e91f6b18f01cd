"""Run ministack as strict as AWS: `<its own python> -m local.embedded_aws`, with its usual environment.

ministack is kinder than AWS in a few places that this project met. What a request says is checked here, in front of it;
what happens inside of it (events, chains of messages, times of objects) is patched, each patch a few lines and by name,
so that a release of ministack that changes one of them fails at the start.

It enforces policies, those too that refuse requests without TLS. Here nothing leaves the machine, and every tool would
have to trust a certificate of our own. So each request gets the header with which a proxy that has ended TLS says so.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

MAX_MESSAGE_BYTES = 262_144
"""Maximum of a message with its attributes. SNS refuses more; SQS takes 1 MiB since 2025, and the project stays below
what both take, so that a message can go through either."""

MAX_SUBJECT_CHARACTERS = 99
MAX_INDEX_KEY_BYTES = {"HASH": 2048, "RANGE": 1024}

MAX_ROUNDS = 15
"""How often one function may run in one chain of messages. AWS stops a chain after "approximately 16" invocations: the
16th is the first that it may drop."""

EVENTS_AFTER = "EMBEDDED_AWS_EVENTS_AFTER_SECONDS"
"""Environment variable: how old a bucket must be before its events come. On AWS it is about 300 seconds."""

MODIFIED = b"x-embedded-modified"
"""Header of a test that puts an object as of another time (`2026-01-31T12:00:00.000Z`)."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

_modified: ContextVar[str] = ContextVar("_modified", default="")
_version: ContextVar[str] = ContextVar("_version", default="")
_trace: ContextVar[str] = ContextVar("_trace", default="")
_rounds: ContextVar[Mapping[str, int] | None] = ContextVar("_rounds", default=None)


class Refusal(NamedTuple):
    """An error of a service, as its API words it."""

    code: str
    message: str


# ---------------------------------------------------------------------------------------------------------------------
# In front of ministack: what a request says
# ---------------------------------------------------------------------------------------------------------------------


def strict(inner: App) -> App:
    """Return `inner` behind TLS, with the bounds that SNS and SQS have, and with chains of messages counted."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        headers = dict(scope["headers"])
        scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}
        _modified.set(headers.get(MODIFIED, b"").decode())
        _trace.set(headers.get(b"x-amzn-trace-id", b"").decode())
        if headers.get(b"x-amz-target") == b"AmazonSQS.SendMessage":
            body = await _body(receive)
            if refusal := refusal_of_message(json.loads(body)):
                await _answer(send, 400, b"application/x-amz-json-1.0", _json_error(refusal), refusal.code)
                return
            receive = _again(body)
        elif headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
            body = await _body(receive)
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            if form.get("Action") == "Publish" and (refusal := refusal_of_publish(form)):
                await _answer(send, 400, b"text/xml", _xml_error(refusal), refusal.code)
                return
            receive = _again(body)
        await inner(scope, receive, send)

    return app


def refusal_of_message(message: Mapping[str, Any]) -> Refusal | None:
    """Return why SQS would not take this message, if it would not."""
    size = _size(message.get("MessageBody", ""))
    for name, attribute in (message.get("MessageAttributes") or {}).items():
        value = attribute.get("StringValue", attribute.get("BinaryValue"))
        kind = attribute.get("DataType", "")
        if not value:
            return Refusal(
                "InvalidParameterValue",
                f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'.",
            )
        size += _size(name, kind, value)
    if size > MAX_MESSAGE_BYTES:
        what = f"One or more parameters are invalid. Reason: Message must be shorter than {MAX_MESSAGE_BYTES} bytes."
        return Refusal("InvalidParameterValue", what)
    return None


def refusal_of_publish(form: Mapping[str, str]) -> Refusal | None:
    """Return why SNS would not publish this, if it would not. `form` is the request: its parameters by name."""
    subject = form.get("Subject")
    if subject is not None and (
        not subject or len(subject) > MAX_SUBJECT_CHARACTERS or any(not sign.isprintable() for sign in subject)
    ):
        return Refusal("InvalidParameter", "Invalid parameter: Subject")
    size, number = _size(form.get("Message", "")), 1
    while name := form.get(f"MessageAttributes.entry.{number}.Name"):
        value = f"MessageAttributes.entry.{number}.Value"
        kind = form.get(f"{value}.DataType", "")
        text = form.get(f"{value}.StringValue") or form.get(f"{value}.BinaryValue")
        if not text:
            return Refusal(
                "ParameterValueInvalid",
                f"The message attribute '{name}' must contain non-empty message attribute value for message attribute"
                f" type '{kind}'.",
            )
        size += _size(name, kind, text)
        number += 1
    if size > MAX_MESSAGE_BYTES:
        return Refusal("InvalidParameter", "Invalid parameter: Message too long")
    return None


def _size(*texts: str) -> int:
    return sum(len(text.encode()) for text in texts)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        event = await receive()
        parts.append(event.get("body", b""))
        if event["type"] != "http.request" or not event.get("more_body"):
            return b"".join(parts)


def _again(body: bytes) -> Receive:
    """What gives the application behind the body that was read."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return left.pop() if left else {"type": "http.disconnect"}

    return receive


async def _answer(send: Send, status: int, kind: bytes, body: bytes, code: str) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-query-error", f"{code};Sender".encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _json_error(refusal: Refusal) -> bytes:
    return json.dumps({"__type": f"com.amazonaws.sqs#{refusal.code}", "message": refusal.message}).encode()


def _xml_error(refusal: Refusal) -> bytes:
    code, message = escape(refusal.code), escape(refusal.message)
    return (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">'
        f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        "<RequestId>embedded</RequestId></ErrorResponse>"
    ).encode()


# ---------------------------------------------------------------------------------------------------------------------
# Chains of messages: how often each function ran in one, written behind the trace's root as `Lineage=name:2,other:1`
# ---------------------------------------------------------------------------------------------------------------------


def rounds_in(event: Mapping[str, Any]) -> dict[str, int]:
    """Return how often each function ran in the chain of messages that this event of a queue belongs to."""
    rounds: dict[str, int] = {}
    for record in event["Records"]:
        trace = unquote(record["attributes"].get("AWSTraceHeader", ""))
        for part in trace.split(";"):
            if part.startswith("Lineage="):
                for each in part.removeprefix("Lineage=").split(","):
                    name, _, count = each.partition(":")
                    rounds[name] = max(rounds.get(name, 0), int(count))
    return rounds


def lineage(rounds: Mapping[str, int]) -> str:
    return "Lineage=" + ",".join(f"{name}:{count}" for name, count in rounds.items())


def keep_traces(sqs: Any) -> None:
    """Have a message keep the trace that its request came with, as SQS does."""
    attributes_of = sqs._build_send_sys_attrs

    @wraps(attributes_of)
    def attributes(*rest: Any) -> dict[str, Any]:
        trace = _trace.get()
        kept: dict[str, Any] = {"AWSTraceHeader": trace} if trace else {}
        kept.update(attributes_of(*rest))
        return kept

    sqs._build_send_sys_attrs = attributes


def count_rounds(functions: Any, provisioners: Any) -> None:
    """Have chains of messages through queues counted for each function, and dropped as Lambda does.

    ministack counts direct invocations only, and its CloudFormation ignores `RecursiveLoop`. A message that is dropped
    stays in its queue, comes again when its visibility timeout is over, and ends among the dead letters.
    """
    run, trace_of = functions._run_sqs_batch, functions._xray_trace_id_for_invocation

    @wraps(run)
    def counted(mapping: Any, function: Any, event: Any, *rest: Any) -> None:
        name = function["config"]["FunctionName"]
        rounds = rounds_in(event)
        rounds[name] = rounds.get(name, 0) + 1
        # ministack's own drop, with its metric; `RecursiveLoop: Allow` is asked there.
        too_deep = functions.MAX_INVOKE_DEPTH + 1
        if rounds[name] > MAX_ROUNDS and functions._recursive_loop_drop(name, function, too_deep):
            return
        token = _rounds.set(rounds)
        try:
            run(mapping, function, event, *rest)
        finally:
            _rounds.reset(token)

    @wraps(trace_of)
    def traced(config: Any, *rest: Any) -> str:
        trace = trace_of(config, *rest) or "Root=1-00000000-000000000000000000000000"
        return f"{trace};{lineage(_rounds.get() or {config['FunctionName']: 1})}"

    functions._run_sqs_batch, functions._xray_trace_id_for_invocation = counted, traced

    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    for step, properties_at in (("create", 1), ("update", 2)):
        handlers[step] = _keeping_recursion(handlers[step], properties_at, functions)


def _keeping_recursion(provision: Callable[..., Any], properties_at: int, functions: Any) -> Callable[..., Any]:
    @wraps(provision)
    def keeping(*arguments: Any, **named: Any) -> Any:
        made = provision(*arguments, **named)
        properties = arguments[properties_at]
        functions._functions[made[0]]["recursive_loop"] = properties.get("RecursiveLoop", "Terminate")
        return made

    return keeping


# ---------------------------------------------------------------------------------------------------------------------
# Objects: their times, and their events
# ---------------------------------------------------------------------------------------------------------------------


def date_objects(s3: Any) -> None:
    """Have a multipart upload modified when it began, and an object of a test when the test says."""
    now, complete = s3.now_iso, s3._complete_multipart_upload

    @wraps(now)
    def now_iso() -> str:
        return _modified.get() or now()

    @wraps(complete)
    def completed(bucket: str, key: str, body: bytes, query: Any, headers: Any = None) -> Any:
        upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"))
        token = _modified.set(upload["created"] if upload else "")
        try:
            return complete(bucket, key, body, query, headers)
        finally:
            _modified.reset(token)

    s3.now_iso, s3._complete_multipart_upload = now_iso, completed


def delay_events(s3: Any, after_seconds: float) -> None:
    """Have a bucket that is younger than `after_seconds` send no events: they are lost, as on AWS."""
    fire, now = s3._fire_s3_event_async, s3.now_iso

    @wraps(fire)
    def fired(bucket: str, *rest: Any, **named: Any) -> None:
        if _seconds(now()) - _seconds(s3._buckets[bucket]["created"]) >= after_seconds:
            fire(bucket, *rest, **named)

    s3._fire_s3_event_async = fired


def complete_events(s3: Any, eventbridge: Any) -> None:
    """Have S3's events bear the object's version, and their own time in whole seconds, as EventBridge's do."""
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    @wraps(fire)
    def fired(*rest: Any, **named: Any) -> None:
        _modified.set("")  # the object may be dated; its event happens now
        _version.set(named.get("version_id") or "")
        fire(*rest, **named)

    @wraps(dispatch)
    def dispatched(event: Any, *rest: Any) -> Any:
        return dispatch(completed_event(event, _version.get()), *rest)

    s3._fire_s3_event, eventbridge._dispatch_event = fired, dispatched


def completed_event(event: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Return an event of S3 with what ministack leaves out; any other event as it is."""
    if event.get("Source") != "aws.s3":
        return dict(event)
    detail = json.loads(event["Detail"])
    if version:
        detail["object"]["version-id"] = version
    return {**event, "Time": event["Time"][:19] + "Z", "Detail": json.dumps(detail)}


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


# ---------------------------------------------------------------------------------------------------------------------
# The table, and the functions' processes
# ---------------------------------------------------------------------------------------------------------------------


def bound_index_keys(dynamodb: Any) -> None:
    """Have the keys of an index bounded like those of a table; ministack checks their types already."""
    reason_of = dynamodb._index_key_type_reason

    @wraps(reason_of)
    def reason(table: Any, item: Any) -> str | None:
        return reason_of(table, item) or index_key_reason(table, item)

    dynamodb._index_key_type_reason = reason


def index_key_reason(table: Mapping[str, Any], item: Mapping[str, Any]) -> str | None:
    """Return DynamoDB's words for a key of an index that is too long."""
    for index in table.get("GlobalSecondaryIndexes") or []:
        for key in index["KeySchema"]:
            text = item.get(key["AttributeName"], {}).get("S", "")
            most = MAX_INDEX_KEY_BYTES[key["KeyType"]]
            if _size(text) > most:
                kind = {"HASH": "hash", "RANGE": "range"}[key["KeyType"]]
                return (
                    "One or more parameter values were invalid: "
                    f"Aggregated size of all {kind} keys has exceeded the size limit of {most} bytes"
                )
    return None


def part_disks(runtime: Any) -> None:
    """Have each process of a function write to a folder of its own: on Lambda none sees another's /tmp.

    What a process gets into its environment with its credentials is the one place that ministack asks for each.
    """
    credentials_of = runtime.execution_credentials

    @wraps(credentials_of)
    def credentials(*rest: Any) -> dict[str, str]:
        return {**credentials_of(*rest), "TMPDIR": tempfile.mkdtemp(prefix="function-")}

    runtime.execution_credentials = credentials


def let_finish(runtime: Any, functions: Any) -> None:
    """Have a process that runs finish when its function changes, as on Lambda; ministack kills it at once.

    What it was doing would be done twice: a notification that it has published, and not yet noted, is published again.
    """
    kill, release = runtime.kill_workers, functions.release_worker
    replaced: list[Any] = []

    def kill_idle(workers: Iterable[Any]) -> None:
        busy = [worker for worker in workers if worker.in_use]
        replaced.extend(busy)
        kill([worker for worker in workers if worker not in busy])

    def end_replaced(worker: Any) -> None:
        release(worker)
        if worker in replaced:
            replaced.remove(worker)
            kill([worker])

    runtime.kill_workers, functions.release_worker = kill_idle, end_replaced


def unpack_once(runtime: Any) -> None:
    """Have what a function is made of unpacked once, and linked into the folder of each of its processes.

    A hundred megabytes of layers take a busy machine half a minute, which no cold start on Lambda takes.
    """

    class Package(zipfile.ZipFile):
        def namelist(self) -> list[str]:
            return sorted({name.partition("/")[0] for name in super().namelist()})

        def extractall(self, path: Any = None, *_: Any, **__: Any) -> None:
            for entry in _unpacked(Path(str(self.filename))).iterdir():
                (Path(path) / entry.name).symlink_to(entry)

    runtime.zipfile = SimpleNamespace(ZipFile=Package, BadZipFile=zipfile.BadZipFile)


def _unpacked(package: Path) -> Path:
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    unpacked = Path(tempfile.gettempdir()) / f"unpacked-{digest}"
    if not unpacked.exists():
        begun = Path(tempfile.mkdtemp(prefix="unpacking-"))
        with zipfile.ZipFile(package) as read:
            read.extractall(begun)
        with contextlib.suppress(OSError):  # another process was quicker
            begun.rename(unpacked)
    return unpacked


def main() -> None:
    """Patch ministack, put the checks in front of it, and serve."""
    app: Any = import_module("ministack.app")
    names = ("s3", "eventbridge", "dynamodb", "sqs", "lambda_svc")
    s3, eventbridge, dynamodb, sqs, functions = (import_module(f"ministack.services.{name}") for name in names)
    provisioners = import_module("ministack.services.cloudformation.provisioners")
    delay_events(s3, float(os.environ.get(EVENTS_AFTER) or 0))
    date_objects(s3)
    complete_events(s3, eventbridge)
    bound_index_keys(dynamodb)
    keep_traces(sqs)
    count_rounds(functions, provisioners)
    runtime = import_module("ministack.core.lambda_runtime")
    part_disks(runtime)
    let_finish(runtime, functions)
    unpack_once(runtime)
    app.app = strict(app.app)
    app.main()


if __name__ == "__main__":
    main()
