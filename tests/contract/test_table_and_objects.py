"""The contract of the ports to the table and to S3, which the fakes and the real adapters keep."""

import json
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dropbatch.adapters.clients import S3_CALLS_AT_ONCE
from dropbatch.adapters.s3 import PROGRESS_TAG, S3Objects
from dropbatch.domain.errors import ObjectForbiddenError, ObjectNotFoundError, StaleItemError
from dropbatch.ports import Objects, Piece, Table
from tests.contract.conftest import REGION, real_table
from tests.fakes import INBOX, FakeClock, FakeObjects, FakeTable

MIB = 1_048_576


class BrokenOffError(Exception):
    """An error of a writer while it writes."""


@pytest.fixture(params=["fake", "real"])
def table(request: pytest.FixtureRequest, aws: None) -> Table:
    return FakeTable() if request.param == "fake" else real_table()


@pytest.fixture(params=["fake", "real"])
def objects(request: pytest.FixtureRequest, aws: None) -> Objects:
    if request.param == "fake":
        return FakeObjects(FakeClock())
    return S3Objects(client_of_s3())


def client_of_s3() -> Any:
    client = boto3.client("s3", region_name=REGION)
    for bucket in ("aaa", "bbb"):
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return client


def item(sk: str, rev: int = 1, **more: Any) -> dict[str, Any]:
    return {"pk": "p", "sk": sk, "rev": rev, **more}


def test_an_item_is_inserted_once(table: Table) -> None:
    nested = {"drop": {"key": "k", "size": 3}, "parts": [{"size": 1}, {"size": 2, "names": ["a"]}], "big": 2**53}
    table.insert(item("a", **nested))
    with pytest.raises(StaleItemError):
        table.insert(item("a"))
    found = table.get("p", "a")
    assert found == item("a", **nested)
    assert json.dumps(found, sort_keys=True) == json.dumps(item("a", **nested), sort_keys=True), "of the same types"


def test_an_item_is_replaced_only_over_the_revision_that_was_read(table: Table) -> None:
    table.insert(item("a"))
    table.replace(item("a", 2), 1)
    with pytest.raises(StaleItemError):
        table.replace(item("a", 2), 1)
    with pytest.raises(StaleItemError):
        table.replace(item("gone", 2), 1)


def test_several_items_are_written_all_or_none(table: Table) -> None:
    table.insert(item("a"))
    table.write_all([(item("a", 2), 1), (item("b"), 0)])
    assert table.get("p", "a") == item("a", 2)
    assert table.get("p", "b") == item("b")
    for stale in ((item("b", 2), 7), (item("b"), 0), (item("gone", 2), 1)):
        with pytest.raises(StaleItemError):
            table.write_all([(item("a", 3), 2), stale])
        assert table.get("p", "a") == item("a", 2)


def test_an_error_of_one_of_several_items_is_not_taken_for_a_stale_one(table: Table) -> None:
    too_large = item("b", text="x" * 500_000)
    with pytest.raises(ClientError):
        table.write_all([(item("a"), 0), (too_large, 0)])
    assert table.get("p", "a") is None


def test_an_item_is_deleted_only_at_the_revision_that_was_read(table: Table) -> None:
    table.insert(item("a"))
    with pytest.raises(StaleItemError):
        table.delete("p", "a", 7)
    table.delete("p", "a", 1)
    table.delete("p", "a", 1)
    assert table.get("p", "a") is None


def test_items_are_found_by_the_beginning_of_their_key_in_order(table: Table) -> None:
    for sk in ("s#2", "s#1", "t#1"):
        table.insert(item(sk))
    assert [found["sk"] for found in table.query("p", "s#")] == ["s#1", "s#2"]
    assert len(list(table.query("p"))) == 3


def test_the_newest_items_of_a_partition_come_first_and_no_more_than_are_wanted(table: Table) -> None:
    for sk in ("c", "a", "d", "b"):
        table.insert(item(sk))
    table.insert({"pk": "another", "sk": "e", "rev": 1})
    assert [found["sk"] for found in table.newest("p", 3)] == ["d", "c", "b"]
    assert [found["sk"] for found in table.newest("p", 9)] == ["d", "c", "b", "a"]
    assert list(table.newest("empty", 3)) == []


