"""An answer file in the work bucket, in parts that each end with a whole line, and the addresses of its lines.

Later invocations fetch only the rest. A whole file is read in place, by the addresses.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from dropbatch.answers.output_files import UNKNOWN_ID, Addresses, split_addressed
from dropbatch.collection.handover import InTime
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import OpenAIOutcomeUnknownError
from dropbatch.formats.line_blocks import whole_lines
from dropbatch.ports import BYTES
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles
from dropbatch.storage.objects import read_object

PART_BYTES = 67_108_864
"""How large a part becomes at most. A killed process loses one part; a file of 100 GB has 1,500."""

MAX_GAP_BYTES = 1_048_576
"""Lines with no more than this between them are read together: a call takes as long as a megabyte does."""

MAX_READ_BYTES = 16_777_216
"""How much is read together at most."""


class BucketFile:
    """A file in the work bucket, in parts: a sink without bounds, and a source once it `is_whole`.

    Each part has a unique name. The progress names those that count, so two processes that fetch the same file never
    mix their parts.
    """

    def __init__(
        self, context: Context, files: JobFiles, batch: Batch, name: str, file_id: str, progress: dict[str, Any]
    ) -> None:
        self._context, self._files, self._batch, self._name = context, files, batch, name
        self._objects, self._bucket = context.objects, context.buckets.work
        self._progress = progress
        self.file_id = file_id
        found = progress.get(name, {})
        known = found if found.get("file_id") == file_id else {}
        self._parts: list[tuple[str, int]] = [(part, size) for part, size in known.get("parts", ())]
        self._announced: int | None = known.get("announced")
        self.is_whole: bool = known.get("is_whole", False)

    @property
    def is_begun(self) -> bool:
        return bool(self._parts) or self.is_whole

    @property
    def size(self) -> int:
        return sum(size for _, size in self._parts)

    def expects(self, size: int | None) -> bool:
        if size is not None and self._announced not in (None, size):
            self.forget()
        self._announced = size if size is not None else self._announced
        return True

    def take(self, blocks: Iterable[bytes], in_time: InTime, *, is_complete: bool = True) -> bool:
        """Take blocks, as a sink does; `is_complete` says whether the last block is the end of the file."""
        coming = _UnbrokenBlocks(iter(blocks))

        def has_ended() -> bool:
            return is_complete and coming.broken is None

        pieces = whole_lines(coming, has_ended)
        piece = next(pieces, None)
        while piece is not None:
            piece = self._add_part(piece, pieces, in_time)
            self.is_whole = piece is None and has_ended()
            self._save()
            if piece is not None and not in_time():
                return False
        if coming.broken is not None:
            raise coming.broken
        if is_complete and not self.is_whole:  # nothing more came
            self.is_whole = True
            self._save()
        return self.is_whole

    def _add_part(self, piece: bytes, pieces: Iterator[bytes], in_time: InTime) -> bytes | None:
        """Write a part that begins with this piece; return the piece after the part, None if the part is the last."""
        name = f"{len(self._parts):06d}.{self._context.new_token()}"
        lines = _LineAddresses()
        after: bytes | None = piece
        with self._objects.writing(self._bucket, self._key(name), BYTES) as out:
            while after is not None:
                out.write(after)
                lines.add(after)
                after = next(pieces, None)
                if lines.size >= PART_BYTES or not in_time():
                    break
        self._objects.put(self._bucket, self._key(name) + ".lines", lines.to_bytes(), BYTES)
        self._parts.append((name, lines.size))
        return after

    def forget(self) -> None:
        self._parts, self._announced, self.is_whole = [], None, False

    def _save(self) -> None:
        self._progress[self._name] = {
            "file_id": self.file_id,
            "announced": self._announced,
            "parts": self._parts,
            "is_whole": self.is_whole,
        }
        self._files.keep_fetched(self._batch, self._progress)

    def _key(self, part: str) -> str:
        return self._files.answers_key(self._batch, f"{self._name}/{part}")

    def blocks(self) -> Iterator[bytes]:
        for name, _ in self._parts:
            yield from self._objects.blocks(self._bucket, self._key(name))

    def addresses(self) -> Iterator[Addresses]:
        start = 0
        for name, size in self._parts:
            yield _LineAddresses.addresses(read_object(self._objects, self._bucket, self._key(name) + ".lines"), start)
            start += size

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        starts = list(accumulate((size for _, size in self._parts), initial=0))
        found: dict[tuple[int, int], bytes] = {}
        for near in _groups(sorted(set(places)), starts):
            part = bisect_right(starts, near[0][0]) - 1
            begin, end = near[0][0], near[-1][0] + near[-1][1]
            key = self._key(self._parts[part][0])
            data = self._objects.read_range(self._bucket, key, begin - starts[part], end - starts[part])
            for start, length in near:
                found[start, length] = data[start - begin : start - begin + length]
        return [found[place] for place in places]

    def keep(self) -> None:
        """Do nothing: the file is in the work bucket."""

    def close(self) -> None:
        """Do nothing: no file is open."""


class _UnbrokenBlocks(Iterator[bytes]):
    """Blocks up to where their connection breaks; `broken` is the reason."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.broken: OpenAIOutcomeUnknownError | None = None

    def __next__(self) -> bytes:
        try:
            return next(self._blocks)
        except OpenAIOutcomeUnknownError as error:
            self.broken = error
            raise StopIteration from None


class _LineAddresses:
    """The addresses of a part's lines: 24 bytes a line, in three columns (row, start, length)."""

    def __init__(self) -> None:
        self._rows, self._starts, self._lengths = (array("q") for _ in range(3))
        self.size = 0

    def add(self, data: bytes) -> None:
        lines, bare, rows = split_addressed(data)
        # A number of more than 63 bits is not a row's.
        self._rows.extend([row if row < 2**63 else UNKNOWN_ID for row in rows])
        self._lengths.extend(map(len, bare))
        for line in lines:
            self._starts.append(self.size)
            self.size += len(line) + 1
        self.size -= not data.endswith(b"\n")

    def to_bytes(self) -> bytes:
        return b"".join(column.tobytes() for column in (self._rows, self._starts, self._lengths))

    @staticmethod
    def addresses(data: bytes, start: int) -> Addresses:
        """Return the addresses of a part that starts at this byte of the file."""
        width = len(data) // 3
        columns = [array("q", data[width * number : width * (number + 1)]) for number in range(3)]
        return Addresses(columns[0], [each + start for each in columns[1]], columns[2])


def _groups(places: Sequence[tuple[int, int]], starts: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
    """Group sorted places (start, length) into those that are read together: near enough, and in one part."""
    near: list[tuple[int, int]] = []
    for start, length in places:
        if near:
            begin, behind = near[0][0], near[-1][0] + near[-1][1]
            is_far = start - behind > MAX_GAP_BYTES or start + length - begin > MAX_READ_BYTES
            if is_far or bisect_right(starts, start) != bisect_right(starts, begin):
                yield near
                near = []
        near.append((start, length))
    if near:
        yield near
