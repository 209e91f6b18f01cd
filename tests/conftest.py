"""Fixtures for all tests, the distribution of tests among processes, and the count of schedules at the end of a run.

The controlling process distributes and counts. It reads no conftest of a folder below.
"""

import gc
import os
import ssl
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings
from moto import mock_aws
from moto.core.serialize import BaseJSONSerializer
from xdist.scheduler import LoadScopeScheduling

from dropbatch import fast_paths
from tests import event_contract
from tests.fakes import FakeContext

# Hundreds of tests create clients. Each process reads from disk only once what is the same for all of them.
_load_file = cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda _, path: _load_file(path)
ssl.create_default_context = cache(ssl.create_default_context)

# moto takes DynamoDB's values apart, and looks for every member under half a dozen names. They are JSON already.
_serialize_structure = BaseJSONSerializer._serialize_type_structure


def _serialize_quickly(serializer: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
    if shape.name == "AttributeValue" and "B" not in value:
        serialized[key] = value
    else:
        _serialize_structure(serializer, serialized, value, shape, key)


BaseJSONSerializer._serialize_type_structure = _serialize_quickly

END_TO_END = "tests/e2e/"
SCOPES = {
    "a stack": tuple(f"{END_TO_END}test_{name}.py" for name in ("journeys", "lasting_faults", "odd_files")),
    "another stack": (END_TO_END,),
    "a busy account": ("tests/schedules/test_busy_account.py",),
    "a browser": ("tests/pages/",),
}
"""Tests that share an expensive setup, by what they share. One process runs those of a scope.

The end-to-end tests mostly wait, so two processes run them at the same time, each with a stack of its own. The second
half is the shorter one, and takes new files.
"""


# All modules stay loaded. Tests create thousands of objects; collections that visit the modules too take a tenth.
gc.freeze()
gc.set_threshold(200_000, 20, 20)

# No deadline: a busy machine is no reason to fail.
settings.register_profile("dev", settings.get_profile("default"), deadline=None)
# The machine of CI is thrown away, and with it Hypothesis's database: the blob repeats a failure elsewhere.
settings.register_profile(
    "ci", settings.get_profile("dev"), print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


class _SharedSetups(LoadScopeScheduling):
    """A scheduler by scope. Every test is a scope of its own, except those that share one.

    (xdist's own groups are a suffix of the node's id, which pytest 9.2 no longer keeps.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((scope for scope, files in SCOPES.items() if nodeid.startswith(files)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return None if config.getoption("dist") == "worksteal" else _SharedSetups(config, log)


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    """Return the fakes of all ports. A module that needs other fakes overrides this fixture."""
    return FakeContext(tmp_path)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Mock AWS with moto, in the process of the test."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture(autouse=True)
def every_event_satisfies_its_schema() -> Iterator[None]:
    """Fail a test that has had an event published against the schema in `docs/events/`."""
    event_contract.violations.clear()
    yield
    assert not event_contract.violations


@pytest.fixture(scope="module")
def with_fast_paths() -> Iterator[None]:
    """Take the fast paths in a module's tests, even if `DROPBATCH_FAST=0` switches them off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_paths, "enabled", lambda: True)
        yield


_TOTAL: Counter[str] = Counter()
_KEY = "schedules"


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """Yield a counter of the things that a test ran, by kind."""
    counted: Counter[str] = Counter()
    yield counted
    _TOTAL.update(counted)
    output = getattr(request.config, "workeroutput", None)
    if output is not None:  # a worker of xdist: its controller adds them up
        output[_KEY] = dict(_TOTAL)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    _TOTAL.update(getattr(node, "workeroutput", {}).get(_KEY, {}))


_begun: list[str] = []


def pytest_runtest_logstart(nodeid: str) -> None:
    """Prefer the processes that run the end-to-end tests, whose functions have timeouts."""
    if not _begun and not nodeid.startswith(END_TO_END):
        os.nice(10)
    _begun.append(nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _TOTAL:
        counted = ", ".join(f"{count:,} {what}" for what, count in sorted(_TOTAL.items()))
        terminalreporter.write_line(f"Gone through: {counted}")
