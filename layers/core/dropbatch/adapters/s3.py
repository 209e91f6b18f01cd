"""Objects in S3: streamed in both directions, and joined by copying within S3 where S3 can."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, count, takewhile
from typing import TYPE_CHECKING, Any, TypedDict

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
)

from dropbatch.adapters.clients import S3_CALLS_AT_ONCE
from dropbatch.adapters.s3_errors import BROKEN, UNUSABLE, conditional_write, translate_read_errors
from dropbatch.adapters.s3_multipart import MIN_PART_BYTES, Part, is_copied, parts_of
from dropbatch.domain.errors import ObjectNotFoundError, StaleItemError
from dropbatch.ports import ObjectInfo, Piece
from dropbatch.storage.objects import read_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        CopySourceTypeDef,
        GetObjectOutputTypeDef,
        ObjectIdentifierTypeDef,
    )

BLOCK_BYTES = 1_048_576
PART_BYTES = 8_388_608
"""The size of uploaded parts. S3 takes 10,000 parts of at least 5 MiB: with this size, 80 GB an object."""

PROGRESS_TAG = "dropbatch=progress"
"""The tag of objects that are often replaced. A lifecycle rule of the results bucket selects them by it."""

MAX_READ_TRIES = 5

MAX_CONFLICT_TRIES = 5
"""How often a conditional write is tried that conflicts with another. S3 asks for a retry, and few write one key."""


class _Place(TypedDict):
    """The upload that a part belongs to."""

    Bucket: str
    Key: str
    UploadId: str


class S3Objects:
    """`ports.Objects` on S3."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def head(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo:
        try:
            with translate_read_errors():
                found = self._client.head_object(Bucket=bucket, Key=key, **_version(version_id))
        except ClientError as error:
            if error.response["Error"]["Code"] == "400":
                # A HEAD has no body to say why. The body of a GET does, for an object under a key of the customer.
                with translate_read_errors():
                    self._client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0", **_version(version_id))
            raise
        return ObjectInfo(
            version_id=found.get("VersionId", "null"),
            modified=int(found["LastModified"].timestamp()),
            size=found["ContentLength"],
            labels=found.get("Metadata", {}),
            etag=found["ETag"],
        )

    def blocks(self, bucket: str, key: str, version_id: str | None = None, start: int = 0) -> Iterator[bytes]:
        offset, etag, broken = start, None, 0
        while True:
            more: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
            if etag is not None:
                more["IfMatch"] = etag
            try:
                with translate_read_errors():
                    found = self._client.get_object(Bucket=bucket, Key=key, **_version(version_id), **more)
            except ClientError as error:
                if error.response["Error"]["Code"] == "InvalidRange":
                    return  # the object ends before `start`
                raise
            etag = found["ETag"]
            end = found["ContentLength"] + (offset if _is_part(found) else 0)
            try:
                for block in _from(found, offset):
                    offset += len(block)
                    broken = 0
                    yield block
                if offset >= end:
                    return
            except BROKEN:
                broken += 1
                if broken >= MAX_READ_TRIES:
                    raise
            if offset >= end:
                return

    def read_range(self, bucket: str, key: str, start: int, end: int, version_id: str | None = None) -> bytes:
        data = bytearray()
        broken = 0
        while len(data) < end - start:
            before = len(data)
            with translate_read_errors():
                wanted = f"bytes={start + before}-{end - 1}"
                found = self._client.get_object(Bucket=bucket, Key=key, Range=wanted, **_version(version_id))
            try:
                for block in _from(found, start + before):
                    data += block[: end - start - len(data)]
                    if len(data) == end - start:
                        break
            except BROKEN:
                broken = 0 if len(data) > before else broken + 1
                if broken >= MAX_READ_TRIES:
                    raise
        return bytes(data)

    def read_many(self, bucket: str, keys: Sequence[str]) -> Iterator[bytes]:
        with ThreadPoolExecutor(S3_CALLS_AT_ONCE) as pool:
            for start in range(0, len(keys), S3_CALLS_AT_ONCE):  # no more are held than are read at once
                yield from pool.map(partial(read_object, self, bucket), keys[start : start + S3_CALLS_AT_ONCE])

    def put(self, bucket: str, key: str, data: bytes, content_type: str, *, is_progress: bool = False) -> None:
        if is_progress:
            self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type, Tagging=PROGRESS_TAG)
        else:
            self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)

    def put_new(self, bucket: str, key: str, data: bytes, content_type: str) -> bool:
        conflicts = 0
        while True:
            try:
                self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type, IfNoneMatch="*")
                return True
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "PreconditionFailed":
                    return False
                # 409: another conditional write is in progress. It may still fail, so only another try can tell.
                conflicts += 1
                if code != "ConditionalRequestConflict" or conflicts == MAX_CONFLICT_TRIES:
                    raise

    @contextmanager
    def writing(self, bucket: str, key: str, content_type: str) -> Iterator["_Upload"]:
        upload = _Upload(self._client, bucket, key, content_type)
        try:
            yield upload
        except BaseException:
            upload.abort()
            raise
        upload.finish()

    def join(
        self,
        pieces: Sequence[Piece],
        bucket: str,
        key: str,
        content_type: str,
        in_time: Callable[[], bool] = lambda: True,
        begun: Mapping[str, Any] | None = None,
        instead_of: str | None = None,
    ) -> dict[str, Any] | None:
        parts = parts_of(pieces)
        plan = hashlib.sha256(repr(parts).encode()).hexdigest()
        if begun is not None and begun["plan"] != plan:
            self._abort({"Bucket": bucket, "Key": key, "UploadId": begun["upload"]})
            begun = None
        if sum(map(len, chain(*parts))) < MIN_PART_BYTES:
            data = b"".join(map(self._fetched, parts))
            with conditional_write(instead_of) as only:
                self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type, **only)
            return None
        if begun is None:
            made = self._client.create_multipart_upload(Bucket=bucket, Key=key, ContentType=content_type)
            upload, etags = made["UploadId"], []
        else:
            upload, etags = begun["upload"], list(begun["etags"])
        place: _Place = {"Bucket": bucket, "Key": key, "UploadId": upload}
        try:
            while len(etags) < len(parts):
                most = S3_CALLS_AT_ONCE if in_time() else 1
                etags += self._add_some(place, len(etags) + 1, parts[len(etags) :][:most])
                if len(etags) < len(parts) and not in_time():
                    return {"plan": plan, "upload": upload, "etags": etags}
            done: list[CompletedPartTypeDef] = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]
            with conditional_write(instead_of) as only:
                self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": done}, **only)
        except StaleItemError:
            self._abort(place)  # S3 asks for another upload, even if this one only conflicted with another write
            raise
        except Exception as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if begun is not None and code == "NoSuchUpload":
                return self.join(pieces, bucket, key, content_type, in_time, instead_of=instead_of)
            # Nobody else knows of an upload that began here, and nobody can finish one that S3 calls unusable.
            if begun is None or code in UNUSABLE or isinstance(error, ObjectNotFoundError):
                self._abort(place)
            raise
        return None

    def _abort(self, place: "_Place") -> None:
        """Abort an upload, so that its parts are deleted before the bucket's rules delete them."""
        with suppress(ClientError, BotoCoreError):  # the rules delete them, and the first error matters more
            self._client.abort_multipart_upload(**place)

    def _add_some(self, place: "_Place", number: int, parts: Sequence[Part]) -> list[str]:
        """Add parts to an upload, the first one as `number`, up to the next that must be fetched. Return their ETags.

        S3 copies several parts at once. One that must be fetched is added alone, because it is held in memory.
        """
        copied = list(takewhile(is_copied, parts))
        if len(copied) < 2:
            return [self._add(place, number, parts[0])]
        with ThreadPoolExecutor(len(copied)) as pool:
            return list(pool.map(partial(self._add, place), count(number), copied))

    def _add(self, place: "_Place", number: int, part: Part) -> str:
        """Add a part to an upload, and return its ETag."""
        only = part[0]
        if not is_copied(part):
            return self._client.upload_part(**place, PartNumber=number, Body=self._fetched(part))["ETag"]
        some = {} if only.is_whole else {"CopySourceRange": f"bytes={only.start}-{only.end - 1}"}
        source: CopySourceTypeDef = {"Bucket": only.bucket, "Key": only.key, **_version(only.version_id)}  # type: ignore[typeddict-item]  # a version or nothing
        copied = self._client.upload_part_copy(**place, PartNumber=number, CopySource=source, **some)  # type: ignore[arg-type]  # a range or nothing
        return copied["CopyPartResult"]["ETag"]

    def _fetched(self, part: Part) -> bytes:
        """Return the bytes of a part that S3 cannot copy. It has little more than S3's minimum."""
        return b"".join(self.read_range(each.bucket, each.key, each.start, each.end, each.version_id) for each in part)

    def delete_all(self, bucket: str, prefix: str, in_time: Callable[[], bool] = lambda: True) -> bool:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:  # of a thousand keys at most, as many as one call deletes
            found: list[ObjectIdentifierTypeDef] = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            if not found:
                continue
            answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
            if errors := answer.get("Errors"):
                # The call succeeds even if some keys fail. S3's own text would name the keys.
                raise ClientError({"Error": {"Code": errors[0].get("Code", ""), "Message": ""}}, "DeleteObjects")
            if page["IsTruncated"] and not in_time():
                return False
        return True

    def names(self, bucket: str, after: str) -> Sequence[tuple[str, int]]:
        page = self._client.list_objects_v2(Bucket=bucket, StartAfter=after)
        return [(found["Key"], int(found["LastModified"].timestamp())) for found in page.get("Contents", [])]


class _Upload:
    """The upload of one object: a single PUT if it is small, else a multipart upload."""

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
        if self._id is None:
            return
        with suppress(ClientError, BotoCoreError):  # as in S3Objects._abort
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)


def _is_part(found: "GetObjectOutputTypeDef") -> bool:
    """Return whether the requested range came. Servers may send the whole object instead (RFC 9110, 14.2)."""
    return "ContentRange" in found


def _from(found: "GetObjectOutputTypeDef", start: int) -> Iterator[bytes]:
    """Yield the object's bytes from `start` on in blocks, as far as they came."""
    before = 0 if _is_part(found) else start
    for block in found["Body"].iter_chunks(BLOCK_BYTES):
        if before < len(block):
            yield block[before:]
        before = max(0, before - len(block))


def _version(version_id: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id and version_id != "null" else {}