def test_newest_items_of_more_than_a_page_are_all_there(table: Table) -> None:
    """DynamoDB returns at most a megabyte at once."""
    for number in range(5):
        table.insert(item(f"{number}", text="x" * 300_000))
    assert [found["sk"] for found in table.newest("p", 5)] == ["4", "3", "2", "1", "0"]


def test_the_index_has_only_open_items_oldest_first(table: Table) -> None:
    table.insert(item("young", open="job", since="2"))
    table.insert(item("old", open="job", since="1"))
    table.insert(item("done"))
    assert [found["sk"] for found in table.open_items("job")] == ["old", "young"]
    table.replace(item("old", 2), 1)
    assert [found["sk"] for found in table.open_items("job")] == ["young"]


def test_a_lease_is_renewed_by_its_holder_alone_and_the_revision_stays(table: Table) -> None:
    table.insert(item("a", lease="mine", lease_until=100, other=7))
    table.renew("p", "a", "mine", 200)
    assert table.get("p", "a") == item("a", lease="mine", lease_until=200, other=7)
    table.insert(item("free"))
    for sk, lease in (("a", "another's"), ("free", "mine"), ("gone", "mine")):
        with pytest.raises(StaleItemError):
            table.renew("p", sk, lease, 300)
    assert table.get("p", "a") == item("a", lease="mine", lease_until=200, other=7)
    assert table.get("p", "gone") is None


REFUSED = {
    "an item over 400 KB": {"text": "x" * 409_700},
    "400 KB in another alphabet": {"text": "ü" * 204_850},
    "a partition key over 2,048 bytes": {"pk": "p" * 2_049},
    "a sort key over 1,024 bytes": {"sk": "s" * 1_025},
    "a sort key over 1,024 bytes in another alphabet": {"sk": "ü" * 513},
    "an empty partition key": {"pk": ""},
    "an empty sort key": {"sk": ""},
    "an empty key of the index": {"open": "", "since": "1"},
    "a number as a partition key": {"pk": 1},
    "a number as a sort key": {"sk": 1},
    "a key of the index over 1,024 bytes": {"open": "job", "since": "1" * 1_025},
}


@pytest.mark.parametrize("members", REFUSED.values(), ids=REFUSED)
def test_the_table_refuses_what_dynamodb_refuses(table: Table, members: dict[str, Any]) -> None:
    for write in (table.insert, lambda item: table.replace(item, 1)):
        with pytest.raises(ClientError, match="ValidationException"):
            write({**item("a"), **members})


@pytest.mark.parametrize("value", [1.5, float("nan"), {"a"}, b"bytes", ("a", "tuple")], ids=repr)
def test_the_table_holds_no_values_that_cannot_be_read_back_the_same(table: Table, value: Any) -> None:
    with pytest.raises(AssertionError, match="the table holds no"):
        table.insert(item("a", nested=[{"value": value}]))


def test_an_item_of_the_maximum_size_is_accepted(table: Table) -> None:
    table.insert(item("s" * 1_023, text="x" * 400_000))
    assert len(list(table.query("p", "s"))) == 1


@pytest.mark.parametrize("key", ["open", "since"])
def test_a_key_of_the_index_is_text(key: str) -> None:
    """DynamoDB checks this, with these words. moto does not."""
    wrong = {**item("a", open="sweep", since="1"), key: 1_750_000_000}
    with pytest.raises(ClientError, match=f"Type mismatch for Index Key {key} Expected: S Actual: N"):
        FakeTable().insert(wrong)


def test_a_number_has_at_most_38_digits() -> None:
    """DynamoDB documents this limit. moto does not check it."""
    FakeTable().insert(item("a", number=10**40 - 10**2))
    with pytest.raises(ClientError, match="38 significant digits"):
        FakeTable().insert(item("a", number=10**40 - 1))


