"""The mirror has the newest run's answers, even if processes are killed, overtaken or paused at any call."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dropbatch.delivery.mirror import Answers, mirror
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import Mirror
from dropbatch.storage.mirror_keys import mirror_key
from tests.fakes import INBOX, RESULTS, FakeContext, Killed, Killer

KEY = "shop/a.csv"
TARGET = "_answers/shop/a.csv"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a.csv", "_answers/a.csv"),
        ("lake/dt=1/a.parquet", "_answers/lake/dt=1/a.parquet"),
        ("x/a.jsonl.gz", "_answers/x/a.jsonl.gz"),
        ("x/a.NDJSON", "_answers/x/a.NDJSON"),
        ("x/a.txt", "_answers/x/a.txt.csv"),
        ("x/a.TXT.ZST", "_answers/x/a.TXT.csv.ZST"),
        ("x/a.txt.csv", "_answers/x/a.txt.csv.csv"),
        ("x/a.txt.csv.csv.gz", "_answers/x/a.txt.csv.csv.csv.gz"),
        ("x/a.txt.tsv", "_answers/x/a.txt.tsv"),
        ("x.txt/a.csv", "_answers/x.txt/a.csv"),
    ],
)
def test_a_mirror_is_under_the_drops_own_key(key: str, expected: str) -> None:
    assert mirror_key(key) == expected


def job(number: int, **other: Any) -> Job:
    """Return the job of a run of one version of the drop. The third was requested last."""
    drop = Drop(INBOX, KEY, "v", 0, sequencer=other.pop("sequencer", "00A1"))
    members = {"created_at": 100 + number, "requested_at": 100 + number, "run": number, **other}
    return Job(id=f"job-{number}", drop=drop, mirror=TARGET, **members)


class Runs:
    """Three runs of a key, with answers that can be mirrored."""

    def __init__(self, folder: Path, answers: tuple[bytes, bytes, bytes] = (b"one", b"two", b"three")) -> None:
        self.fake = FakeContext(folder, killer=Killer())
        for number, data in enumerate(answers, 1):
            self.fake.objects.put(RESULTS, f"answers-{number}", data, "text/csv")

    def mirror(self, number: int, **other: Any) -> bool:
        context = self.fake.context
        answers = Answers(f"answers-{number}", "text/csv")
        return mirror(context, job(number, **other), answers, lambda: True)

    @property
    def content(self) -> bytes:
        return self.fake.objects.content(RESULTS, TARGET)

    @property
    def item(self) -> Mirror:
        found = self.fake.context.repository.reload(Mirror(INBOX, KEY, "", "", 0, 0))
        assert found is not None
        return found


def test_a_newer_run_replaces_an_older_one_and_never_the_other_way_round(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for number, content in ((1, b"one"), (3, b"three"), (2, b"three"), (1, b"three")):
        assert runs.mirror(number)
        assert runs.content == content
    assert (runs.item.job_id, runs.item.run, runs.item.is_written) == ("job-3", 3, True)


def test_the_mirror_has_the_newer_version_of_a_drop_in_any_order_of_acceptance(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.mirror(2, sequencer="00A2", requested_at=100)
    assert runs.mirror(3, sequencer="00A1", requested_at=200, run=9)  # a large file, or a second request
    assert runs.content == b"two"
    assert runs.mirror(1, sequencer="00A3", requested_at=50)
    assert runs.content == b"one"


def test_runs_of_versions_without_events_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.mirror(2, sequencer="")
    assert runs.mirror(1)
    assert runs.content == b"two"
    assert runs.mirror(3, requested_at=102)  # in the same second, but accepted later
    assert runs.content == b"three"


def test_a_mirrored_run_is_not_written_again(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.mirror(1)
    version = runs.fake.objects.head(RESULTS, TARGET).version_id
    assert runs.mirror(1)
    assert runs.fake.objects.head(RESULTS, TARGET).version_id == version


def test_a_foreign_object_in_the_mirror_is_replaced(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.fake.objects.put(RESULTS, TARGET, b"by hand", "text/csv")
    assert runs.mirror(1)
    assert runs.content == b"one"


def test_a_job_ends_though_somebody_deleted_its_answers(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.mirror(1)
    runs.fake.objects.remove(RESULTS, "answers-2")
    assert runs.mirror(2)
    assert runs.content == b"one"


def calls_of(folder: Path, before: int | None, answers: tuple[bytes, bytes, bytes], number: int) -> Killer:
    runs = Runs(folder, answers)
    if before is not None:
        runs.mirror(before)
    killer = runs.fake.killer
    assert killer is not None
    killer.calls.clear()
    runs.mirror(number)
    return killer


ALIKE = [(b"one", b"two", b"three"), (b"same", b"other", b"same")]
"""Answers of the three runs. Content that comes back has the same ETag as before."""


@pytest.mark.parametrize("before", [None, 1])
@pytest.mark.parametrize("answers", ALIKE)
def test_a_process_killed_at_any_call_leaves_one_whole_run_and_the_next_one_ends_it(
    tmp_path: Path, before: int | None, answers: tuple[bytes, bytes, bytes]
) -> None:
    points = 2 * len(calls_of(tmp_path, before, answers, 2).calls)
    assert points > 10
    for point in range(points):
        runs = Runs(tmp_path, answers)
        if before is not None:
            runs.mirror(before)
        killer = runs.fake.killer
        assert killer is not None
        killer.calls.clear()
        killer.points = {point}
        with suppress(Killed):  # a call that raises has no point after it
            runs.mirror(2)
        if before is not None:
            assert runs.content in answers[:2]
        killer.points = set()
        assert runs.mirror(2)
        assert runs.content == answers[1]
        assert runs.item.is_written


@pytest.mark.parametrize("before", [None, 1])
@pytest.mark.parametrize("answers", ALIKE)
def test_a_process_that_pauses_at_any_call_while_a_newer_run_is_mirrored_never_replaces_it(
    tmp_path: Path, before: int | None, answers: tuple[bytes, bytes, bytes]
) -> None:
    calls = len(calls_of(tmp_path, before, answers, 2).calls)
    for place in range(calls):
        runs = Runs(tmp_path, answers)
        if before is not None:
            runs.mirror(before)
        killer = runs.fake.killer
        assert killer is not None
        killer.calls.clear()
        killer.intrusions = {place: lambda runs=runs: runs.mirror(3)}  # type: ignore[misc, dict-item]  # of this round
        assert runs.mirror(2)
        assert runs.content == answers[2], f"overtaken before call {place}"
        assert (runs.item.job_id, runs.item.is_written) == ("job-3", True)


@pytest.mark.parametrize("answers", ALIKE)
def test_a_newer_run_that_pauses_at_any_call_while_an_older_one_is_mirrored_wins(
    tmp_path: Path, answers: tuple[bytes, bytes, bytes]
) -> None:
    calls = len(calls_of(tmp_path, 1, answers, 3).calls)
    for place in range(calls):
        runs = Runs(tmp_path, answers)
        runs.mirror(1)
        killer = runs.fake.killer
        assert killer is not None
        killer.calls.clear()
        killer.intrusions = {place: lambda runs=runs: runs.mirror(2)}  # type: ignore[misc, dict-item]  # of this round
        assert runs.mirror(3)
        assert runs.content == answers[2], f"met before call {place}"


@pytest.mark.slow
def test_an_older_run_that_is_killed_while_a_newer_one_waits_is_replaced(tmp_path: Path) -> None:
    """Each of two processes is stopped permanently or for a while, at any pair of calls."""
    answers = ALIKE[0]
    calls = len(calls_of(tmp_path, 1, answers, 2).calls)
    for killed in range(2 * calls):
        for place in range(calls):
            runs = Runs(tmp_path, answers)
            runs.mirror(1)
            killer = runs.fake.killer
            assert killer is not None
            killer.calls.clear()

            def older(runs: Runs = runs, killer: Killer = killer, killed: int = killed) -> None:
                killer.points = {2 * len(killer.calls) + killed}
                with suppress(Killed):
                    runs.mirror(2)
                killer.points = set()

            killer.intrusions = {place: older}
            assert runs.mirror(3)
            assert runs.content == answers[2]


def test_gigabytes_take_as_many_invocations_as_they_need(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    context = runs.fake.context
    begun: list[object] = []

    class Slow:
        """An S3 client that copies a third at a time."""

        def __getattr__(self, name: str) -> object:
            return getattr(runs.fake.objects, name)

        def join(self, *args: object) -> object:
            begun.append(args[5])
            return None if len(begun) > 3 else {"part": len(begun)}

    context = replace(context, objects=Slow())
    done = [mirror(context, job(1), Answers("answers-1", "text/csv"), lambda: False) for _ in "123"]
    assert done == [False, False, False]
    assert begun == [None, {"part": 1}, {"part": 2}]
