"""The layers in front of ministack and the patches of it. Stubs stand for ministack, which has its own Python."""

import asyncio
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from local import embedded_aws

FORM = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")
SEND = (b"x-amz-target", b"AmazonSQS.SendMessage")
LONG = "ü" * 131_072  # 262,144 bytes


def request(
    *headers: tuple[bytes, bytes], body: bytes = b"", behind: Callable[[], Any] = lambda: None
) -> tuple[int, bytes, list[dict[str, Any]]]:
    """Return the status and body of the answer to a request, and the request that the wrapped application got.

    The application calls `behind`.
    """
    came: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []
    parts = [body[:5], body[5:]]

    async def inner(scope: dict[str, Any], receive: Any, send: Any) -> None:
        read = b""
        more = True
        while more:
            event = await receive()
            read, more = read + event["body"], event["more_body"]
        came.append({"headers": dict(scope["headers"]), "body": read, "behind": behind()})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"taken"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    scope = {"type": "http", "headers": [*headers, (b"content-length", str(len(body)).encode())]}
    asyncio.run(embedded_aws.strict(inner)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"], came


def publish(**parameters: str) -> tuple[int, bytes]:
    body = urlencode({"Action": "Publish", "TopicArn": "arn", "Message": "text"} | parameters).encode()
    status, answer, came = request(FORM, body=body)
    assert [seen["body"] for seen in came] == ([body] if status == 200 else [])
    return status, answer


def attribute(value: str) -> dict[str, str]:
    entry = "MessageAttributes.entry.1"
    return {f"{entry}.Name": "folder", f"{entry}.Value.DataType": "String", f"{entry}.Value.StringValue": value}


def send_message(**message: Any) -> tuple[int, bytes]:
    body = json.dumps({"QueueUrl": "url", "MessageBody": "text"} | message).encode()
    status, answer, came = request(SEND, body=body)
    assert [seen["body"] for seen in came] == ([body] if status == 200 else [])
    return status, answer


def test_a_request_is_forwarded_as_if_over_tls() -> None:
    status, answer, (seen,) = request((b"content-type", b"text/csv"), body=b"text\nhello\n")

    assert (status, answer, seen["body"]) == (200, b"taken", b"text\nhello\n")
    assert seen["headers"][b"x-forwarded-proto"] == b"https"


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        {"Message": LONG},
        {"Subject": "s" * 99, "Message": LONG},  # a subject does not count
        {"Message": LONG[:-16], **attribute("/a")},  # 32 bytes of room; `folder`, `String` and the value take 14
        {"Subject": "reviews.csv: größe …"},
        {"Action": "ListTopics", "Subject": "s" * 100},
    ],
)
def test_sns_accepts_messages_within_its_limits(parameters: dict[str, str]) -> None:
    assert publish(**parameters)[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"Message": LONG + "x"}, "InvalidParameter"),
        ({"Message": LONG, **attribute("/a")}, "InvalidParameter"),
        ({"Subject": "s" * 100}, "InvalidParameter"),
        ({"Subject": ""}, "InvalidParameter"),
        ({"Subject": "two\nlines"}, "InvalidParameter"),
        ({"Subject": "a bell \x07"}, "InvalidParameter"),
        (attribute(""), "ParameterValueInvalid"),
    ],
)
def test_sns_refuses_messages_beyond_its_limits(parameters: dict[str, str], code: str) -> None:
    status, answer = publish(**parameters)

    assert status == 400
    assert f"<Code>{code}</Code>".encode() in answer


def test_sqs_accepts_messages_within_its_limits() -> None:
    assert send_message(MessageBody=LONG)[0] == 200


@pytest.mark.parametrize(
    "message",
    [
        {"MessageBody": LONG + "x"},
        {"MessageBody": LONG, "MessageAttributes": {"a": {"DataType": "String", "StringValue": "b"}}},
        {"MessageAttributes": {"a": {"DataType": "String", "StringValue": ""}}},
    ],
)
def test_sqs_refuses_messages_beyond_its_limits(message: dict[str, Any]) -> None:
    status, answer = send_message(**message)

    assert status == 400
    assert json.loads(answer)["__type"] == "com.amazonaws.sqs#InvalidParameterValue"


# Chains of messages


