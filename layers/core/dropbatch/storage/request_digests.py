"""The requests of a job by their digests, over millions of rows and several processes, in bounded memory."""

import secrets
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

from xxhash import xxh3_128_digest

from dropbatch.storage.unique_ids import TakenBytes

MAX_ROWS = 10_000_000
"""How many rows are kept: they take 157 MB. A request that first occurs in a later row is asked each time."""

_SEED_BYTES = 8
_HASH_BYTES = 4
_DIGEST_BYTES = 10
_TAG_BYTE = _HASH_BYTES + _DIGEST_BYTES
_WHOLE_BYTES = 16
_TAG_SHIFT = 24
_ROW_BITS = (1 << _TAG_SHIFT) - 1
_MAX_LOAD = 0.75
"""How full a table becomes. In a fuller one a row is farther from the slot where the search for it begins."""

_MIN_SLOTS = 1 << 18
"""A row is found near the slot where the search for it begins. In a table of this size that tells 16 bits of it."""

_GROWTH = 4
_BLOCK = 1 << 18


class _Table:
    """A hash table of rows. Each of `slots` has a row's number and, above it, its tag; zero if it is empty.

    The tag is eight more bits of the request's digest, which distinguish it from other requests within the table.
    """

    __slots__ = ("count", "slots")

    def __init__(self, slots: "array[int]", count: int = 0) -> None:
        self.slots = slots
        self.count = count

    def has_room(self, rows: int) -> bool:
        return self.count + rows <= len(self.slots) * _MAX_LOAD


class _Requests(NamedTuple):
    """A chunk of requests: where the search for each begins, its tag, and ten bytes of its digest."""

    hashes: Sequence[int]
    tags: bytes
    digests: bytearray


