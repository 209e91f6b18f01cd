"""A drop with many faults, and a process that is killed at every call to a port, and at random pairs of calls.

`SCHEDULES` sets the number of pairs. The seed is fixed, so that a run can be repeated.
"""

import csv
import io
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from dropbatch.batch_api.limits import Limits
from dropbatch.domain.errors import OpenAIOutcomeUnknownError
from dropbatch.domain.states import JobState
from dropbatch.ports import RemoteBatch
from tests.driving import RECIPE, drop, only_job, result, result_json, sent_rows
from tests.fakes import FakeContext, FakeOpenAI, Killer, answer_ok, response_line
from tests.schedules.invariants import check
from tests.whole_run import WholeRun

SCHEDULES = int(os.environ.get("SCHEDULES", "1000"))
DATA = b"text\n" + b"".join(b"row %d\n" % number for number in range(1, 17))


class LossyOpenAI(FakeOpenAI):
    """FakeOpenAI that loses the answer to its first create."""

    def create(self, *args: Any) -> RemoteBatch:
        made = super().create(*args)
        if len(self.batches) == 1:
            raise OpenAIOutcomeUnknownError("timeout")
        return made


class Troubled(FakeContext):
    """Fakes with sixteen rows in two shards, and faults. They can be pickled between two invocations.

    Row 2 expires once, 5 fails once, 8 always, 11 is truncated, and 14 is missing once. The answer to a create is lost,
    the account may not enqueue all rows at once, and time runs out repeatedly.
    """

    requests = 10
    recipe = RECIPE
    data = DATA

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, limits=Limits(batch_requests=self.requests), killer=Killer(), seconds_left=self._left)
        self._chance = random.Random(6)
        self._tries: Counter[str] = Counter()
        self.openai = LossyOpenAI(self.clock)
        self.openai.token_limit = 100
        self.openai.answer = self._answer
        self.objects.drop("recipe.yaml", self.recipe + b"mirror: true\n")
        drop(self, "a.csv", self.data)

    def _left(self) -> float:
        return 5.0 if self._chance.random() < 1 / 6 else 300.0

    def _answer(self, request: dict[str, Any]) -> Any:
        row = request["custom_id"]
        self._tries[row] += 1
        if row == "2" and self._tries[row] == 1:
            error = {"code": "batch_expired", "message": "expired"}
            return "error", {"id": "x", "custom_id": row, "response": None, "error": error}
        if (row == "5" and self._tries[row] == 1) or row == "8":
            return "error", response_line(request, 500, {"error": {"code": "server_error", "message": "no"}})
        if row == "14" and self._tries[row] == 1:
            return None
        where, line = answer_ok(request)
        if row == "11":
            line["response"]["body"]["choices"][0]["finish_reason"] = "length"
        return where, line


class Repetitive(Troubled):
    """The same with duplicates of the rows that have trouble, in the same shard, in earlier and in later ones."""

    requests = 3
    recipe = RECIPE + b"dedupe: true\n"
    data = b"text\n" + b"".join(b"row %d\n" % row for row in (1, 2, 1, 2, 5, 5, 2, 8, 8, 1, 11, 8, 11, 14, 2, 14))


def check_complete(fake: FakeContext) -> None:
    check(fake)
    assert only_job(fake).state is JobState.PARTIAL
    rows = result_json(fake, "summary.json")["rows"]
    assert (rows["ok"], rows["error"], rows["truncated"]) == (14, 1, 1)
    asked: Counter[str] = Counter()
    for batch in fake.openai.batches.values():
        if batch.output_file_id or batch.error_file_id:
            lines = fake.openai.contents[batch.input_file_id].split(b"\n")
            asked.update(json.loads(line)["custom_id"] for line in lines if line)
    tries = {"2": 2, "5": 2, "8": 3, "14": 2}
    assert asked == {str(row): tries.get(str(row), 1) for row in range(1, 17)}, "no answered row is sent again"


