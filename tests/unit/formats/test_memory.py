"""Memory stays bounded whatever a drop holds."""

import tracemalloc
from collections.abc import Iterator

import pytest

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats.file_types import file_type
from dropbatch.formats.reading import read_drop
from dropbatch.storage.unique_ids import UniqueIds
from tests.unit.formats.reading_drops import rejected

MEBIBYTE = 1 << 20
LIMITS = Limits(line_bytes=2 * MEBIBYTE)


def endless(start: bytes, block: bytes) -> Iterator[bytes]:
    yield start
    for _ in range(200 * MEBIBYTE // len(block)):
        yield b"".join([block, b"1"])  # its own bytes each time


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "start", "block"),
    [
        ("r.csv", b"a,b\n", b"x" * MEBIBYTE),
        ("r.csv", b'a,b\n1,"', b"1,2\n" * (MEBIBYTE // 4)),
        ("r.csv", b'a,"b', b"1,2\n" * (MEBIBYTE // 4)),
        ("r.jsonl", b'{"a": "', b"x" * MEBIBYTE),
        ("r.txt", b"", b"x" * MEBIBYTE),
    ],
)
def test_two_hundred_megabytes_without_a_record_s_end_are_refused_in_little_memory(
    name: str, start: bytes, block: bytes
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DropRejectedError) as caught:
            list(read_drop(endless(start, block), file_type(name), encoding=None, limits=LIMITS))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [problem.code for problem in caught.value.problems] == ["line_too_long"]
    assert peak < 40 * MEBIBYTE


@pytest.mark.slow
def test_megabytes_of_blank_lines_are_skipped_one_by_one() -> None:
    blanks = b"\n" * (MEBIBYTE)
    tracemalloc.start()
    try:
        assert rejected("r.csv", blanks).code == "empty_file"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * MEBIBYTE


@pytest.mark.slow
def test_an_id_takes_about_ten_bytes() -> None:
    tracemalloc.start()
    try:
        ids = UniqueIds()
        for number in range(50_000):
            ids.add(b"request-%d" % number)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size < 50_000 * 12 + 2 * MEBIBYTE


@pytest.mark.slow
@pytest.mark.parametrize("start", [b'[{"a": "', b'{"a":\n"', b'[\n{"a": [', b"["])
def test_json_without_an_object_s_end_is_refused_in_little_memory(start: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DropRejectedError) as caught:
            list(read_drop(endless(start, b" " * MEBIBYTE), file_type("r.json"), encoding=None, limits=LIMITS))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    [problem] = caught.value.problems
    assert problem.code in {"line_too_long", "not_an_object"}
    assert peak < 40 * MEBIBYTE
