"""A real process, killed by SIGKILL in an upload or a download: no `finally` runs, no file is closed.

The next process finds its lease and its files, and continues.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from dropbatch.domain.states import JobState
from dropbatch.entrypoints import bootstrap
from dropbatch.polling.poll import poll
from dropbatch.storage.context import Context
from tests.driving import KILLED_HIDDEN_SECONDS, RECIPE, Ending, deliver_next, drop, finish, only_job, rows
from tests.fakes import FakeClock, FakeContext, FakeMessage, FakeQueue
from tests.fakes.disk import DiskObjects
from tests.schedules.victim import disk_context

TAKEN_OVER_SECONDS = 120
"""A job ends within this time after a kill: 40 s until the message is visible again, and a poll for the next steps."""

HELD = ("files", "batches", "_projects_of", "_inputs", "_metadata", "_endpoints", "_history")
"""The state of OpenAI, which another process must know."""


class DiskContext:
    """Fakes on disk, whose functions start as the deployed ones do."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        (folder / "scratch").mkdir()
        self.fake = disk_context(folder, FakeClock())
        plain = type(self.fake).context.fget  # type: ignore[attr-defined]  # a property
        monkeypatch.setattr(bootstrap, "_SCRATCH", self.fake.scratch)
        monkeypatch.setattr(bootstrap, "_context", lambda: plain(self.fake))

        class Begun(FakeContext):
            @property
            def context(self) -> Context:
                return bootstrap.build_context(lambda: 300_000)

        self.fake.__class__ = Begun

    def kill_in(self, queue: str, call: str) -> None:
        """Let another process work on the next message of the queue, and kill it in the call."""
        its: FakeQueue = getattr(self.fake, queue)
        message = its.receive()
        assert isinstance(message, FakeMessage)
        held = {name: vars(self.fake.openai)[name] for name in HELD}
        (self.folder / "message").write_bytes(pickle.dumps((self.fake.clock.now, message.body, held)))
        victim = subprocess.Popen(
            [sys.executable, "-m", "tests.schedules.victim", str(self.folder), queue, call],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
        )
        try:
            until = time.monotonic() + 60
            while not (self.folder / "hangs").exists():
                assert victim.poll() is None, ((victim.stderr and victim.stderr.read()) or b"").decode()
                assert time.monotonic() < until, "it never came to the call"
                time.sleep(0.02)
        finally:
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
        self.fake.objects = DiskObjects(self.folder / "objects", self.fake.clock)  # type: ignore[assignment]  # as it is now
        finish(self.fake, queue, message, Ending.KILLED)


@pytest.mark.parametrize(("queue", "call"), [("dispatch", "upload"), ("collect", "streaming")])
def test_another_process_takes_over_from_a_killed_one_within_two_minutes(
    queue: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DiskContext(tmp_path, monkeypatch)
    fake = disk.fake
    fake.objects.drop("recipe.yaml", RECIPE)
    drop(fake, "a.csv", rows(5))
    while not getattr(fake, queue).waiting():
        if not any(deliver_next(fake, name) for name in ("intake", "dispatch")):
            poll(fake.context)
    disk.kill_in(queue, call)
    if call == "upload":
        assert list(fake.scratch.iterdir()), "its request file is left"
    killed_at = fake.clock.now
    fake.clock.sleep(KILLED_HIDDEN_SECONDS)
    while only_job(fake).state is not JobState.SUCCEEDED:
        assert fake.clock.now < killed_at + TAKEN_OVER_SECONDS, only_job(fake).state
        while any(deliver_next(fake, name) for name in ("intake", "dispatch", "collect")):
            pass
        poll(fake.context)
        fake.clock.sleep(10)
    assert Counter(fake.openai.paid_answers().values()) == {1: 5}
    assert list(fake.scratch.iterdir()) == []
