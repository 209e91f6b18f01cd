"""Objects in S3: streamed in both directions, joined without passing through this machine where S3 can copy."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from dropbatch.domain.errors import ObjectForbidden, ObjectMissing
from dropbatch.ports import ObjectInfo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

BLOCK_BYTES = 1_048_576
PART_BYTES = 8_388_608
"""The size of the parts that are uploaded; S3 takes 10,000 of at least 5 MiB, so 80 GB an object."""

LEAST_PART_BYTES = 5_242_880
"""S3's minimum for every part but the last."""

COPY_BYTES = 1_073_741_824
"""How much one UploadPartCopy is asked for; S3 takes 5 GiB."""

READ_TRIES = 5

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})
_FORBIDDEN = frozenset({"403", "AccessDenied", "Forbidden", "KMS.DisabledException"})
_BROKEN = (ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class S3Objects:
    """`ports.Objects` on S3."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo:
        with _readable():
            found = self._client.head_object(Bucket=bucket, Key=key, **_version(version_id))
        return ObjectInfo(
            version_id=found.get("VersionId", "null"),
            modified=int(found["LastModified"].timestamp()),
            size=found["ContentLength"],
            labels=found.get("Metadata", {}),
        )

    def blocks(self, bucket: str, key: str, version_id: str | None = None) -> Iterator[bytes]:
        offset, etag, broken = 0, None, 0
        while True:
            more: dict[str, Any] = {"Range": f"bytes={offset}-", "IfMatch": etag} if offset else {}
            with _readable():
                found = self._client.get_object(Bucket=bucket, Key=key, **_version(version_id), **more)
            etag = found["ETag"]
            # Only part of the object comes where its rest was asked for.
            end = offset + found["ContentLength"]
            try:
                for block in found["Body"].iter_chunks(BLOCK_BYTES):
                    offset += len(block)
                    broken = 0
                    yield block
                if offset >= end:
                    return
            except _BROKEN:
                broken += 1
                if broken >= READ_TRIES:
                    raise
            if offset >= end:
                return

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)

    def put_new(self, bucket: str, key: str, data: bytes, content_type: str) -> bool:
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type, IfNoneMatch="*")
        except ClientError as error:
            # 409: another conditional write is under way, which is to say that somebody else was quicker.
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True

    @contextmanager
    def writing(self, bucket: str, key: str, content_type: str) -> Iterator["_Upload"]:
        upload = _Upload(self._client, bucket, key, content_type)
        try:
            yield upload
        except BaseException:
            upload.abort()
            raise
        upload.finish()

    def join(self, pieces: Sequence[tuple[str, str] | bytes], bucket: str, key: str, content_type: str) -> None:
        with self.writing(bucket, key, content_type) as upload:
            for piece in pieces:
                if isinstance(piece, bytes):
                    upload.write(piece)
                    continue
                try:
                    size = self.head(*piece).size
                except ObjectMissing:
                    continue
                upload.copy(*piece, size)

    def delete_all(self, bucket: str, prefix: str) -> None:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", []):
                self._client.delete_object(Bucket=bucket, Key=found["Key"])

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        page = self._client.list_objects_v2(Bucket=bucket, StartAfter=after)
        return [(found["Key"], int(found["LastModified"].timestamp())) for found in page.get("Contents", [])]


class _Upload:
    """One object on its way: a single PUT while it is small, a multipart upload once it is not."""

    def __init__(self, client: "S3Client", bucket: str, key: str, content_type: str) -> None:
        self._client, self._bucket, self._key, self._type = client, bucket, key, content_type
        self._buffer = bytearray()
        self._id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def write(self, data: bytes) -> int:
        self._buffer += data
        if len(self._buffer) >= PART_BYTES:
            self._flush()
        return len(data)

    def copy(self, bucket: str, key: str, size: int) -> None:
        """Appends another object: by S3's own copy where that and what came before are large enough for parts."""
        start = 0
        if self._buffer and len(self._buffer) < LEAST_PART_BYTES:
            start = min(size, LEAST_PART_BYTES - len(self._buffer))
            self._fetch(bucket, key, 0, start)
        if size - start < LEAST_PART_BYTES:
            self._fetch(bucket, key, start, size)
            return
        if self._buffer:
            self._flush()
        while start < size:
            # The last range takes up a remainder that would be too small for a part of its own.
            end = size if size - start < COPY_BYTES + LEAST_PART_BYTES else start + COPY_BYTES
            number = len(self._parts) + 1
            copied = self._client.upload_part_copy(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._upload_id(),
                PartNumber=number,
                CopySource={"Bucket": bucket, "Key": key},
                CopySourceRange=f"bytes={start}-{end - 1}",
            )
            self._parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
            start = end

    def _fetch(self, bucket: str, key: str, start: int, end: int) -> None:
        if start < end:
            found = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}")
            self.write(found["Body"].read())

    def _upload_id(self) -> str:
        if self._id is None:
            begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key, ContentType=self._type)
            self._id = begun["UploadId"]
        return self._id

    def _flush(self) -> None:
        number = len(self._parts) + 1
        sent = self._client.upload_part(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._upload_id(),
            PartNumber=number,
            Body=bytes(self._buffer),
        )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self._buffer.clear()

    def finish(self) -> None:
        if self._id is None:
            self._client.put_object(
                Bucket=self._bucket, Key=self._key, Body=bytes(self._buffer), ContentType=self._type
            )
            return
        if self._buffer:
            self._flush()
        self._client.complete_multipart_upload(
            Bucket=self._bucket, Key=self._key, UploadId=self._id, MultipartUpload={"Parts": self._parts}
        )

    def abort(self) -> None:
        if self._id is not None:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            raise ObjectMissing(error.response["Error"]["Code"]) from error
        if error.response["Error"]["Code"] in _FORBIDDEN:
            raise ObjectForbidden(error.response["Error"]["Code"]) from error
        raise


def _version(version_id: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id and version_id != "null" else {}
