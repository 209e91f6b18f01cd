"""What the ports promise of the table and of S3, kept by the fakes and by the real adapters alike."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dropbatch.adapters.dynamodb import DynamoTable
from dropbatch.adapters.s3 import S3Objects
from dropbatch.domain.errors import ConditionFailed, ObjectForbidden, ObjectMissing
from dropbatch.ports import Objects, Piece, Table
from tests.contract.conftest import REGION
from tests.fakes import FakeClock, FakeObjects, FakeTable

MIB = 1_048_576


class BrokenOffError(Exception):
    """What a writer ran into."""


@pytest.fixture(params=["fake", "real"])
def table(request: pytest.FixtureRequest, aws: None) -> Table:
    if request.param == "fake":
        return FakeTable()
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


@pytest.fixture(params=["fake", "real"])
def objects(request: pytest.FixtureRequest, aws: None) -> Objects:
    if request.param == "fake":
        return FakeObjects(FakeClock())
    client = boto3.client("s3", region_name=REGION)
    for bucket in ("aaa", "bbb"):
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return S3Objects(client)


def item(sk: str, rev: int = 1, **more: Any) -> dict[str, Any]:
    return {"pk": "p", "sk": sk, "rev": rev, **more}


def test_an_item_is_inserted_once(table: Table) -> None:
    nested = {"drop": {"key": "k", "size": 3}, "parts": [{"size": 1}, {"size": 2, "names": ["a"]}], "big": 2**53}
    table.insert(item("a", **nested))
    with pytest.raises(ConditionFailed):
        table.insert(item("a"))
    found = table.get("p", "a")
    assert found == item("a", **nested)
    assert json.dumps(found, sort_keys=True) == json.dumps(item("a", **nested), sort_keys=True), "of the same types"


def test_an_item_is_replaced_only_over_the_revision_that_was_read(table: Table) -> None:
    table.insert(item("a"))
    table.replace(item("a", 2), 1)
    with pytest.raises(ConditionFailed):
        table.replace(item("a", 2), 1)
    with pytest.raises(ConditionFailed):
        table.replace(item("gone", 2), 1)


def test_an_item_is_deleted_only_at_the_revision_that_was_read(table: Table) -> None:
    table.insert(item("a"))
    with pytest.raises(ConditionFailed):
        table.delete("p", "a", 7)
    table.delete("p", "a", 1)
    table.delete("p", "a", 1)
    assert table.get("p", "a") is None


def test_items_are_found_by_the_beginning_of_their_key_in_order(table: Table) -> None:
    for sk in ("s#2", "s#1", "t#1"):
        table.insert(item(sk))
    assert [found["sk"] for found in table.query("p", "s#")] == ["s#1", "s#2"]
    assert len(list(table.query("p"))) == 3


def test_only_what_is_open_stands_in_the_index_oldest_first(table: Table) -> None:
    table.insert(item("young", open="job", since="2"))
    table.insert(item("old", open="job", since="1"))
    table.insert(item("done"))
    assert [found["sk"] for found in table.open_items("job")] == ["old", "young"]
    table.replace(item("old", 2), 1)
    assert [found["sk"] for found in table.open_items("job")] == ["young"]


def test_a_version_can_be_read_after_its_key_is_deleted(objects: Objects) -> None:
    objects.put("aaa", "k", b"first", "text/plain")
    version = objects.head("aaa", "k").version_id
    objects.delete_all("aaa", "k")
    with pytest.raises(ObjectMissing):
        objects.head("aaa", "k")
    assert b"".join(objects.blocks("aaa", "k", version)) == b"first"


def test_what_is_not_there_is_missing(objects: Objects) -> None:
    with pytest.raises(ObjectMissing):
        list(objects.blocks("aaa", "nothing"))


def test_any_range_of_a_version_can_be_read(objects: Objects) -> None:
    objects.put("aaa", "k", bytes(range(256)) * 9000, "text/plain")
    version = objects.head("aaa", "k").version_id
    objects.put("aaa", "k", b"another", "text/plain")
    whole = bytes(range(256)) * 9000
    for start, end in ((0, 1), (0, len(whole)), (5, 2_000_000), (len(whole) - 1, len(whole))):
        assert objects.read_range("aaa", "k", start, end, version) == whole[start:end]
    assert objects.read_range("aaa", "k", 2, 5) == b"oth"
    with pytest.raises(ObjectMissing):
        objects.read_range("aaa", "nothing", 0, 1)


@pytest.mark.parametrize("size", [100, 6 * MIB])
def test_a_version_is_joined_up_to_where_it_is_wanted(objects: Objects, size: int) -> None:
    data = bytes(range(50)) * (size // 50)
    objects.put("aaa", "k", data, "text/plain")
    version = objects.head("aaa", "k").version_id
    objects.put("aaa", "k", b"another", "text/plain")
    objects.put("aaa", "rest", b"the rest", "text/plain")
    pieces = [Piece("aaa", "k", 3, len(data), len(data) - 20, version), Piece("aaa", "rest", 0, 8)]
    objects.join(pieces, "bbb", "joined", "text/plain")
    assert b"".join(objects.blocks("bbb", "joined")) == data[3:-20] + b"the rest"


def test_an_empty_object_has_no_bytes(objects: Objects) -> None:
    objects.put("aaa", "k", b"", "text/plain")
    assert b"".join(objects.blocks("aaa", "k")) == b""


def test_a_new_object_is_written_by_the_first_alone(objects: Objects) -> None:
    assert objects.put_new("aaa", "k", b"first", "text/plain")
    assert not objects.put_new("aaa", "k", b"second", "text/plain")
    assert b"".join(objects.blocks("aaa", "k")) == b"first"


def test_nothing_is_left_of_an_object_whose_writing_broke_off(objects: Objects) -> None:
    def break_off() -> None:
        with objects.writing("aaa", "k", "text/plain") as writer:
            writer.write(b"x" * 9 * MIB)
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        break_off()
    with pytest.raises(ObjectMissing):
        objects.head("aaa", "k")


PIECES = [
    [],
    [(0, 0)],
    [(3, 0)],
    [(9 * MIB, 0)],
    [(5 * MIB, 0), (1, 1), (2, 0), (3, 2)],
    [(6 * MIB, 0), (6 * MIB, 9), (6 * MIB, 9)],
    [(6 * MIB, 0), (1, 0), (6 * MIB, 9), (17, 9)],
    [(1, 0), (6 * MIB, 9)],
    [(5 * MIB, 0), (5 * MIB, 9), (5 * MIB, 0), (7, 6)],
]
"""The sizes of objects, and how many bytes of each are left out at its beginning."""


def pieces_of(objects: Objects, sizes: list[tuple[int, int]]) -> tuple[list[Piece], bytes]:
    """Such pieces, and what they come to."""
    pieces, whole = [], b""
    for number, (size, start) in enumerate(sizes):
        data = bytes([number + 65]) * start + bytes([number + 97]) * (size - start)
        objects.put("aaa", f"piece-{number}", data, "text/plain")
        pieces.append(Piece("aaa", f"piece-{number}", start, size))
        whole += data[start:]
    return pieces, whole


@pytest.mark.parametrize("sizes", PIECES)
def test_pieces_of_any_size_are_joined_in_order(objects: Objects, sizes: list[tuple[int, int]]) -> None:
    pieces, whole = pieces_of(objects, sizes)
    assert objects.join(pieces, "bbb", "joined", "text/plain") is None
    assert b"".join(objects.blocks("bbb", "joined")) == whole


@pytest.mark.parametrize("sizes", PIECES)
def test_a_joining_whose_time_runs_out_again_and_again_comes_to_the_same(
    objects: Objects, sizes: list[tuple[int, int]]
) -> None:
    pieces, whole = pieces_of(objects, sizes)
    begun, calls = None, 0
    while (begun := objects.join(pieces, "bbb", "joined", "text/plain", lambda: False, begun)) is not None:
        begun = json.loads(json.dumps(begun))
        calls += 1
        assert calls <= len(sizes), "each call comes further"
        with pytest.raises(ObjectMissing):
            objects.head("bbb", "joined")
    assert b"".join(objects.blocks("bbb", "joined")) == whole


def test_a_joining_that_was_begun_and_is_gone_is_begun_anew(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, whole = pieces_of(objects, [(6 * MIB, 0), (6 * MIB, 0)])
    begun = objects.join(pieces, "bbb", "joined", "text/plain", lambda: False)
    assert begun is not None
    assert objects.join(pieces, "bbb", "joined", "text/plain", begun=begun) is None
    objects.put("bbb", "joined", b"", "text/plain")
    if isinstance(objects, S3Objects):
        copy = objects._client.upload_part_copy

        def as_s3_does(**call: Any) -> Any:
            if call["UploadId"] == begun["upload"]:  # moto has no answer for an upload that is gone
                raise ClientError({"Error": {"Code": "NoSuchUpload"}}, "UploadPartCopy")
            return copy(**call)

        monkeypatch.setattr(objects._client, "upload_part_copy", as_s3_does)
    assert objects.join(pieces, "bbb", "joined", "text/plain", begun=begun) is None
    assert b"".join(objects.blocks("bbb", "joined")) == whole


@pytest.mark.parametrize("status", [403, 404])
def test_what_s3_forbids_is_told_from_what_is_missing(
    objects: Objects, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.put("aaa", "key", b"data", "text/plain")
    if isinstance(objects, FakeObjects):
        objects.forbidden = {"key"} if status == 403 else set()
        key = "key" if status == 403 else "other"
    else:
        key = "key"
        code = {403: "AccessDenied", 404: "NoSuchKey"}[status]

        def refuse(operation: str, _parameters: Any) -> Any:
            # A HEAD has no body, so that its code is the status.
            shown = str(status) if operation == "HeadObject" else code
            raise ClientError({"Error": {"Code": shown}}, operation)

        monkeypatch.setattr(objects._client, "_make_api_call", refuse)
    expected = ObjectForbidden if status == 403 else ObjectMissing
    with pytest.raises(expected):
        objects.head("aaa", key)
    with pytest.raises(expected):
        list(objects.blocks("aaa", key))
