"""The embedded AWS: ministack, made as strict as AWS. Run `<its own python> -m local.embedded_aws`.

ministack accepts some things that AWS refuses. This module checks requests before ministack gets them. It patches
ministack's events, chains of messages and times of objects. Each patch is a few lines and names what it replaces, so
the start fails if a release of ministack changes that.

ministack enforces policies, including those that refuse requests without TLS. Requests stay on this machine, and every
tool would have to trust a certificate of our own. So each request gets the header of a proxy that has ended TLS.
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
from functools import lru_cache, wraps
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

MAX_MESSAGE_BYTES = 262_144
"""Maximum size of a message with its attributes. SNS refuses more. SQS accepts 1 MiB since 2025, but the project keeps
to the smaller maximum, so that a message can go through both."""

MAX_SUBJECT_CHARACTERS = 99
MAX_INDEX_KEY_BYTES = {"HASH": 2048, "RANGE": 1024}

MAX_ROUNDS = 15
"""Maximum number of runs of a function in one chain of messages. AWS stops a chain after "approximately 16"
invocations, so it may drop the 16th."""

EVENTS_AFTER = "EMBEDDED_AWS_EVENTS_AFTER_SECONDS"
"""Environment variable: the age of a bucket from which it sends events. On AWS it is about 300 seconds."""

MODIFIED = b"x-embedded-modified"
"""Header of a test that puts an object with another time of modification (`2026-01-31T12:00:00.000Z`)."""

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
# Checks of requests before ministack gets them
# ---------------------------------------------------------------------------------------------------------------------


def strict(inner: App) -> App:
    """Return an application that checks requests, adds the header of a TLS proxy, and calls `inner`."""

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
            receive = _replay(body)
        elif headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
            body = await _body(receive)
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            if form.get("Action") == "Publish" and (refusal := refusal_of_publish(form)):
                await _answer(send, 400, b"text/xml", _xml_error(refusal), refusal.code)
                return
            receive = _replay(body)
        await inner(scope, receive, send)

    return app


def refusal_of_message(message: Mapping[str, Any]) -> Refusal | None:
    """Return SQS's error for this message, or None if it accepts the message."""
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
    """Return SNS's error for this publication, or None if it accepts it. `form` holds the request's parameters."""
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


def _replay(body: bytes) -> Receive:
    """Return a `receive` that gives the inner application the body again."""
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
# Chains of messages: the number of runs of each function, after the trace's root, as `Lineage=name:2,other:1`
# ---------------------------------------------------------------------------------------------------------------------


