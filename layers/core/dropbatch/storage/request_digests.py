"""The requests of a job by their digests, over millions of rows and several processes, in bounded memory."""

import secrets
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, repeat
from typing import Literal

from xxhash import xxh3_128_digest

from dropbatch.storage.unique_ids import TakenBytes

MAX_ROWS = 10_000_000
"""How many rows are kept: they take 157 MB. A request that first occurs in a later row is asked each time."""

_SEED_BYTES = 8
_WHOLE_BYTES = 16
"""The bytes of a whole digest: 4 say where the search begins, 2 and 8 are stored by row, and one is the tag."""

_TAG_BYTE = 6
_TAG_SHIFT = 24
_ROW_BITS = (1 << _TAG_SHIFT) - 1
_LOW_BITS = bytes(byte & 0x3F for byte in range(256))
"""The low six bits of each byte. Python calculates with integers below 2 ** 30 in half the time."""

_MAX_LOAD = 0.68
"""How full a table becomes. In a fuller one a row is farther from the slot where the search for it begins."""

_MIN_SLOTS = 1 << 18
"""A row is found near the slot where the search for it begins. In a table of this size that tells 16 bits of it."""

_GROWTH = 4
_BLOCK = 1 << 18


class _Table:
    """A hash table of rows. Each of `slots` has a row's number and, above it, its tag; zero if it is empty.

    The tag is six more bits of the request's digest, which distinguish it from other requests within the table.
    """

    __slots__ = ("count", "slots")

    def __init__(self, slots: "array[int]", count: int = 0) -> None:
        self.slots = slots
        self.count = count

    def has_room(self, rows: int) -> bool:
        return self.count + rows <= len(self.slots) * _MAX_LOAD


