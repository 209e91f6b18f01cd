"""Logs and metrics in memory."""

import json
from typing import Any


class FakeObserver:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.metrics: list[tuple[str, float, dict[str, str]]] = []

    def note(self, message: str, **fields: Any) -> None:
        self.lines.append(f"{message} {json.dumps(fields)}")

    warn = note

    def failed(self, message: str, **fields: Any) -> None:
        import sys

        kind = sys.exc_info()[0]
        self.lines.append(f"{message} {kind.__name__ if kind else ''} {json.dumps(fields)}")

    def measure(self, name: str, value: float, **dimensions: str) -> None:
        self.metrics.append((name, value, dimensions))

    def total(self, name: str) -> float:
        return sum(value for metric, value, _ in self.metrics if metric == name)