@pytest.mark.parametrize("expires_at", ["1750000000", 1_750_000_000_000, None, True])
def test_a_time_to_live_is_in_seconds(expires_at: Any) -> None:
    """DynamoDB accepts other values, but keeps such an item for ever."""
    with pytest.raises(AssertionError, match="time to live"):
        FakeTable().insert(item("a", expires_at=expires_at))


def test_expired_items_are_deleted_some_time_later() -> None:
    clock = FakeClock()
    table = FakeTable(clock)
    table.insert(item("a", expires_at=int(clock()) + 10))
    table.insert(item("b"))
    table.expire()
    assert table.get("p", "a")
    clock.sleep(11)
    table.expire()
    assert [found["sk"] for found in table.query("p")] == ["b"]


def test_the_index_may_lag() -> None:
    clock = FakeClock()
    table = FakeTable(clock)
    table.index_lag = 30
    table.insert(item("a", open="job", since="1"))
    assert list(table.open_items("job")) == []
    clock.sleep(20)
    table.replace(item("a", 2), 1)
    clock.sleep(10)
    assert [found["rev"] for found in table.open_items("job")] == [1], "it is no longer open, except in the index"
    clock.sleep(20)
    assert list(table.open_items("job")) == []


def test_a_version_can_be_read_after_its_key_is_deleted(objects: Objects) -> None:
    objects.put("aaa", "k", b"first", "text/plain")
    version = objects.head("aaa", "k").version_id
    assert objects.delete_all("aaa", "k")
    with pytest.raises(ObjectNotFoundError):
        objects.head("aaa", "k")
    assert b"".join(objects.blocks("aaa", "k", version)) == b"first"
    with pytest.raises(ObjectNotFoundError):
        objects.head("aaa", "k", marker_of(objects))


def marker_of(objects: Objects) -> str:
    """Return the version id of the only delete marker."""
    if isinstance(objects, FakeObjects):
        return objects.remove("aaa", "k")
    listed = objects._client.list_object_versions(Bucket="aaa")  # type: ignore[attr-defined]  # the real one's
    return str(listed["DeleteMarkers"][0]["VersionId"])


def test_objects_below_a_prefix_are_deleted_page_by_page_until_time_runs_out(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(objects, S3Objects):
        hooks = objects._client.meta.events
        hooks.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 10})
    monkeypatch.setattr("tests.fakes.objects.PAGE", 10)
    for number in range(11):
        objects.put("aaa", f"mine/{number:02d}", b"", "text/plain")
    objects.put("aaa", "mines", b"", "text/plain")
    assert not objects.delete_all("aaa", "mine/", lambda: False)
    assert [key for key, _ in objects.names("aaa", "")] == ["mine/10", "mines"]
    assert objects.delete_all("aaa", "mine/", lambda: False), "nothing was left to have time for"
    assert [key for key, _ in objects.names("aaa", "")] == ["mines"]
    assert objects.delete_all("aaa", "none/")


@pytest.mark.slow
def test_a_key_that_cannot_be_deleted_is_an_error(aws: None) -> None:
    """S3 answers 200 anyway. The exception names no key."""
    client = client_of_s3()
    S3Objects(client).put("aaa", "SECRET", b"", "text/plain")
    client.delete_objects = lambda **_: {"Errors": [{"Key": "SECRET", "Code": "AccessDenied", "Message": "SECRET"}]}
    with pytest.raises(ClientError, match="AccessDenied") as raised:
        S3Objects(client).delete_all("aaa", "SEC")
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("key", ["k" * 1_025, "ü" * 513, ""], ids=["ascii", "in another alphabet", "empty"])
def test_a_key_is_at_most_1024_bytes(key: str) -> None:
    """S3 documents this limit. moto accepts any key."""
    fake = FakeObjects(FakeClock())
    for call in (lambda: fake.drop(key, b""), lambda: fake.head(INBOX, key)):
        with pytest.raises(ClientError, match="KeyTooLong"):
            call()
    fake.drop("k" * 1_024, b"")


