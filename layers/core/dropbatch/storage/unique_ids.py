"""A check that ids are unique, over millions of rows and several processes, in bounded memory."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

_PRIME = 135_793_441_916_013_168_745_961
"""A random prime of 77 bits. No scheme of ids makes them differ by a multiple of it."""

_FOR_EACH_BYTE = 41_231_686_041_609_969_386_421
"""Another random number, for ids that differ only by zero bytes at their start."""

_BUCKETS = 1 << 13
_BUCKET_BITS = 13


def _new_bucket() -> "array[int]":
    return array("Q")


class UniqueIds:
    """A set of ids with about ten bytes for each: 10 million take 123 MB, and 0.7 µs each.

    An id is represented by its remainder on division by a prime of 77 bits. The chance that any two of 10 million ids
    share one is 3 in 10 billion. The remainders are in sorted arrays of 64 bits each, one array for each value of the
    other bits, so that an insertion moves few of them.
    """

    def __init__(self) -> None:
        self._buckets: defaultdict[int, array[int]] = defaultdict(_new_bucket)  # a small file fills few of them

    def add(self, identity: bytes) -> bool:
        """Add an id. Return whether it is new."""
        return self._insert((int.from_bytes(identity, "big") + len(identity) * _FOR_EACH_BYTE) % _PRIME)

    def add_all(self, identities: Sequence[bytes]) -> bool:
        """Add ids if all of them are new and differ; else add none, and return False."""
        inserted: list[int] = []
        for identity in identities:
            remainder = (int.from_bytes(identity, "big") + len(identity) * _FOR_EACH_BYTE) % _PRIME
            if not self._insert(remainder):
                for other in inserted:
                    self._remove(other)
                return False
            inserted.append(remainder)
        return True

    def _insert(self, remainder: int) -> bool:
        bucket, number = self._buckets[remainder % _BUCKETS], remainder >> _BUCKET_BITS
        place = bisect_left(bucket, number)
        if place < len(bucket) and bucket[place] == number:
            return False
        bucket.insert(place, number)
        return True

    def _remove(self, remainder: int) -> None:
        bucket = self._buckets[remainder % _BUCKETS]
        del bucket[bisect_left(bucket, remainder >> _BUCKET_BITS)]

    def parts(self) -> Iterator[bytes]:
        """Yield the set as bytes that `read` takes."""
        buckets = [self._buckets[number] for number in range(_BUCKETS)]
        yield array("Q", map(len, buckets)).tobytes()
        for bucket in buckets:
            yield bucket.tobytes()

    @classmethod
    def read(cls, blocks: Iterable[bytes]) -> "UniqueIds":
        """Return the set of another process, from the bytes of its `parts`."""
        ids = cls()
        taken = TakenBytes(blocks)
        lengths = array("Q", taken.take(8 * _BUCKETS))
        for number, length in enumerate(lengths):
            if length:
                ids._buckets[number].frombytes(taken.take(8 * length))
        return ids


class TakenBytes:
    """A reader that takes a number of bytes off blocks."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._held = bytearray()

    def take(self, size: int) -> bytes:
        while len(self._held) < size:
            self._held += next(self._blocks)
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken
