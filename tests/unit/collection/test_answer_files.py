"""Answer files are downloaded in resumable steps, with the same lines for any size, time and server."""

import errno
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dropbatch.answers.output_files import AnswerLines
from dropbatch.collection import answer_files, bucket_file, disk_file
from dropbatch.collection.answer_files import fetch
from dropbatch.domain.batches import Batch
from dropbatch.domain.errors import OpenAIError, OpenAINotFoundError, OpenAIOutcomeUnknownError, OpenAIRequestError
from dropbatch.domain.jobs import Shard
from dropbatch.storage.job_files import JobFiles
from tests.answer_sources import Held
from tests.fakes import WORK, FakeContext, Killed, Killer

ROWS = 12
SHARD = Shard("job", 0, 1, 2, ROWS)
BATCH = Batch("job", 0, 0, "/v1/chat/completions", "m", requests=ROWS, tokens=0, created_at=0)


@dataclass
class Server:
    """A server of OpenAI's files, with or without ranges and sizes, over connections that break."""

    files: dict[str, bytes]
    honours_ranges: bool = True
    announces_size: bool = True
    block_bytes: int = 50
    breaks_after: Iterator[int] | None = None  # bytes, for each connection
    opened: list[tuple[str, int]] = field(default_factory=list)
    given_bytes: int = 0

    @contextmanager
    def streaming(self, file_id: str, start: int = 0) -> Iterator["Server._Download"]:
        self.opened.append((file_id, start))
        if file_id not in self.files:
            raise OpenAINotFoundError("no_file", 404)
        content = self.files[file_id]
        if self.honours_ranges and start and start >= len(content):
            raise OpenAIRequestError("http_416", 416)
        yield Server._Download(self, content, start if self.honours_ranges else 0)

    class _Download:
        def __init__(self, server: "Server", content: bytes, start: int) -> None:
            self._server, self._content, self.start = server, content, start
            self.size = len(content) if server.announces_size else None

        def blocks(self) -> Iterator[bytes]:
            server = self._server
            end = len(self._content)
            breaks = next(server.breaks_after, None) if server.breaks_after is not None else None
            if breaks is not None:
                end = min(end, self.start + breaks)
            for at in range(self.start, end, server.block_bytes):
                block = self._content[at : min(at + server.block_bytes, end)]
                server.given_bytes += len(block)
                yield block
            if breaks is not None and end < len(self._content):
                raise OpenAIOutcomeUnknownError("broken")


def line(row: int, size: int = 30) -> bytes:
    return json.dumps({"custom_id": str(row), "text": "x" * size}).encode()


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_file, "PART_BYTES", 200)
    monkeypatch.setattr(bucket_file, "MAX_GAP_BYTES", 100)
    monkeypatch.setattr(bucket_file, "MAX_READ_BYTES", 300)


def fetched(
    fake: FakeContext, in_time: Callable[[], bool] = lambda: True, output: str | None = "out", errors: str | None = None
) -> AnswerLines | None:
    return fetch(fake.context, JobFiles(fake.context.objects, WORK, "job"), SHARD, BATCH, output, errors, in_time)


def in_the_end(fake: FakeContext, server: Server, chance: random.Random, errors: str | None = None) -> AnswerLines:
    """Call repeatedly with little time until the files are complete. After twenty calls nothing fails any more."""
    for calls in range(30):
        if calls == 20:
            server.breaks_after = None
        try:
            answers = fetched(fake, lambda calls=calls: calls >= 20 or chance.random() < 0.8, "out", errors)  # type: ignore[misc]
        except OpenAIOutcomeUnknownError:
            continue
        if answers is not None:
            return answers
    raise AssertionError("it never comes to an end")


def no_room(monkeypatch: pytest.MonkeyPatch, room: int = 0) -> None:
    monkeypatch.setattr(answer_files, "_room", lambda _: room)


