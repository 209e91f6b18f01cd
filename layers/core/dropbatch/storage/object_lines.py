"""Reads objects line by line, or as many lines at once as a block has."""

from collections.abc import Iterator
from io import BytesIO

from dropbatch.formats import line_blocks
from dropbatch.ports import Objects


def read_lines(objects: Objects, bucket: str, key: str, start: int = 0) -> Iterator[bytes]:
    """An object's lines with their line feeds, from byte `start` on; nothing else ends a line."""
    for block in read_line_blocks(objects, bucket, key, start):
        yield from BytesIO(block).readlines()


def read_line_blocks(objects: Objects, bucket: str, key: str, start: int = 0) -> Iterator[bytes]:
    """The same, as many lines at once as end in a block."""
    return line_blocks.whole_lines(objects.blocks(bucket, key, start=start))
