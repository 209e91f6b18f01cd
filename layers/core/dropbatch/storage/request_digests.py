"""The requests of a job by their digests, over millions of rows and several processes, in bounded memory."""

import hashlib
import secrets
from array import array
from collections.abc import Iterable, Iterator, Sequence

from dropbatch.storage.unique_ids import TakenBytes

MAX_ROWS = 10_000_000
"""How many rows are kept: they take 157 MB. A request that first occurs in a later row is asked each time."""

_KEY_BYTES = 64
"""A block of SHA-256, which is hashed once for all requests."""

_SHA_BYTES = 32
_HASH_BYTES = 4
_DIGEST_BYTES = 10
_MAX_LOAD = 0.75
"""How full a table becomes. In a fuller one a row is farther from the slot where the search for it begins."""

_MIN_SLOTS = 1 << 18
"""A row is found near the slot where the search for it begins. In a table of this size that tells 16 bits of it."""

_GROWTH = 4
_BLOCK = 1 << 18


class _Table:
    """A hash table of rows. `slots` has their numbers, and zero where it is empty."""

    __slots__ = ("count", "slots")

    def __init__(self, slots: "array[int]", count: int = 0) -> None:
        self.slots = slots
        self.count = count

    def has_room(self, rows: int) -> bool:
        return self.count + rows <= len(self.slots) * _MAX_LOAD


class RequestDigests:
    """The requests of a job, by which the first row with the same request is found, in 16 bytes for each row.

    A request is represented by its SHA-256, under a key that is drawn for each job. 80 bits are stored by row, and with
    the place of the row in a table they are 96 bits at least. Who writes a row does not know the key, and so cannot
    search for a text that would get the answer of another one. The chance that any two of 10 million requests count as
    the same is less than 1 in 10^15.

    Most steps are done for a chunk of rows at once. `expected_rows` says how large the first table is; if it becomes
    full, the next one is larger.
    """

    def __init__(self, expected_rows: int = 0, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(_KEY_BYTES)
        self._keyed = hashlib.sha256(self._key)
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
        hashes = memoryview(whole).cast("I")[:: _SHA_BYTES // _HASH_BYTES].tolist()
        digests = bytearray(_DIGEST_BYTES * count)
        for byte in range(_DIGEST_BYTES):
            digests[byte::_DIGEST_BYTES] = whole[_HASH_BYTES + byte :: _SHA_BYTES]
        found = [0] * count
        if first_row + count - 1 > MAX_ROWS:
            for table in self._tables:
                self._find_all(table, hashes, digests, found)
        else:
            self._keep(digests, first_row)
            if not self._tables[-1].has_room(count):
                self._tables.append(_Table(array("I", [0]) * (_GROWTH * len(self._tables[-1].slots))))
            *older, newest = self._tables
            for table in older:
                self._find_all(table, hashes, digests, found)
            self._insert_all(newest, hashes, digests, first_row, found)
        return found if any(found) else None

    def _hashed(self, contents: Sequence[bytes]) -> bytes:
        """Return the whole digests of contents, one after another."""
        copy, found = self._keyed.copy, []
        for content in contents:
            hashed = copy()
            hashed.update(content)
            found.append(hashed.digest())
        return b"".join(found)

    def _keep(self, digests: bytearray, first_row: int) -> None:
        """Append the digests of rows. Rows without a request have nulls."""
        self._digests += bytes(_DIGEST_BYTES * (first_row - 1) - len(self._digests))
        self._digests += digests

    def _find_all(self, table: _Table, hashes: Sequence[int], digests: bytearray, found: list[int]) -> None:
        """Find the rows of a full table with the same requests, for rows that have found none so far."""
        slots, size, stored = table.slots, len(table.slots), self._digests
        for place, each in enumerate(hashes):
            slot = each % size
            row = 0 if found[place] else slots[slot]
            if row:
                digest = digests[_DIGEST_BYTES * place : _DIGEST_BYTES * (place + 1)]
                while row and not stored.startswith(digest, _DIGEST_BYTES * (row - 1)):
                    slot = slot + 1 if slot + 1 < size else 0
                    row = slots[slot]
                found[place] = row

    def _insert_all(
        self, table: _Table, hashes: Sequence[int], digests: bytearray, first_row: int, found: list[int]
    ) -> None:
        """Do the same, and insert the rows that find none."""
        slots, size, stored = table.slots, len(table.slots), self._digests
        for place, each in enumerate(hashes):
            slot = each % size
            row = slots[slot]
            if row:
                digest = digests[_DIGEST_BYTES * place : _DIGEST_BYTES * (place + 1)]
                while row and not stored.startswith(digest, _DIGEST_BYTES * (row - 1)):
                    slot = slot + 1 if slot + 1 < size else 0
                    row = slots[slot]
                if row:
                    found[place] = row
                    continue
            if not found[place]:
                slots[slot] = first_row + place
        table.count += found.count(0)

    def parts(self) -> Iterator[bytes]:
        """Yield the set as bytes that `read` takes."""
        yield self._key
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
        digests = cls(key=taken.take(_KEY_BYTES))
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