def test_metadata_of_an_object_is_at_most_two_kilobytes() -> None:
    """S3 documents this limit for names and values together. moto accepts any metadata."""
    fake = FakeObjects(FakeClock())
    fake.drop("k", b"", {"a-label": "x" * 2_041})
    with pytest.raises(ClientError, match="MetadataTooLarge"):
        fake.drop("k", b"", {"a-label": "x" * 2_042})


def test_a_multipart_upload_has_the_time_of_its_start_and_its_event_that_of_its_end() -> None:
    """S3 documents this. moto uses the end for both."""
    clock = FakeClock(1_750_000_000.7)
    fake = FakeObjects(clock)
    began = clock()
    clock.sleep(150)
    first = fake.drop("k", b"first")
    long = fake.drop("k", b"long", began=began)
    assert fake.head(INBOX, "k").version_id == long, "what was finished last is current"
    assert fake.head(INBOX, "k").modified == int(began) < fake.head(INBOX, "k", first).modified
    assert fake.event(INBOX, "k", long)["time"] == fake.event(INBOX, "k", first)["time"] == "2025-06-15T15:09:10Z"
    assert sequencer(fake.event(INBOX, "k", first)) < sequencer(fake.event(INBOX, "k", long))
    assert fake.event(INBOX, "k", long)["detail"]["reason"] == "CompleteMultipartUpload"


def sequencer(event: dict[str, Any]) -> str:
    """Return an event's sequencer, padded with zeros at its right: S3 documents this before a comparison as text."""
    found: str = event["detail"]["object"]["sequencer"]
    return found.ljust(32, "0")


def test_events_of_the_versions_of_a_key_come_in_order() -> None:
    fake = FakeObjects(FakeClock())
    versions = [fake.drop("k", b"") for _ in range(300)]
    events = [fake.event(INBOX, "k", version) for version in versions]
    assert sorted(events, key=sequencer) == events
    assert len({len(event["detail"]["object"]["sequencer"]) for event in events}) > 1, "of different lengths"


def test_the_fakes_events_have_the_shape_of_the_real_ones() -> None:
    fake = FakeObjects(FakeClock())
    fake.drop("reviews/reviews.csv", b"text")
    real = json.loads((Path(__file__).parents[2] / "events" / "s3_object_created.json").read_text())
    assert shape(fake.event(INBOX, "reviews/reviews.csv")) == shape(real)


def shape(value: Any) -> Any:
    return {name: shape(member) for name, member in value.items()} if isinstance(value, dict) else type(value)


def test_an_archived_object_is_listed_but_cannot_be_read() -> None:
    """moto restores archived objects, so the unit tests of reading cover the adapter."""
    fake = FakeObjects(FakeClock())
    fake.drop("k", b"data")
    fake.archived.add("k")
    assert fake.head(INBOX, "k").size == 4
    for read in (lambda: list(fake.blocks(INBOX, "k")), lambda: fake.read_range(INBOX, "k", 0, 1)):
        with pytest.raises(ObjectForbiddenError, match="InvalidObjectState"):
            read()


def test_a_missing_object_is_reported_as_missing(objects: Objects) -> None:
    with pytest.raises(ObjectNotFoundError):
        list(objects.blocks("aaa", "nothing"))


def test_any_range_of_a_version_can_be_read(objects: Objects) -> None:
    objects.put("aaa", "k", bytes(range(256)) * 9000, "text/plain")
    version = objects.head("aaa", "k").version_id
    objects.put("aaa", "k", b"another", "text/plain")
    whole = bytes(range(256)) * 9000
    for start, end in ((0, 1), (0, len(whole)), (5, 2_000_000), (len(whole) - 1, len(whole))):
        assert objects.read_range("aaa", "k", start, end, version) == whole[start:end]
    assert objects.read_range("aaa", "k", 2, 5) == b"oth"
    with pytest.raises(ObjectNotFoundError):
        objects.read_range("aaa", "nothing", 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 6 * MIB])
