"""A stack of the tests' own: the template deployed to the embedded AWS, IAM enforced, with the emulator for OpenAI.

One for all end-to-end tests, which therefore run in one process. They use it as anybody would: files are put into S3,
events received from a queue, results read from S3.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from dropbatch.submit import METADATA_KEY
from local.programs import free_port
from local.stack import Deployed, Stack

WAIT_SECONDS = 480
"""How long a job may take: far more than it does, and longer than a lost message takes to be sent again (330 s)."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The stack, and what has been heard of it. `names` are the variables of `stack.env`."""

    stack: Stack
    deployed: Deployed
    emulator_url: str
    heard: list[dict[str, Any]] = field(default_factory=list)

    @property
    def names(self) -> dict[str, str]:
        return self.deployed.values

    def client(self, service: str) -> Any:
        """A boto3 client of the embedded AWS."""
        return self.deployed.client(service)

    def tick(self) -> None:
        """Polls now."""
        self.deployed.tick()

    def drop(self, key: str, data: bytes, **labels: str) -> str:
        """Puts a file into the inbox; its version."""
        put = self.client("s3").put_object(Bucket=self.names["INBOX_BUCKET"], Key=key, Body=data, Metadata=labels)
        return str(put["VersionId"])

    def event(self, version: str, *kinds: str, but_of: str = "") -> dict[str, Any]:
        """The first event of these kinds (by default `ended` or `rejected`) about a version, polling until it comes.

        Those of the job `but_of` do not count.
        """
        wanted = kinds or ("ended", "rejected")
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for event in self.heard:
                about = event["drop"]["version_id"] == version and event.get("job_id") != but_of
                if about and event["event"] in wanted:
                    return event
            self.tick()
            self._listen()
        raise AssertionError(f"no event of {wanted} came, but {[(e['event'], e['drop']['key']) for e in self.heard]}")

    def answer(self, key: str, data: bytes, **labels: str) -> dict[str, Any]:
        """Drops a file, and gives the event of its end."""
        return self.event(self.drop(key, data, **labels))

    def results(self, event: dict[str, Any]) -> dict[str, bytes]:
        """All objects of the job that an event is about, by their names within its folder."""
        s3, bucket, prefix = self.client("s3"), event["results"]["bucket"], event["results"]["prefix"]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {
            found["Key"].removeprefix(prefix): s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
            for found in listed
        }

    def store_key(self, key: str) -> None:
        """Stores OpenAI's key, and has the functions start anew, so that none goes on with one it has cached."""
        self.deployed.store_key(key)
        functions = self.client("lambda")
        for name in (self.names["SUBMIT_FUNCTION"], self.names["POLL_FUNCTION"]):
            variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            environment = {"Variables": variables | {"STARTED_WITH": key}}
            functions.update_function_configuration(FunctionName=name, Environment=environment)
            functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    def control(self, method: str, path: str, **members: Any) -> Any:
        """Steers the emulator: `control("POST", "/faults", kind="fail_rows", every=3)`."""
        answer = httpx2.request(method, self.emulator_url + path, json=members or None, timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def openai(self) -> OpenAI:
        """A client of the emulator."""
        return OpenAI(base_url=self.names["OPENAI_BASE_URL"], api_key=self.names["OPENAI_API_KEY"])

    def openai_batches(self, job_id: str) -> list[str]:
        """The keys, as they stand in the metadata, of the batches that OpenAI has for a job."""
        with self.openai() as client:
            metadata = [batch.metadata or {} for batch in client.batches.list(limit=100)]
        return [found[METADATA_KEY] for found in metadata if found.get("job") == job_id]

    def dead_letters(self) -> dict[str, int]:
        """How many messages were given up, by the queue; queues that hold none are left out."""
        sqs, found = self.client("sqs"), {}
        for name, url in self.names.items():
            if name.endswith("_DEAD_LETTERS_URL"):
                asked = ["ApproximateNumberOfMessages"]
                counted = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"][asked[0]]
                if int(counted):
                    found[name] = int(counted)
        return found

    def _listen(self) -> None:
        sqs, url = self.client("sqs"), self.names["EVENTS_QUEUE_URL"]
        received = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10)
        for message in received.get("Messages", []):
            self.heard.append(json.loads(json.loads(message["Body"])["Message"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The stack with short waits, its emulator as quick as it can be."""
    openai_port = free_port()
    stack = Stack(
        directory=tmp_path_factory.mktemp("stack"),
        aws_port=free_port(),
        openai_port=openai_port,
        # Short, yet longer than a function takes to start on a busy machine.
        parameters={"SettleSeconds": "2", "RecipeWaitSeconds": "8", "Parquet": "enabled"},
    )
    try:
        yield Embedded(stack, stack.up(), f"http://127.0.0.1:{openai_port}/_emulator")
    finally:
        stack.down()


@pytest.fixture
def healthy(embedded: Embedded) -> Iterator[Embedded]:
    """The stack with an emulator that behaves; faults that a test adds are cleared when it is over."""
    embedded.control("DELETE", "/faults")
    yield embedded
    embedded.control("DELETE", "/faults")
