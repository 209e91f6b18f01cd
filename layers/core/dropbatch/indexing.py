"""What must be known of a shard's rows to bring their answers home, without parsing a row again.

A few numbers a row, kept beside the shard by whoever writes it: 16 bytes, 3 MB for the largest shard. Building 50,000
requests again, only to learn which rows a batch asked, takes half a second; reading their numbers a millisecond.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise

NO_REQUEST = 0xFFFF_FFFF
"""In place of a group: the row's `when` is empty."""

BAD_ROW = 0xFFFF_FFFE
"""In place of a group: the row cannot become a request, and the recipe skips such rows."""

_MOST = 0xFFFF_FFFF
_ROW_BYTES = 16
_COUNT_BYTES = 4


class ShardIndex:
    """For each row of a shard, in order: the bytes of its record, its group, and what its request takes.

    `groups` number the shard's (endpoint, model) in order of appearance, as `Batch.group` does; the two codes above
    stand for rows without a request. `tokens` are estimated input tokens, `inputs` embedding inputs. `lists` says
    whether the request asks for a list of inputs, be it of one.
    """

    __slots__ = ("groups", "inputs", "lists", "sizes", "tokens")

    def __init__(self) -> None:
        self.sizes, self.groups, self.tokens, self.inputs = (array("I") for _ in range(4))
        self.lists = bytearray()

    def add(self, size: int, group: int, tokens: int = 0, inputs: int = 0, *, is_list: bool = False) -> None:
        """Adds the next row, whose record has `size` bytes."""
        self.sizes.append(size)
        self.groups.append(group)
        self.tokens.append(min(tokens, _MOST))
        self.inputs.append(min(inputs, _MOST))
        self.lists.append(is_list)

    def __len__(self) -> int:
        return len(self.sizes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShardIndex) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # it grows

    def rows(self, first_row: int, group: int) -> Sequence[int]:
        """The numbers of a group's rows, in a shard whose first one is `first_row`."""
        return [row for row, found in enumerate(self.groups, first_row) if found == group]

    def records(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Cuts the shard's bytes into the rows' records, whatever their format."""
        return chain.from_iterable(self.chunks(blocks, 1))

    def chunks(self, blocks: Iterator[bytes], rows: int, at: int = 0) -> Iterator[list[bytes]]:
        """The same, `rows` rows at a time, from the row at place `at` on, with which the blocks begin."""
        held, start = b"", 0
        for first in range(at, len(self.sizes), rows):
            ends = list(accumulate(self.sizes[first : first + rows], initial=start))
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
        """The four columns, one after another: 32-bit numbers, little-endian as all of Lambda's processors are.

        `lists` follow where they say anything: a byte each, and how many. The four columns alone have a multiple of 16
        bytes; with them it is one more than that.
        """
        columns = b"".join(column.tobytes() for column in (self.sizes, self.groups, self.tokens, self.inputs))
        if not any(self.lists):
            return columns
        count = len(self.lists).to_bytes(_COUNT_BYTES, "little")
        padding = bytes((1 - len(self.lists) - _COUNT_BYTES) % _ROW_BYTES)
        return b"".join([columns, self.lists, padding, count])

    @classmethod
    def from_bytes(cls, data: bytes) -> "ShardIndex":
        index = cls()
        rows = len(data) // _ROW_BYTES
        if len(data) % _ROW_BYTES:
            rows = int.from_bytes(data[-_COUNT_BYTES:], "little")
        width = rows * 4
        for number, column in enumerate((index.sizes, index.groups, index.tokens, index.inputs)):
            column.frombytes(data[number * width : (number + 1) * width])
        index.lists += data[4 * width : 4 * width + rows] or bytes(rows)
        return index