class Chain:
    """A stub of ministack with a function that answers each message with another, to itself or to `others`."""

    def __init__(self, loop: str | None, *others: str) -> None:
        self.ran: list[str] = []
        self.dropped: list[str] = []
        self._next = ["Submit", *others]
        self.services = SimpleNamespace(
            MAX_INVOKE_DEPTH=16,
            _functions={name: {"config": {"FunctionName": name}} for name in self._next},
            _run_sqs_batch=self._run,
            _recursive_loop_drop=self._drop,
            _xray_trace_id_for_invocation=lambda config, inbound=None: None if others else "Root=1-2-3;Sampled=1",
        )
        provisioners = SimpleNamespace(
            _RESOURCE_HANDLERS={
                "AWS::Lambda::Function": {
                    "create": lambda logical_id, properties, stack: (logical_id, {}),
                    "update": lambda physical_id, old, new, stack, logical_id=None: (physical_id, {}),
                }
            }
        )
        embedded_aws.count_rounds(self.services, provisioners)
        handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
        for name in self._next:
            handlers["create"](name, {}, "stack")
            assert self.services._functions[name]["recursive_loop"] == "Terminate"
            if loop:
                handlers["update"](name, {}, {"RecursiveLoop": loop}, "stack", logical_id=name)

    def start(self) -> None:
        self._deliver("Submit", {})

    def _deliver(self, name: str, attributes: dict[str, str]) -> None:
        event = {"Records": [{"attributes": attributes}]}
        self.services._run_sqs_batch({}, self.services._functions[name], event, [], "url", "queue")

    def _run(self, _mapping: Any, function: Any, _event: Any, *_: Any) -> None:
        name = function["config"]["FunctionName"]
        self.ran.append(name)
        if len(self.ran) < 50:
            trace = self.services._xray_trace_id_for_invocation(function["config"])
            sqs = SimpleNamespace(_build_send_sys_attrs=lambda now, given: {"SentTimestamp": str(now), **given})
            embedded_aws.keep_traces(sqs)
            header = (b"x-amzn-trace-id", trace.encode())
            _, _, (seen,) = request(header, behind=lambda: sqs._build_send_sys_attrs(7, {}))
            self._deliver(self._next[len(self.ran) % len(self._next)], seen["behind"])

    def _drop(self, name: str, function: Any, depth: int) -> bool:
        assert depth > 16, "ministack's own bound"
        if function["recursive_loop"] == "Allow":
            return False
        self.dropped.append(name)
        return True


def test_a_chain_of_messages_ends_at_the_sixteenth_run_of_a_function() -> None:
    chain = Chain(None)
    chain.start()

    assert (len(chain.ran), chain.dropped) == (15, ["Submit"])


def test_functions_of_a_chain_are_counted_apart() -> None:
    chain = Chain(None, "Collect")
    chain.start()

    assert (len(chain.ran), chain.dropped) == (30, ["Submit"])


def test_a_function_that_may_loop_is_not_stopped() -> None:
    chain = Chain("Allow")
    chain.start()

    assert (len(chain.ran), chain.dropped) == (50, [])


def test_each_direct_invocation_begins_a_chain() -> None:
    services = Chain(None).services

    assert services._xray_trace_id_for_invocation({"FunctionName": "Poll"}) == "Root=1-2-3;Sampled=1;Lineage=Poll:1"


# Objects and their events


class Store:
    """The parts of ministack's S3 and EventBridge that the patches change."""

    def __init__(self, created: str = "2026-01-01T00:00:00.000Z") -> None:
        self.events: list[dict[str, Any]] = []
        self.modified: list[str] = []
        self._multipart_uploads = {"upload": {"created": "2026-01-01T09:00:00.000Z"}}
        self._buckets = {"inbox": {"created": created}}
        self._dispatch_event = self.events.append

    def now_iso(self) -> str:
        return "2026-01-01T10:00:00.789Z"

    def _qp(self, query: dict[str, str], name: str) -> str:
        return query.get(name, "")

    def put(self) -> None:
        self.modified.append(self.now_iso())
        self._fire_s3_event_async("inbox", "key", version_id="v1")

    def _complete_multipart_upload(self, bucket: str, key: str, body: bytes, query: Any, headers: Any) -> None:
        self.put()

    def _fire_s3_event_async(self, bucket: str, key: str, version_id: str) -> None:
        self._fire_s3_event(bucket, key, version_id=version_id)

    def _fire_s3_event(self, bucket: str, key: str, version_id: str) -> None:
        detail = {"object": {"key": key, "sequencer": "0A"}}
        self._dispatch_event({"Source": "aws.s3", "Time": self.now_iso(), "Detail": json.dumps(detail)})


def test_an_event_of_s3_has_its_time_its_sequencer_and_the_version() -> None:
    store = Store()
    embedded_aws.complete_events(store, store)
    store.put()

    (event,) = store.events
    assert event["Time"] == "2026-01-01T10:00:00Z"
    assert json.loads(event["Detail"])["object"] == {"key": "key", "sequencer": "0A", "version-id": "v1"}


def test_an_event_of_another_source_is_left_as_it_is() -> None:
    store = Store()
    embedded_aws.complete_events(store, store)
    store._dispatch_event({"Source": "somebody", "Time": 7, "Detail": "no JSON"})

    assert store.events == [{"Source": "somebody", "Time": 7, "Detail": "no JSON"}]


def test_a_multipart_upload_has_the_time_of_its_start_and_its_event_that_of_its_completion() -> None:
    store = Store()
    embedded_aws.date_objects(store)
    embedded_aws.complete_events(store, store)
    store._complete_multipart_upload("inbox", "key", b"", {"uploadId": "upload"})
    modified = list(store.modified)
    store._fire_s3_event("inbox", "key", version_id="v1")

    assert modified == ["2026-01-01T09:00:00.000Z"]
    assert [event["Time"] for event in store.events] == ["2026-01-01T10:00:00Z"] * 2


