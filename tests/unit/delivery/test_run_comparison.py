"""Fingerprints of answers, and the comparison of runs by them; over fakes."""

from array import array
from collections import Counter
from typing import Any

import orjson
import pytest

from dropbatch.delivery import run_comparison
from dropbatch.delivery.run_comparison import compare
from dropbatch.domain.comparisons import Comparison
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.runs import LatestJob
from dropbatch.ports import BYTES
from dropbatch.storage.fingerprints import (
    Head,
    fingerprints,
    head_of,
    keep_head,
    named,
    piece_key,
    read_rows,
    row_fingerprints,
)
from tests.fakes import INBOX, WORK, FakeContext


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("5", 5, False),
        (5, orjson.Fragment(b"5.0"), True),
        (orjson.Fragment(b"1.50"), orjson.Fragment(b"15e-1"), True),
        (orjson.Fragment(b"1.5"), orjson.Fragment(b"1.6"), False),
        (2**70, 2**70 + 1, False),
        (True, "true", False),
        (None, "", False),
        (orjson.Fragment(b'{"a":1, "b":[2]}'), {"b": [2], "a": 1}, True),
        (["a", "b"], ["b", "a"], False),
        ("\ud800", "\ud801", False),
    ],
)
def test_equal_values_have_equal_fingerprints_however_they_are_written(one: Any, other: Any, same: bool) -> None:
    assert (fingerprints([one]) == fingerprints([other])) is same
    assert fingerprints([one, "a", 1]) == [*fingerprints([one]), *fingerprints(["a"]), *fingerprints([1])]


def test_no_value_has_the_fingerprint_of_no_answer() -> None:
    assert fingerprints([""]) == [1], "the checksum of nothing is 0"
    assert row_fingerprints([["", "a"], ["b", "c"]]) == [
        array("I", [1, *fingerprints(["b"])]).tobytes(),
        array("I", [*fingerprints(["a"]), *fingerprints(["c"])]).tobytes(),
    ]


def test_values_are_named_by_their_fingerprints() -> None:
    assert named({"flagged": [True, False]}, "flagged") == dict(
        zip(fingerprints([True, False]), ("true", "false"), strict=True)
    )
    assert named({}, "flagged") == {}


KINDS = ["a", "b", "c"]


def keep(fake: FakeContext, job_id: str, answers: list[Any], pieces: list[int], **members: Any) -> Head:
    """Keep the fingerprints of rows, cut after these. None is a row without an answer."""
    keys = []
    for number, (start, end) in enumerate(zip([0, *pieces], [*pieces, len(answers)], strict=True)):
        keys.append(piece_key(job_id, number, "t"))
        data = b"".join(row_fingerprints([[row]])[0] if row is not None else bytes(4) for row in answers[start:end])
        fake.context.objects.put(WORK, keys[-1], data, BYTES)
    given = {"columns": ["kind"], "values": {"kind": KINDS}, "version_id": "v", "content": None, "limit": None}
    head = Head(**{**given, "rows": len(answers), "pieces": keys, **members})
    keep_head(fake.context, job_id, head)
    return head


def compared(fake: FakeContext, own: Head, in_time: Any = lambda: True) -> Comparison | None:
    job = Job("two", Drop(INBOX, "a.csv", own.version_id, 0), 0, run=2)
    return compare(fake.context, job, own, in_time)


@pytest.fixture
def finished(fake: FakeContext) -> None:
    """Record a first run that has finished, and a third one."""
    assert fake.context.repository.add(LatestJob(INBOX, "a.csv", "two", runs=3, finished={"one": 1, "three": 3}))


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_rows_are_counted_alike_in_chunks_of_any_size(
    fake: FakeContext, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_comparison, "CHUNK_ROWS", chunk)
    before = ["a", "a", "b", None, "c", "a", None, "b", "b"]
    after = ["a", "b", "b", "a", None, "b", None, "c", "b"]
    keep(fake, "one", before, [4, 5])
    found = compared(fake, keep(fake, "two", after, [1, 8]))
    assert found is not None
    assert (found.job_id, found.run, found.rows, found.answered, found.unanswered) == ("one", 1, 6, 1, 1)
    (column,) = found.columns
    assert (column.name, column.rows, column.first_row) == ("kind", 3, 2)
    assert Counter({(old, new): rows for old, new, rows in column.moves}) == {("a", "b"): 2, ("b", "c"): 1}


def test_fingerprints_are_read_column_by_column(fake: FakeContext) -> None:
    columns = [["a", "b", "c"], ["d", "e", "f"]]
    fake.context.objects.put(WORK, piece_key("one", 0, "t"), b"".join(row_fingerprints(columns)), BYTES)
    head = Head(["x", "y"], {}, 3, "v", None, None, [piece_key("one", 0, "t")])
    keep_head(fake.context, "one", head)
    assert head_of(fake.context, "one") == head
    assert [[list(column) for column in columns] for columns in read_rows(fake.context, head, 2)] == [
        [fingerprints(["a", "b"]), fingerprints(["d", "e"])],
        [fingerprints(["c"]), fingerprints(["f"])],
    ]


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    ("before", "after", "same_file"),
    [
        ({"version_id": "u", "content": "x"}, {"content": "x"}, True),
        ({"version_id": "u", "content": "x"}, {"content": "y"}, False),
        ({"version_id": "u"}, {}, False),
        ({"version_id": "u", "limit": 3}, {}, None),
        ({"limit": 3}, {}, True),
        ({"limit": 3}, {"limit": 4}, True),
        ({"rows": 4}, {}, None),
        ({"limit": [3, 1]}, {"limit": [3, 1]}, True),
        ({"limit": [3, 1]}, {"limit": [3, 2]}, None),
        ({"limit": [3, 1]}, {}, None),
    ],
)
def test_runs_are_compared_where_their_rows_are_the_same(
    fake: FakeContext, before: dict[str, Any], after: dict[str, Any], same_file: bool | None
) -> None:
    keep(fake, "one", ["a", "b", "c"], [], **before)
    found = compared(fake, keep(fake, "two", ["a", "b", "c"], [], **after))
    assert (found and found.same_file) == same_file


@pytest.mark.usefixtures("finished")
def test_if_time_runs_out_there_is_no_comparison(fake: FakeContext) -> None:
    keep(fake, "one", ["a"], [])
    assert compared(fake, keep(fake, "two", ["b"], []), lambda: False) is None
