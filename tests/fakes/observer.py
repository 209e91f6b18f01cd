"""Logs and metrics in memory."""

import json
import sys
from typing import Any


class FakeObserver:
    """`warnings` are the lines above INFO, each with its level, so that a test can fail on those it did not cause."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[tuple[str, str]] = []
        self.metrics: list[tuple[str, float, dict[str, str]]] = []
        self.job_metrics: set[str] = set()  # the names of those that are metrics only if the stack says so

    def info(self, message: str, **fields: Any) -> None:
        self.lines.append(f"{message} {json.dumps(fields)}")

    def warning(self, message: str, **fields: Any) -> None:
        self.info(message, **fields)
        self.warnings.append(("WARNING", message))

    def exception(self, message: str, **fields: Any) -> None:
        kind = sys.exc_info()[0]
        self.lines.append(f"{message} {kind.__name__ if kind else ''} {json.dumps(fields)}")
        self.warnings.append(("ERROR", message))

    def metric(self, name: str, value: float, **dimensions: str) -> None:
        self.metrics.append((name, value, dimensions))

    def job_metric(self, name: str, value: float, job_id: str = "", **dimensions: str) -> None:
        self.info("counted", job_id=job_id, **{name: value, **dimensions})
        self.job_metrics.add(name)
        self.metric(name, value, **dimensions)

    def total(self, name: str) -> float:
        return sum(value for metric, value, _ in self.metrics if metric == name)
