import gzip
import os
import struct
import sys
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.domain.errors import DropRejectedError
from dropbatch.formats.compression import Compression, compress, compressing, decompress, limit_size

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP, ZSTD = Compression.GZIP, Compression.ZSTD
PACKED = [GZIP, ZSTD]
MEBIBYTE = 1 << 20


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def packed(data: bytes, compression: Compression) -> bytes:
    """Return the data as the usual tools compress it."""
    return gzip.compress(data, mtime=0) if compression is GZIP else zstd.compress(data, 19)


def skippable(data: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A50, len(data)) + data


def problem_of(data: bytes, compression: Compression, size: int = MEBIBYTE) -> tuple[str, str]:
    with pytest.raises(DropRejectedError) as caught:
        list(decompress(blocks(data, size), compression))
    [problem] = caught.value.problems
    return problem.code, problem.message


@pytest.mark.slow
@given(st.sampled_from(PACKED), st.lists(st.binary(max_size=200), max_size=4), st.integers(1, 50), st.integers(0, 20))
def test_members_follow_one_another(compression: Compression, members: list[bytes], size: int, padding: int) -> None:
    data = b"".join(packed(member, compression) for member in members)
    if members and compression is GZIP:
        data += bytes(padding)
    assert b"".join(decompress(blocks(data, size), compression)) == b"".join(members)


@pytest.mark.slow
@pytest.mark.parametrize("compression", Compression)
def test_reading_resumes_at_the_start_of_any_member(compression: Compression) -> None:
    members = [b"a" * 3_000_000, b"", os.urandom(1_500_000), b"the last"]
    data = b"".join(packed(member, compression) if compression else member for member in members)
    reader = decompress(blocks(data, 77_777), compression)
    before, seen = 0, set()
    for block in reader:
        at, content_at = reader.member_at
        assert content_at <= before
        before += len(block)
        if reader.member_at not in seen:
            seen.add(reader.member_at)
            rest = b"".join(decompress(blocks(data[at:], 99_999), compression, reader.member_at))
            assert rest == b"".join(members)[content_at:]
    if compression:
        assert [content_at for _, content_at in sorted(seen)] == [0, 3_000_000, 4_500_000]


def test_trailing_bytes_after_a_resumed_member_are_distinguished_from_damage() -> None:
    data = packed(b"x", GZIP)
    assert b"".join(decompress([bytes(9)], GZIP, (len(data), 1))) == b""
    with pytest.raises(DropRejectedError, match="corrupt_gzip"):
        list(decompress([b"garbage"], GZIP, (len(data), 1)))


@pytest.mark.slow
@pytest.mark.parametrize("compression", PACKED)
def test_data_that_expands_a_thousandfold_comes_in_small_blocks(compression: Compression) -> None:
    data = packed(bytes(20 * MEBIBYTE), compression)
    sizes = [len(block) for block in decompress([data, data], compression)]
    assert sum(sizes) == 40 * MEBIBYTE
    assert max(sizes) <= MEBIBYTE


@pytest.mark.slow
@pytest.mark.parametrize("compression", PACKED)
def test_blocks_that_expand_by_whole_mebibytes_end_at_the_right_byte(compression: Compression) -> None:
    content = os.urandom(MEBIBYTE) * 3
    data = packed(content, compression)
    assert b"".join(decompress([data, data], compression)) == content * 2


def test_skippable_frames_are_skipped() -> None:
    data = skippable(b"note") + packed(b"one", ZSTD) + skippable(b"") + packed(b"two", ZSTD) + skippable(b"end")
    for size in (1, 5, 1000):
        assert b"".join(decompress(blocks(data, size), ZSTD)) == b"onetwo"


GZIPPED = packed(b"id,text\n1,a\n" * 100, GZIP)
ZSTANDARD = compress(b"id,text\n1,a\n" * 100, ZSTD)  # with a checksum