def check_shared(fake: FakeContext) -> None:
    """Assert that the duplicates have what their originals have, and that only these were asked."""
    check(fake)
    assert only_job(fake).state is JobState.PARTIAL
    rows = result_json(fake, "summary.json")["rows"]
    assert (rows["ok"], rows["error"], rows["truncated"], rows["duplicates"]) == (11, 3, 2, 10)
    found = csv.DictReader(io.StringIO(result(fake, "a.answers.csv").decode(), newline=""))
    by_text: dict[str, set[tuple[str, str]]] = {}
    for row in found:
        by_text.setdefault(row["text"], set()).add((row["answer"], row["_status"]))
    assert all(len(answers) == 1 for answers in by_text.values()), by_text
    assert len(set.union(*by_text.values())) == len(by_text), "each text has an answer of its own"
    responses = [json.loads(line)["custom_id"] for line in result(fake, "responses.jsonl").splitlines()]
    assert responses == [str(row) for row in range(1, 17)]
    assert result(fake, "a.failed.csv") == b"text\nrow 8\nrow 8\nrow 11\nrow 8\nrow 11\n"
    asked = {row for batch in sent_rows(fake) for row in batch}
    assert asked == {1, 2, 5, 8, 11, 14}


def check_complete_or_rejected(fake: FakeContext) -> None:
    """Assert that a drop is complete, or is rejected unsent because it killed its function twice."""
    if only_job(fake).state is not JobState.REJECTED:
        check_complete(fake)
        return
    check(fake)
    [problem] = result_json(fake, "rejected.json")["problems"]["first"]
    assert problem["code"] == "kills_function"
    assert not fake.openai.batches


PARTS = 12
"""The number of tests over which the points are distributed, so that none is long, even beside others."""


CHECKS = {Troubled: check_complete, Repetitive: check_shared}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[type[Troubled]], WholeRun]:
    """Return a function that makes the run of a kind without kills, once."""

    def made(kind: type[Troubled]) -> WholeRun:
        whole = WholeRun(kind(tmp_path_factory.mktemp(kind.__name__)))
        CHECKS[kind](whole.fake)
        return whole

    return cache(made)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_at_any_call_does_not_change_the_results(
    part: int, whole: Callable[[type[Troubled]], WholeRun], tally: Counter[str]
) -> None:
    troubled = whole(Troubled)
    for point in troubled.killer.all_points()[part::PARTS]:
        try:
            check_complete(troubled.killed({point}))
        except AssertionError as error:
            raise AssertionError(f"killed at {troubled.killer.calls[point // 2]}, point {point}") from error
        tally["kill points"] += 1


@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_at_any_call_does_not_change_what_duplicates_share(
    part: int, whole: Callable[[type[Troubled]], WholeRun], tally: Counter[str]
) -> None:
    repetitive = whole(Repetitive)
    for point in repetitive.killer.all_points()[part::PARTS]:
        try:
            check_shared(repetitive.killed({point}))
        except AssertionError as error:
            raise AssertionError(f"killed at {repetitive.killer.calls[point // 2]}, point {point}") from error
        tally["kill points"] += 1


@pytest.mark.parametrize("part", range(PARTS))
def test_kills_at_any_two_calls_do_not_change_the_results(
    part: int, whole: Callable[[type[Troubled]], WholeRun], tally: Counter[str]
) -> None:
    troubled = whole(Troubled)
    # A run that was killed makes more calls.
    end = 2 * len(troubled.killer.calls)
    points = [*troubled.killer.all_points(), *range(end, end + 40)]

    @seed(20_261_123 + part)
    @settings(
        max_examples=SCHEDULES // PARTS + 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.frozensets(st.sampled_from(points), min_size=2, max_size=2))
    def killed_twice(points: frozenset[int]) -> None:
        check_complete_or_rejected(troubled.killed(points))
        tally["schedules"] += 1

    killed_twice()
