"""Reads from S3: broken connections, servers that send more than requested, and forbidden objects."""

import io
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, IncompleteReadError
from botocore.stub import Stubber

from dropbatch.adapters.s3 import MAX_READ_TRIES, S3Objects
from dropbatch.domain.errors import ObjectForbiddenError, ObjectNotFoundError

DATA = bytes(range(256)) * 40


class Body(io.BytesIO):
    """A body whose connection breaks after a number of bytes."""

    def __init__(self, data: bytes, breaks_after: int | None) -> None:
        super().__init__(data)
        self._breaks_after = breaks_after

    def iter_chunks(self, _size: int) -> Iterator[bytes]:
        while block := self.read(1000):
            if self._breaks_after is not None and self.tell() > self._breaks_after:
                raise IncompleteReadError(actual_bytes=0, expected_bytes=1)
            yield block


class Server:
    """A server of one object. `breaks_after` has the bytes that come before each of the first connections breaks."""

    def __init__(self, *, honours_ranges: bool, breaks_after: list[int]) -> None:
        self._honours_ranges = honours_ranges
        self._breaks_after = breaks_after

    def get_object(self, Range: str = "bytes=0-", **_more: Any) -> dict[str, Any]:  # noqa: N803  # boto3's own names
        breaks_after = self._breaks_after.pop(0) if self._breaks_after else None
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", Range)
        assert asked
        start, end = int(asked[1]), int(asked[2] or len(DATA) - 1) + 1
        if Range == "bytes=0-" or not self._honours_ranges:
            return {"ETag": "e", "ContentLength": len(DATA), "Body": Body(DATA, breaks_after)}
        part = DATA[start:end]
        where = f"bytes {start}-{end - 1}/{len(DATA)}"
        return {"ETag": "e", "ContentLength": len(part), "ContentRange": where, "Body": Body(part, breaks_after)}


@pytest.mark.parametrize("honours_ranges", [True, False])
@pytest.mark.parametrize("breaks_after", [[], [0], [4000, 0, 2000], [9000, 9000, 9000]])
@pytest.mark.parametrize(("start", "end"), [(0, len(DATA)), (0, 10), (4321, 8000), (10_230, len(DATA))])
def test_the_requested_bytes_come_whatever_breaks(
    honours_ranges: bool, breaks_after: list[int], start: int, end: int
) -> None:
    def objects() -> S3Objects:
        return S3Objects(Server(honours_ranges=honours_ranges, breaks_after=list(breaks_after)))  # type: ignore[arg-type]  # all that is called of a client

    assert objects().read_range("b", "k", start, end) == DATA[start:end]
    assert b"".join(objects().blocks("b", "k", start=start)) == DATA[start:]


def test_a_connection_that_never_delivers_a_byte_is_an_error() -> None:
    server = Server(honours_ranges=True, breaks_after=[0] * MAX_READ_TRIES)
    with pytest.raises(IncompleteReadError):
        S3Objects(server).read_range("b", "k", 3, 5)  # type: ignore[arg-type]  # as above


# Errors of botocore for objects that S3 does not return.


@pytest.fixture
def s3() -> Iterator[tuple[S3Objects, Stubber]]:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        yield S3Objects(client), stubber


FORBIDDEN = {
    "archived": ("InvalidObjectState", 403),
    "under a key of the customer's": ("InvalidRequest", 400),
    "not allowed": ("AccessDenied", 403),
    "its key is disabled": ("KMS.DisabledException", 400),
    "its key is to be deleted": ("KMS.KMSInvalidStateException", 400),
    "its key is deleted": ("KMS.NotFoundException", 400),
    "its key is not allowed": ("KMS.AccessDeniedException", 403),
    "its key is of another kind": ("KMS.InvalidKeyUsageException", 400),
}


@pytest.mark.parametrize(("code", "status"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_an_object_that_only_its_owner_can_make_readable_is_forbidden(
    s3: tuple[S3Objects, Stubber], code: str, status: int
) -> None:
    objects, stubber = s3
    for read in (lambda: list(objects.blocks("b", "k", "v")), lambda: objects.read_range("b", "k", 0, 5)):
        stubber.add_client_error("get_object", code, "SECRET", status)
        with pytest.raises(ObjectForbiddenError) as raised:
            read()
        assert str(raised.value) == code


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("KMS.ThrottlingException", 400),
        ("KMS.KMSInternalException", 500),
        ("KMS.DependencyTimeoutException", 503),
        ("KMS.LimitExceededException", 400),
        ("KMS.KeyUnavailableException", 500),
        ("SlowDown", 503),
        ("ExpiredToken", 400),
    ],
)
def test_a_temporary_error_is_not_forbidden(s3: tuple[S3Objects, Stubber], code: str, status: int) -> None:
    """A drop that may not be read is rejected permanently."""
    objects, stubber = s3
    stubber.add_client_error("get_object", code, http_status_code=status)
    with pytest.raises(ClientError, match=code):
        objects.read_range("b", "k", 0, 5)


@pytest.mark.parametrize("code", ["404", "405"])
def test_a_version_that_is_gone_or_was_never_an_object_is_missing(s3: tuple[S3Objects, Stubber], code: str) -> None:
    objects, stubber = s3
    stubber.add_client_error("head_object", code, http_status_code=int(code))
    with pytest.raises(ObjectNotFoundError):
        objects.head("b", "k", "v")


def test_a_head_without_a_reason_is_explained_by_a_get(s3: tuple[S3Objects, Stubber]) -> None:
    """S3 answers a bare 400 about an object under a customer's key, and to expired credentials."""
    objects, stubber = s3
    wanted = {"Bucket": "b", "Key": "k", "Range": "bytes=0-0", "VersionId": "v"}
    for code, expected in (("InvalidRequest", ObjectForbiddenError), ("ExpiredToken", ClientError)):
        stubber.add_client_error("head_object", "400", http_status_code=400)
        stubber.add_client_error("get_object", code, http_status_code=400, expected_params=wanted)
        with pytest.raises(expected, match=code):
            objects.head("b", "k", "v")
    stubber.assert_no_pending_responses()


def test_a_head_that_fails_where_a_get_does_not_fails(s3: tuple[S3Objects, Stubber]) -> None:
    objects, stubber = s3
    stubber.add_client_error("head_object", "400", http_status_code=400)
    stubber.add_response("get_object", {"ContentLength": 1})
    with pytest.raises(ClientError, match="400"):
        objects.head("b", "k")
