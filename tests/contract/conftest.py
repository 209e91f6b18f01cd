"""The table that the real adapter is tested with."""

import boto3

from dropbatch.adapters.dynamodb import DynamoTable

REGION = "us-east-1"


def real_table() -> DynamoTable:
    """Return a table as the template declares it."""
    client = boto3.client("dynamodb", region_name=REGION)
    client.create_table(
        TableName="t",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk", "open", "since")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "open",
                "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [
                    {"AttributeName": "open", "KeyType": "HASH"},
                    {"AttributeName": "since", "KeyType": "RANGE"},
                ],
            }
        ],
    )
    return DynamoTable(client, "t")
