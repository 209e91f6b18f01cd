"""The deletion of a stack from an AWS account, `make undeploy STACK=dropbatch`. It refuses while jobs are open.

Batches of an open job would continue at OpenAI, and be billed, but nothing would collect their answers.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.programs import LocalError

OPEN = ("job", "batch")
"""The kinds of items in the table's index `open`: those that wait for something."""

QUEUES = ("IntakeQueue", "DispatchQueue", "CollectQueue")
COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")

REMOVALS = {
    "AWS::S3::Bucket": "aws s3api delete-bucket --bucket {id}    (once it is empty, all versions of its objects too)",
    "AWS::DynamoDB::Table": "aws dynamodb delete-table --table-name {id}",
    "AWS::SecretsManager::Secret": "aws secretsmanager delete-secret --secret-id {id}",
}
"""The resources that CloudFormation keeps when it deletes a stack, and the command that deletes each."""


class Clients(Protocol):
    def client(self, service: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Resource:
    name: str
    kind: str
    id: str


class Account:
    """boto3's clients, with the credentials and the region of the environment."""

    def client(self, service: str) -> Any:
        return boto3.client(service)  # type: ignore[call-overload]  # one method for every service


def undeploy(stack: str, clients: Clients) -> Iterator[str]:
    """Delete the stack, and yield lines that name the kept resources.

    Raise a LocalError, and delete nothing, if the stack has open work.
    """
    resources = _resources(stack, clients)
    if open_work := list(_open_work(resources, clients)):
        raise LocalError(
            f"Nothing was deleted, for {stack} still has work: {', '.join(open_work)}. Wait until its jobs have ended, "
            "or end them: make a folder `<file>.cancel` beside each file in the inbox."
        )
    cloudformation = clients.client("cloudformation")
    yield f"Deleting {stack} …"
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack)
    yield "It is deleted. Your data and the API key are kept, and cost what they take; a new stack does not use them."
    for resource in resources:
        if resource.kind in REMOVALS:
            yield f"  {resource.name}: {REMOVALS[resource.kind].format(id=resource.id)}"


def _resources(stack: str, clients: Clients) -> list[Resource]:
    pages = clients.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        Resource(found["LogicalResourceId"], found["ResourceType"], found.get("PhysicalResourceId", ""))
        for page in pages
        for found in page["StackResourceSummaries"]
    ]


def _open_work(resources: list[Resource], clients: Clients) -> Iterator[str]:
    ids = {resource.name: resource.id for resource in resources}
    if "Table" not in ids:
        raise LocalError("This is not a stack of Dropbatch: it has no table.")
    for kind in OPEN:
        counted = clients.client("dynamodb").query(
            TableName=ids["Table"],
            IndexName="open",
            Select="COUNT",
            KeyConditionExpression="#open = :kind",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues={":kind": {"S": kind}},
        )
        if count := counted["Count"]:
            more = "more than " if "LastEvaluatedKey" in counted else ""
            yield f"open {kind}: {more}{count}"
    sqs = clients.client("sqs")
    for queue in QUEUES:
        attributes = sqs.get_queue_attributes(QueueUrl=ids[queue], AttributeNames=COUNTS)["Attributes"]
        if count := sum(int(attributes[name]) for name in COUNTS):
            yield f"messages in {queue}: {count}"


def main(arguments: list[str]) -> int:
    stack = arguments[0] if len(arguments) == 1 else ""
    try:
        if not stack:
            raise LocalError("Name the stack to delete: `make undeploy STACK=dropbatch`.")
        if os.environ.get("AWS_ENDPOINT_URL"):
            raise LocalError("AWS_ENDPOINT_URL leads this shell to the embedded AWS: undeploy from another shell.")
        for line in undeploy(stack, Account()):
            print(line)
    except (LocalError, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
