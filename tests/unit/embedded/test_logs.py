"""The check of the functions' logs, on which the end-to-end tests rely."""

import json
import time
from typing import Any

import pytest

from tests.e2e.logs import LATE_MS, Logs, complains

HELD = json.dumps({"level": "WARNING", "message": "held", "job_id": "j"})
FINE = json.dumps({"level": "INFO", "message": "polled"})


class Groups:
    """A stub of CloudWatch Logs: the lines of a group, each with its time."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def log(self, *lines: str, in_ms: int = 0) -> None:
        self.lines += [(time.time_ns() // 1_000_000 + in_ms, line) for line in lines]

    def get_paginator(self, name: str) -> "Groups":
        assert name == "filter_log_events"
        return self

    def paginate(self, *, logGroupName: str, startTime: int) -> Any:  # noqa: N803  # AWS's names
        assert logGroupName == "submit"
        for number, (at, line) in enumerate(self.lines):
            if at >= startTime:
                yield {"events": [{"logStreamName": str(number), "message": line, "timestamp": at}]}


@pytest.fixture
def groups() -> Groups:
    return Groups()


@pytest.fixture
def logs(groups: Groups) -> Logs:
    return Logs(groups, ["submit"])


@pytest.mark.parametrize(
    "line",
    [
        HELD,
        '{"level": "ERROR", "message": "a message failed"}',
        "Task timed out after 300.00 seconds",
        "Worker process died",
        "RequestId: 1 Error: Runtime exited with error: signal: killed",
        '  File "submit.py", line 7, in handler',
    ],
)
def test_a_line_with_an_error_or_warning_is_found(line: str) -> None:
    assert complains(line)


@pytest.mark.parametrize(
    "line", [FINE, '{"_aws": {}, "Rows": 3}', "START RequestId: 1 Version: $LATEST", "END RequestId: 1", ""]
)
def test_an_ordinary_line_is_not_a_complaint(line: str) -> None:
    assert not complains(line)


def test_a_complaint_that_no_test_provoked_is_reported_once(groups: Groups, logs: Logs) -> None:
    groups.log(FINE, HELD)

    assert logs.unexpected() == [HELD]
    assert logs.unexpected() == []


def test_a_test_consumes_the_complaints_that_it_provokes(groups: Groups, logs: Logs) -> None:
    logs.expect("no such line", '"held"')
    groups.log(HELD, "Worker process died")

    assert logs.unexpected() == ["Worker process died"]


def test_a_provoked_complaint_may_be_logged_a_little_late(groups: Groups, logs: Logs) -> None:
    logs.expect("held")
    logs.end_test()
    groups.log(HELD)
    groups.log(HELD + " ", in_ms=LATE_MS + 1_000)

    assert logs.unexpected() == [HELD + " "]