def rounds_in(event: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of runs of each function in the chain of messages of this queue event."""
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
    """Patch SQS: a message keeps the trace of its request."""
    attributes_of = sqs._build_send_sys_attrs

    @wraps(attributes_of)
    def attributes(*rest: Any) -> dict[str, Any]:
        trace = _trace.get()
        kept: dict[str, Any] = {"AWSTraceHeader": trace} if trace else {}
        kept.update(attributes_of(*rest))
        return kept

    sqs._build_send_sys_attrs = attributes


def count_rounds(functions: Any, provisioners: Any) -> None:
    """Patch Lambda: count the runs of each function in a chain of messages, and drop messages as AWS does.

    ministack counts only direct invocations, and its CloudFormation ignores `RecursiveLoop`. A dropped message stays in
    its queue, comes again after its visibility timeout, and ends in the dead-letter queue.
    """
    run, trace_of = functions._run_sqs_batch, functions._xray_trace_id_for_invocation

    @wraps(run)
    def counted(mapping: Any, function: Any, event: Any, *rest: Any) -> None:
        name = function["config"]["FunctionName"]
        rounds = rounds_in(event)
        rounds[name] = rounds.get(name, 0) + 1
        # ministack's own drop, with its metric. It also checks `RecursiveLoop: Allow`.
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
# Objects: their times and their events
# ---------------------------------------------------------------------------------------------------------------------


def date_objects(s3: Any) -> None:
    """Patch S3: a multipart upload has the time of its beginning, and an object of a test the time in its header."""
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
    """Patch S3: the events of a bucket that is younger than `after_seconds` are lost, as on AWS."""
    fire, now = s3._fire_s3_event_async, s3.now_iso

    @wraps(fire)
    def fired(bucket: str, *rest: Any, **named: Any) -> None:
        if _seconds(now()) - _seconds(s3._buckets[bucket]["created"]) >= after_seconds:
            fire(bucket, *rest, **named)

    s3._fire_s3_event_async = fired


def complete_events(s3: Any, eventbridge: Any) -> None:
    """Patch S3's events: they have the object's version, and their own time in whole seconds, as on AWS."""
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    @wraps(fire)
    def fired(*rest: Any, **named: Any) -> None:
        _modified.set("")  # the object may have another time, but its event happens now
        _version.set(named.get("version_id") or "")
        fire(*rest, **named)

    @wraps(dispatch)
    def dispatched(event: Any, *rest: Any) -> Any:
        return dispatch(completed_event(event, _version.get()), *rest)

    s3._fire_s3_event, eventbridge._dispatch_event = fired, dispatched


def completed_event(event: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Return an event of S3 with the members that ministack leaves out. Return any other event as it is."""
    if event.get("Source") != "aws.s3":
        return dict(event)
    detail = json.loads(event["Detail"])
    if version:
        detail["object"]["version-id"] = version
    return {**event, "Time": event["Time"][:19] + "Z", "Detail": json.dumps(detail)}


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


# ---------------------------------------------------------------------------------------------------------------------
# The table, the functions' processes, and the policies
# ---------------------------------------------------------------------------------------------------------------------


def bound_index_keys(dynamodb: Any) -> None:
    """Patch DynamoDB: limit the sizes of an index's keys. ministack checks their types already."""
    reason_of = dynamodb._index_key_type_reason

    @wraps(reason_of)
    def reason(table: Any, item: Any) -> str | None:
        return reason_of(table, item) or index_key_reason(table, item)

    dynamodb._index_key_type_reason = reason


def index_key_reason(table: Mapping[str, Any], item: Mapping[str, Any]) -> str | None:
    """Return DynamoDB's message for an index key that is too long, or None if all keys fit."""
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


def separate_disks(runtime: Any) -> None:
    """Patch Lambda: each process of a function has a temporary folder of its own, as on AWS.

    ministack asks for the credentials of each process separately, so the folder's name comes with them.
    """
    credentials_of = runtime.execution_credentials

    @wraps(credentials_of)
    def credentials(*rest: Any) -> dict[str, str]:
        return {**credentials_of(*rest), "TMPDIR": tempfile.mkdtemp(prefix="function-")}

    runtime.execution_credentials = credentials


def let_finish(runtime: Any, functions: Any) -> None:
    """Patch Lambda: a running process finishes when its function changes, as on AWS. ministack kills it at once.

    A killed process's work is repeated. A notification that it published but did not record would be published again.
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


def parse_policies_once(evaluator: Any) -> None:
    """Patch IAM: parse the text of each policy once. ministack parses all policies of a role twice for each request."""
    parse = evaluator.parse_policy_document
    parse_text = lru_cache(1_000)(parse)

    @wraps(parse)
    def parsed(document: Any) -> Any:
        return list(parse_text(document)) if isinstance(document, str) else parse(document)

    evaluator.parse_policy_document = parsed


def unpack_once(runtime: Any) -> None:
    """Patch Lambda: unpack a function's packages once, and link them into the folder of each process.

    A busy machine needs half a minute to unpack a hundred megabytes of layers. No cold start on Lambda takes that long.
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
        with contextlib.suppress(OSError):  # another process has unpacked it first
            begun.rename(unpacked)
    return unpacked


def main() -> None:
    """Patch ministack, put the checks before it, and serve."""
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
    separate_disks(runtime)
    let_finish(runtime, functions)
    unpack_once(runtime)
    parse_policies_once(import_module("ministack.core.iam_evaluator"))
    app.app = strict(app.app)
    app.main()


if __name__ == "__main__":
    main()
