"""The one place that decides what is real: builds the World of AWS and OpenAI out of the environment."""

import os
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from aws_lambda_powertools import Logger, Metrics

from dropbatch.adapters.aws import connect
from dropbatch.memory import settle
from dropbatch.observability import PowertoolsObserver
from dropbatch.ports import World
from dropbatch.settings import Settings


@cache
def observer() -> PowertoolsObserver:
    return PowertoolsObserver(Logger(), Metrics())


@cache
def _world() -> World:
    """Clients outlive an invocation: Lambda keeps the process for the next one."""
    connected = connect(
        Settings.from_environment(os.environ),
        observer=observer(),
        clock=time.time,
        scratch=Path(tempfile.gettempdir()),
        new_token=lambda: uuid.uuid4().hex,
    )
    settle()
    return connected


def world(remaining_milliseconds: Callable[[], int]) -> World:
    """The World as one invocation sees it, with its own time left."""
    return replace(_world(), seconds_left=lambda: remaining_milliseconds() / 1000)
