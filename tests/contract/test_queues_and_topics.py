"""The contract of the ports to queues and topics, which the fakes and the real adapters keep."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from hypothesis import given, settings

from dropbatch.adapters.sns import SnsTopics
from dropbatch.adapters.sqs import SqsDeadLetters, SqsQueue
from dropbatch.ports import Audience, DeadLetters, Letter, Notification, Queue, Topics
from dropbatch.reporting.message_length import attributes
from dropbatch.reporting.phrases import subject
from tests.contract.conftest import REGION
from tests.fakes import FakeDeadLetters, FakeQueue, FakeTopics
from tests.fakes.refusal import refusal
from tests.fakes.topics import check_as_sns
from tests.notifying import Generated, anything


class QueueEnds(NamedTuple):
    queue: Queue
    receive: Callable[[], tuple[str, Any] | None]  # the next message that may be received, with its receipt
    delete: Callable[[str], object]

    def take(self) -> Any:
        """Receive and delete the next message. Return None if none is visible."""
        if (received := self.receive()) is None:
            return None
        self.delete(received[0])
        return received[1]


@pytest.fixture(params=["fake", "real"])
def ends(request: pytest.FixtureRequest, aws: None) -> QueueEnds:
    if request.param == "fake":
        fake = FakeQueue(time.time)

        def receive_fake() -> tuple[str, Any] | None:
            message = fake.receive()
            return (message.receipt or "", message.body) if message else None

        return QueueEnds(fake, receive_fake, fake.delete)
    client = boto3.client("sqs", region_name=REGION)
    # The limit of SQS was 256 KiB for years, and that of other brokers still is.
    url = client.create_queue(QueueName="q", Attributes={"MaximumMessageSize": "262144"})["QueueUrl"]
    return QueueEnds(
        SqsQueue(client, url),
        partial(_receive, client, url),
        lambda receipt: client.delete_message(QueueUrl=url, ReceiptHandle=receipt),
    )


def _receive(client: Any, url: str) -> tuple[str, Any] | None:
    messages = client.receive_message(QueueUrl=url).get("Messages", [])
    return (messages[0]["ReceiptHandle"], json.loads(messages[0]["Body"])) if messages else None


class QueueAndDeadLetters(NamedTuple):
    queue: Queue
    receive: Callable[[], tuple[str, Any] | None]
    dead: DeadLetters


@pytest.fixture(params=["fake", "real"])
def redriven(request: pytest.FixtureRequest, aws: None) -> QueueAndDeadLetters:
    """Return a queue with a dead-letter queue, as the template declares them."""
    if request.param == "fake":
        letters = FakeDeadLetters(time.time)
        fake = FakeQueue(time.time, letters)

        def receive_fake() -> tuple[str, Any] | None:
            message = fake.receive()
            return (message.receipt or "", message.body) if message else None

        return QueueAndDeadLetters(fake, receive_fake, letters)
    client = boto3.client("sqs", region_name=REGION)
    dead = client.create_queue(QueueName="dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    url = client.create_queue(QueueName="q", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    return QueueAndDeadLetters(SqsQueue(client, url), partial(_receive, client, url), SqsDeadLetters(client, dead))


def test_a_message_arrives_as_it_was_sent(ends: QueueEnds) -> None:
    message = {"v": 1, "key": 'späte Bücher 😀 "100%".csv', "rows": [1, 2], "none": None}
    ends.queue.send(message)
    assert ends.take() == message
    assert ends.take() is None


@pytest.mark.slow
def test_a_delayed_message_is_not_received_early(ends: QueueEnds) -> None:
    ends.queue.send({"n": 1}, 1)
    assert ends.take() is None
    time.sleep(1.1)
    assert ends.take() == {"n": 1}


def test_the_depth_counts_what_is_visible_hidden_and_delayed(ends: QueueEnds) -> None:
    assert ends.queue.depth() == 0
    for delay in (0, 0, 900):
        ends.queue.send({"n": 1}, delay)
    assert ends.queue.depth() == 3
    assert ends.receive()
    assert ends.queue.depth() == 3
    ends.take()
    assert ends.queue.depth() == 2


@pytest.mark.slow
def test_a_message_is_hidden_for_the_given_time(ends: QueueEnds) -> None:
    ends.queue.send({"n": 1})
    received = ends.receive()
    assert received
    ends.queue.hide(received[0], 1)
    assert ends.receive() is None
    time.sleep(1.1)
    again = ends.receive()
    assert again
    assert again[1] == {"n": 1}
    ends.queue.hide(again[0], 0)
    assert ends.take() == {"n": 1}


def test_a_message_can_be_hidden_for_half_a_day_and_no_longer(ends: QueueEnds) -> None:
    ends.queue.send({"n": 1})
    received = ends.receive()
    assert received
    ends.queue.hide(received[0], 43_200)
    with pytest.raises(ValueError, match="4320"):
        ends.queue.hide(received[0], 43_201)


def test_a_message_that_is_too_large_is_refused(ends: QueueEnds) -> None:
    room = 262_144 - len(json.dumps({"text": ""}))
    ends.queue.send({"text": "x" * room})
    with pytest.raises((ValueError, ClientError), match="262144"):
        ends.queue.send({"text": "x" * (room + 1)})


@pytest.mark.slow
def test_a_message_that_was_received_five_times_becomes_a_dead_letter(redriven: QueueAndDeadLetters) -> None:
    redriven.queue.send({"n": 1})
    for _ in range(5):
        received = redriven.receive()
        assert received
        assert list(redriven.dead.take()) == []
        redriven.queue.hide(received[0], 0)
    assert redriven.receive() is None
    assert [message for _, message in redriven.dead.take()] == [{"n": 1}]
    assert redriven.queue.depth() == 0


def test_hiding_a_deleted_message_is_not_an_error(ends: QueueEnds) -> None:
    ends.queue.send({"n": 1})
    received = ends.receive()
    assert received
    ends.delete(received[0])
    ends.queue.hide(received[0], 10)
    ends.queue.hide("no receipt at all", 10)
    assert ends.queue.depth() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "ReceiptHandleIsInvalid",
        "AWS.SimpleQueueService.MessageNotInflight",
        "MessageNotInflight",
        "InvalidParameterValue",
    ],
)
def test_every_sqs_error_about_a_deleted_message_is_ignored(code: str) -> None:
    SqsQueue(_refusing("sqs", "change_message_visibility", code), "http://queue").hide("receipt", 10)


def test_hiding_in_a_deleted_queue_or_for_more_than_twelve_hours_is_an_error() -> None:
    queue = SqsQueue(_refusing("sqs", "change_message_visibility", "QueueDoesNotExist"), "http://queue")
    with pytest.raises(ClientError, match="QueueDoesNotExist"):
        queue.hide("receipt", 43_200)
    for seconds in (-1, 43_201):
        with pytest.raises(ValueError, match="up to 43200 seconds"):
            queue.hide("receipt", seconds)


def _refusing(service: str, call: str, code: str) -> Any:
    """Return a client that refuses a call."""
    client: Any = boto3.client(service, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    stubber = Stubber(client)
    stubber.add_client_error(call, code)
    stubber.activate()
    return client


class DeadAndWriter(NamedTuple):
    dead: DeadLetters
    write: Callable[[Any], object]  # puts a message there
    left: Callable[[], int]  # how many there are, with the hidden ones


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


def test_dead_letters_are_hidden_while_they_are_processed_and_then_deleted(graveyard: DeadAndWriter) -> None:
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


def test_a_dead_letter_that_is_not_json_stays(aws: None) -> None:
    client = boto3.client("sqs", region_name=REGION)
    url = client.create_queue(QueueName="dead")["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="no JSON")
    client.send_message(QueueUrl=url, MessageBody="{}")
    assert [message for _, message in SqsDeadLetters(client, url).take()] == [{}]


NOTIFICATION = Notification(
    "ended",
    "partial",
    "späte Bücher",
    "a subject",
    "a text 😀",
    {"rows": {"total": 3}},
    recipe_folder="späte",
    operators=Letter("for operators", "what to do"),
)


class TopicsAndListener(NamedTuple):
    topics: Topics
    programs: Callable[[], list[Any]]  # what programs got since: (detail, attributes)
    people: Callable[[], list[Any]]  # what people got since: (subject, text, attributes)
    operators: Callable[[], list[Any]]  # the same of operators


@pytest.fixture(params=["fake", "real"])
def topics(request: pytest.FixtureRequest, aws: None) -> TopicsAndListener:
    if request.param == "fake":
        fake = FakeTopics()
        return TopicsAndListener(
            fake,
            lambda: [(n.detail, attributes(n)) for n in fake.published],
            lambda: [(n.subject, n.text, attributes(n)) for n in fake.people],
            lambda: [(n.operators.subject, n.operators.text, attributes(n)) for n in fake.operators if n.operators],
        )
    sns, sqs = boto3.client("sns", region_name=REGION), boto3.client("sqs", region_name=REGION)
    arns, urls = {}, {}
    for name in ("notifications", "events", "alarms"):
        arns[name] = sns.create_topic(Name=name)["TopicArn"]
        urls[name] = sqs.create_queue(QueueName=name)["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=urls[name], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arns[name], Protocol="sqs", Endpoint=queue)

    def received(name: str) -> list[Any]:
        found = sqs.receive_message(QueueUrl=urls[name], MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]

    def attributes_of(message: Any) -> dict[str, Any]:
        return {
            name: json.loads(attribute["Value"]) if attribute["Type"] == "String.Array" else attribute["Value"]
            for name, attribute in message["MessageAttributes"].items()
        }

    def letters(name: str) -> list[Any]:
        return [(m["Subject"], m["Message"], attributes_of(m)) for m in received(name)]

    return TopicsAndListener(
        SnsTopics(sns, arns["notifications"], arns["events"], arns["alarms"]),
        lambda: [(json.loads(m["Message"]), attributes_of(m)) for m in received("events")],
        lambda: letters("notifications"),
        lambda: letters("alarms"),
    )


@pytest.mark.slow
def test_people_and_programs_get_the_same_notification_in_their_own_form(topics: TopicsAndListener) -> None:
    attributes = {"event": "ended", "status": "partial", "folder": "späte Bücher", "recipe_folder": "späte"}
    topics.topics.publish(Audience.PROGRAMS, NOTIFICATION)
    assert topics.programs() == [({"rows": {"total": 3}}, attributes)]
    assert topics.people() == []
    topics.topics.publish(Audience.PEOPLE, NOTIFICATION)
    assert topics.people() == [("a subject", "a text 😀", attributes)]
    assert topics.operators() == []
    topics.topics.publish(Audience.OPERATORS, NOTIFICATION)
    assert topics.operators() == [("for operators", "what to do", attributes)]


def test_a_digest_of_several_folders_has_each_as_a_value_of_its_attribute(topics: TopicsAndListener) -> None:
    """So a filter for one of the folders passes it."""
    topics.topics.publish(Audience.PEOPLE, replace(NOTIFICATION, folder="a", more_folders=("b", "ü")))
    ((_, _, attributes),) = topics.people()
    assert attributes["folder"] == ["a", "b", "ü"]


HUGE = Notification(
    "ended",
    "partial",
    "a\tfolder\u202e of \x00 controls" + "x" * 1_000,
    "n" * 300 + "\n.csv: 199,870 of 200,000 answered",
    "first\n" + "x" * 400_000 + "\nthe last line",
    {"job_id": "the-job", "problems": {"total": 9, "first": ["ü" * 400_000] * 9}},
    operators=Letter("x" * 300, "x" * 400_000),
)


@pytest.mark.slow
def test_a_notification_beyond_the_limits_of_sns_is_cut_to_fit(topics: TopicsAndListener) -> None:
    for audience in Audience:
        topics.topics.publish(audience, HUGE)
    ((detail, attributes),) = topics.programs()
    assert (detail["job_id"], detail["problems"]["total"]) == ("the-job", 9)
    assert attributes["folder"].startswith("a folder  of   controls")
    ((subject, text, _),) = topics.people()
    assert subject.startswith("…nnn")
    assert subject.endswith("n .csv: 199,870 of 200,000 answered")
    assert text.startswith("first\nxxx")
    assert "\nthe last line\n" in text


class StrictSns:
    """SNS, as strict as `FakeTopics`. `knows_better` refuses everything that is not ASCII, for an unknown reason."""

    def __init__(self, *, knows_better: bool = False) -> None:
        self._knows_better = knows_better
        self.sent: list[dict[str, Any]] = []

    def publish(self, **call: Any) -> None:
        attributes = {name: value["StringValue"] for name, value in call["MessageAttributes"].items()}
        check_as_sns(call["Message"], attributes, call.get("Subject"))
        if self._knows_better and not json.dumps(call, ensure_ascii=False).isascii():
            raise refusal("Publish", "InvalidParameter", "Invalid parameter")
        self.sent.append(call)


@pytest.mark.slow
@pytest.mark.parametrize("audience", list(Audience))
@given(generated=anything())
@settings(deadline=None)  # it may have megabytes
def test_sns_accepts_every_notification(audience: Audience, generated: Generated) -> None:
    sns = StrictSns()
    SnsTopics(sns, "people", "programs", "operators").publish(audience, generated.notification)  # type: ignore[arg-type]  # all that is called
    (sent,) = sns.sent
    assert sent["TopicArn"] == audience
    assert ("Subject" in sent) is (audience is not Audience.PROGRAMS)
    if audience is Audience.PROGRAMS:
        assert isinstance(json.loads(sent["Message"]), dict)


def test_a_refused_notification_is_sent_in_its_shortest_form() -> None:
    sns = StrictSns(knows_better=True)
    results = {"bucket": "the-results", "prefix": "a.csv/the-job/"}
    generated = replace(
        NOTIFICATION, detail={"schema_version": 1, "job_id": "the-job", "results": results, "text": "ü"}
    )
    topics = SnsTopics(sns, "people", "programs", "operators")  # type: ignore[arg-type]  # all that is called
    for audience in Audience:
        topics.publish(audience, generated)
    programs, people, operators = sns.sent
    assert json.loads(programs["Message"]) == {
        "schema_version": 1,
        "event": "ended",
        "status": "partial",
        "job_id": "the-job",
        "results": results,
        "cut": True,
    }
    assert people["Subject"] == "Dropbatch: ended, partial"
    assert "the-job" in people["Message"]
    assert "s3://the-results/a.csv/the-job/" in people["Message"]
    assert (operators["Subject"], operators["Message"]) == (people["Subject"], people["Message"])


@pytest.mark.parametrize("code", ["KMSDisabled", "InternalError", "AuthorizationError", "NotFound"])
def test_an_error_that_does_not_concern_the_message_is_raised(code: str) -> None:
    topics = SnsTopics(_refusing("sns", "publish", code), *(f"arn:aws:sns:::{name}" for name in "abc"))
    with pytest.raises(ClientError, match=code):
        topics.publish(Audience.PROGRAMS, NOTIFICATION)


def test_a_topic_that_refuses_the_shortest_form_too_is_an_error() -> None:
    """The topic is at fault then: nobody was notified, and the caller must know."""

    class Nowhere:
        def publish(self, **_call: Any) -> None:
            raise refusal("Publish", "InvalidParameter", "Invalid parameter: TopicArn")

    with pytest.raises(ClientError, match="TopicArn"):
        SnsTopics(Nowhere(), "people", "programs", "operators").publish(Audience.PEOPLE, NOTIFICATION)  # type: ignore[arg-type]  # all that is called


def test_the_maximum_length_of_a_subject_is_that_of_sns(aws: None) -> None:
    """Subjects have names of files in any script, and numbers that are never cut."""
    client = boto3.client("sns", region_name=REGION)
    arn = client.create_topic(Name="t")["TopicArn"]
    longest = subject("ü" * 300 + ".csv", "199,870 of 200,000 answered")
    assert longest.endswith(": 199,870 of 200,000 answered")
    client.publish(TopicArn=arn, Message="m", Subject=longest)
    with pytest.raises(ClientError, match="Subject"):
        client.publish(TopicArn=arn, Message="m", Subject=longest + "xx")
