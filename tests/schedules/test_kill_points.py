"""A drop with many faults, and a process that is killed at every call to a port, and at random pairs of calls.

`SCHEDULES` sets the number of pairs. The seed is fixed, so that a run can be repeated.
"""

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import OpenAIOutcomeUnknownError
from dropbatch.domain.states import JobState
from tests.driving import RECIPE, drop, only_job, result_json, run
from tests.fakes import FakeContext, Killer, answer_ok, response_line
from tests.schedules.invariants import check

SCHEDULES = int(os.environ.get("SCHEDULES", "1000"))
DATA = b"text\n" + b"".join(b"row %d\n" % number for number in range(1, 17))


def troubled(folder: Path, points: frozenset[int] = frozenset()) -> FakeContext:
    """Return fakes with sixteen rows in two shards, and faults.

    Row 2 expires once, 5 fails once, 8 always, 11 is truncated, and 14 is missing once. The answer to a create is lost,
    the account may not enqueue all rows at once, and time runs out repeatedly.
    """
    fake = FakeContext(folder, limits=Limits(batch_requests=10), killer=Killer())
    assert fake.killer is not None
    fake.killer.points = set(points)
    chance = random.Random(6)
    fake.seconds_left = lambda: 5.0 if chance.random() < 1 / 6 else 300.0
    fake.openai.token_limit = 100
    tries: Counter[str] = Counter()

    def answer(request: dict[str, Any]) -> Any:
        row = request["custom_id"]
        tries[row] += 1
        if row == "2" and tries[row] == 1:
            error = {"code": "batch_expired", "message": "expired"}
            return "error", {"id": "x", "custom_id": row, "response": None, "error": error}
        if (row == "5" and tries[row] == 1) or row == "8":
            return "error", response_line(request, 500, {"error": {"code": "server_error", "message": "no"}})
        if row == "14" and tries[row] == 1:
            return None
        where, line = answer_ok(request)
        if row == "11":
            line["response"]["body"]["choices"][0]["finish_reason"] = "length"
        return where, line

    create, lost = fake.openai.create, iter([True])

    def lossy(*args: Any) -> Any:
        made = create(*args)
        if next(lost, False):
            raise OpenAIOutcomeUnknownError("timeout")
        return made

    fake.openai.answer = answer
    fake.openai.create = lossy  # type: ignore[method-assign]  # a fault of its first call
    fake.objects.drop("recipe.yaml", RECIPE + b"mirror: true\n")
    drop(fake, "a.csv", DATA)
    return fake


def check_complete(fake: FakeContext) -> None:
    check(fake)
    assert only_job(fake).state is JobState.PARTIAL
    rows = result_json(fake, "summary.json")["rows"]
    assert (rows["ok"], rows["error"], rows["truncated"]) == (14, 1, 1)
    asked: Counter[str] = Counter()
    for batch in fake.openai.batches.values():
        if batch.output_file_id or batch.error_file_id:
            lines = fake.openai.files[batch.input_file_id].split(b"\n")
            asked.update(json.loads(line)["custom_id"] for line in lines if line)
    tries = {"2": 2, "5": 2, "8": 3, "14": 2}
    assert asked == {str(row): tries.get(str(row), 1) for row in range(1, 17)}, "no answered row is sent again"


def check_complete_or_rejected(fake: FakeContext) -> None:
    """Assert that a drop is complete, or is rejected unsent because it killed its function twice."""
    if only_job(fake).state is not JobState.REJECTED:
        check_complete(fake)
        return
    check(fake)
    [problem] = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["code"] == "kills_function"
    assert not fake.openai.batches


def whole_run(folder: Path) -> Killer:
    """Return the killer of a run without kills, which has recorded all calls."""
    whole = troubled(folder)
    run(whole, ticks=200)
    check_complete(whole)
    assert whole.killer is not None
    return whole.killer


PARTS = 4
"""The number of tests over which the points are distributed, so that two processes share them."""


@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_at_any_call_does_not_change_the_results(part: int, tmp_path: Path, tally: Counter[str]) -> None:
    whole = whole_run(tmp_path)
    for point in whole.all_points()[part::PARTS]:
        fake = troubled(tmp_path, frozenset({point}))
        run(fake, ticks=300)
        try:
            check_complete(fake)
        except AssertionError as error:
            raise AssertionError(f"killed at {whole.calls[point // 2]}, point {point}") from error
        tally["kill points"] += 1


@pytest.mark.parametrize("part", range(PARTS))
def test_kills_at_any_two_calls_do_not_change_the_results(part: int, tmp_path: Path, tally: Counter[str]) -> None:
    whole = whole_run(tmp_path)
    # A run that was killed makes more calls.
    points = [*whole.all_points(), *range(2 * len(whole.calls), 2 * len(whole.calls) + 40)]

    @seed(20_261_123 + part)
    @settings(
        max_examples=SCHEDULES // PARTS + 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.frozensets(st.sampled_from(points), min_size=2, max_size=2))
    def killed_twice(points: frozenset[int]) -> None:
        fake = troubled(tmp_path, points)
        run(fake, ticks=300)
        check_complete_or_rejected(fake)
        tally["schedules"] += 1

    killed_twice()
