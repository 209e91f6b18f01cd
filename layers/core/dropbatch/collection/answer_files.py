"""Fetches a batch's answer files in steps, however large they are and however little time there is.

A file that fits goes onto the disk. If it does not fit the disk or the time, or the disk is full earlier than it said,
its bytes go into the work bucket, and the next invocation requests only the rest from OpenAI. OpenAI is never asked
for a file that is whole in the work bucket: it is copied to the disk if it fits, else read in place.

After a failed try the bytes always go into the work bucket first: OpenAI may delete its file before collecting works.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Protocol

from dropbatch.answers.output_files import AnswerLines, Source
from dropbatch.collection.bucket_file import BucketFile
from dropbatch.collection.disk_file import DiskFile
from dropbatch.collection.handover import InTime
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import OpenAIError, OpenAIOutcomeUnknownError, OpenAIRequestError
from dropbatch.domain.jobs import Shard
from dropbatch.ports import Download
from dropbatch.storage.context import Context
from dropbatch.storage.job_files import JobFiles

MIN_FREE_DISK_BYTES = 268_435_456
"""How much of the disk stays free for other files."""

DISK_BYTES_PER_SECOND = 16_777_216
"""How much may be on the disk for each second that is left. If time runs out, HANDOVER_SECONDS are enough to move it to
the work bucket, at some 50 MB/s."""

MAX_CONNECTIONS = 10
"""How many connections an invocation opens for one file, if they break."""

RANGE_NOT_SATISFIABLE = 416


def fetch(
    context: Context,
    files: JobFiles,
    shard: Shard,
    batch: Batch,
    output_file_id: str | None,
    error_file_id: str | None,
    in_time: InTime,
) -> AnswerLines | None:
    """Return the lines of a batch's answer files, which the caller closes; None if time ran out: call again.

    Raises OpenAI's error if it does not give a file (OpenAINotFoundError if the file is gone). The bytes that came
    before are kept.
    """
    progress = files.fetched(batch)
    failed_before = bool(batch.failed_at or batch.kill_count)
    with ExitStack() as stack:
        sources: list[Source] = []
        try:
            for name, file_id in (("output", output_file_id), ("errors", error_file_id)):
                if file_id is not None:
                    kept = BucketFile(context, files, batch, name, file_id, progress)
                    source = _fetched(context, kept, in_time, must_keep=failed_before)
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
        stack.pop_all()  # `answers` closes them from here on
        return answers


class _TimeIsUpError(Exception):
    """Time is up: the bytes that came are kept, and another invocation fetches the rest."""


class _FileChangedError(Exception):
    """A file is not the one that an earlier part is of."""


def _fetched(context: Context, kept: BucketFile, in_time: InTime, *, must_keep: bool) -> Source:
    """Return one of the files, whole. Raises _TimeIsUpError if that takes another invocation."""
    if not kept.is_begun and not must_keep:
        with ExitStack() as stack:
            disk = DiskFile(context.scratch, _room(context), kept)
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
        disk = DiskFile(context.scratch, _room(context), kept)
        stack.callback(disk.close)
        if disk.expects(kept.size) and disk.take(kept.blocks(), lambda: True):
            stack.pop_all()
            return disk
    return kept


def _room(context: Context) -> int:
    """Return how many bytes may be on the disk."""
    free = shutil.disk_usage(context.scratch).free - MIN_FREE_DISK_BYTES
    return max(0, min(free, int(context.seconds_left() * DISK_BYTES_PER_SECOND)))


class _Sink(Protocol):
    """A place for a file, which comes block by block and over several connections."""

    @property
    def size(self) -> int: ...

    def expects(self, size: int | None) -> bool:
        """Return whether a file of this size fits; None is an unknown size."""
        ...

    def take(self, blocks: Iterable[bytes], in_time: InTime) -> bool:
        """Take the next blocks; return True at the end of the file, False if the sink is full or time is up.

        It takes at least one line, however little time there is. If the blocks break off, it has those before.
        """
        ...

    def forget(self) -> None: ...


def _stream(context: Context, file_id: str, sink: _Sink, in_time: InTime) -> bool:
    """Stream the rest of a file into a sink; return the result of its `take`."""
    connections = 0
    while True:
        before, connections = sink.size, connections + 1
        taken: bool | None = None
        try:
            with context.openai.streaming(file_id, before) as download:
                taken = sink.expects(download.size) and sink.take(_from(download, sink.size, in_time), in_time)
        except OpenAIError as error:
            if taken is not None:
                return taken  # an error while the connection closes spoils no byte that came over it
            if isinstance(error, OpenAIRequestError) and error.status == RANGE_NOT_SATISFIABLE and before:
                sink.forget()  # the file ends before the bytes that came: it is another one
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
    """Yield the file from byte `start` on. A server that ignores ranges begins at byte 0."""
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
            # Each invocation would read the same bytes, and none would come further.
            raise OpenAIOutcomeUnknownError("ranges_ignored")
    if passed_over:
        raise _FileChangedError
