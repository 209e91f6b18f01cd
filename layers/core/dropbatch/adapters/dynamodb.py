"""The table, in DynamoDB."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from dropbatch.domain.errors import ConditionFailed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


class DynamoTable:
    """`ports.Table` on DynamoDB. `open` is the sparse index of what is not finished."""

    def __init__(self, table: "Table", index: str = "open") -> None:
        self._table = table
        self._index = index

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        item = self._table.get_item(Key={"pk": pk, "sk": sk}, ConsistentRead=True).get("Item")
        return _plain(item) if item is not None else None

    def insert(self, item: Mapping[str, Any]) -> None:
        with _condition():
            self._table.put_item(Item=dict(item), ConditionExpression=Attr("pk").not_exists())

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        with _condition():
            self._table.put_item(Item=dict(item), ConditionExpression=Attr("rev").eq(rev))

    def delete(self, pk: str, sk: str, rev: int) -> None:
        condition = Attr("pk").not_exists() | Attr("rev").eq(rev)
        with _condition():
            self._table.delete_item(Key={"pk": pk, "sk": sk}, ConditionExpression=condition)

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        condition = Key("pk").eq(pk)
        if sk_prefix:
            condition &= Key("sk").begins_with(sk_prefix)  # type: ignore[assignment]  # conditions combine to any other
        return self._pages(KeyConditionExpression=condition, ConsistentRead=True)

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        return self._pages(KeyConditionExpression=Key("open").eq(kind), IndexName=self._index)

    def _pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._table.query(**query)
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


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB's numbers are Decimals; ours are whole."""
    return {name: _plain_value(value) for name, value in item.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, Mapping):
        return _plain(value)
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    return value
