"""The index of a shard: a few numbers for each row, so that collecting its answers parses no row again.

The process that writes a shard stores its index beside it: 16 bytes for each row, 3 MB for the largest shard. To build
50,000 requests again, only to learn which rows a batch has, takes half a second. To read their numbers takes a
millisecond.
"""

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise

from dropbatch.domain.outcomes import BAD_ROW_CODE, LEFT_OUT, WHEN

NO_REQUEST = 0xFFFF_FFFF
"""In place of a group: the recipe skips the row, because its `when` is empty or the row is blank."""

BAD_ROW = 0xFFFF_FFFE
"""In place of a group: the row cannot become a request, and the recipe skips such rows."""

DUPLICATE = 0xFFFF_FFFD
"""In place of a group: the row has the same request as an earlier row of the job, its original, and is not sent."""

MAX_CHUNK_BYTES = 1_048_576
"""How many bytes of records are cut out at once: a process holds several copies of them, as text and as cells."""

_MOST = 0xFFFF_FFFF
_ROW_BYTES = 16
_IS_LIST = 1 << 31

_LENGTH_BYTES = 4


class ShardIndex:
    """For each row of a shard, in order: the size of its record, its group, and the size of its request.

    `groups` number the shard's pairs of endpoint and model in order of appearance, as `Batch.model_group` does. The two
    codes `NO_REQUEST` and `BAD_ROW` mark rows without a request, and `DUPLICATE` marks a row whose `tokens` are the
    number of its original. `tokens` are estimated input tokens, `inputs` embedding inputs. `lists` says whether the
    request has a list of inputs, even a list of one. `codes` say why rows have no request: the row's `tokens` is then
    the place of its code, from 1, or 0 for the usual code of its group.
    """

    __slots__ = ("codes", "groups", "inputs", "lists", "sizes", "tokens")

    def __init__(self) -> None:
        self.sizes, self.groups, self.tokens, self.inputs = (array("I") for _ in range(4))
        self.lists = bytearray()
        self.codes: list[str] = []

    def add(self, size: int, group: int, tokens: int = 0, inputs: int = 0, *, is_list: bool = False) -> None:
        """Add the next row, whose record has `size` bytes."""
        self.sizes.append(size)
        self.groups.append(group)
        self.tokens.append(min(tokens, _MOST))
        self.inputs.append(min(inputs, _IS_LIST - 1))
        self.lists.append(is_list)

    def add_skipped(self, size: int, code: str) -> None:
        """Add the next row, which has no request for the reason `code`."""
        self.add(size, NO_REQUEST)
        self.skip(len(self) - 1, code)

    def add_duplicate(self, size: int, original: int) -> None:
        """Add the next row, which has the same request as the row `original` of the job."""
        self.add(size, DUPLICATE, original)

    def duplicate(self, place: int, original: int) -> None:
        """Mark the row at a place as one with the same request as the row `original` of the job."""
        self.groups[place], self.tokens[place], self.inputs[place], self.lists[place] = DUPLICATE, original, 0, False

    def original(self, place: int) -> int | None:
        """Return the number of the original of the row at a place; None if it is no duplicate."""
        return self.tokens[place] if self.groups[place] == DUPLICATE else None

    @property
    def duplicates(self) -> int:
        """The number of duplicates."""
        return self.groups.count(DUPLICATE)

    def originals(self) -> Iterator[int]:
        """Yield the numbers of the duplicates' originals, in the order of the duplicates."""
        return (row for row, group in zip(self.tokens, self.groups, strict=True) if group == DUPLICATE)

    def skip(self, place: int, code: str) -> None:
        """Mark the row at a place as one without a request, for the reason `code`."""
        self.groups[place] = NO_REQUEST if code in LEFT_OUT else BAD_ROW
        self.tokens[place] = self.inputs[place] = 0
        if code != _USUAL[self.groups[place]]:
            if code not in self.codes:
                self.codes.append(code)
            self.tokens[place] = self.codes.index(code) + 1

    def skipped(self, place: int) -> str | None:
        """Return why the row at a place has no request; None if it has one."""
        usual = _USUAL.get(self.groups[place])
        if usual is None or not self.tokens[place]:
            return usual
        return self.codes[self.tokens[place] - 1]

    def __len__(self) -> int:
        return len(self.sizes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShardIndex) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # it grows

    def rows(self, first_row: int, group: int) -> Sequence[int]:
        """Return the numbers of a group's rows in the shard whose first row has the number `first_row`."""
        return [row for row, found in enumerate(self.groups, first_row) if found == group]

    def records(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the rows' records, cut out of the shard's bytes, whatever their format."""
        return chain.from_iterable(self.chunks(blocks, 1))

    def chunks(self, blocks: Iterator[bytes], rows: int, at: int = 0) -> Iterator[list[bytes]]:
        """Yield the rows' records, up to `rows` at a time, from the row at place `at` on, with which the blocks begin.

        Records yielded together have at most `MAX_CHUNK_BYTES`, unless it is only one.
        """
        held, start = b"", 0
        while at < len(self.sizes):
            ends = list(accumulate(self.sizes[at : at + rows], initial=start))
            if ends[-1] - start > MAX_CHUNK_BYTES:
                del ends[max(2, bisect_right(ends, start + MAX_CHUNK_BYTES)) :]
            at += len(ends) - 1
            if ends[-1] > len(held):
                parts = [held[start:]]
                missing = ends[-1] - len(held)
                while missing > 0:
                    block = next(blocks, b"")
                    if not block:
                        raise AssertionError("a shard is shorter than its index says")
                    parts.append(block)
                    missing -= len(block)
                held, ends = b"".join(parts), [end - start for end in ends]
            yield [held[begin:end] for begin, end in pairwise(ends)]
            start = ends[-1]

    def to_bytes(self) -> bytes:
        """Return the four columns one after another: 32-bit numbers, little-endian as all of Lambda's processors are.

        If rows have codes, these follow as JSON with its length, and the whole is not a multiple of a row's 16 bytes.
        The highest bit of `inputs` says whether they are a list.
        """
        inputs = self.inputs
        if any(self.lists):
            inputs = array("I", [count | _IS_LIST * is_list for count, is_list in zip(inputs, self.lists, strict=True)])
        columns = b"".join(column.tobytes() for column in (self.sizes, self.groups, self.tokens, inputs))
        if not self.codes:
            return columns
        codes = json.dumps(self.codes).encode()
        codes += b" " * ((len(codes) + _LENGTH_BYTES) % _ROW_BYTES == 0)
        return columns + codes + len(codes).to_bytes(_LENGTH_BYTES, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> "ShardIndex":
        index = cls()
        if len(data) % _ROW_BYTES:
            end = len(data) - _LENGTH_BYTES
            start = end - int.from_bytes(data[end:], "little")
            index.codes, data = json.loads(data[start:end]), data[:start]
        width = len(data) // 4
        for number, column in enumerate((index.sizes, index.groups, index.tokens, index.inputs)):
            column.frombytes(data[number * width : (number + 1) * width])
        index.lists = bytearray(len(index.inputs))
        if max(index.inputs, default=0) >= _IS_LIST:
            index.lists = bytearray(count >= _IS_LIST for count in index.inputs)
            index.inputs = array("I", [count & ~_IS_LIST for count in index.inputs])
        return index


_USUAL = {NO_REQUEST: WHEN, BAD_ROW: BAD_ROW_CODE}
"""The usual code of rows without a request, by their group. An index of an earlier release has no other codes."""
