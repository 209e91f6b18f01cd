"""The deployment: events as AWS sends them, permissions as AWS enforces them, and a stack that is restarted."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dropbatch.adapters.dynamodb import DynamoTable
from dropbatch.domain.items import Item
from dropbatch.storage.item_keys import key_of
from dropbatch.storage.repository import Repository, to_item
from local.deployed import new_client
from tests.e2e.conftest import Embedded
from tests.items import example, kinds

UGLY = "ordner mit leerzeichen/späte+Bücher 100%25 & 日本語 😀.csv"


def test_a_key_with_spaces_plus_percent_and_umlauts_arrives_as_it_is(embedded: Embedded) -> None:
    """EventBridge, unlike S3's own notifications, does not URL-encode keys."""
    events, sqs = embedded.client("events"), embedded.client("sqs")
    url = sqs.create_queue(QueueName="what-lands")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:*", "Resource": arn}
    sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allowed]})}
    )
    # Its own bucket: the stack must not answer this file.
    embedded.client("s3").create_bucket(
        Bucket="ugly-keys", CreateBucketConfiguration={"LocationConstraint": embedded.names["AWS_REGION"]}
    )
    embedded.client("s3").put_bucket_notification_configuration(
        Bucket="ugly-keys", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": ["ugly-keys"]}}}
    events.put_rule(Name="what-lands", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="what-lands", Targets=[{"Id": "queue", "Arn": arn}])

    embedded.client("s3").put_object(Bucket="ugly-keys", Key=UGLY, Body=b"text\nhello\n")

    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    detail = json.loads(message["Body"])["detail"]
    assert detail["object"]["key"] == UGLY


def test_a_function_may_do_no_more_than_its_role_says(embedded: Embedded) -> None:
    """Policies are enforced here: the role of the poll cannot read a drop, so its run proves something."""
    refused = _as_role(embedded, "PollRole", "s3").get_object
    with pytest.raises(ClientError, match="AccessDenied"):
        refused(Bucket=embedded.names["INBOX_BUCKET"], Key="any.csv")


def test_the_poll_may_look_through_the_inbox(embedded: Embedded) -> None:
    """Its sweep is due once a day, which no test waits for."""
    _as_role(embedded, "PollRole", "s3").list_objects_v2(Bucket=embedded.names["INBOX_BUCKET"], StartAfter="")


def test_an_idle_poll_succeeds(embedded: Embedded) -> None:
    embedded.tick()


def test_the_functions_run_on_what_was_built_for_them(embedded: Embedded) -> None:
    functions = embedded.client("lambda")
    for name in ("SUBMIT_FUNCTION", "POLL_FUNCTION", "COLLECT_FUNCTION"):
        found = functions.get_function_configuration(FunctionName=embedded.names[name])
        assert len(found["Layers"]) == (2 if name == "POLL_FUNCTION" else 3)  # Parquet's
        assert found["Environment"]["Variables"]["ABSENCE_CONFIRMATION_SECONDS"] == "2"


@pytest.mark.parametrize("kind", kinds(Item), ids=lambda kind: kind.__name__)
def test_the_table_takes_every_kind_of_item(kind: type[Item], table: DynamoTable) -> None:
    """Each item has all members, and is in the index if it ever is: the types of keys must be those of the template."""
    item, repository = example(kind), Repository(table)
    assert repository.add(item)
    assert table.get(*key_of(item)) == to_item(item)
    repository.save(item)
    repository.remove(item)


@pytest.fixture(scope="module")
def table(embedded: Embedded) -> DynamoTable:
    """Yield a table like that of the stack, which no poll reads."""
    dynamodb = new_client(embedded.names["AWS_ENDPOINT_URL"], "dynamodb")  # the adapter changes how its client reads
    described = dynamodb.describe_table(TableName=embedded.names["TABLE"])["Table"]
    indexes = [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in described["GlobalSecondaryIndexes"]
    ]
    dynamodb.create_table(
        TableName="kinds-of-items",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=described["AttributeDefinitions"],
        KeySchema=described["KeySchema"],
        GlobalSecondaryIndexes=indexes,
    )
    return DynamoTable(dynamodb, "kinds-of-items")


def _as_role(embedded: Embedded, logical_id: str, service: str) -> Any:
    """Return a client with the credentials of a function of the stack."""
    arn = embedded.client("iam").get_role(RoleName=embedded.resource(logical_id))["Role"]["Arn"]
    credentials = embedded.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return boto3.client(
        service,  # type: ignore[call-overload]  # one method for every service
        endpoint_url=embedded.names["AWS_ENDPOINT_URL"],
        region_name=embedded.names["AWS_REGION"],
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
