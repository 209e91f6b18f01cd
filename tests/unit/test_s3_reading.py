"""Reading from S3 over connections that break, and from servers that send more than was asked for."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import IncompleteReadError

from dropbatch.adapters.s3 import READ_TRIES, S3Objects

DATA = bytes(range(256)) * 40


class Body(io.BytesIO):
    """Breaks after so many bytes."""

    def __init__(self, data: bytes, breaks_after: int | None) -> None:
        super().__init__(data)
        self._breaks_after = breaks_after

    def iter_chunks(self, _size: int) -> Iterator[bytes]:
        while block := self.read(1000):
            if self._breaks_after is not None and self.tell() > self._breaks_after:
                raise IncompleteReadError(actual_bytes=0, expected_bytes=1)
            yield block


class Server:
    """One object. `breaks_after` is how many bytes come before each of the first connections breaks."""

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
def test_what_was_asked_for_comes_whatever_breaks(
    honours_ranges: bool, breaks_after: list[int], start: int, end: int
) -> None:
    def objects() -> S3Objects:
        return S3Objects(Server(honours_ranges=honours_ranges, breaks_after=list(breaks_after)))  # type: ignore[arg-type]  # all that is called of a client

    assert objects().read_range("b", "k", start, end) == DATA[start:end]
    assert b"".join(objects().blocks("b", "k", start=start)) == DATA[start:]


def test_a_connection_that_never_brings_anything_is_given_up() -> None:
    server = Server(honours_ranges=True, breaks_after=[0] * READ_TRIES)
    with pytest.raises(IncompleteReadError):
        S3Objects(server).read_range("b", "k", 3, 5)  # type: ignore[arg-type]  # as above
