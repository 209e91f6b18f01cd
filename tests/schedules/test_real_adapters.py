"""Kill points over the real adapters of S3 and DynamoDB, on moto: the invariants hold there too."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer
from moto import mock_aws

from dropbatch.adapters.dynamodb import DynamoTable
from dropbatch.adapters.s3 import S3Objects
from dropbatch.domain.states import JobState
from tests.driving import RECIPE, drop, only_job, run
from tests.fakes import INBOX, RESULTS, WORK, FakeClock, FakeContext, Killer, answer_ok, response_line
from tests.schedules.invariants import check

REGION, TABLE = "us-east-1", "the-table"
SHARE = 6
"""One of this number of points is tried here, because a run takes a second. Over fakes, all points are tried."""


class AwsObjects(S3Objects):
    """The adapter, with the methods that tests use to change buckets."""

    def drop(self, key: str, data: bytes, labels: Mapping[str, str] | None = None, bucket: str = INBOX) -> str:
        return str(self._client.put_object(Bucket=bucket, Key=key, Body=data)["VersionId"])

    def content(self, bucket: str, key: str) -> bytes:
        return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()


class AwsTable(DynamoTable):
    def texts(self) -> Iterator[str]:
        found = self._client.scan(TableName=self._name, ConsistentRead=True)["Items"]
        read = TypeDeserializer().deserialize
        return (json.dumps(read({"M": item}), default=int) for item in found)


def on_aws(folder: Path, points: frozenset[int] = frozenset()) -> FakeContext:
    """Return fakes with the real adapters, a new table, new buckets, and four rows, of which one fails once."""
    fake = FakeContext(folder, clock=FakeClock(time.time()), killer=Killer())
    assert fake.killer is not None
    fake.killer.points = set(points)
    client = boto3.client("s3", region_name=REGION)
    for bucket in (INBOX, RESULTS, WORK):
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    names = ("pk", "sk", "open", "since")
    index = [{"AttributeName": "open", "KeyType": "HASH"}, {"AttributeName": "since", "KeyType": "RANGE"}]
    dynamodb = boto3.client("dynamodb", region_name=REGION)
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[{"IndexName": "open", "Projection": {"ProjectionType": "ALL"}, "KeySchema": index}],  # type: ignore[list-item]
    )
    fake.objects = AwsObjects(client)  # type: ignore[assignment]  # with the methods of the fake that tests use
    fake.table = AwsTable(dynamodb, TABLE)  # type: ignore[assignment]  # as above
    tries: Counter[str] = Counter()

    def answer(request: dict[str, Any]) -> Any:
        row = request["custom_id"]
        tries[row] += 1
        if row == "2" and tries[row] == 1:
            return "error", response_line(request, 500, {})
        return answer_ok(request)

    fake.openai.answer = answer
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", b"text\na\nb\nc\nd\n")
    return fake


def test_a_kill_at_calls_of_real_adapters_does_not_change_the_results(tmp_path: Path, tally: Counter[str]) -> None:
    with mock_aws():
        whole = on_aws(tmp_path)
        run(whole, ticks=100)
        check(whole)
    assert whole.killer is not None
    calls = whole.killer.calls
    for point in whole.killer.all_points()[::SHARE]:
        with mock_aws():  # an AWS of its own: a sweep takes in older objects, those of a former run, too
            fake = on_aws(tmp_path, frozenset({point}))
            run(fake, ticks=100)
            try:
                check(fake)
                assert only_job(fake).state is JobState.SUCCEEDED
            except AssertionError as error:
                raise AssertionError(f"killed at {calls[point // 2]}, point {point}") from error
        tally["kill points on moto"] += 1
