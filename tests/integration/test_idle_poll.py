"""What a poll loads: the openai SDK costs half a second and 50 MB, and is left out while nothing is due."""

import os
import subprocess
import sys

POLL = """
import os, sys, types
import boto3, moto
with moto.mock_aws():
    boto3.client("dynamodb").create_table(
        TableName="the-table", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk", "open", "since")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[{
            "IndexName": "open", "Projection": {"ProjectionType": "ALL"},
            "KeySchema": [{"AttributeName": "open", "KeyType": "HASH"}, {"AttributeName": "since", "KeyType": "RANGE"}],
        }],
    )
    os.environ["INTAKE_DEAD_LETTERS_URL"] = boto3.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
    import poll_handler
    context = types.SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 300_000)
    poll_handler.handler({}, context)
print("openai" in sys.modules)
"""

NAMES = (
    *("INBOX_BUCKET", "RESULTS_BUCKET", "WORK_BUCKET", "INTAKE_QUEUE_URL", "DISPATCH_QUEUE_URL", "COLLECT_QUEUE_URL"),
    *("NOTIFICATIONS_TOPIC_ARN", "EVENTS_TOPIC_ARN", "OPENAI_SECRET_ARN", "OPENAI_BASE_URL"),
)


def test_an_idle_poll_does_not_import_openai() -> None:
    environment = {
        **os.environ,
        **dict.fromkeys(NAMES, "x"),
        "TABLE": "the-table",
        "SETTLE_SECONDS": "600",
        "RECIPE_WAIT_SECONDS": "120",
        "MAX_DROP_GIGABYTES": "50",
        "MAX_LINE_MEGABYTES": "64",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "POWERTOOLS_SERVICE_NAME": "dropbatch",
        "POWERTOOLS_METRICS_NAMESPACE": "Dropbatch",
        "PYTHONPATH": os.pathsep.join(["layers/core", "functions/poll"]),
    }
    ran = subprocess.run([sys.executable, "-c", POLL], env=environment, capture_output=True, text=True, check=True)
    *logged, loaded = ran.stdout.splitlines()
    assert any('"polled"' in line for line in logged)
    assert not any("could not" in line for line in logged), logged
    assert loaded == "False"