ALL = range(1, ROWS + 1)
SIZES = st.lists(st.integers(0, 400), min_size=ROWS, max_size=ROWS)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=SIZES,
    order=st.permutations(ALL),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    traits=st.builds(dict, honours_ranges=st.booleans(), announces_size=st.booleans(), block_bytes=st.integers(1, 700)),
    room=st.integers(0, 3000),
    held_bytes=st.sampled_from([0, 10**9]),
    seed=st.integers(0, 2**32),
    split=st.integers(0, ROWS),
)
def test_lines_are_the_same_whatever_the_time_the_disk_and_the_server(
    sizes: list[int],
    order: list[int],
    line_end: bytes,
    traits: dict[str, Any],
    room: int,
    held_bytes: int,
    seed: int,
    split: int,
    tmp_path: Path,
) -> None:
    dice = random.Random(seed)
    lines = [line(row, sizes[row - 1]) for row in order]
    lines.insert(dice.randrange(len(lines)), dice.choice([b"", b"no json", line(99), lines[0], line(order[0], 7)]))
    files = {"out": line_end.join(lines[:split]), "err": line_end.join([*lines[split:], b""])}
    fake = FakeContext(tmp_path)
    server = Server(files, breaks_after=iter(lambda: dice.choice([0, 90, 600, 5000]), -1), **traits)
    fake.openai = server  # type: ignore[assignment]
    with AnswerLines(1, ROWS, held_bytes) as expected, pytest.MonkeyPatch.context() as patch:
        expected.read(Held(files["out"]))
        expected.read(Held(files["err"]))
        no_room(patch, room)
        patch.setattr(AnswerLines.__init__, "__defaults__", (held_bytes,))
        with in_the_end(fake, server, dice, "err") as answers:
            assert answers.lines(ALL) == expected.lines(ALL)
            assert sorted(answers.others()) == sorted(expected.others())
            for name in ("found", "repeated", "unmatched", "without_id"):
                assert getattr(answers, name) == getattr(expected, name)


CONTENT = b"\n".join(map(line, ALL))


def test_a_small_file_goes_over_the_disk_and_leaves_nothing_there(fake: FakeContext) -> None:
    fake.openai = Server({"out": CONTENT})  # type: ignore[assignment]
    with fetched(fake) or pytest.fail("there was time") as answers:
        assert answers.lines(ALL) == list(map(line, ALL))
        assert list(fake.scratch.iterdir()) == [], "a killed process would leave it"
    assert fake.openai.opened == [("out", 0)]
    assert fake.objects.keys(WORK) == []


