"""Fetches a batch's answer files in steps that are kept, however large they are and however little time there is.

What fits goes onto the disk, under no name, so that a process that is killed leaves nothing there. What does not fit
(the disk, the time, or a disk that is full earlier than it said) goes on into the work bucket, in parts that end with a
line each: the next invocation asks OpenAI only for what is missing. A file that is whole in the work bucket is never
asked for again. It is copied to the disk if it fits, else it is read in place, by the addresses of its lines that were
written down with each part.
"""

import errno
import os
import shutil
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Protocol

from dropbatch.answers.output_files import BLOCK_BYTES, UNKNOWN_ID, Addresses, AnswerLines, Source, split_addressed
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import OpenAIError, OpenAIOutcomeUnknownError, OpenAIRequestError
from dropbatch.domain.jobs import Shard
from dropbatch.formats.line_blocks import whole_lines
from dropbatch.ports import BYTES, Download
from dropbatch.storage.context import Context
from dropbatch.storage.job_ends import whole
from dropbatch.storage.job_files import JobFiles

PART_BYTES = 67_108_864
"""How large a part in the work bucket grows. A killed process loses one; a file of 100 GB has 1,500."""

SPARE_DISK_BYTES = 268_435_456
"""What is left free on the disk, for whatever else is written there."""

DISK_BYTES_PER_SECOND = 16_777_216
"""How much may lie on the disk for each second that is left. If time runs out it is moved to the work bucket, at some
50 MB/s, within the two minutes that are spared for it."""

MAX_CONNECTIONS = 10
"""How many connections an invocation opens for one file, if they break."""

MAX_GAP_BYTES = 1_048_576
"""Lines with no more than this between them are read together: a call takes as long as a megabyte does."""

MAX_READ_BYTES = 16_777_216
"""How much is read together."""

RANGE_NOT_SATISFIABLE = 416

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)

InTime = Callable[[], bool]


def fetch(
    context: Context,
    files: JobFiles,
    shard: Shard,
    batch: Batch,
    output_file_id: str | None,
    error_file_id: str | None,
    in_time: InTime,
) -> AnswerLines | None:
    """Return the lines of a batch's answer files, to be closed; None if time ran out: call again for what is missing.

    Raises what OpenAI answers instead of a file (OpenAINotFoundError if it is gone), and keeps what came before.
    """
    progress = files.fetched(batch)
    with ExitStack() as stack:
        sources: list[Source] = []
        try:
            for name, file_id in (("output", output_file_id), ("errors", error_file_id)):
                if file_id is not None:
                    source = _fetched(context, _KeptFile(context, files, batch, name, file_id, progress), in_time)
                    stack.callback(source.close)
                    sources.append(source)
        except (_TimeIsUpError, OpenAIError) as reason:
            for source in sources:
                source.keep()
            if isinstance(reason, OpenAIError):
                raise
            return None
        answers = AnswerLines(shard.first_row, shard.rows)
        for source in sources:
            answers.read(source)
        stack.pop_all()  # they are the answers' from here on
        return answers


class _TimeIsUpError(Exception):
    """What came is kept; the rest is another invocation's."""


class _FileChangedError(Exception):
    """A file is not the one of which a part came before."""


def _fetched(context: Context, kept: "_KeptFile", in_time: InTime) -> Source:
    """One of the files, whole; _TimeIsUpError if that takes another invocation."""
    if not kept.is_begun:
        with ExitStack() as stack:
            disk = _DiskFile(context.scratch, _room(context), kept)
            stack.callback(disk.close)
            try:
                disk.is_whole = _stream(context, kept.file_id, disk, in_time)
            except OpenAIError:
                disk.keep()
                raise
            if disk.is_whole:
                stack.pop_all()
                return disk
            disk.keep()
            if disk.size and not in_time():
                raise _TimeIsUpError
    if not kept.is_whole and not (_stream(context, kept.file_id, kept, in_time) and in_time()):
        raise _TimeIsUpError
    with ExitStack() as stack:
        disk = _DiskFile(context.scratch, _room(context), kept)
        stack.callback(disk.close)
        if disk.expects(kept.size) and disk.take(kept.blocks(), lambda: True):
            stack.pop_all()
            return disk
    return kept


def _room(context: Context) -> int:
    """How many bytes may lie on the disk."""
    free = shutil.disk_usage(context.scratch).free - SPARE_DISK_BYTES
    return max(0, min(free, int(context.seconds_left() * DISK_BYTES_PER_SECOND)))


class _Sink(Protocol):
    """Takes in a file, block by block, in several goes."""

    @property
    def size(self) -> int: ...

    def expects(self, size: int | None) -> bool:
        """Whether it takes in a file of so many bytes (None if nobody knows)."""
        ...

    def take(self, blocks: Iterable[bytes], in_time: InTime) -> bool:
        """Take what comes after what it has; True at the end of the file, False if it is full or time is up.

        However little time there is, it takes something. What came before the blocks broke off it has.
        """
        ...

    def forget(self) -> None: ...


def _stream(context: Context, file_id: str, sink: _Sink, in_time: InTime) -> bool:
    """Stream into a sink what it lacks of a file; what `take` returns."""
    connections = 0
    while True:
        before, connections = sink.size, connections + 1
        taken: bool | None = None
        try:
            with context.openai.streaming(file_id, before) as download:
                taken = sink.expects(download.size) and sink.take(_from(download, sink.size, in_time), in_time)
        except OpenAIError as error:
            if taken is not None:
                return taken  # what fails while the connection is closed fails nothing of what has come over it
            if isinstance(error, OpenAIRequestError) and error.status == RANGE_NOT_SATISFIABLE and before:
                sink.forget()  # the file ends before what has come of it
            elif (
                not isinstance(error, OpenAIOutcomeUnknownError)
                or sink.size == before
                or connections == MAX_CONNECTIONS
            ):
                raise
            elif not in_time():
                return False
        except _FileChangedError:
            if connections == MAX_CONNECTIONS:
                raise OpenAIOutcomeUnknownError("file_changes") from None
            sink.forget()
        else:
            return taken