def test_a_version_is_joined_up_to_the_given_byte(objects: Objects, size: int) -> None:
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


def test_progress_has_a_tag_and_other_objects_have_none(aws: None) -> None:
    client = client_of_s3()
    objects = S3Objects(client)
    objects.put("aaa", "status.json", b"1", "text/plain", is_progress=True)
    objects.put("aaa", "summary.json", b"2", "text/plain")
    name, _, value = PROGRESS_TAG.partition("=")
    tags = [client.get_object_tagging(Bucket="aaa", Key=key)["TagSet"] for key in ("status.json", "summary.json")]
    assert tags == [[{"Key": name, "Value": value}], []]
    assert client.get_object(Bucket="aaa", Key="status.json")["ContentType"] == "text/plain"


def test_only_the_first_writer_creates_a_new_object(objects: Objects) -> None:
    assert objects.put_new("aaa", "k", b"first", "text/plain")
    assert not objects.put_new("aaa", "k", b"second", "text/plain")
    assert b"".join(objects.blocks("aaa", "k")) == b"first"


@pytest.mark.slow
def test_a_conditional_write_that_conflicts_is_retried(aws: None) -> None:
    """S3 requires this: the other write may still fail, and then nobody would have written. moto knows no conflicts."""
    client = client_of_s3()
    conflict = ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")
    answers: list[Exception | None] = [conflict, conflict, None]
    put = client.put_object

    def as_s3_does(**call: Any) -> Any:
        if (answer := answers.pop(0) if answers else None) is not None:
            raise answer
        return put(**call)

    client.put_object = as_s3_does
    assert S3Objects(client).put_new("aaa", "k", b"mine", "text/plain")
    assert not S3Objects(client).put_new("aaa", "k", b"another", "text/plain")
    answers[:] = [conflict] * 99
    with pytest.raises(ClientError, match="ConditionalRequestConflict"):
        S3Objects(client).put_new("aaa", "other", b"", "text/plain")
    assert len(answers) > 90, "not for ever"
    fake = FakeObjects(FakeClock())
    fake.conflicting.add("other")
    with pytest.raises(ClientError, match="ConditionalRequestConflict"):
        fake.put_new("aaa", "other", b"", "text/plain")


def test_a_write_that_breaks_off_leaves_no_object(objects: Objects) -> None:
    def break_off() -> None:
        with objects.writing("aaa", "k", "text/plain") as writer:
            writer.write(b"x" * 9 * MIB)
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        break_off()
    with pytest.raises(ObjectNotFoundError):
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
"""The sizes of objects, and the number of bytes that are left out at the beginning of each."""


def pieces_of(objects: Objects, sizes: list[tuple[int, int]]) -> tuple[list[Piece], bytes]:
    """Return pieces of these sizes, and the content of the object that they form."""
    pieces, whole = [], b""
    for number, (size, start) in enumerate(sizes):
        data = bytes([number + 65]) * start + bytes([number + 97]) * (size - start)
        objects.put("aaa", f"piece-{number}", data, "text/plain")
        pieces.append(Piece("aaa", f"piece-{number}", start, size))
        whole += data[start:]
    return pieces, whole


@pytest.mark.slow
@pytest.mark.parametrize("sizes", PIECES)
def test_pieces_of_any_size_are_joined_in_order(objects: Objects, sizes: list[tuple[int, int]]) -> None:
    pieces, whole = pieces_of(objects, sizes)
    assert objects.join(pieces, "bbb", "joined", "text/plain") is None
    assert b"".join(objects.blocks("bbb", "joined")) == whole


