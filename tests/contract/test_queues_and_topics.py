"""What the ports promise of queues and topics, kept by the fakes and by the real adapters alike."""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError

from dropbatch.adapters.sns import SnsTopics
from dropbatch.adapters.sqs import SqsDeadLetters, SqsQueue
from dropbatch.ports import DeadLetters, Notification, Queue, Topics
from dropbatch.telling import subject
from tests.contract.conftest import REGION
from tests.fakes import FakeDeadLetters, FakeQueue, FakeTopics


class QueueAndTaker(NamedTuple):
    queue: Queue
    take: Callable[[], Any]  # the next message that may be taken, or None
    receive: Callable[[], str | None]  # the receipt of the same, which is hidden then, or None


@pytest.fixture(params=["fake", "real"])
def ends(request: pytest.FixtureRequest, aws: None) -> QueueAndTaker:
    if request.param == "fake":
        fake = FakeQueue(time.time)
        return QueueAndTaker(fake, fake.take)
    client = boto3.client("sqs", region_name=REGION)
    url = client.create_queue(QueueName="q")["QueueUrl"]

    def take() -> Any:
        messages = client.receive_message(QueueUrl=url).get("Messages", [])
        return json.loads(messages[0]["Body"]) if messages else None

    return QueueAndTaker(SqsQueue(client, url), take)


def test_a_message_arrives_as_it_was_sent(ends: QueueAndTaker) -> None:
    message = {"v": 1, "key": 'späte Bücher 😀 "100%".csv', "rows": [1, 2], "none": None}
    ends.queue.send(message)
    assert ends.take() == message
    assert ends.take() is None


def test_a_delayed_message_is_not_there_yet(ends: QueueAndTaker) -> None:
    ends.queue.send({"n": 1}, 1)
    assert ends.take() is None
    time.sleep(1.1)
    assert ends.take() == {"n": 1}


class DeadAndWriter(NamedTuple):
    dead: DeadLetters
    write: Callable[[Any], object]  # puts a message there
    left: Callable[[], int]  # how many there are, those that are hidden too


@pytest.fixture(params=["fake", "real"])
def graveyard(request: pytest.FixtureRequest, aws: None) -> DeadAndWriter:
    if request.param == "fake":
        fake = FakeDeadLetters()
        return DeadAndWriter(fake, fake.put, lambda: fake.left)
    client = boto3.client("sqs", region_name=REGION)
    url = client.create_queue(QueueName="dead")["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def left() -> int:
        counts = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]  # type: ignore[arg-type]  # names of attributes
        return sum(map(int, counts.values()))

    def write(message: Any) -> None:
        client.send_message(QueueUrl=url, MessageBody=json.dumps(message))

    return DeadAndWriter(SqsDeadLetters(client, url), write, left)


def test_dead_letters_are_hidden_while_they_are_looked_at_and_gone_once_deleted(graveyard: DeadAndWriter) -> None:
    assert list(graveyard.dead.take()) == []
    for number in range(3):
        graveyard.write({"n": number})
    taken = [*graveyard.dead.take(), *graveyard.dead.take(), *graveyard.dead.take()]
    assert sorted(message["n"] for _, message in taken) == [0, 1, 2]
    assert list(graveyard.dead.take()) == []
    assert graveyard.left() == 3
    for receipt, _ in taken[:2]:
        graveyard.dead.delete(receipt)
    assert graveyard.left() == 1


def test_a_dead_letter_that_is_no_json_stays(aws: None) -> None:
    client = boto3.client("sqs", region_name=REGION)
    url = client.create_queue(QueueName="dead")["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="no JSON")
    client.send_message(QueueUrl=url, MessageBody="{}")
    assert [message for _, message in SqsDeadLetters(client, url).take()] == [{}]


NOTIFICATION = Notification("ended", "partial", "späte Bücher", "a subject", "a text 😀", {"rows": {"total": 3}})


class TopicsAndListener(NamedTuple):
    topics: Topics
    heard: Callable[[], list[Any]]  # for each notification (events' detail, its attributes, subject, text)


@pytest.fixture(params=["fake", "real"])
def topics(request: pytest.FixtureRequest, aws: None) -> TopicsAndListener:
    if request.param == "fake":
        fake = FakeTopics()

        def told() -> list[Any]:
            return [
                (n.detail, {"event": n.event, "status": n.status, "folder": n.folder}, n.subject, n.text)
                for n in fake.published
            ]

        return TopicsAndListener(fake, told)
    sns, sqs = boto3.client("sns", region_name=REGION), boto3.client("sqs", region_name=REGION)
    arns, urls = {}, {}
    for name in ("notifications", "events"):
        arns[name] = sns.create_topic(Name=name)["TopicArn"]
        urls[name] = sqs.create_queue(QueueName=name)["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=urls[name], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arns[name], Protocol="sqs", Endpoint=queue)

    def heard() -> list[Any]:
        def receive(name: str) -> Any:
            found = sqs.receive_message(QueueUrl=urls[name], MaxNumberOfMessages=10)
            return [json.loads(message["Body"]) for message in found.get("Messages", [])]

        events, people = receive("events"), receive("notifications")
        return [
            (
                json.loads(event["Message"]),
                {name: attribute["Value"] for name, attribute in event["MessageAttributes"].items()},
                person["Subject"],
                person["Message"],
            )
            for event, person in zip(events, people, strict=True)
        ]

    return TopicsAndListener(SnsTopics(sns, arns["notifications"], arns["events"]), heard)


def test_people_and_programs_hear_the_same_thing_each_in_their_form(topics: TopicsAndListener) -> None:
    topics.topics.publish(NOTIFICATION)
    attributes = {"event": "ended", "status": "partial", "folder": "späte Bücher"}
    assert topics.heard() == [({"rows": {"total": 3}}, attributes, "a subject", "a text 😀")]


def test_sns_takes_subjects_as_long_as_ours_and_no_longer(aws: None) -> None:
    """Of the names that people give their files, and the numbers that are never cut."""
    client = boto3.client("sns", region_name=REGION)
    arn = client.create_topic(Name="t")["TopicArn"]
    longest = subject("ü" * 300 + ".csv", "199,870 of 200,000 answered")
    assert longest.endswith(": 199,870 of 200,000 answered")
    client.publish(TopicArn=arn, Message="m", Subject=longest)
    with pytest.raises(ClientError, match="Subject"):
        client.publish(TopicArn=arn, Message="m", Subject=longest + "xx")
