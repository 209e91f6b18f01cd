"""Lines of an object, one at a time or as many at once as a block has. Only a line feed ends a line."""

from collections.abc import Iterator
from io import BytesIO

from dropbatch.formats import line_blocks
from dropbatch.ports import Objects


def read_lines(objects: Objects, bucket: str, key: str, start: int = 0) -> Iterator[bytes]:
    """Yield an object's lines with their line feeds, from byte `start` on."""
    for block in read_line_blocks(objects, bucket, key, start):
        yield from BytesIO(block).readlines()


def read_line_blocks(objects: Objects, bucket: str, key: str, start: int = 0) -> Iterator[bytes]:
    """Yield an object's bytes from `start` on in blocks of whole lines."""
    return line_blocks.whole_lines(objects.blocks(bucket, key, start=start))