@pytest.mark.slow
@pytest.mark.parametrize("sizes", PIECES)
def test_a_join_that_runs_out_of_time_repeatedly_gives_the_same_object(
    objects: Objects, sizes: list[tuple[int, int]]
) -> None:
    pieces, whole = pieces_of(objects, sizes)
    begun, calls = None, 0
    while (begun := objects.join(pieces, "bbb", "joined", "text/plain", lambda: False, begun)) is not None:
        begun = json.loads(json.dumps(begun))
        calls += 1
        assert calls <= len(sizes), "each call comes further"
        with pytest.raises(ObjectNotFoundError):
            objects.head("bbb", "joined")
    assert b"".join(objects.blocks("bbb", "joined")) == whole


@pytest.mark.slow
def test_a_join_whose_upload_is_gone_starts_again(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, whole = pieces_of(objects, [(6 * MIB, 0), (6 * MIB, 0)])
    begun = objects.join(pieces, "bbb", "joined", "text/plain", lambda: False)
    assert begun is not None
    assert objects.join(pieces, "bbb", "joined", "text/plain", begun=begun) is None
    objects.put("bbb", "joined", b"", "text/plain")
    if isinstance(objects, S3Objects):
        copy = objects._client.upload_part_copy

        def as_s3_does(**call: Any) -> Any:
            if call["UploadId"] == begun["upload"]:  # moto does not answer about an upload that is gone
                raise ClientError({"Error": {"Code": "NoSuchUpload"}}, "UploadPartCopy")
            return copy(**call)

        monkeypatch.setattr(objects._client, "upload_part_copy", as_s3_does)
    assert objects.join(pieces, "bbb", "joined", "text/plain", begun=begun) is None
    assert b"".join(objects.blocks("bbb", "joined")) == whole


def uploads(objects: Objects) -> int:
    """Return the number of unfinished uploads."""
    if isinstance(objects, FakeObjects):
        return len(objects.uploads)
    assert isinstance(objects, S3Objects)
    return len(objects._client.list_multipart_uploads(Bucket="bbb").get("Uploads", []))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[(6 * MIB, 0), (6 * MIB, 9)], [(100, 0)]], ids=["large", "small"])
def test_a_join_of_other_pieces_discards_the_earlier_upload(objects: Objects, sizes: list[tuple[int, int]]) -> None:
    begun_with, _ = pieces_of(objects, [(7 * MIB, 0), (7 * MIB, 0)])
    begun = objects.join(begun_with, "bbb", "joined", "text/plain", lambda: False)
    assert uploads(objects) == 1
    pieces, whole = pieces_of(objects, sizes)
    assert objects.join(pieces, "bbb", "joined", "text/plain", begun=begun) is None
    assert b"".join(objects.blocks("bbb", "joined")) == whole
    assert uploads(objects) == 0


@pytest.mark.slow
def test_a_failed_join_leaves_no_unknown_upload(objects: Objects) -> None:
    pieces, _ = pieces_of(objects, [(6 * MIB, 0), (6 * MIB, 0)])
    gone = [pieces[0], replace(pieces[1], key="gone")]
    with pytest.raises((ClientError, ObjectNotFoundError)):
        objects.join(gone, "bbb", "joined", "text/plain")
    assert uploads(objects) == 0
    with pytest.raises(ObjectNotFoundError):
        objects.head("bbb", "joined")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "left"), [("NoSuchKey", 0), ("EntityTooSmall", 0), ("SlowDown", 1), ("AccessDenied", 1)]
)
def test_a_started_join_is_kept_unless_it_fails_permanently(aws: None, code: str, left: int) -> None:
    client = client_of_s3()
    objects = S3Objects(client)
    pieces, whole = pieces_of(objects, [(6 * MIB, 0), (6 * MIB, 0), (6 * MIB, 0)])
    begun = objects.join(pieces, "bbb", "joined", "text/plain", lambda: False)
    copy = client.upload_part_copy

    def fail(**_call: Any) -> Any:
        raise ClientError({"Error": {"Code": code}}, "UploadPartCopy")

    client.upload_part_copy = fail
    with pytest.raises(ClientError, match=code):
        objects.join(pieces, "bbb", "joined", "text/plain", begun=begun)
    assert uploads(objects) == left
    client.upload_part_copy = copy
    if left:
        assert objects.join(pieces, "bbb", "joined", "text/plain", begun=begun) is None
        assert b"".join(objects.blocks("bbb", "joined")) == whole


