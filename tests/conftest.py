"""Shares the tests among processes: each by itself, but all that use the deployed stack in one."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

STACK = "tests/e2e/"


class _OneStack(LoadScopeScheduling):
    """By scope, of which every test is one but for the end-to-end tests.

    (xdist's own groups are a suffix of the node's id, which pytest 9.2 no longer takes over.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return STACK if nodeid.startswith(STACK) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _OneStack(config, log)
