"""Uploads into the inbox, each of which returns the version that S3 gave it."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from dropbatch.client.errors import WrongUseError

PART_BYTES = 8 << 20
MAX_PARTS = 10_000
"""S3's maximum number of parts: of a larger file, the parts are larger."""

THREADS = 4

Progress = Callable[[int, int], object]
"""A function that gets how many bytes are sent, and how many there are."""


class Uploads(Protocol):
    """Writes objects of the inbox. Each method returns the version of the new object."""

    def put(self, bucket: str, key: str, data: bytes) -> str: ...

    def put_file(
        self, bucket: str, key: str, path: Path, progress: Progress | None, labels: Mapping[str, str]
    ) -> str: ...


class S3Uploads:
    """`Uploads` to S3: a large file in parts, some of them at the same time."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, bucket: str, key: str, data: bytes) -> str:
        return _version(self._client.put_object(Bucket=bucket, Key=key, Body=data))

    def put_file(self, bucket: str, key: str, path: Path, progress: Progress | None, labels: Mapping[str, str]) -> str:
        size = path.stat().st_size
        report = progress or (lambda *_: None)
        report(0, size)
        if size <= PART_BYTES:
            with path.open("rb") as file:
                put = self._client.put_object(Bucket=bucket, Key=key, Body=file.read(), Metadata=dict(labels))
            report(size, size)
            return _version(put)
        place = {"Bucket": bucket, "Key": key}
        begun = self._client.create_multipart_upload(**place, Metadata=dict(labels))
        place["UploadId"] = begun["UploadId"]
        try:
            parts = self._send(place, path, size, report)
            return _version(self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}))
        except BaseException:
            with suppress(Exception):  # S3's rules delete the parts, and the first error matters more
                self._client.abort_multipart_upload(**place)
            raise

    def _send(
        self, place: Mapping[str, str], path: Path, size: int, report: Callable[[int, int], object]
    ) -> list[dict[str, Any]]:
        """Send all parts of a file. Only those that are being sent are in memory."""
        part_bytes = max(PART_BYTES, -(-size // MAX_PARTS))

        def send(number: int) -> dict[str, Any]:
            with path.open("rb") as file:
                file.seek((number - 1) * part_bytes)
                data = file.read(part_bytes)
            if len(data) < min(part_bytes, size - (number - 1) * part_bytes):
                raise WrongUseError(f"{path.name} has become shorter while it was uploaded: upload it again.")
            sent = self._client.upload_part(**place, PartNumber=number, Body=data)
            return {"PartNumber": number, "ETag": sent["ETag"]}

        parts: list[dict[str, Any]] = []
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for part in pool.map(send, range(1, -(-size // part_bytes) + 1)):
                    parts.append(part)
                    report(min(len(parts) * part_bytes, size), size)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return parts


def _version(answer: Mapping[str, Any]) -> str:
    return str(answer.get("VersionId", "null"))