def test_a_test_may_date_an_object() -> None:
    store = Store()
    embedded_aws.date_objects(store)

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        store.modified.append(store.now_iso())

    for headers in ([(embedded_aws.MODIFIED, b"2025-12-31T00:00:00.000Z")], []):
        asyncio.run(embedded_aws.strict(inner)({"type": "http", "headers": headers}, None, None))  # type: ignore[arg-type]

    assert store.modified == ["2025-12-31T00:00:00.000Z", "2026-01-01T10:00:00.789Z"]


@pytest.mark.parametrize(("after", "events"), [(0, 1), (59, 1), (60, 1), (61, 0)])
def test_a_bucket_sends_events_only_some_time_after_it_was_made(after: float, events: int) -> None:
    store = Store(created="2026-01-01T09:59:00.000Z")
    embedded_aws.delay_events(store, after)
    store.put()

    assert len(store.events) == events


# The table

TABLE = {
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "open",
            "KeySchema": [{"AttributeName": "open", "KeyType": "HASH"}, {"AttributeName": "since", "KeyType": "RANGE"}],
        }
    ]
}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"open": {"S": "o" * 2048}, "since": {"S": "s" * 1024}}, None),
        ({"other": {"S": "x" * 4096}}, None),
        ({"open": {"S": "o" * 2049}}, "all hash keys"),
        ({"since": {"S": "ü" * 513}}, "all range keys"),
    ],
)
def test_a_key_of_an_index_is_bounded(item: dict[str, Any], words: str | None) -> None:
    dynamodb = SimpleNamespace(_index_key_type_reason=lambda table, item: None)
    embedded_aws.bound_index_keys(dynamodb)
    reason = dynamodb._index_key_type_reason(TABLE, item)

    assert words in reason if words else reason is None


def test_a_key_of_the_wrong_type_is_still_refused_by_ministack() -> None:
    dynamodb = SimpleNamespace(_index_key_type_reason=lambda table, item: "Type mismatch")
    embedded_aws.bound_index_keys(dynamodb)

    assert dynamodb._index_key_type_reason(TABLE, {"open": {"N": "1"}}) == "Type mismatch"


# The functions' processes


def test_each_process_of_a_function_has_a_disk_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runtime = SimpleNamespace(execution_credentials=lambda config: {"AWS_ACCESS_KEY_ID": config["Role"]})
    embedded_aws.separate_disks(runtime)
    first, second = (runtime.execution_credentials({"Role": "key"}) for _ in range(2))

    assert first["AWS_ACCESS_KEY_ID"] == second["AWS_ACCESS_KEY_ID"] == "key"
    assert first["TMPDIR"] != second["TMPDIR"]
    assert sorted(map(str, tmp_path.iterdir())) == sorted([first["TMPDIR"], second["TMPDIR"]])


def test_a_process_that_runs_when_its_function_changes_ends_when_it_is_done() -> None:
    ended: list[str] = []
    released: list[str] = []
    runtime = SimpleNamespace(kill_workers=lambda workers: ended.extend(worker.name for worker in workers))
    functions = SimpleNamespace(release_worker=lambda worker: released.append(worker.name))
    embedded_aws.let_finish(runtime, functions)
    idle = SimpleNamespace(name="idle", in_use=False)
    busy = SimpleNamespace(name="busy", in_use=True)
    runtime.kill_workers([idle, busy])
    assert ended == ["idle"]

    functions.release_worker(busy)
    assert released == ["busy"]
    assert ended == ["idle", "busy"]
    functions.release_worker(busy)
    assert ended == ["idle", "busy"]


def test_the_code_of_a_function_is_unpacked_once_for_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    package = tmp_path / "layer.zip"
    with zipfile.ZipFile(package, "w") as written:
        written.writestr("python/package/module.py", "x = 1\n")
        written.writestr("python/other.py", "")
        written.writestr("top.txt", "top")
    runtime = SimpleNamespace()
    embedded_aws.unpack_once(runtime)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        with runtime.zipfile.ZipFile(package) as read:
            assert read.namelist() == ["python", "top.txt"]
            read.extractall(folder)

    for folder in folders:
        assert (folder / "python" / "package" / "module.py").read_text() == "x = 1\n"
        assert (folder / "top.txt").read_text() == "top"
    first, second = ((folder / "python").resolve() for folder in folders)
    assert first == second


def test_the_text_of_a_policy_is_parsed_once() -> None:
    parsed: list[Any] = []

    def parse(document: Any) -> list[str]:
        parsed.append(document)
        return ["statement"]

    evaluator = SimpleNamespace(parse_policy_document=parse)
    embedded_aws.parse_policies_once(evaluator)
    first = evaluator.parse_policy_document("{}")
    first.append("of the caller")
    assert evaluator.parse_policy_document("{}") == ["statement"]
    assert evaluator.parse_policy_document({}) == evaluator.parse_policy_document({}) == ["statement"]
    assert parsed == ["{}", {}, {}]
