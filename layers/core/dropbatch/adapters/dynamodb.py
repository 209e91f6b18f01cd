"""The table, in DynamoDB.

A poll reads thousands of items. boto3's resource takes 100 µs for one item, because botocore walks it by the service's
model and makes Decimals of numbers. To decode the JSON itself, into values without garbage collection, takes 6 µs.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from dropbatch.domain.errors import StaleItemError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_READS = ("GetItem", "Query")


class DynamoTable:
    """`ports.Table` on DynamoDB. `index` is the sparse index of open items."""

    def __init__(self, client: "DynamoDBClient", name: str, index: str = "open") -> None:
        self._client = client
        self._name = name
        self._index = index
        for operation in _READS:
            client.meta.events.register(f"before-parse.dynamodb.{operation}", _read, unique_id=operation)

    def get(self, pk: str, sk: str) -> dict[str, Any] | None:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        item: Any = self._client.get_item(TableName=self._name, Key=key, ConsistentRead=True)["Item"]
        return _plain(item) if item is not None else None

    def insert(self, item: Mapping[str, Any]) -> None:
        with _condition():
            self._client.put_item(**self._put(item, None))

    def replace(self, item: Mapping[str, Any], rev: int) -> None:
        with _condition():
            self._client.put_item(**self._put(item, rev))

    def write_all(self, items: Sequence[tuple[Mapping[str, Any], int]]) -> None:
        with _condition():
            self._client.transact_write_items(
                TransactItems=[{"Put": self._put(item, rev or None)} for item, rev in items]
            )

    def _put(self, item: Mapping[str, Any], rev: int | None) -> Any:
        """Return the write of an item over the one with this `rev`; None if there must be none."""
        if rev is None:
            return {"TableName": self._name, "Item": typed(item), "ConditionExpression": "attribute_not_exists(pk)"}
        return {
            "TableName": self._name,
            "Item": typed(item),
            "ConditionExpression": "rev = :rev",
            "ExpressionAttributeValues": {":rev": {"N": str(rev)}},
        }

    def delete(self, pk: str, sk: str, rev: int) -> None:
        with _condition():
            self._client.delete_item(
                TableName=self._name,
                Key={"pk": {"S": pk}, "sk": {"S": sk}},
                ConditionExpression="attribute_not_exists(pk) OR rev = :rev",
                ExpressionAttributeValues={":rev": {"N": str(rev)}},
            )

    def renew(self, pk: str, sk: str, lease: str, until: int) -> None:
        with _condition():
            self._client.update_item(
                TableName=self._name,
                Key={"pk": {"S": pk}, "sk": {"S": sk}},
                UpdateExpression="SET lease_until = :until",
                ConditionExpression="lease = :lease",
                ExpressionAttributeValues={":lease": {"S": lease}, ":until": {"N": str(until)}},
            )

    def query(self, pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if sk_prefix:
            condition, values[":sk"] = f"{condition} AND begins_with(sk, :sk)", {"S": sk_prefix}
        return self._pages(KeyConditionExpression=condition, ExpressionAttributeValues=values, ConsistentRead=True)

    def newest(self, pk: str, maximum: int) -> Sequence[dict[str, Any]]:
        found = self._pages(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=maximum,
        )
        return list(islice(found, maximum))

    def open_items(self, kind: str) -> Iterator[dict[str, Any]]:
        return self._pages(
            IndexName=self._index,
            KeyConditionExpression="#open = :kind",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues={":kind": {"S": kind}},
        )

    def _pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        while True:
            page: Any = self._client.query(TableName=self._name, **query)
            yield from map(_plain, page["Items"] or ())
            if page["LastEvaluatedKey"] is None:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


@contextmanager
def _condition() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException" or _is_cancelled_as_stale(error):
            raise StaleItemError from error
        raise


def _is_cancelled_as_stale(error: ClientError) -> bool:
    """Return whether a transaction was cancelled because other processes had written its items, or were writing them.

    Any other reason, such as an item that is too large, is an error.
    """
    reasons: Any = error.response.get("CancellationReasons", ())
    codes = {reason.get("Code", "None") for reason in reasons}
    return bool(codes - {"None"}) and codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}


class _Value(msgspec.Struct, gc=False):
    """A value as DynamoDB writes it: the one member that is present names its type. Our numbers are integers."""

    S: str | None = None
    N: int | None = None
    BOOL: bool | None = None
    L: "list[_Value] | None" = None
    M: "dict[str, _Value] | None" = None

    def plain(self) -> Any:
        if self.S is not None:
            return self.S
        if self.N is not None:
            return self.N
        if self.M is not None:
            return _plain(self.M)
        if self.L is not None:
            return [value.plain() for value in self.L]
        return self.BOOL


class _Answer(msgspec.Struct):
    Item: dict[str, _Value] | None = None
    Items: list[dict[str, _Value]] | None = None
    LastEvaluatedKey: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Answer, strict=False)  # numbers come as text


def _read(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Decode a good answer in place of botocore, and leave botocore an empty one."""
    if response_dict["status_code"] == 200:
        answer = _DECODER.decode(response_dict["body"])
        customized_response_dict.update(msgspec.structs.asdict(answer))
        response_dict["body"] = b"{}"


def _plain(item: Mapping[str, _Value]) -> dict[str, Any]:
    return {name: value.plain() for name, value in item.items()}


def typed(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as DynamoDB takes it."""
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
            return {"M": typed(value)}
        case list():
            return {"L": [_typed_value(member) for member in value]}
        case None:
            return {"NULL": True}
    raise AssertionError(f"the table holds no {type(value).__name__}")
