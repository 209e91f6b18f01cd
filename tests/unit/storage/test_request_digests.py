"""The requests of a job are found again by their digests."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbatch.storage import request_digests
from dropbatch.storage.request_digests import RequestDigests


def added(digests: RequestDigests, names: list[int], first_row: int, at_once: int) -> list[int]:
    """Add requests with these names, some at once, and return what was found for each."""
    found: list[int] = []
    for start in range(0, len(names), at_once):
        contents = [b"%d" % name for name in names[start : start + at_once]]
        found += digests.add_all(contents, first_row + start) or [0] * len(contents)
    return found


def expected(names: list[int]) -> list[int]:
    first: dict[int, int] = {}
    return [0 if first.setdefault(name, row) == row else first[name] for row, name in enumerate(names, 1)]


@pytest.mark.slow
@given(st.lists(st.integers(0, 40), max_size=120), st.integers(1, 50), st.integers(0, 120))
def test_each_row_finds_the_first_row_with_its_request(names: list[int], at_once: int, handed_over: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_digests, "_MIN_SLOTS", 8)  # so that there are several tables, and full ones
        digests = RequestDigests()
        found = added(digests, names[:handed_over], 1, at_once)
        again = RequestDigests.read(iter([b"".join(digests.parts())]))
        assert found + added(again, names[handed_over:], len(found) + 1, at_once) == expected(names)


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_rows_are_found_in_each_of_many_tables(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """The rows of one chunk find earlier ones in several full tables, and in the newest."""
    monkeypatch.setattr(request_digests, "_MIN_SLOTS", 8)
    digests = RequestDigests()
    names = [*range(200), *range(0, 200, 3), *range(150, 300), *range(299, -1, -1)]
    assert added(digests, names, 1, at_once) == expected(names)
    assert len(digests._tables) >= 4
    assert (
        added(digests, [0, 400, 250, 400, 20, 100], len(names) + 1, 6)
        == expected([*names, 0, 400, 250, 400, 20, 100])[-6:]
    )


def test_rows_without_a_request_leave_a_gap() -> None:
    digests = RequestDigests()
    assert digests.add(b"a", 3) == 0
    assert digests.add(b"b", 70_000) == 0
    assert digests.add(b"b", 70_001) == 70_000
    assert digests.add(b"a", 80_000) == 3


def test_rows_after_the_last_that_is_kept_find_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_digests, "MAX_ROWS", 3)
    digests = RequestDigests()
    assert added(digests, [1, 2, 3, 4, 4, 1, 3], 1, 3) == [0, 0, 0, 0, 0, 1, 3]


def test_a_digest_that_is_the_same_only_in_part_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests are different if the last of the stored bytes is, the tag, or the place where they are searched."""
    digests = RequestDigests()
    monkeypatch.setattr(digests, "_hashed", b"".join)
    tag, unused = request_digests._TAG_BYTE, 7
    one = bytes(16)

    def other_at(byte: int) -> bytes:
        return bytes(byte) + b"\1" + bytes(15 - byte)

    others = [other_at(byte) for byte in (tag, *range(4, 6), *range(8, 16))]
    assert digests.add_all([one, *others], 1) is None
    assert digests.add_all([*others, one], 13) == [*range(2, 13), 1]
    assert digests.add(other_at(unused), 30) == 1
    assert digests.add(b"\xff" + bytes(15), 31) == 0, "no row is where it looks"


def test_each_job_has_a_seed_of_its_own() -> None:
    one, other = RequestDigests(), RequestDigests()
    again = RequestDigests.read(one.parts())
    assert one._hashed([b"a"]) == again._hashed([b"a"]) != other._hashed([b"a"])


def test_at_least_96_bits_stand_for_a_request() -> None:
    digests = RequestDigests()
    near = 4  # two slots of this distance are in one search, as a rule
    assert 8 * (digests._starts.itemsize + digests._ends.itemsize) + math.log2(request_digests._MIN_SLOTS / near) >= 96