def test_a_large_file_is_never_in_memory_or_on_the_disk(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the addresses of its lines stay in memory, and nothing goes to a full disk."""
    no_room(monkeypatch, 100)
    monkeypatch.setattr(AnswerLines.__init__, "__defaults__", (0,))
    monkeypatch.setattr(disk_file, "TemporaryFile", lambda **_: pytest.fail("the disk has no room"))
    fake.openai = Server({"out": CONTENT})  # type: ignore[assignment]
    with fetched(fake) or pytest.fail("there was time") as answers:
        assert [held for held in answers._held if held is not None] == []
        assert answers.lines([3, 4, 9]) == [line(3), line(4), line(9)]
    parts = [key for key in fake.objects.keys(WORK) if "/output/" in key and not key.endswith(".lines")]
    assert len(parts) > 2
    contents = [fake.objects.content(WORK, key) for key in parts]
    assert b"".join(contents) == CONTENT
    assert all(content.endswith(b"\n") for content in contents[:-1]), "a line lies in one part"
    assert max(map(len, contents)) < 400


def test_adjacent_lines_are_read_together(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    no_room(monkeypatch)
    monkeypatch.setattr(AnswerLines.__init__, "__defaults__", (0,))
    monkeypatch.setattr(bucket_file, "PART_BYTES", 10_000)
    monkeypatch.setattr(bucket_file, "MAX_READ_BYTES", 10_000)
    killer = Killer()
    fake = FakeContext(fake.scratch, killer=killer)
    fake.openai = Server({"out": CONTENT})  # type: ignore[assignment]
    with fetched(fake) or pytest.fail("there was time") as answers:
        killer.calls.clear()
        assert answers.lines([1, 2, 3, 4, 11, 12]) == [line(row) for row in (1, 2, 3, 4, 11, 12)]
        assert killer.calls == ["objects.read_range"] * 2


def test_every_call_progresses_though_time_runs_out_each_time(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server({"out": CONTENT}, block_bytes=40)
    fake.openai = server  # type: ignore[assignment]
    calls = 0
    while (answers := fetched(fake, lambda: False)) is None:
        calls += 1
        assert calls < 100
    with answers:
        assert answers.lines(ALL) == list(map(line, ALL))
    assert calls > 3
    assert server.given_bytes < 3 * len(CONTENT), "what came is not asked for again"


def test_a_complete_file_in_the_work_bucket_is_not_downloaded_again(
    fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server({"out": CONTENT, "err": line(5)})
    fake.openai = server  # type: ignore[assignment]
    with fetched(fake) or pytest.fail("there was time") as answers:
        answers.keep()
    server.files.clear()
    server.opened.clear()
    for room in (0, 10**6):
        no_room(monkeypatch, room)
        with fetched(fake) or pytest.fail("there was time") as answers:
            assert answers.lines(ALL) == list(map(line, ALL))
    assert server.opened == []


def test_a_file_that_is_gone_is_reported_and_does_not_affect_the_other(fake: FakeContext) -> None:
    server = Server({"out": CONTENT})
    fake.openai = server  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(OpenAINotFoundError):
            fetched(fake, errors="gone")
    with fetched(fake) or pytest.fail("there was time") as answers:
        assert answers.found == ROWS
    assert server.opened == [("out", 0), ("gone", 0), ("gone", 0)]


@pytest.mark.parametrize("room", [0, 10**6])
def test_a_download_resumes_where_its_connection_broke(
    fake: FakeContext, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch, room)
    server = Server({"out": CONTENT}, breaks_after=iter([300, 150, 10**6]))
    fake.openai = server  # type: ignore[assignment]
    with fetched(fake) or pytest.fail("there was time") as answers:
        assert answers.lines(ALL) == list(map(line, ALL))
    starts = [start for _, start in server.opened if start]
    assert len(starts) == 2
    assert starts[0] > 200


@pytest.mark.parametrize("room", [0, 10**6])
def test_a_connection_error_after_the_last_byte_is_ignored(
    fake: FakeContext, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch, room)
    server = Server({"out": CONTENT})
    streaming = server.streaming

    @contextmanager
    def failing_in_the_end(file_id: str, start: int = 0) -> Iterator["Server._Download"]:
        with streaming(file_id, start) as download:
            yield download
        raise OpenAIOutcomeUnknownError("http_500")

    monkeypatch.setattr(server, "streaming", failing_in_the_end)
    fake.openai = server  # type: ignore[assignment]
    with fetched(fake) or pytest.fail("there was time") as answers:
        assert answers.lines(ALL) == list(map(line, ALL))
    assert server.given_bytes == len(CONTENT)


def test_a_connection_that_always_breaks_is_an_error_and_its_bytes_are_kept(fake: FakeContext) -> None:
    server = Server({"out": CONTENT}, breaks_after=iter([300, 0]))
    fake.openai = server  # type: ignore[assignment]
    with pytest.raises(OpenAIOutcomeUnknownError):
        fetched(fake)
    server.breaks_after = None
    with fetched(fake) or pytest.fail("there was time") as answers:
        assert answers.lines(ALL) == list(map(line, ALL))
    assert 200 < server.opened[-1][1] <= 300


def test_a_slow_server_that_ignores_ranges_is_an_error(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    no_room(monkeypatch)
    fake.openai = Server({"out": CONTENT}, honours_ranges=False)  # type: ignore[assignment]
    left = iter([True] * 8)
    assert fetched(fake, lambda: next(left, False)) is None
    with pytest.raises(OpenAIOutcomeUnknownError, match="ranges_ignored"):
        fetched(fake, lambda: False)
    with fetched(fake) or pytest.fail("there was time") as answers:  # with more time it continues
        assert answers.lines(ALL) == list(map(line, ALL))


@pytest.mark.parametrize("honours_ranges", [True, False])
@pytest.mark.parametrize(("length", "announces_size"), [(100, True), (100, False), (450, True)])
def test_a_file_that_changed_meanwhile_is_downloaded_from_its_start(
    length: int, announces_size: bool, honours_ranges: bool, fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch)
    server = Server({"out": CONTENT}, honours_ranges, announces_size)
    fake.openai = server  # type: ignore[assignment]
    left = iter([True] * 6)
    assert fetched(fake, lambda: next(left, False)) is None
    server.files["out"] = b"\n".join(line(row, 8) for row in reversed(ALL))[:length]
    with AnswerLines(1, ROWS) as expected, in_the_end(fake, server, random.Random(1)) as answers:
        expected.read(Held(server.files["out"]))
        assert answers.lines(ALL) == expected.lines(ALL)


@pytest.mark.parametrize("free", [0, 1, 300, 500])
def test_a_disk_that_fills_up_unexpectedly_is_avoided(
    free: int, fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = disk_file.TemporaryFile

    class Full:
        def __init__(self, **more: Any) -> None:
            self._file: IO[bytes] = real(**more)

        def write(self, data: memoryview) -> int:
            taken = min(len(data), free - self._file.tell())
            if not taken:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self._file.write(data[:taken])

        def fileno(self) -> int:
            return self._file.fileno()

        def close(self) -> None:
            self._file.close()

    monkeypatch.setattr(disk_file, "TemporaryFile", Full)
    server = Server({"out": CONTENT})
    fake.openai = server  # type: ignore[assignment]
    with fetched(fake) or pytest.fail("there was time") as answers:
        assert answers.lines(ALL) == list(map(line, ALL))
    assert server.given_bytes < 2 * len(CONTENT)


def test_another_error_of_the_disk_is_raised(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> IO[bytes]:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk_file, "TemporaryFile", broken)
    fake.openai = Server({"out": CONTENT})  # type: ignore[assignment]
    with pytest.raises(OSError, match="Input/output"):
        fetched(fake)


def test_the_room_depends_on_the_free_disk_and_the_time(fake: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(size: int) -> None:
        usage: Sequence[int] = (0, 0, size)
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": usage[2]}))

    free(10 * 10**9)
    assert 4 * 10**9 < answer_files._room(fake.context) < 6 * 10**9, "what fits the time is less"
    fake.seconds_left = lambda: -1.0
    assert answer_files._room(fake.context) == 0
    fake.seconds_left = lambda: 300.0
    free(10**9)
    assert 10**8 < answer_files._room(fake.context) < 10**9
    free(10**8)
    assert answer_files._room(fake.context) == 0


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n\r\n"])
@pytest.mark.parametrize("room", [0, 10**6])
def test_an_empty_file_is_complete(
    content: bytes, room: int, fake: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch, room)
    server = Server({"out": content, "err": CONTENT})
    fake.openai = server  # type: ignore[assignment]
    with fetched(fake, errors="err") or pytest.fail("there was time") as answers:
        assert (answers.found, answers.unmatched) == (ROWS, 0)
        answers.keep()
    server.files.clear()
    with fetched(fake, errors="err") or pytest.fail("there was time") as answers:
        assert answers.found == ROWS


def test_a_kill_anywhere_loses_at_most_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_room(monkeypatch, 300)
    monkeypatch.setattr(AnswerLines.__init__, "__defaults__", (0,))
    point = 0
    while True:
        killer = Killer()
        fake = FakeContext(tmp_path, killer=killer)
        server = Server({"out": CONTENT, "err": line(99)})
        fake.openai = server  # type: ignore[assignment]
        killer.points = {point}
        with suppress(Killed), fetched(fake, errors="err") or pytest.fail("there was time"):
            if point > 2 * len(killer.calls):
                break
        killer.points = set()
        before = server.given_bytes
        with fetched(fake, errors="err") or pytest.fail("there was time") as answers:
            assert answers.lines(ALL) == list(map(line, ALL))
            assert answers.unmatched == 1
        assert server.given_bytes - before <= len(CONTENT) + 100
        point += 1
    assert point > 30


def test_two_downloads_of_the_same_file_do_not_mix_their_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that seemed dead may continue. Its late writes do not change the answers."""
    no_room(monkeypatch)
    monkeypatch.setattr(AnswerLines.__init__, "__defaults__", (0,))
    for number in range(40):
        killer = Killer()
        fake = FakeContext(tmp_path, killer=killer)
        server = Server({"out": CONTENT}, block_bytes=30 + number)
        fake.openai = server  # type: ignore[assignment]
        dice = random.Random(number)

        def other(fake: FakeContext = fake, dice: random.Random = dice) -> None:
            answers = fetched(fake, lambda: dice.random() < 0.8)
            if answers is not None:
                answers.__exit__(None, None, None)

        killer.intrusions = {number: other, number + 5: other}
        with in_the_end(fake, server, dice) as answers:
            assert answers.lines(ALL) == list(map(line, ALL))


@pytest.mark.parametrize("error", [OpenAIRequestError("no", 400), OpenAIError("what")])
def test_another_answer_of_openai_is_raised_to_the_caller(error: OpenAIError, fake: FakeContext) -> None:
    class Refusing(Server):
        def streaming(self, file_id: str, start: int = 0) -> Any:
            raise error

    fake.openai = Refusing({})  # type: ignore[assignment]
    with pytest.raises(type(error)):
        fetched(fake)