class RequestDigests:
    """The requests of a job, by which the first row with the same request is found, in 16 bytes for each row.

    A request is represented by its xxh3_128, with a seed that is drawn for each job: 80 bits are stored by row, and by
    the place of the row in a table they are 96 bits at least. Who writes a row does not know the seed, and so cannot
    search for a text that would get the answer of another one. The chance that any two of 10 million requests count as
    the same is less than 1 in 10^15.

    Most steps are done for a chunk of rows at once. `expected_rows` says how large the first table is; if it becomes
    full, the next one is larger.
    """

    def __init__(self, expected_rows: int = 0, seed: int | None = None) -> None:
        self._seed = int.from_bytes(secrets.token_bytes(_SEED_BYTES)) if seed is None else seed
        self._digests = bytearray()
        slots = max(_MIN_SLOTS, int(min(expected_rows, MAX_ROWS) / _MAX_LOAD) + 1)
        self._tables = [_Table(array("I", [0]) * slots)]

    def add(self, content: bytes, row: int) -> int:
        """Return the first row with a request of this content; 0 if it is this one. Rows come in order."""
        return (self.add_all([content], row) or (0,))[0]

    def add_all(self, contents: Sequence[bytes], first_row: int) -> Sequence[int] | None:
        """Do the same for rows that follow one another. Return None in place of nothing but zeros."""
        count = len(contents)
        whole = self._hashed(contents)
        hashes = memoryview(whole).cast("I")[:: _WHOLE_BYTES // _HASH_BYTES].tolist()
        digests = bytearray(_DIGEST_BYTES * count)
        for byte in range(_DIGEST_BYTES):
            digests[byte::_DIGEST_BYTES] = whole[_HASH_BYTES + byte :: _WHOLE_BYTES]
        requests = _Requests(hashes, whole[_TAG_BYTE::_WHOLE_BYTES], digests)
        found = [0] * count
        if first_row + count - 1 > MAX_ROWS:
            for table in self._tables:
                self._find_all(table, requests, found)
        else:
            self._keep(digests, first_row)
            if not self._tables[-1].has_room(count):
                self._tables.append(_Table(array("I", [0]) * (_GROWTH * len(self._tables[-1].slots))))
            *older, newest = self._tables
            for table in older:
                self._find_all(table, requests, found)
            self._insert_all(newest, requests, first_row, found)
        return found if any(found) else None

    def _hashed(self, contents: Sequence[bytes]) -> bytes:
        """Return the whole digests of contents, one after another."""
        return b"".join(map(xxh3_128_digest, contents, repeat(self._seed)))

    def _keep(self, digests: bytearray, first_row: int) -> None:
        """Append the digests of rows. Rows without a request have nulls."""
        self._digests += bytes(_DIGEST_BYTES * (first_row - 1) - len(self._digests))
        self._digests += digests

    def _find_all(self, table: _Table, requests: _Requests, found: list[int]) -> None:
        """Find the rows of a full table with the same requests, for rows that have found none so far."""
        slots, size, stored, digests = table.slots, len(table.slots), self._digests, requests.digests
        for place, (each, tag) in enumerate(zip(requests.hashes, requests.tags, strict=True)):
            slot = each % size
            taken = 0 if found[place] else slots[slot]
            while taken:
                if taken >> _TAG_SHIFT == tag:
                    row = taken & _ROW_BITS
                    digest = digests[_DIGEST_BYTES * place : _DIGEST_BYTES * (place + 1)]
                    if stored.startswith(digest, _DIGEST_BYTES * (row - 1)):
                        found[place] = row
                        break
                slot = slot + 1 if slot + 1 < size else 0
                taken = slots[slot]

    def _insert_all(self, table: _Table, requests: _Requests, first_row: int, found: list[int]) -> None:
        """Do the same, and insert the rows that find none. A common search would cost a call for each row."""
        slots, size, stored, digests = table.slots, len(table.slots), self._digests, requests.digests
        for place, (each, tag) in enumerate(zip(requests.hashes, requests.tags, strict=True)):
            if found[place]:
                continue
            slot = each % size
            taken = slots[slot]
            while taken:
                if taken >> _TAG_SHIFT == tag:
                    row = taken & _ROW_BITS
                    digest = digests[_DIGEST_BYTES * place : _DIGEST_BYTES * (place + 1)]
                    if stored.startswith(digest, _DIGEST_BYTES * (row - 1)):
                        found[place] = row
                        break
                slot = slot + 1 if slot + 1 < size else 0
                taken = slots[slot]
            else:
                slots[slot] = first_row + place | tag << _TAG_SHIFT
        table.count += found.count(0)

    def parts(self) -> Iterator[bytes]:
        """Yield the set as bytes that `read` takes."""
        yield self._seed.to_bytes(_SEED_BYTES)
        sizes = [len(self._digests), *(number for table in self._tables for number in (table.count, len(table.slots)))]
        yield array("Q", [len(self._tables), *sizes]).tobytes()
        for start in range(0, len(self._digests), _BLOCK):
            yield bytes(self._digests[start : start + _BLOCK])
        for table in self._tables:
            for start in range(0, len(table.slots), _BLOCK):
                yield table.slots[start : start + _BLOCK].tobytes()

    @classmethod
    def read(cls, blocks: Iterable[bytes]) -> "RequestDigests":
        """Return the set of another process, from the bytes of its `parts`."""
        taken = TakenBytes(blocks)
        digests = cls(seed=int.from_bytes(taken.take(_SEED_BYTES)))
        (tables, size) = array("Q", taken.take(16))
        counts = array("Q", taken.take(16 * tables))
        for start in range(0, size, _BLOCK):
            digests._digests += taken.take(min(_BLOCK, size - start))
        digests._tables = []
        for count, slots in zip(counts[::2], counts[1::2], strict=True):
            table = array("I")
            for start in range(0, slots, _BLOCK):
                table.frombytes(taken.take(_HASH_BYTES * min(_BLOCK, slots - start)))
            digests._tables.append(_Table(table, count))
        return digests
