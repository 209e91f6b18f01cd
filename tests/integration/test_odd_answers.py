"""Whole jobs with the real adapter and the emulator, which answers in every known odd shape.

Each row has one outcome, and the rows that were answered have their answers, whatever else the files contain.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from dropbatch.adapters.openai import OpenAIBatches
from local.openai_emulator.faults import AnyFault
from local.openai_emulator.testing import RunningEmulator, running_emulator
from tests.driving import drop, ended, only_job, result, result_json, run
from tests.fakes import FakeContext

PLAIN = b'model: gpt-6-luna\nprompt: "Say {{ text }}"\nattempts: 1\n'
SCHEMA = PLAIN + b"schema:\n  sentiment: [positive, negative]\n"
ROWS = 12


@dataclass
class Served(FakeContext):
    """Fakes of all ports, except for OpenAI, which is the emulator behind the real adapter."""

    server: RunningEmulator | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.server is not None
        self.real = OpenAIBatches(lambda _fresh: (self.server.api_key, "v"), self.server.base_url)  # type: ignore[union-attr]

    @property
    def context(self) -> Any:
        return replace(super().context, openai=self.real)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with running_emulator(tmp_path / "emulator") as server:
        context = Served(tmp_path, server=server)
        yield context
        context.real.close()


def answered(served: Served, recipe: bytes, *faults: dict[str, Any], minutes: int = 60) -> list[str]:
    """Drop twelve rows under these faults. Return the outcome of each row, with its code if it has one.

    Poll each minute of the fake clock. The job must end within `minutes`.
    """
    assert served.server is not None
    parsed: TypeAdapter[Any] = TypeAdapter(AnyFault)
    served.server.faults.add(*(parsed.validate_python(fault) for fault in faults))
    served.objects.drop("recipe.yaml", recipe)
    drop(served, "a.csv", b"text\n" + b"".join(b"row %d\n" % number for number in range(1, ROWS + 1)))
    for _ in range(minutes):
        run(served, ticks=1)  # a minute by our clock
        served.server.advance(60)
        if ended(only_job(served)):
            break
    rows = list(csv.DictReader(io.StringIO(result(served, "a.answers.csv").decode(), newline="")))
    assert [row["text"] for row in rows] == [f"row {number}" for number in range(1, ROWS + 1)]
    counts = result_json(served, "summary.json")["rows"]
    assert counts["total"] == ROWS == sum(count for name, count in counts.items() if name != "total")
    for row in rows:
        value = row.get("answer") or row.get("sentiment")
        assert bool(value) or row["_status"] != "ok"
    return [row["_status"] + (":" + row["_error"] if row["_error"] else "") for row in rows]


def every_third(third: str) -> list[str]:
    return ["ok", "ok", third] * (ROWS // 3)


@pytest.mark.parametrize(
    ("fault", "third"),
    [
        ({"kind": "fail_rows", "shape": "http", "status": 429, "code": "rate_limit"}, "error:rate_limit"),
        ({"kind": "fail_rows", "shape": "status_zero"}, "error:no_response"),
        ({"kind": "fail_rows", "shape": "not_run", "code": "batch_expired"}, "ok"),  # retried
        ({"kind": "fail_rows", "shape": "not_run", "code": "batch_cancelled"}, "cancelled:batch_cancelled"),
        ({"kind": "fail_rows", "shape": "no_response_member"}, "error:server_error"),
        ({"kind": "fail_rows", "uncounted": True}, "error:server_error"),
        ({"kind": "missing_rows"}, "missing:missing"),
        ({"kind": "missing_rows", "uncounted": True}, "missing:missing"),
        ({"kind": "duplicate_rows"}, "ok"),
        ({"kind": "string_bodies"}, "ok"),
        ({"kind": "spoil_answers", "how": "refusal"}, "refused:refusal"),
        ({"kind": "spoil_answers", "how": "content_filter"}, "refused:content_filter"),
        ({"kind": "spoil_answers", "how": "empty"}, "invalid_answer:empty"),
        ({"kind": "spoil_answers", "how": "truncated"}, "truncated:length"),
    ],
    ids=lambda given: "-".join(map(str, given.values())) if isinstance(given, dict) else given,
)
@pytest.mark.parametrize("recipe", [PLAIN, SCHEMA], ids=["text", "schema"])
def test_rows_in_an_odd_shape_do_not_affect_others(
    served: Served, recipe: bytes, fault: dict[str, Any], third: str
) -> None:
    assert answered(served, recipe, {**fault, "every": 3}) == every_third(third)


@pytest.mark.parametrize(("how", "code"), [("schema", "schema_mismatch"), ("not_json", "not_json")])
def test_an_answer_that_does_not_fit_its_schema_is_invalid(served: Served, how: str, code: str) -> None:
    found = answered(served, SCHEMA, {"kind": "spoil_answers", "how": how, "every": 3})
    assert found == every_third(f"invalid_answer:{code}")


def test_if_all_rows_fail_there_is_no_output_file_and_each_row_has_its_reason(served: Served) -> None:
    assert answered(served, PLAIN, {"kind": "fail_rows", "status": 503}) == ["error:server_error"] * ROWS
    assert only_job(served).state == "failed"


@pytest.mark.parametrize("kind", ["empty_error_file", "blank_error_file_id"])
def test_a_blank_error_file_id_means_no_error_file(served: Served, kind: str) -> None:
    assert answered(served, PLAIN, {"kind": kind}) == ["ok"] * ROWS


def test_expired_rows_are_retried_and_answered_rows_are_not(served: Served) -> None:
    assert answered(served, PLAIN, {"kind": "expire_after_rows", "rows": 7}) == ["ok"] * ROWS
    assert [batch.total for page in served.real.newest() for batch in page] == [5, 12]


def test_a_job_waits_for_a_batch_that_finalizes_for_hours(served: Served) -> None:
    fault = {"kind": "delay", "phase": "finalizing", "seconds": 6 * 3600}
    assert answered(served, PLAIN, fault, minutes=7 * 60) == ["ok"] * ROWS
    assert len(served.server.batches if served.server else []) == 1


def test_expired_rows_are_retried_after_a_day_of_polls(served: Served) -> None:
    """A batch needs 30 hours, so it expires after 24 with nine of twelve rows. The next one is quick."""
    fault = {"kind": "delay", "phase": "in_progress", "seconds": 30 * 3600, "times": 1}
    assert answered(served, PLAIN, fault, minutes=25 * 60) == ["ok"] * ROWS
    assert [batch.total for page in served.real.newest() for batch in page] == [3, 12]
    polls = sum("polled" in line for line in served.observer.lines)
    assert polls > 24 * 60


def test_canceled_is_cancelled(served: Served) -> None:
    fault = {"kind": "rename_status", "status": "cancelled", "name": "canceled"}
    served.server.faults.add(TypeAdapter[Any](AnyFault).validate_python(fault))  # type: ignore[union-attr]  # it is there
    served.server.delays.in_progress = 600  # type: ignore[union-attr]
    served.objects.drop("recipe.yaml", PLAIN)
    drop(served, "a.csv", b"text\nhello\n")
    run(served, ticks=2)
    drop(served, "a.csv.cancel", b"")
    for _ in range(10):
        run(served, ticks=1)
        served.server.advance(60)  # type: ignore[union-attr]
    assert only_job(served).state == "cancelled"


def test_a_job_waits_for_an_output_file_that_comes_late(served: Served) -> None:
    assert answered(served, PLAIN, {"kind": "late_output_id", "seconds": 900}) == ["ok"] * ROWS


def test_a_batch_that_moves_only_when_it_is_retrieved_moves(served: Served) -> None:
    assert answered(served, PLAIN, {"kind": "stuck_until_retrieved"}) == ["ok"] * ROWS


def test_a_batch_that_fails_validation_gives_each_row_the_reason(served: Served) -> None:
    found = answered(served, PLAIN, {"kind": "fail_batch", "code": "model_not_found"})
    assert found == ["error:model_not_found"] * ROWS


def test_all_faults_together_still_give_one_outcome_a_row(served: Served) -> None:
    found = answered(
        served,
        SCHEMA,
        {"kind": "fail_rows", "custom_ids": ["2"], "shape": "status_zero"},
        {"kind": "missing_rows", "custom_ids": ["4"]},
        {"kind": "duplicate_rows", "custom_ids": ["5", "2"]},
        {"kind": "string_bodies", "custom_ids": ["6"]},
        {"kind": "spoil_answers", "custom_ids": ["7"], "how": "truncated"},
        {"kind": "late_output_id", "seconds": 60},
    )
    assert found[1] == "error:no_response"
    assert found[3] == "missing:missing"
    assert found[6] == "truncated:length"
    assert [outcome for number, outcome in enumerate(found) if number not in (1, 3, 6)] == ["ok"] * 9
