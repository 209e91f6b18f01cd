"""The logs of the functions: end-to-end tests fail on every error or warning that no test expects."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PLATFORM_LINES = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ")
COMPLAINTS = ("WARNING", "ERROR", "CRITICAL")

OVERLAP_MS = 5_000
"""An invocation is logged with the time of its end, but a moment later. This time is read twice."""

LATE_MS = 60_000
"""A function that ran when its test ended may still log what that test provoked."""


@dataclass(slots=True)
class Logs:
    """The log groups of the functions. `client` is CloudWatch Logs."""

    client: Any
    groups: Sequence[str]
    _from_ms: int = field(default_factory=lambda: _now_ms())
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _expected: list[str] = field(default_factory=list)
    _late: list[tuple[int, str]] = field(default_factory=list)

    def expect(self, *texts: str) -> None:
        """Accept lines that contain one of these texts, until the end of the test."""
        self._expected += texts

    def end_test(self) -> None:
        """Accept lines that this test provoked only for a little longer."""
        self._late += [(_now_ms() + LATE_MS, text) for text in self._expected]
        self._expected.clear()

    def unexpected(self) -> list[str]:
        """Return the complaints since the last call that no test provoked."""
        from_ms, self._from_ms = self._from_ms - OVERLAP_MS, _now_ms()
        found = []
        for group in self.groups:
            pages = self.client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=from_ms)
            for event in (event for page in pages for event in page["events"]):
                line, line_id = event["message"], (event["logStreamName"], event["message"])
                if line_id in self._seen:
                    continue
                self._seen.add(line_id)
                if complains(line) and not self._is_expected(line, event["timestamp"]):
                    found.append(line)
        return found

    def _is_expected(self, line: str, at_ms: int) -> bool:
        texts = [*self._expected, *(text for until, text in self._late if at_ms <= until)]
        return any(text in line for text in texts)


def complains(line: str) -> bool:
    """Return whether a line of a function's log is a warning, an error, or the trace of a crash.

    A function logs JSON. Lambda's own lines that begin and end an invocation are ordinary. Anything else
    ("Task timed out after 300.00 seconds", "Worker process died", a traceback) is a crash.
    """
    try:
        members = json.loads(line)
    except ValueError:
        return bool(line.strip()) and not line.startswith(PLATFORM_LINES)
    return not isinstance(members, dict) or members.get("level") in COMPLAINTS


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
