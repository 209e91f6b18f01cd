"""Shares the tests among processes, and says at a run's end how many kill points, schedules and advices they followed.

Both are the controlling process's business, which reads no conftest of a folder below.
"""

import ssl
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from xdist.scheduler import LoadScopeScheduling

from tests import event_contract

# Hundreds of tests make clients of their own. What is the same for all of them is read from disk once a process.
_load_file = cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda _, path: _load_file(path)
ssl.create_default_context = cache(ssl.create_default_context)

STACK = "tests/e2e/"


class _OneStack(LoadScopeScheduling):
    """By scope, of which every test is one but for the end-to-end tests.

    (xdist's own groups are a suffix of the node's id, which pytest 9.2 no longer takes over.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return STACK if nodeid.startswith(STACK) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return None if config.getoption("dist") == "worksteal" else _OneStack(config, log)


@pytest.fixture(autouse=True)
def every_event_satisfies_its_schema() -> Iterator[None]:
    """Fail a test that has had an event published against the schema in `docs/events/`."""
    event_contract.violations.clear()
    yield
    assert not event_contract.violations


_TOTAL: Counter[str] = Counter()
_KEY = "schedules"


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """What a test counts of what it ran, by kind."""
    counted: Counter[str] = Counter()
    yield counted
    _TOTAL.update(counted)
    output = getattr(request.config, "workeroutput", None)
    if output is not None:  # a worker of xdist: its controller adds them up
        output[_KEY] = dict(_TOTAL)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    _TOTAL.update(getattr(node, "workeroutput", {}).get(_KEY, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _TOTAL:
        counted = ", ".join(f"{count:,} {what}" for what, count in sorted(_TOTAL.items()))
        terminalreporter.write_line(f"Gone through: {counted}")
