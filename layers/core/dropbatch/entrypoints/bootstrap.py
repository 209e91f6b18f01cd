"""The composition root: it builds the Context on AWS and OpenAI from the environment."""

from dropbatch.entrypoints.layer_check import check_layer

check_layer()  # before compiled code is imported, whose error would not name the reason

# ruff: noqa: E402 - the imports below come after the check on purpose
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from aws_lambda_powertools import Logger, Metrics

from dropbatch.entrypoints.connect import connect
from dropbatch.entrypoints.memory_limit import limit_memory
from dropbatch.entrypoints.observability import PowertoolsObserver
from dropbatch.entrypoints.settings import Settings
from dropbatch.gc_tuning import tune_gc
from dropbatch.ports import Queue
from dropbatch.storage.context import Context

_SCRATCH = Path(tempfile.gettempdir()) / "dropbatch"
"""A folder that only Dropbatch uses, so that it can be emptied."""


@cache
def observer() -> PowertoolsObserver:
    """Return the observer of this process."""
    return PowertoolsObserver(Logger(), Metrics(), job_metrics=os.environ.get("JOB_METRICS") == "enabled")


@cache
def _settings() -> Settings:
    return Settings.from_environment(os.environ)


@cache
def _context() -> Context:
    """Return the Context of this process. Lambda keeps the process, and its clients, for the next invocation."""
    limit_memory(os.environ)
    connected = connect(
        _settings(),
        observer=observer(),
        clock=time.time,
        scratch=_SCRATCH,
        new_token=lambda: uuid.uuid4().hex,
    )
    tune_gc()
    return connected


def build_context(remaining_milliseconds: Callable[[], int]) -> Context:
    """Return the Context for one invocation, with the time that it has left and an empty scratch folder.

    A process handles one invocation at a time, so files in that folder are those of an invocation that was killed.
    """
    shutil.rmtree(_SCRATCH, ignore_errors=True)
    _SCRATCH.mkdir(parents=True, exist_ok=True)
    return replace(_context(), seconds_left=lambda: remaining_milliseconds() / 1000)


def queue_names(context: Context) -> Mapping[str, Queue]:
    """Return the queues that call functions, by their names, which are at the end of an event source's ARN."""
    settings = _settings()
    urls = (settings.intake_queue_url, settings.dispatch_queue_url, settings.collect_queue_url)
    queues = (context.intake, context.dispatch, context.collect)
    return {url.rpartition("/")[2]: queue for url, queue in zip(urls, queues, strict=True)}
