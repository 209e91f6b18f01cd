"""A stack for the end-to-end tests: the template on the embedded AWS with IAM enforced, and the emulator for OpenAI.

The tests of a process share it; `tests/conftest.py` says which those are. They use it as anybody would: they put files
into S3, receive events from a queue, and read results from S3.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from dropbatch.submission.create_search import METADATA_KEY
from local.deployed import AWS, AWS_MARK, Deployed
from local.embedded_aws import MODIFIED
from local.programs import free_port, running
from local.stack import Stack
from tests import event_contract
from tests.e2e.logs import Logs

WAIT_SECONDS = 480
"""The maximum duration of a job. It is longer than the time until a lost message is sent again (330 s)."""

PROCESS_DIED = "Worker process died"
"""The log lines of ministack for a function whose process was killed."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The stack, and the events and messages received from it. `names` are the variables of `stack.env`."""

    stack: Stack
    deployed: Deployed
    emulator_url: str
    logs: Logs
    heard: list[dict[str, Any]] = field(default_factory=list)
    read: list[dict[str, Any]] = field(default_factory=list)  # messages for people, as SNS delivers them to a queue

    @property
    def names(self) -> dict[str, str]:
        return self.deployed.values

    def client(self, service: str) -> Any:
        """Return a boto3 client of the embedded AWS."""
        return self.deployed.client(service)

    def tick(self) -> None:
        """Poll now."""
        self.deployed.tick()

    def drop(self, key: str, data: bytes, *, seconds_ago: int = 0, **labels: str) -> str:
        """Put a file into the inbox, with this age. Return its version."""
        s3 = self.client("s3")
        if seconds_ago:
            modified = datetime.fromtimestamp(time.time() - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

            def date(params: dict[str, Any], **_: Any) -> None:
                params["headers"][MODIFIED.decode()] = modified

            s3.meta.events.register("before-call.s3.PutObject", date, unique_id="date")
        try:
            put = s3.put_object(Bucket=self.names["INBOX_BUCKET"], Key=key, Body=data, Metadata=labels)
        finally:
            s3.meta.events.unregister("before-call.s3.PutObject", unique_id="date")
        return str(put["VersionId"])

    def event(self, version: str, *kinds: str, but_of: str = "") -> dict[str, Any]:
        """Return the first event of these kinds (by default `ended` or `rejected`) about a version.

        Poll until it comes. Events of the job `but_of` do not count.
        """
        wanted = kinds or ("ended", "rejected")
        deadline, seconds = time.monotonic() + WAIT_SECONDS, 0
        while time.monotonic() < deadline:
            for event in self.heard:
                about = event["drop"]["version_id"] == version and event.get("job_id") != but_of
                if about and event["event"] in wanted:
                    return event
            self.tick()
            self.listen(seconds := min(seconds + 1, 3))  # a machine that answers polls all the time does nothing else
        raise AssertionError(f"no event of {wanted} came, but {[(e['event'], e['drop']['key']) for e in self.heard]}")

    def answer(self, key: str, data: bytes, **labels: str) -> dict[str, Any]:
        """Drop a file, and return the event of its end."""
        return self.event(self.drop(key, data, **labels))

    def results(self, event: dict[str, Any]) -> dict[str, bytes]:
        """Return all objects of the job of an event, by their names within its folder."""
        s3, bucket, prefix = self.client("s3"), event["results"]["bucket"], event["results"]["prefix"]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {
            found["Key"].removeprefix(prefix): s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
            for found in listed
        }

    def resource(self, logical_id: str) -> str:
        """Return the name that CloudFormation chose for a resource of the stack."""
        return _resource(self.deployed, logical_id)

    @contextmanager
    def no_events(self) -> Iterator[None]:
        """Lose the events of files that are dropped meanwhile."""
        events, rule = self.client("events"), self.resource("DropRule")
        events.disable_rule(Name=rule)
        try:
            yield
            time.sleep(1)  # an event is sent after its request
        finally:
            events.enable_rule(Name=rule)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the item of a job, as DynamoDB writes it."""
        key = {"pk": {"S": f"job#{job_id}"}, "sk": {"S": "job"}}
        found = self.client("dynamodb").get_item(TableName=self.names["TABLE"], Key=key, ConsistentRead=True)
        return dict(found["Item"])

    def kill(self, function: str) -> int:
        """Kill the processes of a function, as a host of Lambda might. Return how many there were."""
        server = running(self.stack.directory, AWS, AWS_MARK)
        listed = subprocess.run(["ps", "-Awwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
        processes = [line.split(maxsplit=2) for line in listed.splitlines()]
        pids = [int(pid) for pid, parent, args in processes if parent == str(server) and self.names[function] in args]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return len(pids)

    def store_key(self, key: str) -> None:
        """Store OpenAI's key, and restart the functions, so that none continues with a cached one."""
        self.deployed.store_key(key)
        functions = self.client("lambda")
        for name in (self.names["SUBMIT_FUNCTION"], self.names["POLL_FUNCTION"]):
            variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            environment = {"Variables": variables | {"STARTED_WITH": key}}
            functions.update_function_configuration(FunctionName=name, Environment=environment)
            functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    def control(self, method: str, path: str, /, **members: Any) -> Any:
        """Control the emulator: `control("POST", "/faults", kind="fail_rows", every=3)`."""
        answer = httpx2.request(method, self.emulator_url + path, json=members or None, timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def strikes(self) -> list[int]:
        """Return how often each fault of the emulator has applied, in the order in which they were added."""
        return [fault["strikes"] for fault in self.control("GET", "/faults")["data"]]

    def openai(self) -> OpenAI:
        """Return a client of the emulator."""
        return OpenAI(base_url=self.names["OPENAI_BASE_URL"], api_key=self.names["OPENAI_API_KEY"])

    def openai_batches(self, job_id: str) -> list[str]:
        """Return the batch keys in the metadata of the batches that OpenAI has for a job."""
        with self.openai() as client:
            metadata = [batch.metadata or {} for batch in client.batches.list(limit=100)]
        return [found[METADATA_KEY] for found in metadata if found.get("job") == job_id]

    def dead_letters(self) -> dict[str, int]:
        """Return the number of dead letters by queue, without empty queues."""
        sqs, found = self.client("sqs"), {}
        for name, url in self.names.items():
            if name.endswith("_DEAD_LETTERS_URL"):
                asked = ["ApproximateNumberOfMessages"]
                counted = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"][asked[0]]
                if int(counted):
                    found[name] = int(counted)
        return found

    def listen(self, seconds: int = 1) -> None:
        """Receive the events that came, or the first that comes within this time."""
        sqs, url = self.client("sqs"), self.names["EVENTS_QUEUE_URL"]
        received = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=seconds, MaxNumberOfMessages=10)
        for message in received.get("Messages", []):
            event = json.loads(message["Body"])["Message"]
            event_contract.check(event)
            self.heard.append(json.loads(event))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def mail(self, folder: str, *kinds: str) -> list[dict[str, Any]]:
        """Return all messages about drops of a folder; poll until one of these kinds came, by default an end.

        A digest waits for a moment, until a poll publishes it.
        """
        wanted = set(kinds or ("ended", "rejected"))
        deadline, seconds = time.monotonic() + WAIT_SECONDS, 0
        while time.monotonic() < deadline:
            self.read_mail(seconds)
            found = [told for told in self.read if told["MessageAttributes"]["folder"]["Value"] == folder]
            if wanted & {told["MessageAttributes"]["event"]["Value"] for told in found}:
                return found
            self.tick()
            seconds = min(seconds + 1, 3)
        raise AssertionError(f"no message of {wanted} in {folder}")

    def read_mail(self, seconds: int = 0) -> None:
        """Receive the messages for people that came. Wait this long for the first."""
        sqs, url = self.client("sqs"), self.names["NOTIFICATIONS_QUEUE_URL"]
        request = {"QueueUrl": url, "MaxNumberOfMessages": 10}
        while messages := sqs.receive_message(**request, WaitTimeSeconds=seconds).get("Messages"):
            for message in messages:
                self.read.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            seconds = 0


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Iterator[Embedded]:
    """Yield a stack with short waits and a quick emulator. The stacks of a run share one build."""
    openai_port = free_port()
    stack = Stack(
        directory=tmp_path_factory.mktemp("stack"),
        aws_port=free_port(),
        openai_port=openai_port,
        shared_build=tmp_path_factory.getbasetemp().parent / f"build-{testrun_uid}",
        # Short, but longer than a function takes to start on a busy machine.
        parameters={
            "AbsenceConfirmationSeconds": "2",
            "RecipeWaitSeconds": "8",
            "Parquet": "enabled",
        },
    )
    try:
        deployed = stack.up()
        groups = [_resource(deployed, name) for name in ("SubmitLogs", "PollLogs", "CollectLogs")]
        logs = Logs(deployed.client("logs"), groups)
        embedded = Embedded(stack, deployed, f"http://127.0.0.1:{openai_port}/_emulator", logs)
        yield embedded
        unexpected = logs.unexpected()
        assert not unexpected, "\n".join(["after the last test, the functions logged:", *unexpected])
        assert not embedded.dead_letters(), "something was given up"
    finally:
        stack.down()


@pytest.fixture(autouse=True)
def provoked(embedded: Embedded) -> Iterator[Callable[..., None]]:
    """Fail a test during which a function logged a warning, an error or a crash that the test does not name here.

    `provoked("held", …)` accepts lines that contain one of the texts. A function logs its lines when it ends, so the
    next test reports those of a function that still runs.
    """
    yield embedded.logs.expect
    unexpected = embedded.logs.unexpected()
    embedded.logs.end_test()
    assert not unexpected, "\n".join(["this test did not provoke:", *unexpected])


@pytest.fixture
def healthy(embedded: Embedded) -> Iterator[Embedded]:
    """Yield the stack without faults of the emulator. Those that a test adds are cleared after it."""
    embedded.control("DELETE", "/faults")
    yield embedded
    embedded.control("DELETE", "/faults")


def wait_for(what: Callable[[], Any], why: str) -> Any:
    """Return the first true result of `what`. Raise AssertionError with `why` if it takes too long."""
    deadline, seconds = time.monotonic() + WAIT_SECONDS, 0.5
    while not (found := what()):
        assert time.monotonic() < deadline, why
        time.sleep(seconds := min(1.2 * seconds, 2.5))
    return found


def _resource(deployed: Deployed, logical_id: str) -> str:
    described = deployed.client("cloudformation").describe_stack_resource(
        StackName=deployed.values["STACK_NAME"], LogicalResourceId=logical_id
    )
    return str(described["StackResourceDetail"]["PhysicalResourceId"])
