"""Pieces become the parts of one object by S3's rules, and the function fetches as few bytes as possible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.adapters.clients import S3_CONFIG
from dropbatch.adapters.s3_multipart import COPY_BYTES, MAX_PARTS, MIN_PART_BYTES, Range, parts_of
from dropbatch.ports import Piece

MIB = 1_048_576
SIZES = st.one_of(
    st.integers(0, 9),
    st.integers(MIN_PART_BYTES - 2, MIN_PART_BYTES + 2),
    st.integers(0, 12 * MIB),
    st.integers(0, 3 * COPY_BYTES),
)
PIECES = st.lists(st.tuples(SIZES, st.integers(0, 30)), max_size=30).map(
    lambda found: [Piece("b", str(n), min(size, start), size) for n, (size, start) in enumerate(found)]
)


def fetched(part: list[Range]) -> int:
    """Return the number of a part's bytes that pass through the function."""
    return sum(map(len, part)) if len(part) > 1 or not part[0].can_be_copied else 0


@pytest.mark.slow
@given(PIECES)
def test_the_parts_are_the_pieces_in_order_and_s3_accepts_them(pieces: list[Piece]) -> None:
    parts = parts_of(pieces)
    expected = [(piece.key, piece.start, piece.size) for piece in pieces if piece.start < piece.size]
    found: list[tuple[str, int, int]] = []
    for each in (one for part in parts for one in part):
        assert each.start < each.end <= each.size
        if found and found[-1][0] == each.key and found[-1][2] == each.start:
            found[-1] = (each.key, found[-1][1], each.end)
        else:
            found.append((each.key, each.start, each.end))
    assert found == expected
    assert all(sum(map(len, part)) >= MIN_PART_BYTES for part in parts[:-1])
    for part in parts:
        if not fetched(part):
            assert len(part[0]) <= COPY_BYTES + MIN_PART_BYTES
            assert part[0].is_whole or part[0].size > MIN_PART_BYTES
        else:
            assert fetched(part) <= 2 * MIN_PART_BYTES, "little is held in memory"


@pytest.mark.slow
@given(st.lists(st.integers(MIN_PART_BYTES + 30, 90 * MIB), min_size=1, max_size=300), st.integers(0, 29))
def test_large_enough_pieces_are_copied_without_a_download(sizes: list[int], head: int) -> None:
    pieces = [Piece("b", str(n), head if n else 0, size) for n, size in enumerate(sizes)]
    assert sum(map(fetched, parts_of(pieces))) == 0


@pytest.mark.slow
def test_many_small_pieces_stay_within_the_maximum_number_of_parts() -> None:
    pieces = [Piece("b", str(n), 0, 2 * MIB) for n in range(40_000)]
    assert len(parts_of(pieces)) <= MAX_PARTS


def test_results_of_five_terabytes_stay_within_the_maximum_number_of_parts() -> None:
    size = 5_497_558_138_880
    parts = parts_of([Piece("b", "k", 3, size)])
    assert len(parts) <= MAX_PARTS
    assert sum(map(fetched, parts)) == 0


def test_one_copy_is_done_within_the_clients_read_timeout() -> None:
    """Assume a tenth of the speed at which S3 copies: 10 MB a second."""
    assert S3_CONFIG.read_timeout > COPY_BYTES / 10_000_000  # type: ignore[attr-defined]  # set when it is made
    parts = parts_of([Piece("b", "k", 0, 5_000_000_000)])
    assert max(sum(map(len, part)) for part in parts) <= COPY_BYTES + MIN_PART_BYTES
