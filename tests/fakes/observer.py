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

    def total(self, name: str) -> float:
        return sum(value for metric, value, _ in self.metrics if metric == name)
