"""Files in another form than readers expect: UTF-16, and lines that end in carriage returns.

Both are converted to UTF-8 and line feeds as they are read, and back as results are written, so that what was dropped
comes back byte for byte. Each conversion depends on the bytes alone, and loses none: UTF-16 becomes UTF-8 (half a
surrogate pair too, as it is written there), and a carriage return and a line feed change places.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from dropbatch.domain.errors import DropRejectedError
from dropbatch.domain.problems import Problem
from dropbatch.formats.compression import Decompressed

MAX_SEARCHED_BYTES = 1 << 20
"""How much of a file is searched for the first line feed before its lines are known to end in carriage returns."""

_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)

_SWAPPED = bytes.maketrans(b"\r\n", b"\n\r")


@dataclass(frozen=True, slots=True)
class Storage:
    """A drop's form in S3: its UTF-16 codec, or "" if its bytes are read as they are, and whether CR ends its lines."""

    codec: str = ""
    is_cr: bool = False

    @property
    def is_plain(self) -> bool:
        return not self.codec and not self.is_cr

    def stored(self, data: bytes) -> bytes:
        """Turn whole rows as readers have them into what the drop has in their place."""
        if self.is_cr:
            data = data.translate(_SWAPPED)
        if self.codec:
            data = data.decode("utf-8", "surrogatepass").encode(self.codec, "surrogatepass")
        return data


PLAIN = Storage()


class Readable(Iterator[bytes]):
    """A file's content in the form that readers expect.

    `storage` is how it lies in S3; its first bytes show it if it is not known. `has_quotes` says whether line ends
    within double quotes are a value's. `member_at` is as `Decompressed` has it, its second number counting the bytes
    given here: from there reading can continue, because no bytes of what is before are left.
    """

    def __init__(self, unpacked: Decompressed, storage: Storage | None, given: int, *, has_quotes: bool) -> None:
        self._unpacked = unpacked
        self._inner = unpacked.member_at
        self._has_quotes = has_quotes
        self._given = given
        self._ahead: list[tuple[bytes, tuple[int, int]]] = []  # blocks that were looked at, and the members they are of
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_at_end = False
        self.member_at = (unpacked.member_at[0], given)
        self._storage = storage
        if storage is not None:
            self._start(storage)

    @property
    def storage(self) -> Storage:
        if self._storage is None:
            self._storage = self._seen()
            self._start(self._storage)
        return self._storage

    def __next__(self) -> bytes:
        storage = self.storage
        while True:
            block, inner = self._next_block()
            if inner != self._inner:
                self._inner = inner
                if self._decoder is None or not self._decoder.getstate()[0]:
                    self.member_at = (inner[0], self._given)
            if self._decoder is not None:
                block = self._decoded(block)
            if storage.is_cr:
                block = block.translate(_SWAPPED)
            self._given += len(block)
            if block:
                return block

    def _next_block(self) -> tuple[bytes, tuple[int, int]]:
        if self._ahead:
            return self._ahead.pop(0)
        if self._is_at_end:
            raise StopIteration
        block = next(self._unpacked, None)
        if block is None:
            self._is_at_end = True
            if self._decoder is None:
                raise StopIteration
            return b"", self._unpacked.member_at
        return block, self._unpacked.member_at

    def _decoded(self, block: bytes) -> bytes:
        assert self._decoder is not None  # noqa: S101  # the caller looked; tells the type checker
        try:
            text = self._decoder.decode(block, self._is_at_end and not self._ahead)
        except UnicodeDecodeError as error:
            message = "The file is UTF-16 and ends within a character; it was cut short: save and drop it again."
            raise DropRejectedError.because(Problem("invalid_utf16", message)) from error
        return text.encode("utf-8", "surrogatepass")

    def _start(self, storage: Storage) -> None:
        if storage.codec:
            self._decoder = codecs.getincrementaldecoder(storage.codec)("surrogatepass")

    def _seen(self) -> Storage:
        """Return what the file's first bytes say; they are read ahead only."""
        start = self._look_ahead(4, b"")
        codec = next((codec for mark, codec in _UTF_16.items() if start.startswith(mark)), "")
        if start.startswith(_UTF_32):
            codec = ""
        search = _LineEnds(codec, has_quotes=self._has_quotes)
        looked = 0
        while not search.is_over:
            if looked == len(self._ahead) and not self._look_ahead_one():
                break
            search.add(self._ahead[looked][0])
            looked += 1
        return Storage(codec, search.is_cr)

    def _look_ahead(self, size: int, found: bytes) -> bytes:
        while len(found) < size and self._look_ahead_one():
            found += self._ahead[-1][0]
        return found

    def _look_ahead_one(self) -> bool:
        block = next(self._unpacked, None)
        if block is None:
            self._is_at_end = True
            return False
        self._ahead.append((block, self._unpacked.member_at))
        return True


class _LineEnds:
    """Searches a file's start for what ends its lines."""

    def __init__(self, codec: str, *, has_quotes: bool) -> None:
        self._decoder = codecs.getincrementaldecoder(codec)("replace") if codec else None
        self._has_quotes = has_quotes
        self._in_quotes = False
        self._size = 0
        self._has_cr = self._has_lf = False

    @property
    def is_over(self) -> bool:
        return self._has_lf or self._size > MAX_SEARCHED_BYTES

    @property
    def is_cr(self) -> bool:
        return self._has_cr and not self._has_lf

    def add(self, block: bytes) -> None:
        self._size += len(block)
        if self._decoder is not None:
            block = self._decoder.decode(block).encode("utf-8", "replace")
        if not self._has_quotes:
            outside = block
        else:
            pieces = block.split(b'"')
            outside = b"".join(pieces[self._in_quotes :: 2])
            self._in_quotes ^= len(pieces) % 2 == 0
        self._has_lf = self._has_lf or b"\n" in outside
        self._has_cr = self._has_cr or b"\r" in outside
