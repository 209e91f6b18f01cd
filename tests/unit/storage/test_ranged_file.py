"""A range read from an object has the same bytes as the same range of its content."""

import io
import random

from dropbatch.storage.ranged_file import READ_AHEAD, RangedFile
from tests.fakes import INBOX, FakeClock, FakeObjects

DATA = random.Random(1).randbytes(5 * READ_AHEAD + 123)


class Counting(FakeObjects):
    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.ranges: list[tuple[int, int]] = []

    def read_range(self, bucket: str, key: str, start: int, end: int, version_id: str | None = None) -> bytes:
        self.ranges.append((start, end))
        return super().read_range(bucket, key, start, end, version_id)


def ranged(data: bytes = DATA) -> tuple[RangedFile, Counting]:
    objects = Counting()
    version = objects.drop("k", data)
    objects.drop("k", b"another version")
    return RangedFile(objects, INBOX, "k", version, len(data)), objects


def test_a_ranged_file_reads_like_a_file_at_any_position() -> None:
    file, _ = ranged()
    other = io.BytesIO(DATA)
    chance = random.Random(2)
    for _ in range(300):
        match chance.randrange(5):
            case 0:
                place = chance.randrange(len(DATA) + 10)
                assert file.seek(place) == other.seek(place)
            case 1:
                place = -chance.randrange(len(DATA))
                assert file.seek(place, io.SEEK_END) == other.seek(place, io.SEEK_END)
            case 2:
                assert file.seek(3, io.SEEK_CUR) == other.seek(3, io.SEEK_CUR)
            case 3:
                buffers = bytearray(1000), bytearray(1000)
                assert file.readinto(buffers[0]) == other.readinto(buffers[1])
                assert buffers[0] == buffers[1]
            case _:
                size = chance.choice([-1, 0, 1, 8, 1000, READ_AHEAD, 3 * READ_AHEAD])
                assert file.read(size) == other.read(size)
        assert file.tell() == other.tell()


def test_a_footer_in_many_bits_is_one_request() -> None:
    file, objects = ranged()
    for place in range(20):
        file.seek(-8 * (place + 1), io.SEEK_END)
        file.read(8)
    assert objects.ranges == [(len(DATA) - READ_AHEAD, len(DATA))]


def test_large_ranges_are_read_on_request() -> None:
    file, objects = ranged()
    file.seek(7)
    file.read(2 * READ_AHEAD)
    assert objects.ranges == [(7, 7 + 2 * READ_AHEAD)]


def test_a_small_file_is_read_at_once() -> None:
    file, objects = ranged(b"abc")
    assert (file.read(1), file.read(), file.read()) == (b"a", b"bc", b"")
    assert objects.ranges == [(0, 3)]