@pytest.mark.parametrize("status", [403, 404])
def test_a_forbidden_object_is_distinguished_from_a_missing_one(
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
    expected = ObjectForbiddenError if status == 403 else ObjectNotFoundError
    with pytest.raises(expected):
        objects.head("aaa", key)
    with pytest.raises(expected):
        list(objects.blocks("aaa", key))


SMALL, LARGE = [(9, 0)], [(6 * MIB, 0), (6 * MIB, 0)]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_a_join_over_an_existing_object_replaces_it(objects: Objects, sizes: list[tuple[int, int]]) -> None:
    pieces, whole = pieces_of(objects, sizes)
    assert objects.join(pieces, "bbb", "joined", "text/plain", instead_of="") is None
    etag = objects.head("bbb", "joined").etag
    assert etag
    objects.join([Piece("bbb", "joined", 0, len(whole))], "bbb", "joined", "text/plain", instead_of=etag)
    assert b"".join(objects.blocks("bbb", "joined")) == whole


def test_a_small_join_fails_if_the_object_it_replaces_is_gone(objects: Objects) -> None:
    pieces, _ = pieces_of(objects, SMALL)
    with pytest.raises(StaleItemError):
        objects.join(pieces, "bbb", "joined", "text/plain", instead_of='"0123456789abcdef0123456789abcdef"')
    objects.put("bbb", "joined", b"another", "text/plain")
    for instead_of in ("", '"0123456789abcdef0123456789abcdef"'):
        with pytest.raises(StaleItemError):
            objects.join(pieces, "bbb", "joined", "text/plain", instead_of=instead_of)
    assert b"".join(objects.blocks("bbb", "joined")) == b"another"


@pytest.mark.slow
@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"])
def test_a_large_join_that_conflicts_leaves_no_upload(
    objects: Objects, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces, _ = pieces_of(objects, LARGE)
    objects.put("bbb", "joined", b"another", "text/plain")
    if isinstance(objects, S3Objects):  # moto ignores conditions there, unlike S3

        def complete(**call: Any) -> Any:
            assert call["IfMatch"] == '"gone"'
            raise ClientError({"Error": {"Code": code}}, "CompleteMultipartUpload")

        monkeypatch.setattr(objects._client, "complete_multipart_upload", complete)
    with pytest.raises(StaleItemError):
        objects.join(pieces, "bbb", "joined", "text/plain", instead_of='"gone"')
    assert uploads(objects) == 0
    assert b"".join(objects.blocks("bbb", "joined")) == b"another"


def test_many_objects_are_read_in_the_order_of_their_keys(objects: Objects) -> None:
    keys = [f"object-{number}" for number in range(2 * S3_CALLS_AT_ONCE + 1)]
    for key in keys:
        objects.put("aaa", key, f"the text of {key}".encode(), "text/plain")
    backwards = keys[::-1]
    assert list(objects.read_many("aaa", backwards)) == [f"the text of {key}".encode() for key in backwards]
    assert list(objects.read_many("aaa", [])) == []
    with pytest.raises(ObjectNotFoundError):
        list(objects.read_many("aaa", [*keys, "nothing"]))


@pytest.mark.slow
def test_s3_copies_several_parts_at_once(aws: None) -> None:
    client = client_of_s3()
    objects = S3Objects(client)
    pieces, whole = pieces_of(objects, [(5 * MIB, 0)] * S3_CALLS_AT_ONCE)
    copy, all_at_work = client.upload_part_copy, Barrier(S3_CALLS_AT_ONCE, timeout=60)

    def copy_with_others(**place: Any) -> Any:
        all_at_work.wait()  # fails unless as many others are at work
        return copy(**place)

    client.upload_part_copy = copy_with_others
    assert objects.join(pieces, "bbb", "joined", "text/plain") is None
    assert b"".join(objects.blocks("bbb", "joined")) == whole
