"""Compression of drops, and of their results in the same way: as a stream, in bounded memory.

A gzip file consists of members and a zstd file of frames; both are called members here. Each can be unpacked alone, and
members one after another are a file again. So results are compressed piece by piece, and reading can continue from the
start of any member.
"""

import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import ModuleType
from typing import Protocol

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.ports import Writer

BLOCK_BYTES = 1 << 20
"""The maximum of a file's content that is in memory at once."""

WINDOW_LOG = 27
"""How far back a zstd file may refer: 128 MiB, as far as `--ultra -22` and a plain `--long` go."""

_GZIP_BITS = 31  # zlib's window bits for a gzip header and trailer
_GZIP_LEVEL = 6
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_LEVEL = 3


class Compression(StrEnum):
    """The ways that a drop may be compressed; each is what the file's name ends in."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"


class Decompressed(Iterator[bytes]):
    """A file's content, in blocks of at most 1 MiB, none of which reaches over a member's end.

    `member_at` is where the last block's member starts: the number of the file's bytes before it, and of its content's.
    Reading can continue anywhere in a file that is not compressed: there it is where the block itself starts.
    """

    def __init__(self, blocks: Iterable[bytes], compression: Compression, member_at: tuple[int, int]) -> None:
        self.member_at = member_at
        self._content = _unpacked(blocks, compression, self) if compression else _as_it_is(blocks, self)

    def __next__(self) -> bytes:
        return next(self._content)


def decompress(blocks: Iterable[bytes], compression: Compression, member_at: tuple[int, int] = (0, 0)) -> Decompressed:
    """Return the content of a file whose bytes are `blocks`; these begin with the member at `member_at`.

    Zero padding at the end of a gzip file is allowed, as gzip itself does. Iterating raises DropRejectedError
    (`corrupt_gzip`, `corrupt_zstd`) if the file is damaged, cut short or followed by anything else, and (`zstd_window`,
    `zstd_dictionary`) if it needs more memory than `WINDOW_LOG` allows, or a file that we do not have.
    """
    return Decompressed(blocks, compression, member_at)


def limit_size(blocks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield the blocks. Raise DropRejectedError (`drop_too_large`) once they have over `most` bytes together."""
    size = 0
    for block in blocks:
        size += len(block)
        if size > most:
            raise DropRejectedError.because(too_large(most))
        yield block


def too_large(most: int) -> Problem:
    """Return the problem of a drop whose content has over `most` bytes."""
    shown = f"{most / 1e9:,g} GB" if most >= 1e9 else f"{most:,} bytes"
    return Problem(
        "drop_too_large",
        f"The file's content is larger than {shown}, the most that a drop may hold; split it and drop the parts, or "
        "deploy the stack with a larger MaxDropGigabytes.",
    )


@contextmanager
def compressing(writer: Writer, compression: Compression) -> Iterator[Writer]:
    """Compress what is written, all of it into one member. The same writes give the same bytes."""
    if not compression:
        yield writer
        return
    packing = _Packing(writer, _packer(compression))
    yield packing
    packing.finish()


def compress(data: bytes, compression: Compression) -> bytes:
    """Return the data as a member; no data gives no bytes."""
    if not compression or not data:
        return data
    packer = _packer(compression)
    return packer.compress(data) + packer.flush()


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Packing:
    def __init__(self, writer: Writer, packer: _Packer) -> None:
        self._writer = writer
        self._packer = packer

    def write(self, data: bytes) -> None:
        packed = self._packer.compress(data)
        if packed:
            self._writer.write(packed)

    def finish(self) -> None:
        self._writer.write(self._packer.flush())


def _packer(compression: Compression) -> _Packer:
    if compression is Compression.GZIP:
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_BITS)
    zstd = _zstd()
    names = zstd.CompressionParameter
    packer: _Packer = zstd.ZstdCompressor(options={names.compression_level: _ZSTD_LEVEL, names.checksum_flag: 1})
    return packer


class _Member(Protocol):
    """Unpacks one member, at most `max_length` bytes a call; it keeps input that it did not use yet."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipMember:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_BITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        content = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(content) < max_length
        return content


def _member(compression: Compression) -> _Member:
    if compression is Compression.GZIP:
        return _GzipMember()
    zstd = _zstd()
    member: _Member = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})
    return member


def _unpacked(blocks: Iterable[bytes], compression: Compression, where: Decompressed) -> Iterator[bytes]:
    error = zlib.error if compression is Compression.GZIP else _zstd().ZstdError
    read, given = where.member_at  # bytes of the file and of its content
    member: _Member | None = None
    start, members = b"", 1 if read else 0  # the first bytes of the present member; how many have ended
    for block in blocks:
        read += len(block)
        rest = block
        while rest or (member is not None and not member.needs_input):
            if member is None:
                if members and compression is Compression.GZIP and not rest.strip(b"\0"):
                    break  # padding
                member, start = _member(compression), b""
                where.member_at = read - len(rest), given
            start += rest[: 6 - len(start)]
            try:
                content = member.decompress(rest, BLOCK_BYTES)
            except error as cause:
                raise DropRejectedError.because(_asks_too_much(start) or _corrupt(compression, members)) from cause
            rest = b""
            if content:
                given += len(content)
                yield content
            if member.eof:
                rest, member, members = member.unused_data, None, members + 1
    if member is not None:
        name = compression.name.lower()
        message = f"The {name} file ends too early; it was cut short: compress and drop it again."
        raise DropRejectedError.because(Problem(f"corrupt_{name}", message))


def _as_it_is(blocks: Iterable[bytes], where: Decompressed) -> Iterator[bytes]:
    read, given = where.member_at
    for block in blocks:
        where.member_at = read, given
        read, given = read + len(block), given + len(block)
        yield block


def _asks_too_much(start: bytes) -> Problem | None:
    """Return the problem of a zstd frame that needs too much, by its first six bytes (RFC 8878, 3.1.1.1)."""
    if len(start) < 6 or not start.startswith(_ZSTD_MAGIC):
        return None
    descriptor, window = start[4], start[5]
    if descriptor & 0b11:
        message = "The zstd file was compressed with a dictionary; compress it without one and drop it again."
        return Problem("zstd_dictionary", message)
    in_one_segment = descriptor & 0b100000
    if not in_one_segment and (1 << (10 + (window >> 3))) * (8 + (window & 7)) > 8 << WINDOW_LOG:
        return Problem(
            "zstd_window",
            "The zstd file takes more than 128 MiB of memory to unpack; compress it with --long=27 or less and drop it "
            "again.",
        )
    return None


def _corrupt(compression: Compression, members: int) -> Problem:
    name = compression.name.lower()
    what = f"holds something after its end that is not {name}" if members else f"is damaged, or not {name} at all"
    return Problem(f"corrupt_{name}", f"The {name} file {what}; compress the file and drop it again.")


def _zstd() -> ModuleType:
    """Return Python 3.14's own library, or its backport. It is imported on demand: most drops do not need it."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
