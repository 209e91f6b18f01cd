"""Logs and metrics with Powertools. Each line has the ids of the current item, and none has the text of a row."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

_TALKATIVE = ("botocore", "httpx2")
"""Libraries that log at level INFO, such as each request to OpenAI. Lambda's runtime would write these lines, too."""

_UNITS = {"OldestOpenBatchSeconds": MetricUnit.Seconds}


class PowertoolsObserver:
    """`ports.Observer` on Powertools. Metrics are written in CloudWatch's embedded format."""

    def __init__(self, logger: Logger, metrics: Metrics, *, job_metrics: bool = False) -> None:
        self._logger = logger
        self._metrics = metrics
        self._job_metrics = job_metrics
        for library in _TALKATIVE:
            logging.getLogger(library).setLevel(logging.WARNING)

    @contextmanager
    def context_keys(self, **ids: Any) -> Iterator[None]:
        """Add these ids to each line of the block."""
        with self._logger.append_context_keys(**ids):
            yield

    def info(self, message: str, **fields: Any) -> None:
        self._logger.info(message, extra=fields)

    def warning(self, message: str, **fields: Any) -> None:
        self._logger.warning(message, extra=fields)

    def exception(self, message: str, **fields: Any) -> None:
        # An exception's text may quote a row (a parser's does), so only its type and place are logged.
        kind, _, trace = sys.exc_info()
        places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(trace)]
        self._logger.error(message, extra={"error": kind.__name__ if kind else None, "at": places[-6:], **fields})
        # A handled failure of a step is not an error of its function: without this metric there would be no alarm.
        self.metric("StepsFailed", 1)

    def metric(self, name: str, value: float, **dimensions: str) -> None:
        unit = _UNITS.get(name, MetricUnit.Count)
        with single_metric(name=name, unit=unit, value=value, namespace=self._metrics.namespace) as metric:
            metric.add_dimension(name="service", value=self._metrics.service or "dropbatch")
            for dimension, content in dimensions.items():
                metric.add_dimension(name=dimension, value=content)

    def job_metric(self, name: str, value: float, job_id: str = "", **dimensions: str) -> None:
        about = {"job_id": job_id} if job_id else {}
        self.info("counted", **{name: value, **dimensions, **about})  # the dashboard reads these lines
        if self._job_metrics:
            self.metric(name, value, **dimensions)
