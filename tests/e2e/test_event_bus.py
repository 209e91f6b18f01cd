"""Other automation starts by a rule on the account's bus, and people find a drop on the index pages."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dropbatch.reporting.bus_events import SOURCE
from tests.e2e.conftest import Embedded, wait_for

RECIPE = b'model: gpt-6-luna\nprompt: "Is this good? {{ text }}"\n'


@pytest.fixture
def queue(healthy: Embedded) -> Iterator[str]:
    """Yield the queue of a rule for the ends of jobs in the folder `automated`."""
    events, sqs = healthy.client("events"), healthy.client("sqs")
    url = sqs.create_queue(QueueName="automation")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": [SOURCE],
        "detail-type": ["Job ended"],
        "detail": {"drop": {"key": [{"prefix": "automated/"}]}},
    }
    rule = events.put_rule(Name="automation", EventPattern=json.dumps(pattern))["RuleArn"]
    allowed: dict[str, Any] = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
            }
        ],
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(allowed)})
    events.put_targets(Rule="automation", Targets=[{"Id": "queue", "Arn": arn}])
    yield url
    events.remove_targets(Rule="automation", Ids=["queue"])
    events.delete_rule(Name="automation")
    sqs.delete_queue(QueueUrl=url)


def test_a_rule_on_the_accounts_bus_starts_by_the_end_of_a_job(healthy: Embedded, queue: str) -> None:
    sqs, s3, results = healthy.client("sqs"), healthy.client("s3"), healthy.names["RESULTS_BUCKET"]
    for folder in ("automated", "by-hand"):
        healthy.drop(f"{folder}/recipe.yaml", RECIPE)
    ends = [healthy.answer(f"{folder}/a.csv", b"text\nfine\nbad\n") for folder in ("automated", "by-hand")]

    def received() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]

    got = wait_for(received, "the rule got no event")
    assert {(event["source"], event["detail-type"], event["detail"]["job_id"]) for event in got} == {
        (SOURCE, "Job ended", ends[0]["job_id"])
    }
    assert got[0]["detail"] == ends[0], "the event that programs get"

    def listed() -> set[str]:
        healthy.tick()
        found = s3.list_objects_v2(Bucket=results)["Contents"]
        keys = {found["Key"] for found in found}
        if not {"index.json", "index.html", "automated/index.json"} <= keys:
            return set()
        jobs = json.loads(s3.get_object(Bucket=results, Key="index.json")["Body"].read())["jobs"]
        return {job["job_id"] for job in jobs if job["state"] == "succeeded"}

    wait_for(lambda: {end["job_id"] for end in ends} <= listed(), "the jobs are not on the index page")
    tags = s3.get_object_tagging(Bucket=results, Key="index.json")["TagSet"]
    assert tags == [{"Key": "dropbatch", "Value": "progress"}], "the function may tag it"
