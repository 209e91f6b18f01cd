import gzip
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.domain.errors import Rejected
from dropbatch.formats.reading import gunzipped


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(st.lists(st.binary(max_size=200), max_size=4), st.integers(1, 50), st.integers(0, 20))
def test_members_follow_one_another(members: list[bytes], size: int, padding: int) -> None:
    packed = b"".join(map(gzip.compress, members)) + bytes(padding if members else 0)
    assert b"".join(gunzipped(blocks(packed, size))) == b"".join(members)


def test_what_expands_a_thousandfold_comes_in_small_blocks() -> None:
    packed = gzip.compress(bytes(20 << 20), mtime=0)
    sizes = [len(block) for block in gunzipped([packed, packed])]
    assert sum(sizes) == 40 << 20
    assert max(sizes) <= 1 << 20


def test_blocks_that_expand_by_whole_mebibytes_end_where_they_should() -> None:
    content = os.urandom(1 << 20) * 3
    assert b"".join(gunzipped([gzip.compress(content, mtime=0), gzip.compress(content, mtime=0)])) == content * 2


PACKED = gzip.compress(b"id,text\n1,a\n" * 100, mtime=0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PACKED[:-1], "ends too early"),
        (PACKED[:5], "ends too early"),
        (PACKED + PACKED[:20], "ends too early"),
        (PACKED + b"garbage", "after its end"),
        (b"id,text\n1,a\n", "no gzip at all"),
        (PACKED[:-6] + bytes([PACKED[-6] ^ 1]) + PACKED[-5:], "damaged"),
        (PACKED[:-2] + bytes([PACKED[-2] ^ 1]) + PACKED[-1:], "damaged"),
        (bytes(10), "no gzip at all"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_corrupt_file_is_refused_with_what_to_do(data: bytes, words: str, size: int) -> None:
    with pytest.raises(Rejected) as caught:
        list(gunzipped(blocks(data, size)))
    [problem] = caught.value.problems
    assert problem.code == "corrupt_gzip"
    assert words in problem.message
    assert "drop it again" in problem.message


def test_nothing_gives_nothing() -> None:
    assert list(gunzipped([])) == []
    assert list(gunzipped([b""])) == []