@pytest.mark.parametrize(
    ("compression", "data", "words"),
    [
        (GZIP, GZIPPED[:-1], "ends too early"),
        (GZIP, GZIPPED[:5], "ends too early"),
        (GZIP, GZIPPED + GZIPPED[:20], "ends too early"),
        (GZIP, GZIPPED + b"garbage", "after its end"),
        (GZIP, b"id,text\n1,a\n", "not gzip at all"),
        (GZIP, GZIPPED[:-6] + bytes([GZIPPED[-6] ^ 1]) + GZIPPED[-5:], "damaged"),
        (GZIP, GZIPPED[:-2] + bytes([GZIPPED[-2] ^ 1]) + GZIPPED[-1:], "damaged"),
        (GZIP, bytes(10), "not gzip at all"),
        (ZSTD, ZSTANDARD[:-1], "ends too early"),
        (ZSTD, ZSTANDARD[:3], "ends too early"),
        (ZSTD, ZSTANDARD + ZSTANDARD[:9], "ends too early"),
        (ZSTD, skippable(b"note")[:-1], "ends too early"),
        (ZSTD, ZSTANDARD + b"garbage", "after its end"),
        (ZSTD, ZSTANDARD + bytes(10), "after its end"),
        (ZSTD, b"id,text\n1,a\n", "not zstd at all"),
        (ZSTD, GZIPPED, "not zstd at all"),
        (ZSTD, ZSTANDARD[:-1] + bytes([ZSTANDARD[-1] ^ 1]), "damaged"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_corrupt_file_is_refused_with_what_to_do(
    compression: Compression, data: bytes, words: str, size: int
) -> None:
    code, message = problem_of(data, compression, size)
    assert code == f"corrupt_{compression.name.lower()}"
    assert words in message
    assert "drop it again" in message


@pytest.mark.parametrize(("window", "taken"), [(27, True), (28, False), (31, False)])
def test_a_zstd_file_may_not_ask_for_any_amount_of_memory(window: int, taken: bool) -> None:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
    data = packer.compress(b"text\nrow\n") + packer.flush()
    if taken:
        assert b"".join(decompress(blocks(data, 1), ZSTD)) == b"text\nrow\n"
        return
    for size in (1, 1000):
        code, message = problem_of(data, ZSTD, size)
        assert code == "zstd_window"
        assert "--long=27" in message


def test_a_zstd_file_that_needs_a_dictionary_is_refused() -> None:
    samples = [b"id,text,label\n%d,some review,good\n" % number for number in range(500)]
    dictionary = zstd.train_dict(samples, 500)
    code, message = problem_of(zstd.compress(samples[0], zstd_dict=dictionary), ZSTD)
    assert code == "zstd_dictionary"
    assert "without one" in message


@pytest.mark.parametrize("compression", Compression)
def test_an_empty_file_gives_no_bytes(compression: Compression) -> None:
    assert list(decompress([], compression)) == []
    assert b"".join(decompress([b""], compression)) == b""
    assert compress(b"", compression) == b""


class Sink:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


@pytest.mark.slow
@given(st.sampled_from(Compression), st.lists(st.lists(st.binary(max_size=50), max_size=5), max_size=4))
def test_data_that_is_compressed_piece_by_piece_is_a_file(compression: Compression, pieces: list[list[bytes]]) -> None:
    def written() -> bytes:
        sink = Sink()
        for piece in pieces:
            with compressing(sink, compression) as writer:
                for data in piece:
                    writer.write(data)
        return sink.data

    content = b"".join(b"".join(piece) for piece in pieces)
    whole = compress(b"head\n", compression) + written()
    assert written() == written()
    assert b"".join(decompress([whole], compression)) == b"head\n" + content
    theirs: dict[Compression, Callable[[bytes], bytes]] = {GZIP: gzip.decompress, ZSTD: zstd.decompress}
    assert theirs.get(compression, bytes)(whole) == b"head\n" + content


@pytest.mark.slow
@pytest.mark.parametrize("compression", PACKED)
def test_a_bomb_is_refused_as_soon_as_it_has_grown_too_large(compression: Compression) -> None:
    bomb = packed(packed(bytes(200 * MEBIBYTE), compression), compression)
    assert len(bomb) < MEBIBYTE
    member = b"".join(decompress([bomb], compression))
    tracemalloc.start()
    try:
        with pytest.raises(DropRejectedError) as caught:
            list(map(len, limit_size(decompress([member] * 50, compression), 100_000_000)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    [problem] = caught.value.problems
    assert problem.code == "drop_too_large"
    assert "100,000,000 bytes" in problem.message
    assert "MaxDropGigabytes" in problem.message
    assert peak < 10 * MEBIBYTE


def test_a_drop_of_exactly_the_maximum_size_is_accepted() -> None:
    assert b"".join(limit_size([b"abc", b"", b"de"], 5)) == b"abcde"
    with pytest.raises(DropRejectedError, match="drop_too_large"):
        list(limit_size([b"abc", b"", b"def"], 5))