def _from(download: Download, start: int, in_time: InTime) -> Iterator[bytes]:
    """The file from byte `start` on, wherever the server began: one that ignores ranges begins at the start."""
    passed_over = start - download.start
    if passed_over < 0:
        raise _FileChangedError
    for block in download.blocks():
        if passed_over < len(block):
            yield block[passed_over:]
            passed_over = 0
            continue
        passed_over -= len(block)
        if passed_over and not in_time():
            # Each invocation would read what is known already, and come no further.
            raise OpenAIOutcomeUnknownError("ranges_ignored")
    if passed_over:
        raise _FileChangedError


class _DiskFile:
    """A file on the disk, without a name: a sink of at most `room` bytes, and a source once it `is_whole`."""

    def __init__(self, scratch: Path, room: int, kept: "_KeptFile") -> None:
        self._scratch = scratch
        self._room = room
        self._kept = kept
        self._file: IO[bytes] | None = None
        self._has_line = False
        self.size = 0
        self.is_whole = False

    def expects(self, size: int | None) -> bool:
        return (size or 0) <= self._room

    def take(self, blocks: Iterable[bytes], in_time: InTime) -> bool:
        for block in blocks:
            # What holds no whole line yet cannot be kept: another invocation would come no further.
            if self.size + len(block) > self._room or (self._has_line and not in_time()):
                return False
            try:
                self._write(block)
            except OSError as error:
                if error.errno not in _DISK_IS_FULL:
                    raise
                return False
            self._has_line = self._has_line or b"\n" in block
        return True

    def _write(self, block: bytes) -> None:
        if self._file is None:
            self._file = TemporaryFile(dir=self._scratch, buffering=0)  # noqa: SIM115  # closed by `close`
        rest = memoryview(block)
        while rest:
            written = self._file.write(rest)  # a disk that is nearly full takes less
            self.size += written
            rest = rest[written:]

    def forget(self) -> None:
        self.close()
        self.size, self._has_line = 0, False

    def blocks(self) -> Iterator[bytes]:
        at = 0
        while at < self.size:
            block = self._read(at, BLOCK_BYTES)
            at += len(block)
            yield block

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        return [self._read(start, length) for start, length in places]

    def _read(self, start: int, length: int) -> bytes:
        assert self._file is not None  # noqa: S101  # something was written; tells the type checker
        return os.pread(self._file.fileno(), min(length, self.size - start), start)

    def addresses(self) -> None:
        return None

    def keep(self) -> None:
        """Move what has come to the work bucket, if that has nothing yet."""
        if not self._kept.is_begun:
            self._kept.take(self.blocks(), lambda: True, is_complete=self.is_whole)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _KeptFile:
    """A file in the work bucket, in parts: a sink without bounds, and a source once it `is_whole`.

    Each part has a name that nobody else gives. The progress names those that count, so that two processes which fetch
    the same file never mix theirs.
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
        """As a sink does; `is_complete` says whether the last block is the end of the file."""
        coming = _Coming(iter(blocks))

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
        if is_complete and not self.is_whole:  # there was nothing more to come
            self.is_whole = True
            self._save()
        return self.is_whole

    def _add_part(self, piece: bytes, pieces: Iterator[bytes], in_time: InTime) -> bytes | None:
        """Write a part that begins with this piece; the piece that is to follow it, None if there is none."""
        name = f"{len(self._parts):06d}.{self._context.new_token()}"
        noted = _NotedLines()
        after: bytes | None = piece
        with self._objects.writing(self._bucket, self._key(name), BYTES) as out:
            while after is not None:
                out.write(after)
                noted.add(after)
                after = next(pieces, None)
                if noted.size >= PART_BYTES or not in_time():
                    break
        self._objects.put(self._bucket, self._key(name) + ".lines", noted.to_bytes(), BYTES)
        self._parts.append((name, noted.size))
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
            yield _NotedLines.addresses(whole(self._objects, self._bucket, self._key(name) + ".lines"), start)
            start += size

    def read(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        starts = list(accumulate((size for _, size in self._parts), initial=0))
        found: dict[tuple[int, int], bytes] = {}
        for near in _neighbours(sorted(set(places)), starts):
            part = bisect_right(starts, near[0][0]) - 1
            begin, end = near[0][0], near[-1][0] + near[-1][1]
            key = self._key(self._parts[part][0])
            data = self._objects.read_range(self._bucket, key, begin - starts[part], end - starts[part])
            for start, length in near:
                found[start, length] = data[start - begin : start - begin + length]
        return [found[place] for place in places]

    def keep(self) -> None:
        """It is kept."""

    def close(self) -> None:
        """Nothing is open."""


class _Coming(Iterator[bytes]):
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


class _NotedLines:
    """The addresses of a part's lines: 24 bytes each, in three columns."""

    def __init__(self) -> None:
        self._rows, self._starts, self._lengths = (array("q") for _ in range(3))
        self.size = 0

    def add(self, data: bytes) -> None:
        lines, bare, rows = split_addressed(data)
        # What is no row's number in 63 bits is no row's number.
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
        """What was written down for a part that starts at this byte of the file."""
        width = len(data) // 3
        columns = [array("q", data[width * number : width * (number + 1)]) for number in range(3)]
        return Addresses(columns[0], [each + start for each in columns[1]], columns[2])


def _neighbours(places: Sequence[tuple[int, int]], starts: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
    """Places in order (start, length), parted into those that are read together: near enough, and of one part."""
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
