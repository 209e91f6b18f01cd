"""Every policy, filter, pattern and program of docs/notifications.md, on the events and messages that are published."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from dropbatch.adapters.eventbridge import DefaultBus
from dropbatch.adapters.sns import SnsTopics
from dropbatch.ports import Audience, Notification
from dropbatch.reporting.bus_events import DETAIL_TYPES
from tests.driving import RECIPE, deliver, drop, run
from tests.event_contract import ENVELOPE, validator
from tests.event_rules import REGION, rule_with_queue
from tests.fakes import RESULTS, FakeContext, answer_ok, response_line

PAGE = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()
BLOCK = re.compile(r"<!-- (\w+): (.+?) -->\n *```json\n(.*?)```", re.DOTALL)


def blocks(kind: str) -> dict[str, Any]:
    return {name: json.loads(text) for its, name, text in BLOCK.findall(PAGE) if its == kind}


def test_every_json_of_the_page_is_tested() -> None:
    assert len(BLOCK.findall(PAGE)) == PAGE.count("```json")
    assert set(blocks("filter")) == set(FILTERED)
    assert set(blocks("pattern")) == set(MATCHED)
    assert set(blocks("policy")) == set(POLICIES)
    assert set(blocks("transformer")) == {"a message for a channel"}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> FakeContext:
    """Return fakes with events and messages of every kind, about files in several folders."""
    fake = FakeContext(tmp_path_factory.mktemp("said"))
    fake.openai.answer = lambda request: _answer(request)
    for folder in ("lake/", "lake/day/", "lakeside/", ""):
        drop(fake, f"{folder}recipe.yaml", RECIPE + b"digest: off\nattempts: 1\n")
        drop(fake, f"{folder}good.csv", b"text\nfine\nright\n")
        drop(fake, f"{folder}some.csv", b"text\nfine\nbad\n")
        drop(fake, f"{folder}none.csv", b"text\nbad\n")
        drop(fake, f"{folder}wrong.csv", b"no_text\n1\n")
    drop(fake, "lake/held/recipe.yaml", RECIPE + b"hold: true\ndigest: off\n")
    drop(fake, "lake/held/good.csv", b"text\nfine\n")
    drop(fake, "lake/good.csv.cancel", b"")
    deliver(fake)
    run(fake, ticks=20)
    return fake


def _answer(request: Any) -> Any:
    if "bad" in json.dumps(request["body"]):
        return "error", response_line(request, 400, {"error": {"code": "bad", "message": "no"}})
    return answer_ok(request)


def test_there_are_events_of_every_kind_that_the_page_selects(said: FakeContext) -> None:
    found = {(notification.event, notification.status) for notification in said.topics.published}
    ends = {("ended", status) for status in ("succeeded", "partial", "failed")}
    assert found >= ends | {("accepted", "running"), ("held", "held"), ("rejected", "rejected"), ("recipe", "usable")}


Selects = Callable[[Notification], bool]

FILTERED: Mapping[str, Selects] = {
    "a folder and those below it": lambda n: f"{n.folder}/".startswith("lake/"),
    "what went wrong or waits": lambda n: n.status in ("rejected", "held", "failed", "partial"),
    "the ends in a folder": lambda n: n.event in ("ended", "held", "rejected") and f"{n.folder}/".startswith("lake/"),
}
"""What each filter policy of the page is to select."""


@pytest.mark.parametrize("name", FILTERED)
@pytest.mark.parametrize("audience", [Audience.PROGRAMS, Audience.PEOPLE])
def test_a_subscription_with_a_filter_gets_what_the_page_says(said: FakeContext, name: str, audience: Audience) -> None:
    sent = said.topics.published if audience is Audience.PROGRAMS else said.topics.people
    expected = [notification for notification in sent if FILTERED[name](notification)]
    assert 0 < len(expected) < len(sent)
    with mock_aws():
        sns, sqs = boto3.client("sns", region_name=REGION), boto3.client("sqs", region_name=REGION)
        topic, url = sns.create_topic(Name="t")["TopicArn"], sqs.create_queue(QueueName="q")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = {"FilterPolicyScope": "MessageAttributes", "FilterPolicy": json.dumps(blocks("filter")[name])}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes=policy)
        for notification in sent:
            SnsTopics(sns, topic, topic, topic).publish(audience, notification)
        received = [json.loads(body) for body in _bodies(sqs, url)]
    if audience is Audience.PEOPLE:
        assert sorted(message["Subject"] for message in received) == sorted(n.subject for n in expected)
    else:
        details = [json.loads(message["Message"]) for message in received]
        assert sorted(map(_identity, details)) == sorted(_identity(n.detail) for n in expected)


def _bodies(sqs: Any, url: str) -> Iterator[str]:
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            yield message["Body"]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _identity(detail: Mapping[str, Any]) -> str:
    return f"{detail['event']} {detail['status']} {detail['drop']['key']} {detail.get('job_id')}"


MATCHED: Mapping[str, Selects] = {
    "the answers of a folder": lambda n: (
        n.event == "ended" and n.status in ("succeeded", "partial") and n.detail["drop"]["key"].startswith("lake/")
    ),
    "one of several stacks": lambda n: "results" in n.detail,
    "what a channel is to know": lambda n: (
        n.event in ("held", "rejected", "ended") and n.status in ("held", "rejected", "failed", "partial", "succeeded")
    ),
}
"""What each event pattern of the page is to select."""


def _on_the_bus(said: FakeContext, pattern: Any, patch: pytest.MonkeyPatch, transformer: Any = None) -> list[Any]:
    """Put all events on the bus, and return what the target of a rule gets."""
    with mock_aws():
        received = rule_with_queue(patch, pattern, transformer=transformer)
        bus = DefaultBus(boto3.client("events", region_name=REGION))
        for notification in said.topics.published:
            bus.publish(notification)
        return received()


def test_every_event_on_the_bus_has_the_form_that_its_schema_describes(
    said: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = _on_the_bus(said, {"source": ["dropbatch"]}, monkeypatch)
    assert len(received) == len(said.topics.published)
    valid = validator(ENVELOPE, closed=False)
    assert [list(valid.iter_errors(event)) for event in received] == [[]] * len(received)
    wrong = {**received[0], "detail": {**received[0]["detail"], "event": "another"}}
    assert list(valid.iter_errors(wrong))


def _pattern(name: str) -> Any:
    return json.loads(json.dumps(blocks("pattern")[name]).replace("<ResultsBucket>", RESULTS))


@pytest.mark.parametrize("name", MATCHED)
def test_a_rule_gets_what_the_page_says(said: FakeContext, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [notification for notification in said.topics.published if MATCHED[name](notification)]
    assert 0 < len(expected) < len(said.topics.published)
    received = _on_the_bus(said, _pattern(name), monkeypatch)
    assert sorted(_identity(event["detail"]) for event in received) == sorted(_identity(n.detail) for n in expected)


def test_the_message_for_a_channel_has_the_form_that_amazon_q_shows(
    said: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformer = blocks("transformer")["a message for a channel"]
    shown = _on_the_bus(said, _pattern("what a channel is to know"), monkeypatch, transformer)
    assert shown
    for message in shown:
        assert (message["version"], message["source"]) == ("1.0", "custom")
        assert message["content"].keys() == {"textType", "title", "description"}
        assert message["content"]["textType"] == "client-markdown"
    by_title = {message["content"]["title"]: message["content"]["description"] for message in shown}
    assert by_title["Job ended: lake/some.csv"].startswith("*partial*, 2 rows. https://us-east-1.console.aws.amazon")
    assert f"/s3/buckets/{RESULTS}?region=us-east-1&prefix=lake/some.csv/" in by_title["Job ended: lake/some.csv"]
    assert by_title["Job held: lake/held/good.csv"].startswith("*held*, 1 rows.")


def test_a_transformer_uses_no_more_than_its_paths() -> None:
    transformer = blocks("transformer")["a message for a channel"]
    assert set(re.findall(r"<(\w+)>", transformer["InputTemplate"])) == set(transformer["InputPathsMap"])
    assert len(transformer["InputPathsMap"]) <= 100, "the maximum of EventBridge"


POLICIES = {
    "a topic sends to a queue": ("sns.amazonaws.com", "sqs:SendMessage", "<queue's ARN>", "<EventsTopicArn>"),
    "a rule sends to a queue": ("events.amazonaws.com", "sqs:SendMessage", "<queue's ARN>", "<rule's ARN>"),
    "a rule publishes to a topic": ("events.amazonaws.com", "sns:Publish", "<topic's ARN>", "<rule's ARN>"),
}
"""Who may do what to which resource on behalf of which source, by each policy of the page."""


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_allows_one_service_one_action_for_one_source(name: str) -> None:
    policy = blocks("policy")[name]
    (statement,) = policy["Statement"]
    service, action, resource, source = POLICIES[name]
    assert policy["Version"] == "2012-10-17"
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": action,
        "Resource": resource,
        "Condition": {"ArnEquals": {"aws:SourceArn": source}},
    }
    with mock_aws():  # which refuses a policy that is not well-formed
        sqs = boto3.client("sqs", region_name=REGION)
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def test_the_webhook_posts_each_message_as_text(said: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    posted: list[Any] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: posted.append((request, timeout)))
    monkeypatch.setenv("WEBHOOK_URL", "https://hooks.example.com/x")
    names: dict[str, Any] = {}
    exec(compile(program, "notifications.md", "exec"), names)  # the program of the page
    told = said.topics.people[0]
    names["handler"]({"Records": [{"Sns": {"Subject": told.subject, "Message": told.text}}]}, None)
    ((request, timeout),) = posted
    assert request.full_url == "https://hooks.example.com/x"
    assert request.get_method() == "POST"
    assert json.loads(request.data) == {"text": f"*{told.subject}*\n{told.text}"}
    assert timeout == 10


def test_the_page_names_each_detail_type() -> None:
    for event, kind in DETAIL_TYPES.items():
        assert f"| `{kind}` | `{event}` |" in PAGE
