"""A process that works on one message over fakes on disk, and hangs in a call to OpenAI, to be killed there.

`python -m tests.schedules.victim <folder> <queue> <call>`: the folder has the message, the state of OpenAI and the
time. When the call hangs, the process creates the file `hangs`.
"""

import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dropbatch.collection.collect import collect
from dropbatch.entrypoints import bootstrap
from dropbatch.entrypoints.heartbeat import Heartbeat
from dropbatch.messages import BatchMessage
from dropbatch.submission.submit import submit
from tests.fakes import FakeClock, FakeContext, FakeDownload, FakeOpenAI
from tests.fakes.disk import DiskObjects, DiskTable


def disk_context(folder: Path, clock: FakeClock) -> FakeContext:
    """Return fakes over a folder. Queues, topics and OpenAI are new, and are lost with the process."""
    fake = FakeContext(folder / "scratch", clock=clock)
    fake.objects = DiskObjects(folder / "objects", clock)  # type: ignore[assignment]  # with the methods of the fake that tests use
    fake.table = DiskTable(folder / "table")  # type: ignore[assignment]  # as above
    return fake


class HangingOpenAI(FakeOpenAI):
    """OpenAI that hangs in an upload, or in the middle of a download."""

    def __init__(self, clock: FakeClock, folder: Path, call: str) -> None:
        super().__init__(clock)
        self._folder, self._call_to_hang = folder, call

    def upload(self, path: Path, name: str) -> str:
        if self._call_to_hang == "upload":
            self._hang()
        return super().upload(path, name)

    @contextmanager
    def streaming(self, file_id: str, start: int = 0) -> Iterator[Any]:
        with super().streaming(file_id, start) as whole:
            yield _HalfAFile(self._hang, whole)

    def _hang(self) -> None:
        (self._folder / "hangs").touch()
        time.sleep(3600)


class _HalfAFile:
    def __init__(self, hang: Any, whole: FakeDownload) -> None:
        self._hang, self._whole = hang, whole
        self.start, self.size = whole.start, whole.size

    def blocks(self) -> Iterator[bytes]:
        data = b"".join(self._whole.blocks())
        yield data[: len(data) // 2]
        self._hang()


def main(folder: Path, queue: str, call: str) -> None:
    now, message, held = pickle.loads((folder / "message").read_bytes())
    clock = FakeClock(now)
    fake = disk_context(folder, clock)
    fake.openai = HangingOpenAI(clock, folder, call)
    vars(fake.openai).update(held)
    bootstrap._context, bootstrap._SCRATCH = (lambda: fake.context), fake.scratch  # type: ignore[assignment]  # for one call
    here = bootstrap.build_context(lambda: 300_000)
    step = {"dispatch": submit, "collect": collect}[queue]
    with Heartbeat(here) as heart:
        step(replace(here, keeping=heart.keeping), BatchMessage.from_json(message))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
