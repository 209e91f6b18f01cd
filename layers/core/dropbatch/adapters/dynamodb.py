"""The table, in DynamoDB.

A poll reads thousands of items. boto3's resource takes 130 µs for one, as botocore walks it by the service's model and
numbers become Decimals; read as the JSON that it is, and made plain right here, it takes 10.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from dropbatch.domain.errors import ConditionFailed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_READS = ("GetItem", "Query")


class DynamoTable:
    """`ports.Table` on DynamoDB. `index` is the sparse index of what is not finished."""

    def __init__(self, client: "DynamoDBClient", name: str, index: str = "open") -> None:
        self._client = client
        self._name = name
        self._index = index
        for operation in _READS:
            client.meta.events.register(f"before-parse.dynamodb.{operation}", _take_as_it_is, unique_id=operation)

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        item = self._client.get_item(TableName=self._name, Key=key, ConsistentRead=True).get("Item")
        return _plain(item) if item is not None else None

    def insert(self, item: Mapping[str, Any]) -> None:
        with _condition():
            self._client.put_item(
                TableName=self._name, Item=_typed(item), ConditionExpression="attribute_not_exists(pk)"
            )

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        with _condition():
            self._client.put_item(
                TableName=self._name,
                Item=_typed(item),
                ConditionExpression="rev = :rev",
                ExpressionAttributeValues={":rev": {"N": str(rev)}},
            )

    def delete(self, pk: str, sk: str, rev: int) -> None:
        with _condition():
            self._client.delete_item(
                TableName=self._name,
                Key={"pk": {"S": pk}, "sk": {"S": sk}},
                ConditionExpression="attribute_not_exists(pk) OR rev = :rev",
                ExpressionAttributeValues={":rev": {"N": str(rev)}},
            )

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if sk_prefix:
            condition, values[":sk"] = f"{condition} AND begins_with(sk, :sk)", {"S": sk_prefix}
        return self._pages(KeyConditionExpression=condition, ExpressionAttributeValues=values, ConsistentRead=True)

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        return self._pages(
            IndexName=self._index,
            KeyConditionExpression="#open = :kind",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues={":kind": {"S": kind}},
        )

    def _pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._client.query(TableName=self._name, **query)
            yield from map(_plain, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


@contextmanager
def _condition() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise ConditionFailed from error
        raise


def _take_as_it_is(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Reads a good answer in botocore's place: its members are the same, whoever reads them."""
    if response_dict["status_code"] == 200:
        customized_response_dict.update(msgspec.json.decode(response_dict["body"]))
        response_dict["body"] = b"{}"


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item without DynamoDB's types. Our numbers are whole."""
    return {name: _plain_value(typed) for name, typed in item.items()}


def _plain_value(typed: Mapping[str, Any]) -> Any:
    [(kind, value)] = typed.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return int(value)
        case "L":
            return [_plain_value(member) for member in value]
        case "M":
            return _plain(value)
        case "NULL":
            return None
    raise AssertionError(f"the table holds no {kind}")


def _typed(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _typed_value(value) for name, value in item.items()}


def _typed_value(value: Any) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case Mapping():
            return {"M": _typed(value)}
        case list():
            return {"L": [_typed_value(member) for member in value]}
        case None:
            return {"NULL": True}
    raise AssertionError(f"the table holds no {type(value).__name__}")