class _Requests:
    """A chunk of requests by their whole digests.

    `hashes` say where the search for each begins, `words` have its place in the chunk and above it its tag, `starts`
    and `ends` are the two and the eight bytes of each that are stored.
    """

    __slots__ = ("count", "ends", "hashes", "starts", "words")

    def __init__(self, whole: bytes) -> None:
        view = memoryview(whole)
        self.starts, self.ends = view.cast("H")[2::8], view.cast("Q")[1::2]
        self.count = count = len(self.ends)
        low = bytearray(whole)
        low[3::_WHOLE_BYTES] = whole[3::_WHOLE_BYTES].translate(_LOW_BITS)
        self.hashes: Sequence[int] = memoryview(low).cast("I")[::4].tolist()
        words = bytearray(array("I", range(count)).tobytes())
        words[3::4] = whole[_TAG_BYTE::_WHOLE_BYTES].translate(_LOW_BITS)
        self.words: Sequence[int] = memoryview(words).cast("I").tolist()

    def leave_out(self, found: Sequence[int]) -> None:
        """Keep only those that have found no row. `found` has an entry for each place in the chunk."""
        kept = [not found[word & _ROW_BITS] for word in self.words]
        self.hashes, self.words = list(compress(self.hashes, kept)), list(compress(self.words, kept))


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
        self._starts = array("H")  # of each row; zero if it has no request
        self._ends = array("Q")
        slots = max(_MIN_SLOTS, int(min(expected_rows, MAX_ROWS) / _MAX_LOAD) + 1)
        self._tables = [_Table(array("I", [0]) * slots)]

    def add(self, content: bytes, row: int) -> int:
        """Return the first row with a request of this content; 0 if it is this one. Rows come in order."""
        return (self.add_all([content], row) or (0,))[0]

    def add_all(self, contents: Sequence[bytes], first_row: int) -> Sequence[int] | None:
        """Do the same for rows that follow one another. Return None in place of nothing but zeros."""
        requests = _Requests(self._hashed(contents))
        found = [0] * requests.count
        if first_row + requests.count - 1 > MAX_ROWS:
            for table in self._tables:
                self._find_all(table, requests, found)
        else:
            self._keep(requests, first_row)
            if not self._tables[-1].has_room(requests.count):
                self._tables.append(_Table(array("I", [0]) * (_GROWTH * len(self._tables[-1].slots))))
            *older, newest = self._tables
            for table in older:
                self._find_all(table, requests, found)
            self._insert_all(newest, requests, first_row, found)
        return found if any(found) else None

    def _hashed(self, contents: Sequence[bytes]) -> bytes:
        """Return the whole digests of contents, one after another."""
        return b"".join(map(xxh3_128_digest, contents, repeat(self._seed)))

    def _keep(self, requests: _Requests, first_row: int) -> None:
        """Append what is stored of rows."""
        gap = first_row - 1 - len(self._ends)
        if gap:
            self._starts.frombytes(bytes(2 * gap))
            self._ends.frombytes(bytes(8 * gap))
        self._starts.frombytes(requests.starts.tobytes())
        self._ends.frombytes(requests.ends.tobytes())

    def _find_all(self, table: _Table, requests: _Requests, found: list[int]) -> None:
        """Find the rows of a full table with the same requests. Leave out those that find one."""
        slots, size, starts, ends = table.slots, len(table.slots), self._starts, self._ends
        for each, word in zip(requests.hashes, requests.words, strict=True):
            slot = each % size
            while taken := slots[slot]:
                if taken ^ word <= _ROW_BITS:  # the same tag
                    row, place = taken & _ROW_BITS, word & _ROW_BITS
                    if ends[row - 1] == requests.ends[place] and starts[row - 1] == requests.starts[place]:
                        found[place] = row
                        break
                slot = slot + 1 if slot + 1 < size else 0
        if any(found):
            requests.leave_out(found)

    def _insert_all(self, table: _Table, requests: _Requests, first_row: int, found: list[int]) -> None:
        """Do the same, and insert the rows that find none. A common search would cost a call for each row."""
        slots, size, starts, ends = table.slots, len(table.slots), self._starts, self._ends
        for each, word in zip(requests.hashes, requests.words, strict=True):
            slot = each % size
            while taken := slots[slot]:
                if taken ^ word <= _ROW_BITS:
                    row, place = taken & _ROW_BITS, word & _ROW_BITS
                    if ends[row - 1] == requests.ends[place] and starts[row - 1] == requests.starts[place]:
                        found[place] = row
                        break
                slot = slot + 1 if slot + 1 < size else 0
            else:
                slots[slot] = word + first_row
        table.count += found.count(0)

    def parts(self) -> Iterator[bytes]:
        """Yield the set as bytes that `read` takes."""
        yield self._seed.to_bytes(_SEED_BYTES)
        sizes = [len(self._ends), *(number for table in self._tables for number in (table.count, len(table.slots)))]
        yield array("Q", [len(self._tables), *sizes]).tobytes()
        for held in (self._starts, self._ends, *(table.slots for table in self._tables)):
            for start in range(0, len(held), _BLOCK):
                yield held[start : start + _BLOCK].tobytes()

    @classmethod
    def read(cls, blocks: Iterable[bytes]) -> "RequestDigests":
        """Return the set of another process, from the bytes of its `parts`."""
        taken = TakenBytes(blocks)
        digests = cls(seed=int.from_bytes(taken.take(_SEED_BYTES)))
        (tables, rows) = array("Q", taken.take(16))
        counts = array("Q", taken.take(16 * tables))
        digests._starts, digests._ends = _read("H", rows, taken), _read("Q", rows, taken)
        digests._tables = [
            _Table(_read("I", slots, taken), count) for count, slots in zip(counts[::2], counts[1::2], strict=True)
        ]
        return digests


def _read(kind: "Literal['H', 'I', 'Q']", count: int, taken: TakenBytes) -> "array[int]":
    """Return an array of this many numbers."""
    found = array(kind)
    for start in range(0, count, _BLOCK):
        found.frombytes(taken.take(found.itemsize * min(_BLOCK, count - start)))
    return found
